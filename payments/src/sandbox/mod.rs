//! The Kakao Pay sandbox: what Kakao Pay's servers do, as far as it is known, on this machine.
//!
//! [`machine`] decides: a value without sockets, clock or chance, which a simulation can drive as
//! well as a server. Nothing here shares a line with the client: a wire struct that both used would
//! hide the client's mistakes.

pub mod machine;
