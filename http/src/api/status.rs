//! The only file that knows HTTP status codes: what each answer and each problem is.
//!
//! A problem's `code` is part of the API: it never changes its meaning, and it is what a
//! client's program looks at. The title is the same for every problem of one code.

use http::StatusCode;

/// What was asked for is in the body.
pub(super) const OK: StatusCode = StatusCode::OK;
/// What was asked for is made, on disk, and in the body.
pub(super) const CREATED: StatusCode = StatusCode::CREATED;
/// It is on its way.
pub(super) const ACCEPTED: StatusCode = StatusCode::ACCEPTED;
/// It is done, and there is nothing to show.
pub(super) const NO_CONTENT: StatusCode = StatusCode::NO_CONTENT;
/// The reader has it already.
pub(super) const NOT_MODIFIED: StatusCode = StatusCode::NOT_MODIFIED;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $status:ident, $code:literal, $title:literal;)+) => {
        /// What went wrong, for programs.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Code {
            $($(#[$doc])* $name,)+
        }

        impl Code {
            /// Every code.
            pub(super) const ALL: &[Self] = &[$(Self::$name,)+];

            /// The code as it is sent.
            pub(super) const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)+ }
            }

            /// The code in one sentence, for people.
            pub(super) const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)+ }
            }

            /// The status it is sent with.
            pub(super) const fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)+ }
            }
        }
    };
}

