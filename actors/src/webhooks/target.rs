//! Where a message may go: what keeps an endpoint's address from pointing into the shop's own
//! network.
//!
//! An address is looked at when it is registered and again before each try, and a name's
//! addresses when they are looked up, so that a name which changes its mind gains nothing.
//! Redirects are not followed at all. An address must never reach the log: it may hold a secret.

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The longest address of an endpoint, in bytes.
pub(super) const URL_MAX: usize = 500;

/// Which addresses beside public ones may be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Reach {
    /// This machine's own.
    pub(super) loopback: bool,
    /// Those of private networks.
    pub(super) private: bool,
}

/// Whose an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Public,
    Loopback,
    Private,
    /// No one machine's: nobody can be called there.
    Nobody,
}

fn place(address: IpAddr) -> Place {
    match address {
        IpAddr::V4(address) => place_v4(address),
        IpAddr::V6(address) => place_v6(address),
    }
}

fn place_v4(address: Ipv4Addr) -> Place {
    let [a, b, c, _] = address.octets();
    match (a, b, c) {
        (127, ..) => Place::Loopback,
        (0 | 224.., ..) => Place::Nobody,
        // RFC 1918, 6598, 3927, 6890, 2544.
        (10, ..)
        | (172, 16..=31, _)
        | (192, 168, _)
        | (100, 64..=127, _)
        | (169, 254, _)
        | (192, 0, 0)
        | (198, 18..=19, _) => Place::Private,
        _ => Place::Public,
    }
}

fn place_v6(address: Ipv6Addr) -> Place {
    let parts = address.segments();
    let low = || {
        let [a, b] = parts[6].to_be_bytes();
        let [c, d] = parts[7].to_be_bytes();
        Ipv4Addr::new(a, b, c, d)
    };
    match parts {
        _ if address.is_loopback() => Place::Loopback,
        _ if address.is_unspecified() || address.is_multicast() => Place::Nobody,
        // An IPv4 address in other clothes: mapped, compatible, or behind a translator (RFC 6052, 8215).
        [0, 0, 0, 0, 0, 0xffff | 0, _, _] | [0x64, 0xff9b, 0, 0, 0, 0, _, _] => place_v4(low()),
        // Local (RFC 4193, 4291, 8215); 6to4 and Teredo carry an IPv4 one inside, and nobody needs them today.
        [0xfc00..=0xfdff | 0xfe80..=0xfeff | 0x2002, ..] | [0x2001, 0, ..] | [0x64, 0xff9b, 1, ..] => Place::Private,
        _ => Place::Public,
    }
}

impl Reach {
    fn allows(self, address: IpAddr) -> bool {
        match place(address) {
            Place::Public => true,
            Place::Loopback => self.loopback,
            Place::Private => self.private,
            Place::Nobody => false,
        }
    }

    /// Reads an endpoint's address; the error says what is wrong with it.
    pub(super) fn check(self, text: &str) -> Result<Url, &'static str> {
        if text.len() > URL_MAX {
            return Err("must be at most 500 bytes");
        }
        let url = Url::parse(text).map_err(|_| "must be an absolute http(s) address")?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err("must not hold a user or a password: requests are signed");
        }
        if url.fragment().is_some() {
            return Err("must not have a fragment");
        }
        let host = url.host_str().unwrap_or("");
        let literal: Option<IpAddr> = host.trim_start_matches('[').trim_end_matches(']').parse().ok();
        let name = host.trim_end_matches('.');
        let own_name = name == "localhost" || name.ends_with(".localhost");
        let loopback = own_name || literal.is_some_and(|address| place(address) == Place::Loopback);
        match url.scheme() {
            "https" => {}
            "http" if loopback => {}
            "http" => return Err("must be https; http is for this machine's own addresses"),
            _ => return Err("must be an absolute http(s) address"),
        }
        if own_name && !self.loopback {
            return Err(NOT_ALLOWED);
        }
        match literal {
            Some(address) if !self.allows(address) => Err(NOT_ALLOWED),
            _ => Ok(url),
        }
    }
}

/// What is said of an address inside the shop's own network.
pub(super) const NOT_ALLOWED: &str = "must not be an address of this machine or of a private network; this machine's are \
allowed while the shop listens on one, private ones with SON7_WEBHOOKS_PRIVATE=1";

/// A name has no address that may be called.
#[derive(Debug, thiserror::Error)]
#[error("the name has no address that may be called")]
pub(super) struct NotAllowed;

/// Looks names up, and forgets the addresses that may not be called.
#[derive(Debug)]
pub(super) struct Names(pub(super) Reach);

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.0;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<SocketAddr> = found.filter(|address| reach.allows(address.ip())).collect();
            if allowed.is_empty() {
                return Err(NotAllowed.into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Reach = Reach { loopback: false, private: false };
    const ALL: Reach = Reach { loopback: true, private: true };

    #[test]
    fn only_addresses_that_may_be_called_are_taken() {
        // Taken with nothing allowed, and with everything allowed.
        for (url, strict, open) in [
            ("https://shop.example/hook?x=1", true, true),
            ("https://8.8.8.8/", true, true),
            ("https://[2606:4700::1]/", true, true),
            ("http://shop.example/hook", false, false),
            ("ftp://shop.example/", false, false),
            ("shop.example", false, false),
            ("https://kim:x@shop.example/", false, false),
            ("https://shop.example/#x", false, false),
            ("http://127.0.0.1:80/", false, true),
            ("http://2130706433/", false, true),
            ("http://0x7f.1/", false, true),
            ("http://[::1]:9/", false, true),
            ("https://[::ffff:127.0.0.1]/", false, true),
            ("http://localhost:80/", false, true),
            ("https://localhost./", false, true),
            ("https://x.localhost/", false, true),
            ("https://10.1.2.3/", false, true),
            ("http://10.1.2.3/", false, false),
            ("https://172.31.0.1/", false, true),
            ("https://172.32.0.1/", true, true),
            ("https://192.168.0.1/", false, true),
            ("https://169.254.169.254/latest", false, true),
            ("https://100.64.0.1/", false, true),
            ("https://[fe80::1]/", false, true),
            ("https://[fd00::1]/", false, true),
            ("https://[64:ff9b::a00:1]/", false, true),
            ("https://[::ffff:169.254.169.254]/", false, true),
            ("https://[2002:a00:1::]/", false, true),
            ("https://0.0.0.0/", false, false),
            ("https://[::]/", false, false),
            ("https://224.0.0.1/", false, false),
            ("https://255.255.255.255/", false, false),
        ] {
            assert_eq!((NONE.check(url).is_ok(), ALL.check(url).is_ok()), (strict, open), "{url}");
        }
        let long = format!("https://shop.example/{}", "x".repeat(URL_MAX));
        assert!(ALL.check(&long).is_err());
    }

    #[tokio::test]
    async fn a_name_that_points_home_is_not_followed() {
        let at = |reach| async move { Names(reach).resolve("localhost".parse().unwrap()).await.map(Iterator::count) };
        assert!(at(NONE).await.is_err());
        assert!(at(ALL).await.unwrap() > 0);
    }
}
