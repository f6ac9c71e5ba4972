//! Answers as the OpenAPI describes them. `json.rs` writes them; the fuzzer holds
//! live answers against these.

use utoipa::{IntoParams, ToSchema};

macro_rules! described {
    ($($item:item)+) => {
        $(
            #[derive(ToSchema)]
            #[allow(dead_code, clippy::struct_field_names, reason = "describes answers to the OpenAPI")]
            $item
        )+
    };
}

described! {
    /// An order.
    pub(super) struct Order {
        pub(super) id: uuid::Uuid,
        /// Whose it is: the subject of their token.
        pub(super) customer: String,
        pub(super) status: OrderStatus,
        /// By sku, one for each product.
        #[schema(min_items = 1, max_items = 50)]
        pub(super) lines: Vec<OrderLine>,
        /// The sum over all lines, fixed when the order was placed.
        pub(super) total: i64,
        pub(super) currency: Currency,
        /// RFC 3339, UTC, milliseconds.
        #[schema(format = DateTime)]
        pub(super) placed_at: String,
        /// When an unpaid order gives its units back; never extended.
        #[schema(format = DateTime)]
        pub(super) expires_at: String,
        /// When it was confirmed, cancelled or expired.
        #[schema(format = DateTime, nullable = false)]
        pub(super) ended_at: Option<String>,
        /// Its attempts and refunds, once somebody began to pay.
        #[schema(nullable = false)]
        pub(super) payment: Option<Payment>,
    }

    /// How an order is paid.
    pub(super) struct Payment {
        /// The newest attempt's.
        pub(super) status: AttemptStatus,
        /// What was taken, over all attempts, in won.
        pub(super) captured: i64,
        /// What was given back of it.
        pub(super) refunded: i64,
        /// The oldest first.
        pub(super) attempts: Vec<Attempt>,
        /// The oldest first.
        pub(super) refunds: Vec<Refund>,
    }

    /// One try at paying an order.
    pub(super) struct Attempt {
        /// Its number, from 1.
        pub(super) attempt: u32,
        pub(super) method: PaymentMethod,
        pub(super) status: AttemptStatus,
        /// What it takes: the order's total, in won.
        pub(super) amount: i64,
        pub(super) currency: Currency,
        #[schema(format = DateTime)]
        pub(super) started_at: String,
        /// When the gateway forgets it; the order's own deadline may come before.
        #[schema(format = DateTime, nullable = false)]
        pub(super) expires_at: Option<String>,
        /// Where the shopper pays, while it waits for them.
        #[schema(nullable = false)]
        pub(super) redirect: Option<Redirect>,
        /// What was taken.
        #[schema(nullable = false)]
        pub(super) captured: Option<i64>,
        /// The gateway's name of the capture.
        #[schema(nullable = false)]
        pub(super) receipt: Option<String>,
        /// What it was paid with, in the gateway's word.
        #[schema(nullable = false)]
        pub(super) means: Option<String>,
        /// What was given back of it.
        pub(super) refunded: i64,
    }

    /// The gateway's pages on which the shopper pays.
    pub(super) struct Redirect {
        /// For a desktop browser.
        pub(super) desktop: String,
        /// For a mobile browser.
        pub(super) mobile: String,
        /// For a page inside an app.
        pub(super) app: String,
        /// Opens the gateway's Android app.
        #[schema(nullable = false)]
        pub(super) android: Option<String>,
        /// Opens the gateway's iOS app.
        #[schema(nullable = false)]
        pub(super) ios: Option<String>,
    }

    /// What a shopper is told who came back from the gateway.
    pub(super) struct Returned {
        pub(super) order: uuid::Uuid,
        pub(super) order_status: OrderStatus,
        /// The attempt that they came back from.
        pub(super) attempt: u32,
        /// Where it stands.
        pub(super) status: AttemptStatus,
        pub(super) money: Money,
        /// All attempts at paying the order, the oldest first.
        pub(super) attempts: Vec<ReturnedAttempt>,
    }

    /// One attempt's money.
    pub(super) struct ReturnedAttempt {
        pub(super) attempt: u32,
        pub(super) status: AttemptStatus,
        pub(super) money: Money,
        /// What was taken, in won.
        pub(super) captured: i64,
        /// What was given back of it.
        pub(super) refunded: i64,
    }

    /// Money that is to go back, or went.
    pub(super) struct Refund {
        /// Its number, from 1.
        pub(super) refund: u32,
        /// The attempt that had taken it.
        pub(super) attempt: u32,
        pub(super) status: RefundStatus,
        /// How much, in won; not known at first of money that came late.
        #[schema(nullable = false)]
        pub(super) amount: Option<i64>,
        /// The units that it is about.
        pub(super) lines: Vec<RefundLine>,
        /// Whether they are for sale again once it is done.
        pub(super) restock: bool,
        pub(super) reason: String,
        #[schema(format = DateTime)]
        pub(super) requested_at: String,
        /// The gateway's name of the refund.
        #[schema(nullable = false)]
        pub(super) receipt: Option<String>,
    }

    /// Units of one product.
    pub(super) struct RefundLine {
        pub(super) sku: String,
        pub(super) quantity: u32,
    }

    /// An attempt, and where its order stands.
    pub(super) struct StartedAttempt {
        #[schema(inline)]
        #[serde(flatten)]
        pub(super) attempt: Attempt,
        pub(super) order: uuid::Uuid,
        pub(super) order_status: OrderStatus,
    }

    /// A refund, and where its order stands.
    pub(super) struct RequestedRefund {
        #[schema(inline)]
        #[serde(flatten)]
        pub(super) refund: Refund,
        pub(super) order: uuid::Uuid,
        pub(super) order_status: OrderStatus,
    }

    /// What happened to an order, and what is due.
    pub(super) struct Timeline {
        /// Oldest first; the first tells that the order was placed.
        pub(super) entries: Vec<Entry>,
        /// The open steps.
        pub(super) steps: Vec<Step>,
        /// How many entries are left out behind the first; the database has all of them.
        pub(super) left_out: u32,
    }

    /// An event of the stream.
    pub(super) struct OrderEvent {
        /// The entry's number.
        #[schema(nullable = false)]
        pub(super) id: Option<String>,
        /// What happened.
        #[schema(nullable = false)]
        pub(super) event: Option<String>,
        /// The entry, as JSON.
        #[schema(nullable = false)]
        pub(super) data: Option<String>,
    }

    /// Something that happened.
    pub(super) struct Entry {
        /// Its place, from 1; the `id` of its event in the stream.
        pub(super) number: u32,
        #[schema(format = DateTime)]
        pub(super) at: String,
        /// `order_placed`, `payment_captured` and so on.
        pub(super) what: String,
        /// Which attempt it happened to.
        #[schema(nullable = false)]
        pub(super) attempt: Option<u32>,
        /// Which refund it happened to.
        #[schema(nullable = false)]
        pub(super) refund: Option<u32>,
        /// What the gateway or the operator answered.
        #[schema(nullable = false)]
        pub(super) answer: Option<String>,
        /// When the next call, or the deadline, is due.
        #[schema(format = DateTime, nullable = false)]
        pub(super) next_at: Option<String>,
    }

    /// A step of a saga that is not done.
    pub(super) struct Step {
        pub(super) order: uuid::Uuid,
        /// `attempt-N` or `refund-N`.
        #[schema(pattern = "^(attempt|refund)-[0-9]+$")]
        pub(super) step: String,
        /// The call that is due: `begin`, `lapse`, `capture`, `look_up` or `give_back`.
        pub(super) call: String,
        /// Whether it can be undone (`compensable`), is the point of no return (`pivot`), or is retried
        /// until it is done (`retriable`).
        pub(super) class: String,
        pub(super) state: StepState,
        /// When it was opened.
        #[schema(format = DateTime)]
        pub(super) since: String,
        #[schema(format = DateTime)]
        pub(super) due_at: String,
        /// Tries that did not lead on.
        pub(super) tries: u32,
        /// What was answered to the last of them.
        #[schema(nullable = false)]
        pub(super) answer: Option<String>,
    }

    /// A page of open steps.
    pub(super) struct Steps {
        pub(super) steps: Vec<Step>,
        /// `after` for the next page; null on the last.
        pub(super) next_cursor: Option<String>,
        /// Partitions that do not serve at the moment: their steps would be here and are not known.
        pub(super) missing_partitions: Vec<u16>,
    }

    /// Units of one product.
    pub(super) struct OrderLine {
        pub(super) sku: String,
        #[schema(minimum = 1, maximum = 100_000)]
        pub(super) quantity: u32,
        /// The price of one unit when the order was placed, in won.
        pub(super) unit_price: i64,
    }

    /// A page of orders, newest first.
    pub(super) struct Orders {
        pub(super) orders: Vec<Order>,
        /// `after` for the next page; null on the last.
        pub(super) next_cursor: Option<String>,
    }

    /// A product.
    pub(super) struct Product {
        pub(super) sku: String,
        pub(super) name: String,
        /// The unit price outside a sale, in won.
        pub(super) price: i64,
        pub(super) currency: Currency,
        pub(super) stock: Stock,
        /// With a sale, the product sells only inside its window; null without.
        pub(super) sale: Option<Sale>,
    }

    /// Where a product's units are.
    pub(super) struct Stock {
        /// In the shop.
        pub(super) on_hand: u64,
        /// Under an unpaid order.
        pub(super) held: u64,
        /// Under a confirmed order.
        pub(super) sold: u64,
        /// For a new order to take.
        pub(super) available: u64,
    }

    /// A flash sale.
    pub(super) struct Sale {
        #[schema(format = DateTime)]
        pub(super) opens_at: String,
        #[schema(format = DateTime)]
        pub(super) closes_at: String,
        /// The unit price inside the window, in won.
        pub(super) price: i64,
        pub(super) per_customer_limit: u32,
    }

    /// A page of products, by sku.
    pub(super) struct Products {
        pub(super) products: Vec<Product>,
        /// `after` for the next page; null on the last.
        pub(super) next_cursor: Option<String>,
    }

    /// Other software that is told what happens.
    pub(super) struct Webhook {
        pub(super) id: String,
        /// Where messages go.
        pub(super) url: String,
        /// Which types of message; empty: all.
        pub(super) events: Vec<String>,
        pub(super) description: String,
        /// Not called at the moment.
        pub(super) disabled: bool,
        /// `admin`, or `gone`: it answered 410.
        #[schema(nullable = false)]
        pub(super) disabled_by: Option<String>,
        #[schema(format = DateTime)]
        pub(super) created_at: String,
        /// Messages that wait for a try; at most 1,000, further ones wait in the journal.
        pub(super) waiting: u64,
        #[schema(format = DateTime, nullable = false)]
        pub(super) oldest_waiting_since: Option<String>,
    }

    /// An endpoint with its secret, which is shown this once.
    pub(super) struct WebhookWithSecret {
        pub(super) id: String,
        /// Where messages go.
        pub(super) url: String,
        /// Which types of message; empty: all.
        pub(super) events: Vec<String>,
        pub(super) description: String,
        /// Not called at the moment.
        pub(super) disabled: bool,
        /// `admin`, or `gone`: it answered 410.
        #[schema(nullable = false)]
        pub(super) disabled_by: Option<String>,
        #[schema(format = DateTime)]
        pub(super) created_at: String,
        /// Messages that wait for a try; at most 1,000, further ones wait in the journal.
        pub(super) waiting: u64,
        #[schema(format = DateTime, nullable = false)]
        pub(super) oldest_waiting_since: Option<String>,
        /// For the endpoint only, to check signatures with.
        #[schema(pattern = "^whsec_[A-Za-z0-9+/]+=*$")]
        pub(super) secret: String,
    }

    /// All endpoints; there are at most 32.
    pub(super) struct Webhooks {
        pub(super) webhooks: Vec<Webhook>,
    }

    /// A try to tell an endpoint something.
    pub(super) struct Delivery {
        /// The message's id.
        pub(super) message: String,
        /// The message's type.
        pub(super) event: String,
        /// Which try, from 1.
        pub(super) attempt: u32,
        #[schema(format = DateTime)]
        pub(super) at: String,
        /// `delivered`, `failed` (there will be another try), `given_up`, `gone` (it answered 410),
        /// or `skipped`: messages that were not tried at all, and `error` says why.
        pub(super) outcome: String,
        /// The status that it answered.
        #[schema(nullable = false)]
        pub(super) status: Option<u16>,
        /// Why there was no answer.
        #[schema(nullable = false)]
        pub(super) error: Option<String>,
        pub(super) duration_ms: u64,
        #[schema(format = DateTime, nullable = false)]
        pub(super) next_try: Option<String>,
    }

    /// A page of a delivery log, newest first.
    pub(super) struct Deliveries {
        pub(super) deliveries: Vec<Delivery>,
        /// `after` for the next page; null on the last.
        pub(super) next_cursor: Option<String>,
    }

    /// What a replay reads again.
    pub(super) struct Replay {
        pub(super) partitions: Vec<ReplayPart>,
    }

    /// What a replay reads again of one partition.
    pub(super) struct ReplayPart {
        pub(super) partition: u16,
        /// The last event that it reads.
        pub(super) until_lsn: u64,
    }

    /// A message that only tries an endpoint.
    pub(super) struct Ping {
        /// Its id.
        pub(super) message: String,
    }

    /// How the process is.
    pub(super) struct Status {
        pub(super) status: String,
    }
}

