//! Answers as the OpenAPI describes them. `json.rs` writes them; the fuzzer holds
//! live answers against these.

use utoipa::{IntoParams, ToSchema};

macro_rules! described {
    ($($item:item)+) => {
        $(
            #[derive(ToSchema)]
            #[allow(dead_code, reason = "describes answers to the OpenAPI")]
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
    Confirmed,
    Cancelled,
    Expired,
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
