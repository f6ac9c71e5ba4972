//! Lists: `limit` and `after` in, `next_cursor` out.
//!
//! A cursor is opaque: base64url (RFC 4648, section 5, unpadded) of a version, a kind and
//! the place in the list. Another version or kind is refused, never guessed at.

use super::problem::Problem;
use super::status::Code;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use son7shop_engine::{Lsn, OrderId, PartitionId, Sku, Time};
use std::borrow::Cow;
use utoipa::IntoParams;

/// The longest page.
const LIMIT_MAX: u32 = 100;
/// The page's length if none is asked for.
const LIMIT_DEFAULT: u32 = 20;

/// How lists are paged.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes `Page` to the OpenAPI")]
pub(super) struct PageParameters {
    /// The most items on the page.
    #[param(minimum = 1, maximum = 100, default = 20)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    #[param(pattern = "^[A-Za-z0-9_-]+$")]
    after: Option<String>,
}

/// Which page of a list is asked for.
#[derive(Debug, PartialEq)]
pub(super) struct Page {
    pub(super) limit: u32,
    /// A cursor, as it was sent.
    pub(super) after: Option<String>,
}

impl Page {
    /// Reads a query string.
    pub(super) fn read(query: &str) -> Result<Self, Problem> {
        let (mut limit, mut after) = (None, None);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent_decoded(value);
            let known = match name {
                "limit" => &mut limit,
                "after" => &mut after,
                other => {
                    return Err(Problem::parameter(other, "there is no such parameter; there are limit and after"));
                }
            };
            if known.replace(value).is_some() {
                return Err(Problem::parameter(name, "must be sent once"));
            }
        }
        let limit = match limit {
            None => LIMIT_DEFAULT,
            Some(text) => within_limit(&text)?,
        };
        Ok(Self { limit, after: after.map(Cow::into_owned) })
    }
}

fn within_limit(text: &str) -> Result<u32, Problem> {
    let number = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    number
        .filter(|limit| (1..=LIMIT_MAX).contains(limit))
        .ok_or_else(|| Problem::parameter("limit", format!("must be a whole number from 1 to {LIMIT_MAX}")))
}

/// `%41` read as `A`. What is no valid escape, or no UTF-8 afterwards, stays as it is: no
/// name of ours looks like that.
pub(super) fn percent_decoded(text: &str) -> Cow<'_, str> {
    percent_encoding::percent_decode_str(text).decode_utf8().unwrap_or(Cow::Borrowed(text))
}

/// Places in lists, as clients carry them.
pub(super) struct Cursor;

const VERSION: u8 = 1;
const OF_ORDER: u8 = b'o';
const OF_PRODUCT: u8 = b'p';
const OF_DELIVERY: u8 = b'd';
const OF_STEP: u8 = b's';