/// Where an order stands.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[allow(dead_code, reason = "describes answers to the OpenAPI")]
pub(super) enum OrderStatus {
    Held,
    Paying,
    Approving,
    Confirmed,
    Cancelled,
    Expired,
    Refunded,
}

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($word:ident)+ })+) => {
        $(
            $(#[$doc])*
            #[derive(ToSchema)]
            #[schema(rename_all = "snake_case")]
            #[allow(dead_code, reason = "describes answers to the OpenAPI")]
            pub(super) enum $name { $($word,)+ }
        )+
    };
}

words! {
    /// Where an attempt stands; the last seven: it ended, and why nothing was taken.
    AttemptStatus {
        Preparing Ready Approving Captured CapturedLate
        Quit AuthenticationFailed Declined Lapsed NotBegun Superseded OrderEnded GivenUp
    }
    /// Where the money of an attempt is; `to_be_settled`: the order has no use for it, and it does not go
    /// back by itself.
    Money { NotTaken Paid BeingGivenBack PartlyGivenBack GivenBack ToBeSettled }
    /// Where a refund stands.
    RefundStatus { UnderWay Done Refused }
    /// How a step is doing.
    StepState { Open Waiting Retrying Parked }
    /// What the gateway did, as an operator found out.
    ResolvedAs { Paid NotPaid Refunded NotRefunded }
    /// Which return address it is.
    ReturnOutcome { Approved Cancelled Failed }
}

