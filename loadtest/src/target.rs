//! Whether an address is on this machine. Load is never sent to another one unasked.

use std::net::{IpAddr, SocketAddr};

/// The server may not be loaded without being asked for it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{address} is not on this machine: the load needs --beyond-loopback")]
pub struct BeyondLoopback {
    /// Where to.
    pub address: SocketAddr,
}

/// Whether it is an address of the loopback, also of IPv4 written as IPv6.
pub fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// Refuses what is elsewhere, unless that is allowed.
pub fn require_loopback(address: SocketAddr, is_allowed: bool) -> Result<(), BeyondLoopback> {
    if is_allowed || is_loopback(address.ip()) { Ok(()) } else { Err(BeyondLoopback { address }) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn only_the_loopback_is_here() {
        for (text, is_here) in [
            ("127.0.0.1:80", true),
            ("127.9.8.7:80", true),
            ("[::1]:80", true),
            ("[::ffff:127.0.0.1]:80", true),
            ("0.0.0.0:80", false),
            ("[::]:80", false),
            ("10.0.0.1:80", false),
            ("[::ffff:10.0.0.1]:80", false),
            ("128.0.0.1:80", false),
        ] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(is_loopback(address.ip()), is_here, "{text}");
            assert_eq!(require_loopback(address, false).is_ok(), is_here, "{text}");
            assert_eq!(require_loopback(address, true), Ok(()), "{text}");
        }
    }
}
