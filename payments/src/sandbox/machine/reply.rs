//! What the API answers, as bytes. It must never decide which answer is due.

use super::assumed;
use serde::Serialize;
use serde_json::{Value, json};
use std::fmt;

/// An answer over HTTP.
#[derive(Clone, PartialEq, Eq)]
pub struct Reply {
    /// The status of HTTP.
    pub status: u16,
    /// JSON, unless a fault made something else of it.
    pub body: Vec<u8>,
    /// How many bytes are announced: more than `body` has where a fault cuts the answer short.
    pub announced: usize,
}

/// Bodies hold addresses of payment pages, and of the shop.
impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").field("status", &self.status).field("bytes", &self.announced).finish_non_exhaustive()
    }
}

impl Reply {
    pub(super) fn ok(body: &Value) -> Self {
        Self::new(200, body.to_string().into_bytes())
    }

    pub(super) fn new(status: u16, body: Vec<u8>) -> Self {
        let announced = body.len();
        Self { status, body, announced }
    }

    /// The body as JSON, if it is any.
    #[must_use]
    pub fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// The `error_code` of an error.
    #[must_use]
    pub fn error_code(&self) -> Option<i64> {
        self.json()?.get("error_code")?.as_i64()
    }

    /// What is answered where there is no endpoint.
    #[must_use]
    pub fn no_such_api() -> Self {
        Refusal::code(-404).reply()
    }

    /// Half of the body, of which all is announced.
    pub(super) fn truncated(mut self) -> Self {
        self.body.truncate(self.body.len() / 2);
        self
    }
}

/// An error of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: i32,
    /// What is wrong, where the code's own text does not say it.
    pub(super) of: Option<&'static str>,
    pub(super) extras: Option<Extras>,
}

/// What the bank said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Extras {
    pub(super) method_result_code: String,
    pub(super) method_result_message: String,
}

impl Refusal {
    pub(super) const fn code(code: i32) -> Self {
        Self { code, of: None, extras: None }
    }

    pub(super) const fn field(code: i32, field: &'static str) -> Self {
        Self { code, of: Some(field), extras: None }
    }

    pub(super) fn of_the_bank(code: i32, word: &str) -> Self {
        let extras = Extras {
            method_result_code: word.to_owned(),
            method_result_message: format!("결제가 처리되지 않았습니다. ({word})"),
        };
        Self { code, of: None, extras: Some(extras) }
    }

    pub(super) fn reply(&self) -> Reply {
        let text = assumed::message(self.code);
        let text = self.of.map_or_else(|| text.to_owned(), |field| format!("{text}: {field}"));
        let mut body = json!({ "error_code": self.code, "error_message": text });
        if let Some(extras) = &self.extras {
            body["extras"] = json!(extras);
        }
        Reply::new(assumed::http_status(self.code), body.to_string().into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_has_the_three_keys() {
        let reply = Refusal::of_the_bank(-780, "USER_LOCKED").reply();
        let body = reply.json().unwrap();
        assert_eq!((reply.status, reply.error_code()), (400, Some(-780)));
        assert_eq!(body["error_message"], "approval failure!");
        assert_eq!(body["extras"]["method_result_code"], "USER_LOCKED");
        assert!(body["extras"]["method_result_message"].as_str().unwrap().contains("USER_LOCKED"));

        let body = Refusal::field(assumed::BAD_FIELD, "tid").reply().json().unwrap();
        assert_eq!(body["error_message"], "invalid parameter: tid");
        assert!(body.get("extras").is_none());
    }

    #[test]
    fn half_an_answer_announces_the_whole() {
        let whole = Reply::ok(&json!({ "tid": "T1", "page": "secret" }));
        let half = whole.clone().truncated();
        assert_eq!((half.announced, half.body.len()), (whole.body.len(), whole.body.len() / 2));
        assert_eq!(half.json(), None);
        assert!(!format!("{whole:?}").contains("secret"));
    }
}