/// How orders are paid.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[allow(dead_code, reason = "describes answers to the OpenAPI")]
pub(super) enum PaymentMethod {
    KakaoPay,
}

/// Whole won.
#[derive(ToSchema)]
#[allow(dead_code, clippy::upper_case_acronyms, reason = "describes answers to the OpenAPI")]
pub(super) enum Currency {
    KRW,
}

/// Every error (RFC 9457). Some codes have more members: the field, what was available.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes answers to the OpenAPI")]
pub(super) struct Problem {
    /// `urn:son7shop:problem:` and the code.
    pub(super) r#type: String,
    /// The code in one sentence; the same for every problem of the code.
    pub(super) title: String,
    /// The HTTP status again.
    pub(super) status: u16,
    /// What went wrong, for programs; never changes its meaning.
    pub(super) code: String,
    /// What went wrong this time, for people.
    pub(super) detail: String,
    /// The request's trace.
    pub(super) trace_id: String,
}

/// The step in the path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "describes parameters to the OpenAPI")]
pub(super) struct StepInPath {
    /// The order's id.
    order: uuid::Uuid,
    /// `attempt-N` or `refund-N`.
    #[param(pattern = "^(attempt|refund)-[0-9]{1,9}$", example = "attempt-1")]
    step: String,
}

/// The product in the path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "describes parameters to the OpenAPI")]
pub(super) struct SkuInPath {
    /// The product.
    #[param(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9._-]+$", example = "air-90")]
    sku: String,
}

/// The webhook in the path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "describes parameters to the OpenAPI")]
pub(super) struct WebhookInPath {
    /// The webhook.
    #[param(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9_]+$", example = "wh_0190")]
    id: String,
}

/// What an edit of a sale may depend on.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code, reason = "describes parameters to the OpenAPI")]
pub(super) struct EditConditions {
    /// Edit only if the sale is as a product with one of these entity tags shows it; `*`: if there is one.
    #[param(rename = "If-Match", pattern = "^([*]|(W/)?\"[!#-~]*\"( *, *(W/)?\"[!#-~]*\")*)$")]
    if_match: Option<String>,
    /// Edit only if it is not; `*`: if there is no sale.
    #[param(rename = "If-None-Match", pattern = "^([*]|(W/)?\"[!#-~]*\"( *, *(W/)?\"[!#-~]*\")*)$")]
    if_none_match: Option<String>,
}