impl Cursor {
    /// The place after an order.
    pub(super) fn of_order(placed_at: Time, id: OrderId) -> String {
        let mut bytes = vec![VERSION, OF_ORDER];
        bytes.extend_from_slice(&placed_at.0.to_be_bytes());
        bytes.extend_from_slice(id.as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The place after a product.
    pub(super) fn of_product(sku: &Sku) -> String {
        let mut bytes = vec![VERSION, OF_PRODUCT];
        bytes.extend_from_slice(sku.as_str().as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The place after a try in a delivery log.
    pub(super) fn of_delivery(number: u64) -> String {
        let mut bytes = vec![VERSION, OF_DELIVERY];
        bytes.extend_from_slice(&number.to_be_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The place after an open step.
    pub(super) fn of_step(partition: PartitionId, lsn: Lsn) -> String {
        let mut bytes = vec![VERSION, OF_STEP];
        bytes.extend_from_slice(&partition.0.to_be_bytes());
        bytes.extend_from_slice(&lsn.0.to_be_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads [`Cursor::of_step`] back.
    pub(super) fn step(cursor: &str) -> Result<(PartitionId, Lsn), Problem> {
        let place = Self::place(cursor, OF_STEP)?;
        let (partition, lsn) = place.split_first_chunk::<2>().ok_or_else(Self::unknown)?;
        let lsn = <[u8; 8]>::try_from(lsn).map_err(|_| Self::unknown())?;
        Ok((PartitionId(u16::from_be_bytes(*partition)), Lsn(u64::from_be_bytes(lsn))))
    }

    /// Reads [`Cursor::of_delivery`] back.
    pub(super) fn delivery(cursor: &str) -> Result<u64, Problem> {
        let place = Self::place(cursor, OF_DELIVERY)?;
        <[u8; 8]>::try_from(place).map(u64::from_be_bytes).map_err(|_| Self::unknown())
    }

    /// Reads [`Cursor::of_order`] back.
    pub(super) fn order(cursor: &str) -> Result<(Time, OrderId), Problem> {
        let place = Self::place(cursor, OF_ORDER)?;
        let (placed_at, id) = place.split_first_chunk::<8>().ok_or_else(Self::unknown)?;
        let id = <[u8; 16]>::try_from(id).map_err(|_| Self::unknown())?;
        Ok((Time(i64::from_be_bytes(*placed_at)), OrderId::from_bytes(id)))
    }

    /// Reads [`Cursor::of_product`] back.
    pub(super) fn product(cursor: &str) -> Result<Sku, Problem> {
        let place = Self::place(cursor, OF_PRODUCT)?;
        let sku = std::str::from_utf8(&place).ok().and_then(|text| Sku::parse(text).ok());
        sku.ok_or_else(Self::unknown)
    }

    fn place(cursor: &str, kind: u8) -> Result<Vec<u8>, Problem> {
        let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| Self::unknown())?;
        match bytes.strip_prefix(&[VERSION, kind]) {
            Some(place) => Ok(place.to_vec()),
            None => Err(Self::unknown()),
        }
    }

    fn unknown() -> Problem {
        Problem::named(Code::InvalidCursor, "parameter", "after", "send the next_cursor of this list's page before")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(query: &str) -> Result<(u32, Option<String>), Code> {
        Page::read(query).map(|page| (page.limit, page.after)).map_err(|problem| problem.code())
    }

    #[test]
    fn a_page_is_read_and_what_is_no_page_is_refused() {
        let after = |text: &str| Some(text.to_owned());
        assert_eq!(page(""), Ok((20, None)));
        assert_eq!(page("limit=1"), Ok((1, None)));
        assert_eq!(page("after=a%62c&limit=100"), Ok((100, after("abc"))));
        for bad in [
            "limit=0",
            "limit=101",
            "limit=-1",
            "limit=+1",
            "limit=",
            "limit=a",
            "limit=99999999999",
            "limit=1&limit=1",
        ] {
            assert_eq!(page(bad), Err(Code::InvalidParameter), "{bad}");
        }
        for bad in ["Limit=1", "offset=1", "after=a&after=b", "=", "x"] {
            assert_eq!(page(bad), Err(Code::InvalidParameter), "{bad}");
        }
    }

    #[test]
    fn cursors_read_back_and_no_others_are_taken() {
        let sku = Sku::parse("AIR-90_black.v2").unwrap();
        assert_eq!(Cursor::product(&Cursor::of_product(&sku)).unwrap(), sku);
        let place = (Time(1_700_000_000_000), OrderId::from_bytes([7; 16]));
        let cursor = Cursor::of_order(place.0, place.1);
        assert_eq!(Cursor::order(&cursor).unwrap(), place);
        for bad in ["", "A", "AA", "abc", &cursor[1..], &Cursor::of_product(&sku), "=", &format!("{cursor}=")] {
            assert_eq!(Cursor::order(bad).map_err(|problem| problem.code()), Err(Code::InvalidCursor), "{bad}");
        }
        assert!(Cursor::product(&cursor).is_err());
        assert_eq!(Cursor::delivery(&Cursor::of_delivery(7)).unwrap(), 7);
        assert!(Cursor::delivery(&cursor).is_err());
    }

    #[test]
    fn escapes_are_read() {
        for (sent, read) in
            [("a", "a"), ("a%2Db", "a-b"), ("%", "%"), ("%4", "%4"), ("%zz", "%zz"), ("%ff", "%ff"), ("%+1", "%+1")]
        {
            assert_eq!(percent_decoded(sent), read, "{sent}");
        }
    }
}
