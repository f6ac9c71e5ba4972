//! Addresses of one's own servers: only this machine's, unless somebody says otherwise; and never a
//! password in what is said about them. Pure: names are not looked up.

use redis::{ConnectionAddr, IntoConnectionInfo as _};
use sqlx::mysql::MySqlConnectOptions;
use std::str::FromStr as _;

/// Why an address is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It cannot be read. It is not shown, since it may have a password in it.
    #[error("the address is not one of {0}")]
    Unreadable(&'static str),
    /// It leads away from this machine.
    #[error(
        "{host} is not this machine's loopback: the lab loads a server as hard as it can; --beyond-loopback allows it"
    )]
    BeyondLoopback {
        /// Where it leads.
        host: String,
    },
}

/// Whether the address of a MySQL or MariaDB leads to this machine's loopback or socket.
pub fn check_database(url: &str) -> Result<(), AddressError> {
    // As whoever connects reads it, so that both read the same host.
    let options = MySqlConnectOptions::from_str(url).map_err(|_| AddressError::Unreadable("a MySQL or MariaDB"))?;
    if options.get_socket().is_some() { Ok(()) } else { check(options.get_host()) }
}

/// Whether the address of a Redis leads to this machine's loopback or socket.
pub fn check_redis(url: &str) -> Result<(), AddressError> {
    let info = url.into_connection_info().map_err(|_| AddressError::Unreadable("a Redis"))?;
    match info.addr() {
        ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => check(host),
        ConnectionAddr::Unix(_) => Ok(()),
        _ => Err(AddressError::Unreadable("a Redis")),
    }
}

fn check(host: &str) -> Result<(), AddressError> {
    if is_loopback(host) { Ok(()) } else { Err(AddressError::BeyondLoopback { host: host.to_owned() }) }
}

/// Whether a host is this machine by its very name: other names are not looked up, they may lead
/// anywhere.
fn is_loopback(host: &str) -> bool {
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(crate::target::is_loopback)
}

/// The text without the user and the password of the address.
pub(super) fn without_credentials(text: &str, url: &str) -> String {
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest);
    // A password may have any character in it, the last @ ends it.
    let Some((credentials, _)) = authority.rsplit_once('@') else { return text.to_owned() };
    let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
    let mut text = text.replace(url, "(the address)").replace(credentials, "…");
    for secret in [password.to_owned(), decoded(password)] {
        if !secret.is_empty() {
            text = text.replace(&secret, "…");
        }
    }
    // As servers name users; a short name alone may be part of any word.
    for user in [user.to_owned(), decoded(user)] {
        text = text.replace(&format!("'{user}'"), "'…'");
    }
    text
}

/// With its percent signs read.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = (*first == b'%').then(|| tail.get(..2)).flatten();
        let byte = escaped.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_loopback_is_this_machine() {
        for (host, is) in [
            ("127.0.0.1", true),
            ("127.9.8.7", true),
            ("localhost", true),
            ("LocalHost", true),
            ("[::1]", true),
            ("0.0.0.0", false),
            ("10.0.0.7", false),
            ("192.168.1.1", false),
            ("128.0.0.1", false),
            ("[::]", false),
            ("[fe80::1]", false),
            ("db.example", false),
            ("localhost.example", false),
            ("127.0.0.1.example", false),
        ] {
            for (scheme, found) in [
                ("mysql", check_database(&format!("mysql://u:p@{host}:3306/shop"))),
                ("redis", check_redis(&format!("redis://u:p@{host}:6379/0"))),
            ] {
                assert_eq!(found.is_ok(), is, "{scheme} {host}: {found:?}");
            }
        }
    }

    #[test]
    fn what_looks_like_the_loopback_and_is_not_is_refused() {
        for url in ["mysql://127.0.0.1:3306@10.0.0.7/shop", "mysql://u:p@127.0.0.1@db.example:3306/shop"] {
            assert!(check_database(url).is_err(), "{url}");
        }
        assert!(check_redis("redis://127.0.0.1:6379@10.0.0.7/0").is_err());
        assert!(check_database("not an address").is_err() && check_redis("not an address").is_err());
        assert!(check_database("mysql://u@db.example/shop?socket=/run/mysqld.sock").is_ok());
    }

    #[test]
    fn a_refusal_names_the_host_and_no_password() {
        let error = check_database("mysql://anna:geheim@db.example:3306/shop").map_err(|error| error.to_string());
        assert!(
            error.is_err_and(|text| {
                text.contains("db.example") && !text.contains("geheim") && !text.contains("anna")
            })
        );
    }

    #[test]
    fn credentials_do_not_get_into_what_is_said() {
        let url = "mysql://anna:ge%40heim@127.0.0.1/shop";
        for (text, wanted) in [
            ("Access denied for user 'anna'@'localhost'", "Access denied for user '…'@'localhost'"),
            ("at mysql://anna:ge%40heim@127.0.0.1/shop", "at (the address)"),
            ("with ge@heim or ge%40heim", "with … or …"),
            ("no", "no"),
        ] {
            assert_eq!(without_credentials(text, url), wanted);
        }
        assert_eq!(without_credentials("no", "redis://127.0.0.1"), "no");
    }
}