codes! {
    /// The body is no JSON text, or ends before it does.
    MalformedJson = BAD_REQUEST, "malformed_json", "The body is not JSON";
    /// The connection ended, or failed, before the body did.
    BodyCutShort = BAD_REQUEST, "body_cut_short", "The body was cut short";
    /// A field has a value that it cannot have.
    InvalidField = BAD_REQUEST, "invalid_field", "A field has a value that it cannot have";
    /// A field that is not part of the request; `price` in an order, for instance.
    UnknownField = BAD_REQUEST, "unknown_field", "A field is not part of this request";
    /// A field is missing.
    MissingField = BAD_REQUEST, "missing_field", "A field is missing";
    /// A field is there twice.
    DuplicateField = BAD_REQUEST, "duplicate_field", "A field is there more than once";
    /// A header is there twice, or cannot be read.
    InvalidHeader = BAD_REQUEST, "invalid_header", "A header cannot be read";
    /// An order or a stock change without its key.
    KeyMissing = BAD_REQUEST, "idempotency_key_missing", "The Idempotency-Key header is missing";
    /// A key that is empty, too long, or has characters that it may not have.
    KeyInvalid = BAD_REQUEST, "idempotency_key_invalid", "The Idempotency-Key header cannot be used";
    /// A query parameter that is unknown, there twice, or out of range.
    InvalidParameter = BAD_REQUEST, "invalid_parameter", "A parameter cannot be used";
    /// A cursor that no list gave out.
    InvalidCursor = BAD_REQUEST, "invalid_cursor", "The cursor is not one that a list gave out";
    /// The order's total does not fit.
    TotalTooLarge = BAD_REQUEST, "total_too_large", "The order's total is too large";
    /// No token, or one that is not taken.
    Unauthorized = UNAUTHORIZED, "unauthorized", "A valid token is needed";
    /// A valid token that may not do this.
    Forbidden = FORBIDDEN, "forbidden", "The token does not allow this";
    /// No route has this path.
    NotFound = NOT_FOUND, "not_found", "There is nothing at this path";
    /// No such product.
    UnknownProduct = NOT_FOUND, "unknown_product", "There is no such product";
    /// No such order, or somebody else's.
    UnknownOrder = NOT_FOUND, "unknown_order", "There is no such order";
    /// No such webhook.
    UnknownWebhook = NOT_FOUND, "unknown_webhook", "There is no such webhook";
    /// The product is not on sale.
    NoSale = NOT_FOUND, "no_sale", "The product is not on sale";
    /// The path is known, the method is not.
    MethodNotAllowed = METHOD_NOT_ALLOWED, "method_not_allowed", "The method is not allowed here";
    /// The sku is taken.
    ProductExists = CONFLICT, "product_exists", "There is a product with this sku already";
    /// Fewer units are available than were asked for.
    SoldOut = CONFLICT, "sold_out", "Fewer units are available than were asked for";
    /// The customer would have more than the sale allows.
    LimitReached = CONFLICT, "limit_reached", "The sale's limit for one customer is reached";
    /// The sale has not begun.
    SaleNotOpen = CONFLICT, "sale_not_open", "The sale is not open yet";
    /// The order's state does not allow it.
    WrongState = CONFLICT, "wrong_state", "The order's state does not allow this";
    /// The first request under the key has not been answered yet.
    RequestInProgress = CONFLICT, "request_in_progress", "The request under this key is still running";
    /// The change would leave fewer units than are held, or more than can be counted.
    StockOutOfRange = CONFLICT, "stock_out_of_range", "The change does not fit the product's stock";
    /// The order costs nothing.
    NothingToPay = CONFLICT, "nothing_to_pay", "The order costs nothing";
    /// The order was tried to pay too often.
    TooManyAttempts = CONFLICT, "too_many_attempts", "The order was tried to pay too often";
    /// No gateway took money for the order, or all of it went back.
    NothingToRefund = CONFLICT, "nothing_to_refund", "There is no money to give back";
    /// One refund of an order at a time.
    RefundUnderWay = CONFLICT, "refund_under_way", "Another refund of the order is under way";
    /// The order was refunded too often.
    TooManyRefunds = CONFLICT, "too_many_refunds", "The order was refunded too often";
    /// More money than is left, or none.
    RefundOutOfRange = CONFLICT, "refund_out_of_range", "The sum does not fit what is left to give back";
    /// More units than are left, or none.
    UnitsOutOfRange = CONFLICT, "units_out_of_range", "The order does not have these units left to refund";
    /// The step is not open.
    NoSuchStep = NOT_FOUND, "no_such_step", "The order has no such step open";
    /// The step cannot be ended in this way.
    WrongStep = CONFLICT, "wrong_step", "This cannot be done about this step";
    /// There are as many webhooks, secrets or waiting messages as there may be.
    WebhookLimit = CONFLICT, "webhook_limit", "There can be no more of these";
    /// The webhook is not called at the moment.
    WebhookDisabled = CONFLICT, "webhook_disabled", "The webhook is disabled";
    /// The sale has ended.
    SaleOver = GONE, "sale_over", "The sale is over";
    /// `If-Match` or `If-None-Match` says otherwise.
    PreconditionFailed = PRECONDITION_FAILED, "precondition_failed", "The product has changed since it was read";
    /// The body is longer than any request needs.
    BodyTooLarge = PAYLOAD_TOO_LARGE, "body_too_large", "The body is too large";
    /// The body is not said to be JSON.
    UnsupportedMediaType = UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", "The body must be application/json";
    /// The key belongs to another request.
    KeyReused = UNPROCESSABLE_ENTITY, "idempotency_key_reused", "The idempotency key was used for another request";
    /// A defect of the shop; nothing the caller did.
    Internal = INTERNAL_SERVER_ERROR, "internal", "Something went wrong in the shop";
    /// The shop is not paid in this way.
    MethodUnavailable = CONFLICT, "payment_method_unavailable", "The shop takes no payments by this method";
    /// The gateway would not begin the payment, or could not be reached; nothing was taken.
    PaymentNotBegun = BAD_GATEWAY, "payment_not_begun", "The gateway did not begin the payment";
    /// The gateway has not answered yet: ask again with the same key.
    GatewaySilent = SERVICE_UNAVAILABLE, "gateway_silent", "The gateway has not answered yet";
    /// Too many orders are under way; nothing happened.
    Overloaded = SERVICE_UNAVAILABLE, "overloaded", "Too many orders are under way";
    /// Whether it happened is not known: ask again with the same key.
    OutcomeUnknown = SERVICE_UNAVAILABLE, "outcome_unknown", "The outcome is unknown";
    /// The products' owner is recovering, draining or closed; nothing happened.
    PartitionClosed = SERVICE_UNAVAILABLE, "partition_closed", "A part of the shop does not serve at the moment";
    /// The journal is at its disk limit; nothing happened.
    JournalFull = SERVICE_UNAVAILABLE, "journal_full", "The journal is at its disk limit";
    /// The database does not answer; nothing happened.
    DatabaseUnavailable = SERVICE_UNAVAILABLE, "database_unavailable", "The database does not answer";
    /// A basket's parts did not answer before its deadline; nothing is held.
    DeadlineBeforePlaced = SERVICE_UNAVAILABLE, "deadline_before_placed", "The order could not be placed in time";
    /// A part of the basket was not answered for in time; nothing is held.
    PartUnanswered = SERVICE_UNAVAILABLE, "part_unanswered", "A part of the shop did not answer in time";
    /// A file of the shop's cannot be written; nothing happened.
    StorageFailed = SERVICE_UNAVAILABLE, "storage_failed", "A file cannot be written";
    /// The shop, or the customer, has as many streams open as may be.
    TooManyStreams = SERVICE_UNAVAILABLE, "too_many_streams", "Too many streams are open";
    /// The shop is not ready to serve.
    NotReady = SERVICE_UNAVAILABLE, "not_ready", "The shop is not ready";
}

impl Code {
    /// In how many seconds asking again may help; for the codes that say so.
    pub(super) const fn retry_after(self) -> Option<&'static str> {
        match self {
            Self::Overloaded | Self::OutcomeUnknown | Self::NotReady | Self::RequestInProgress => Some("1"),
            Self::PartitionClosed | Self::DeadlineBeforePlaced | Self::PartUnanswered => Some("2"),
            Self::DatabaseUnavailable | Self::GatewaySilent | Self::TooManyStreams => Some("5"),
            Self::JournalFull | Self::StorageFailed => Some("30"),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct_and_are_errors() {
        for (at, code) in Code::ALL.iter().enumerate() {
            assert!(code.status().as_u16() >= 400, "{code:?}");
            assert!(Code::ALL[..at].iter().all(|other| other.as_str() != code.as_str()), "{code:?}");
            let unavailable = code.status() == StatusCode::SERVICE_UNAVAILABLE;
            assert!(!unavailable || code.retry_after().is_some(), "{code:?} must say when to ask again");
        }
    }
}
