//! Every error as `application/problem+json` (RFC 9457). A handler returns a [`Problem`];
//! nothing is ever said in another form.
//!
//! Must never show what a caller may not know: the detail of an [`Code::Internal`] goes to
//! the log, not into the answer.

use super::clock;
use super::status::Code;
use super::trace::TraceId;
use crate::token::TokenError;
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue};
use serde_json::{Map, Value};
use son7shop_actors::ShopError;
use son7shop_actors::webhooks::WebhookError;
use son7shop_engine::{Refusal, Time};
use std::borrow::Cow;
use warp::reply::Response;

/// What went wrong, and what helps the caller to see why.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Problem(Box<Parts>);

#[derive(Debug, Clone, PartialEq)]
struct Parts {
    code: Code,
    detail: Cow<'static, str>,
    /// Members beside the standard ones: what was available, which field, and so on.
    members: Map<String, Value>,
    header: Option<(HeaderName, HeaderValue)>,
}

impl Problem {
    /// A problem in the words of `detail`.
    pub(super) fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Parts { code, detail: detail.into(), members: Map::new(), header: None }))
    }

    /// A value that cannot be taken, and the field, header or parameter it stands in.
    pub(super) fn named(code: Code, member: &str, name: &str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(code, detail).with(member, name)
    }

    /// A field that cannot be taken.
    pub(super) fn field(field: &str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::named(Code::InvalidField, "field", field, detail)
    }

    /// A part of the path, or a query parameter, that cannot be taken.
    pub(super) fn parameter(name: &str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::named(Code::InvalidParameter, "parameter", name, detail)
    }

    /// No token, or one that is not taken.
    pub(super) fn unauthorized(sent: bool, error: TokenError) -> Self {
        let challenge =
            if sent { r#"Bearer realm="son7shop", error="invalid_token""# } else { r#"Bearer realm="son7shop""# };
        Self::new(Code::Unauthorized, error.to_string()).header(WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
    }

    /// The shop does not find what it has just made: a defect.
    pub(super) fn lost() -> Self {
        tracing::error!("an attempt or a refund that was begun is not there");
        Self::new(Code::Internal, "the shop met a state that it should not have")
    }

    /// The path is known, but only for the methods in `allow`.
    pub(super) fn method_not_allowed(allow: &'static str) -> Self {
        Self::new(Code::MethodNotAllowed, format!("this path takes {allow}"))
            .header(ALLOW, HeaderValue::from_static(allow))
    }

    /// The problem with one more member.
    pub(super) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.members.insert(name.to_owned(), value.into());
        self
    }

    fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.header = Some((name, value));
        self
    }

    /// What went wrong, for programs.
    #[cfg(test)]
    pub(super) fn code(&self) -> Code {
        self.0.code
    }

    /// The answer.
    pub(super) fn into_response(self, trace: TraceId) -> Response {
        let Parts { code, detail, members, header } = *self.0;
        let mut document = Map::new();
        document.insert("type".to_owned(), format!("urn:son7shop:problem:{}", code.as_str()).into());
        document.insert("title".to_owned(), code.title().into());
        document.insert("status".to_owned(), code.status().as_u16().into());
        document.insert("code".to_owned(), code.as_str().into());
        document.insert("detail".to_owned(), detail.into());
        document.insert("trace_id".to_owned(), trace.to_string().into());
        document.extend(members);
        let mut response = Response::new(Value::Object(document).to_string().into());
        *response.status_mut() = code.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = code.retry_after() {
            headers.insert(RETRY_AFTER, HeaderValue::from_static(seconds));
        }
        headers.extend(header);
        response
    }
}

impl From<ShopError> for Problem {
    fn from(error: ShopError) -> Self {
        let detail = error.to_string();
        match error {
            ShopError::Refused(refusal) => refusal.into(),
            ShopError::EmptyOrder => Self::field("lines", detail),
            ShopError::Overloaded => Self::new(Code::Overloaded, detail),
            ShopError::OutcomeUnknown => Self::new(Code::OutcomeUnknown, detail),
            ShopError::PartitionClosed { .. } => Self::new(Code::PartitionClosed, detail),
            ShopError::JournalFull { .. } => Self::new(Code::JournalFull, detail),
            ShopError::NoGateway { .. } => Self::new(Code::MethodUnavailable, detail),
            ShopError::PaymentNotBegun => Self::new(Code::PaymentNotBegun, detail),
            ShopError::GatewaySilent => Self::new(Code::GatewaySilent, detail),
            ShopError::DatabaseUnavailable(why) => {
                tracing::warn!(%why, "the database is unavailable");
                Self::new(Code::DatabaseUnavailable, "the database does not answer, or is too far behind to answer for")
            }
        }
    }
}

