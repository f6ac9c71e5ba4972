//! Reads Kakao Pay's JSON leniently: fields that are not known are passed over, optional ones may be null or
//! absent, and a field of another type is an absent one.
//!
//! It must never fill in what is absent, and never put a text of the gateway anywhere uncut.

use super::codes::{Class, code};
use compact_str::{CompactString, format_compact};
use serde_json::{Map, Value};
use son7shop_engine::payment::cut;
use son7shop_engine::{Time, Won};
use std::fmt::Write;
use time::format_description::BorrowedFormatItem;
use time::format_description::well_known::Rfc3339;
use time::macros::{format_description, offset};
use time::{OffsetDateTime, PrimitiveDateTime};

const KAKAO_TIME: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]");

/// An answer's fields.
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    /// The fields, if the body is a JSON object.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok().map(Self)
    }

    /// A text that is not empty.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        text(&self.0, name)
    }

    /// The `total` of an amount object; none is below zero.
    pub(super) fn total(&self, name: &str) -> Option<Won> {
        self.0.get(name)?.get("total")?.as_i64().filter(|won| *won >= 0).map(Won)
    }

    /// A time, which stands there without an offset and is Korea's.
    pub(super) fn time(&self, name: &str) -> Option<Time> {
        self.text(name).and_then(kst)
    }

    /// The `aid` of the first action of this type.
    pub(super) fn action(&self, wanted: &str) -> Option<&str> {
        let actions = self.0.get("payment_action_details")?.as_array()?.iter().filter_map(Value::as_object);
        let mut wanted = actions.filter(|action| text(action, "payment_action_type") == Some(wanted));
        wanted.next().and_then(|action| text(action, "aid"))
    }

    /// The code of an error, which is a number or a text.
    fn error_code(&self) -> Option<i64> {
        let code = self.0.get("error_code")?;
        code.as_i64().or_else(|| code.as_str()?.trim().parse().ok())
    }

    fn extra(&self, name: &str) -> Option<&str> {
        text(self.0.get("extras")?.as_object()?, name)
    }
}

fn text<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    fields.get(name)?.as_str().filter(|text| !text.is_empty())
}

/// `yyyy-MM-ddTHH:mm:ss` in Korea; one with an offset is taken by its offset.
pub(super) fn kst(text: &str) -> Option<Time> {
    let here = PrimitiveDateTime::parse(text, KAKAO_TIME).map(|time| time.assume_offset(offset!(+9)));
    let at = here.or_else(|_| OffsetDateTime::parse(text, &Rfc3339)).ok()?;
    i64::try_from(at.unix_timestamp_nanos() / 1_000_000).ok().map(Time)
}

/// An answer other than 200: what it says was done, and its words.
pub(super) struct Failure {
    /// Its code; for an answer of 401, 403, 404 or 429 without one, that of the status.
    pub(super) code: Option<i64>,
    /// What the code says was done.
    pub(super) class: Class,
    /// Code, message and extras in one line.
    pub(super) words: CompactString,
}

impl Failure {
    /// Reads the body of an answer with this status. What of its words is `hidden` is cut out.
    pub(super) fn read(status: u16, body: &[u8], hidden: &[&str]) -> Self {
        let fields = Fields::read(body).unwrap_or_else(|| Fields(Map::new()));
        let of_status = matches!(status, 401 | 403 | 404 | 429).then_some(-i64::from(status));
        let Some(number) = fields.error_code().or(of_status) else {
            return Self { code: None, class: Class::Unknown, words: format_compact!("HTTP {status}") };
        };
        let (class, meaning) = code(number);
        let mut words = format!("{number} {}", fields.text("error_message").unwrap_or(meaning));
        if let Some(result) = fields.extra("method_result_code") {
            // Writing into a String cannot fail.
            let _ = write!(words, " ({result}");
            let _ = fields.extra("method_result_message").map(|message| write!(words, ": {message}"));
            words.push(')');
        }
        // Before the text is cut: a piece of a secret would be left at its end.
        for secret in hidden.iter().filter(|secret| !secret.is_empty()) {
            words = words.replace(secret, "…");
        }
        Self { code: Some(number), class, words: line(&words) }
    }
}

/// A text of the gateway in one line, cut to what is kept.
pub(super) fn line(text: &str) -> CompactString {
    cut(&text.replace(|c: char| c.is_control(), " "))
}
