//! What the shopper's browser brings back from Kakao Pay's page: a `pg_token` after they authorised, nothing
//! otherwise. Which address it came to says the rest.
//!
//! A hint: it must never be taken for what happened. Nothing of the query may reach a log.

use crate::gateway::{BadReturn, Return, ReturnedTo};
use percent_encoding::percent_decode_str;
use son7shop_engine::IdError;
use son7shop_engine::payment::Proof;

const PG_TOKEN: &str = "pg_token";

pub(super) fn parse(to: ReturnedTo, query: &str) -> Result<Return, BadReturn> {
    match to {
        ReturnedTo::Approval => token(query).map(Return::Authorised),
        ReturnedTo::Cancel => Ok(Return::Quit),
        ReturnedTo::Fail => Ok(Return::Failed),
    }
}

fn token(query: &str) -> Result<Proof, BadReturn> {
    let pairs = query.trim_start_matches('?').split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let mut tokens = pairs.filter(|(name, _)| percent_decode_str(name).eq(PG_TOKEN.bytes()));
    let (_, token) = tokens.next().ok_or(BadReturn::Missing(PG_TOKEN))?;
    if tokens.next().is_some() {
        return Err(BadReturn::Repeated(PG_TOKEN));
    }
    let token = percent_decode_str(token).decode_utf8().map_err(|_| BadReturn::NoProof(IdError::NotVisible))?;
    Proof::parse(&token).map_err(BadReturn::NoProof)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_and_query_is_what_the_browser_says() {
        let proof = |text: &str| Ok(Return::Authorised(Proof::parse(text).unwrap()));
        let bad = |why| Err(BadReturn::NoProof(why));
        let cases = [
            (ReturnedTo::Approval, "pg_token=0a1b2c3d", proof("0a1b2c3d")),
            (ReturnedTo::Approval, "?utm=a&pg_token=0a1b&x", proof("0a1b")),
            (ReturnedTo::Approval, "pg%5Ftoken=0a%31b", proof("0a1b")),
            (ReturnedTo::Approval, "pg_token=a=b", proof("a=b")),
            (ReturnedTo::Approval, "", Err(BadReturn::Missing("pg_token"))),
            (ReturnedTo::Approval, "PG_TOKEN=0a1b", Err(BadReturn::Missing("pg_token"))),
            (ReturnedTo::Approval, "pg_token=a&pg_token=a", Err(BadReturn::Repeated("pg_token"))),
            (ReturnedTo::Approval, "pg_token=a&pg%5ftoken=b", Err(BadReturn::Repeated("pg_token"))),
            (ReturnedTo::Approval, "pg_token", bad(IdError::Empty)),
            (ReturnedTo::Approval, "pg_token=a%20b", bad(IdError::NotVisible)),
            (ReturnedTo::Approval, "pg_token=a%0d%0ab", bad(IdError::NotVisible)),
            (ReturnedTo::Approval, "pg_token=%ff", bad(IdError::NotVisible)),
            (ReturnedTo::Approval, &format!("pg_token={}", "a".repeat(129)), bad(IdError::TooLong(128))),
            (ReturnedTo::Cancel, "", Ok(Return::Quit)),
            (ReturnedTo::Cancel, "pg_token=0a1b", Ok(Return::Quit)),
            (ReturnedTo::Fail, "", Ok(Return::Failed)),
        ];
        for (to, query, wanted) in cases {
            assert_eq!(parse(to, query), wanted, "{to:?} {query}");
        }
    }
}
