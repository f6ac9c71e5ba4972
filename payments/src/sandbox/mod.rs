//! The Kakao Pay sandbox: what Kakao Pay's servers do, as far as it is known, on this machine.
//!
//! [`machine`] decides: a value without sockets, clock or chance, which a simulation can drive as
//! well as a server. [`server`] speaks HTTP for it, on this machine only unless told otherwise.
//!
//! It is no gateway: it must never be given a real key, and nothing that it says is money. Nothing here shares a line with the client: a wire struct that both used would
//! hide the client's mistakes.

pub mod machine;
pub mod server;