impl From<WebhookError> for Problem {
    fn from(error: WebhookError) -> Self {
        let said = error.to_string();
        match error {
            WebhookError::Unknown => Self::new(Code::UnknownWebhook, said),
            WebhookError::Url(_) => Self::field("url", said),
            WebhookError::UnknownEvent(_) => Self::field("events", said),
            WebhookError::Limit { max, .. } => Self::new(Code::WebhookLimit, said).with("limit", max),
            WebhookError::Full => Self::new(Code::WebhookLimit, said),
            WebhookError::Disabled => Self::new(Code::WebhookDisabled, said),
            WebhookError::KeyReused => Self::new(Code::KeyReused, said),
            WebhookError::Replay { field, .. } => Self::field(field, said),
            WebhookError::Files => Self::new(Code::StorageFailed, said),
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let said = refusal.to_string();
        let no = |code| Self::new(code, said.clone());
        match refusal {
            Refusal::UnknownProduct { sku } => no(Code::UnknownProduct).with("sku", sku.as_str()),
            Refusal::ProductExists { sku } => no(Code::ProductExists).with("sku", sku.as_str()),
            Refusal::SoldOut { sku, requested, available } => {
                no(Code::SoldOut).with("sku", sku.as_str()).with("requested", requested).with("available", available)
            }
            Refusal::LimitReached { sku, requested, taken, limit } => no(Code::LimitReached)
                .with("sku", sku.as_str())
                .with("requested", requested)
                .with("taken", taken)
                .with("limit", limit),
            Refusal::SaleNotOpen { sku, opens_at } => {
                no(Code::SaleNotOpen).with("sku", sku.as_str()).with("opens_at", time(opens_at))
            }
            Refusal::SaleOver { sku, closed_at } => {
                no(Code::SaleOver).with("sku", sku.as_str()).with("closed_at", time(closed_at))
            }
            Refusal::NoSale { sku } => no(Code::NoSale).with("sku", sku.as_str()),
            Refusal::UnknownOrder { order } => no(Code::UnknownOrder).with("order", order.to_string()),
            Refusal::WrongState { status } => no(Code::WrongState).with("order_status", status.as_str()),
            Refusal::StillRunning => no(Code::RequestInProgress),
            Refusal::KeyReused => no(Code::KeyReused),
            Refusal::StockOutOfRange { sku, on_hand, held } => {
                no(Code::StockOutOfRange).with("sku", sku.as_str()).with("on_hand", on_hand).with("held", held)
            }
            Refusal::TotalTooLarge => no(Code::TotalTooLarge),
            Refusal::DeadlineBeforePlaced => no(Code::DeadlineBeforePlaced),
            Refusal::PartUnanswered { partition } => no(Code::PartUnanswered).with("partition", partition.0),
            Refusal::NothingToPay => no(Code::NothingToPay),
            Refusal::TooManyAttempts { attempts } => no(Code::TooManyAttempts).with("attempts", attempts),
            Refusal::NothingToRefund => no(Code::NothingToRefund),
            Refusal::RefundUnderWay { refund } => no(Code::RefundUnderWay).with("refund", refund),
            Refusal::TooManyRefunds { refunds } => no(Code::TooManyRefunds).with("refunds", refunds),
            Refusal::RefundOutOfRange { left, asked } => {
                no(Code::RefundOutOfRange).with("left", left).with("asked", asked)
            }
            Refusal::UnitsOutOfRange { sku, left, asked } => {
                no(Code::UnitsOutOfRange).with("sku", sku.as_str()).with("left", left).with("asked", asked)
            }
            Refusal::NoSuchStep => no(Code::NoSuchStep),
            Refusal::WrongStep => no(Code::WrongStep),
            // Between owners only, or drawn anew by the shop: a defect if a caller sees it.
            Refusal::OrderIdTaken | Refusal::PartEnded | Refusal::PartHeld => {
                tracing::error!(%said, "a refusal that no caller should see");
                Self::new(Code::Internal, "the shop met a state that it should not have")
            }
        }
    }
}

fn time(time: Time) -> String {
    clock::text(time).into_iter().map(char::from).collect()
}
