//! The API's description, generated from the handlers (OpenAPI 3.1).

use super::status::Code;
use super::{operations, order_events, orders, payments, products, sagas, schema, webhooks};
use serde_json::{Map, Value, json};
use son7shop_actors::webhooks::MESSAGE_TYPES;
use std::collections::BTreeMap;
use std::sync::LazyLock;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{Modify, OpenApi};

/// The document as JSON; made once.
pub(super) fn document() -> &'static str {
    static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
        // The document holds nothing that JSON cannot say; the fallback is never taken.
        let mut document = serde_json::to_value(Description::openapi()).unwrap_or_default();
        describe_schemas(&mut document["components"]["schemas"]);
        describe_headers(&mut document["paths"]);
        document.to_string()
    });
    &DOCUMENT
}

/// Text on one line that is not blank, as `wire.rs` reads it.
const PROSE: &str = "^[^\\u0000-\\u001f\\u007f-\\u009f]*[^\\u0000-\\u0020\\u007f-\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000][^\\u0000-\\u001f\\u007f-\\u009f]*$";

/// What the derives cannot say of the schemas.
fn describe_schemas(schemas: &mut Value) {
    for request in [
        "PlaceOrder",
        "LineRequest",
        "CreateProduct",
        "AdjustStock",
        "SetSale",
        "StartPayment",
        "RequestRefund",
        "Operate",
        "Resolve",
        "CreateWebhook",
        "SetWebhook",
        "ReplayWebhook",
    ] {
        schemas[request]["additionalProperties"] = false.into();
    }
    schemas["AdjustStock"]["properties"]["delta"]["not"] = json!({"const": 0});
    schemas["AdjustStock"]["properties"]["reason"]["pattern"] = PROSE.into();
    schemas["CreateProduct"]["properties"]["name"]["pattern"] = PROSE.into();
    for request in ["RequestRefund", "Operate", "Resolve"] {
        schemas[request]["properties"]["reason"]["pattern"] = PROSE.into();
    }
    for request in ["CreateWebhook", "SetWebhook"] {
        schemas[request]["properties"]["events"]["items"]["enum"] = MESSAGE_TYPES.into();
    }
    let codes: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
    schemas["Problem"]["properties"]["code"]["enum"] = codes.into();
}

/// The headers that answers always carry.
fn describe_headers(paths: &mut Value) {
    let operations = paths.as_object_mut().into_iter().flatten().filter_map(|(_, item)| item.as_object_mut());
    for operation in operations.flat_map(Map::values_mut) {
        for (status, response) in operation["responses"].as_object_mut().into_iter().flatten() {
            let headers = &mut response["headers"];
            for name in ["ETag", "Location"] {
                if headers.get(name).is_some() {
                    headers[name]["required"] = true.into();
                }
            }
            headers["trace-id"] =
                header("The request's trace", &json!({"type": "string", "pattern": "^[0-9a-f]{32}$"}));
            headers["server-time"] = header("The server's time", &json!({"type": "string", "format": "date-time"}));
            let text = json!({"type": "string"});
            match status.as_str() {
                "401" => headers["WWW-Authenticate"] = header("Which token is wanted", &text),
                "405" => headers["Allow"] = header("What the path takes", &text),
                "503" => headers["Retry-After"] = header("Seconds", &json!({"type": "integer", "minimum": 1})),
                "304" => headers["ETag"] = header("Of what the reader has", &text),
                _ => {}
            }
        }
    }
}

fn header(description: &str, schema: &Value) -> Value {
    json!({"description": description, "required": true, "schema": schema})
}

#[derive(OpenApi)]
#[openapi(
    info(title = "Son7shop", description = "\
Orders that are on disk before they are answered.\n\n\
Every answer has the headers `trace-id` and `server-time` (RFC 3339, for countdowns). Every error is \
`application/problem+json` with a stable `code`. Amounts are whole won. `Idempotency-Key` is required where a repeat would \
do something twice; cancelling, confirming and setting a sale are idempotent without. A refusal is not remembered: the same \
key may be accepted later. 429 is reserved for rate limits.\n\n\
What is no HTTP request at all is answered before the API sees it, with the status alone and no body: 400, or 431 for \
more than 100 headers or a head, target included, of more than about 32 KiB."),
    paths(
        orders::place, orders::list, orders::show, orders::cancel, orders::confirm,
        payments::start, payments::came_back, payments::refund, payments::timeline, order_events::follow,
        sagas::list, sagas::retry, sagas::compensate, sagas::resolve,
        products::create, products::list, products::show, products::adjust_stock, products::set_sale, products::delete_sale,
        webhooks::create, webhooks::list, webhooks::show, webhooks::update, webhooks::delete,
        webhooks::rotate, webhooks::deliveries, webhooks::replay, webhooks::test,
        operations::healthz, operations::readyz, operations::metrics, operations::openapi,
    ),
    components(schemas(schema::Problem, schema::ReturnOutcome)),
    tags(
        (name = "orders", description = "What customers buy"),
        (name = "payments", description = "How orders are paid, and what is given back"),
        (name = "products", description = "What is sold"),
        (name = "webhooks", description = "Which other software is told what happens"),
        (name = "operations", description = "For whoever runs the shop"),
    ),
    modifiers(&Bearer, &Problems)
)]
struct Description;

/// The security scheme.
struct Bearer;

impl Modify for Bearer {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let mut scheme = Http::new(HttpAuthScheme::Bearer);
        scheme.bearer_format = Some("JWT (EdDSA)".to_owned());
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}

/// Every operation's problems.
struct Problems;

/// What can go wrong wherever a body is read.
const BODY: &[Code] = &[
    Code::MalformedJson,
    Code::BodyCutShort,
    Code::InvalidField,
    Code::UnknownField,
    Code::MissingField,
    Code::DuplicateField,
    Code::BodyTooLarge,
    Code::UnsupportedMediaType,
];
/// What can go wrong wherever a token is needed.
const TOKEN: &[Code] = &[Code::Unauthorized, Code::InvalidHeader];
/// What can go wrong wherever a key is needed.
const KEY: &[Code] =
    &[Code::KeyMissing, Code::KeyInvalid, Code::InvalidHeader, Code::KeyReused, Code::RequestInProgress];
/// What can go wrong wherever an owner is asked.
const OWNER: &[Code] = &[Code::Overloaded, Code::OutcomeUnknown, Code::PartitionClosed, Code::Internal];
/// What can go wrong wherever an owner writes.
const WRITE: &[Code] = &[Code::JournalFull];
/// What can go wrong wherever the database is asked.
const DATABASE: &[Code] = &[Code::DatabaseUnavailable];
/// What can go wrong when an order is taken.
const SALE: &[Code] = &[
    Code::SoldOut,
    Code::LimitReached,
    Code::SaleNotOpen,
    Code::SaleOver,
    Code::TotalTooLarge,
    Code::DeadlineBeforePlaced,
    Code::PartUnanswered,
];

/// What can go wrong wherever a webhook is named.
const WEBHOOK: &[Code] = &[Code::Forbidden, Code::UnknownWebhook];

/// What can go wrong in each operation.
fn problems_of(operation: &str) -> Vec<Code> {
    use Code::{Forbidden, InvalidCursor, InvalidHeader, InvalidParameter, NoSale, NotReady, PreconditionFailed};
    use Code::{GatewaySilent, MethodUnavailable, NothingToPay, PaymentNotBegun, TooManyAttempts};
    use Code::{KeyInvalid, KeyReused, StorageFailed, WebhookDisabled, WebhookLimit};
    use Code::{NothingToRefund, RefundOutOfRange, RefundUnderWay, TooManyRefunds, UnitsOutOfRange};
    use Code::{ProductExists, StockOutOfRange, UnknownOrder, UnknownProduct, WrongState};
    let all = match operation {
        "place_order" => [TOKEN, KEY, BODY, OWNER, WRITE, SALE, &[Forbidden, UnknownProduct]].concat(),
        "list_orders" => [TOKEN, OWNER, DATABASE, &[InvalidParameter, InvalidCursor]].concat(),
        "show_order" => [TOKEN, OWNER, DATABASE, &[InvalidParameter, UnknownOrder]].concat(),
        "cancel_order" => [TOKEN, OWNER, WRITE, DATABASE, &[InvalidParameter, UnknownOrder, WrongState]].concat(),
        "confirm_order" => {
            [TOKEN, OWNER, WRITE, DATABASE, &[Forbidden, InvalidParameter, UnknownOrder, WrongState]].concat()
        }
        "create_product" => [TOKEN, KEY, BODY, OWNER, WRITE, &[Forbidden, ProductExists]].concat(),
        "list_products" => [OWNER, &[InvalidParameter, InvalidCursor]].concat(),
        "show_product" => [OWNER, &[InvalidParameter, InvalidHeader, UnknownProduct]].concat(),
        "adjust_stock" => {
            [TOKEN, KEY, BODY, OWNER, WRITE, &[Forbidden, InvalidParameter, UnknownProduct, StockOutOfRange]].concat()
        }
        "set_sale" => {
            [TOKEN, BODY, OWNER, WRITE, &[Forbidden, InvalidParameter, UnknownProduct, PreconditionFailed]].concat()
        }
        "delete_sale" => {
            [TOKEN, OWNER, WRITE, &[Forbidden, InvalidParameter, UnknownProduct, NoSale, PreconditionFailed]].concat()
        }
        "create_webhook" => [TOKEN, BODY, &[Forbidden, KeyInvalid, KeyReused, WebhookLimit, StorageFailed]].concat(),
        "list_webhooks" => [TOKEN, &[Forbidden]].concat(),
        "show_webhook" => [TOKEN, WEBHOOK].concat(),
        "update_webhook" => [TOKEN, BODY, WEBHOOK, &[StorageFailed]].concat(),
        "delete_webhook" => [TOKEN, WEBHOOK, &[StorageFailed]].concat(),
        "rotate_webhook_secret" => [TOKEN, WEBHOOK, &[WebhookLimit, StorageFailed]].concat(),
        "list_webhook_deliveries" => [TOKEN, WEBHOOK, &[InvalidParameter, InvalidCursor, StorageFailed]].concat(),
        "replay_webhook" => [TOKEN, BODY, WEBHOOK, &[WebhookDisabled]].concat(),
        "test_webhook" => [TOKEN, WEBHOOK, &[WebhookDisabled, WebhookLimit]].concat(),
        "start_payment" => {
            let pay = &[NothingToPay, TooManyAttempts, MethodUnavailable, PaymentNotBegun, GatewaySilent];
            [TOKEN, KEY, BODY, OWNER, WRITE, DATABASE, &[InvalidParameter, UnknownOrder, WrongState], pay].concat()
        }
        "return_from_gateway" => [OWNER, DATABASE, &[InvalidParameter, InvalidHeader]].concat(),
        "request_refund" => {
            let back = &[NothingToRefund, RefundUnderWay, TooManyRefunds, RefundOutOfRange, UnitsOutOfRange];
            let order = &[Forbidden, InvalidParameter, UnknownOrder, WrongState, Code::TotalTooLarge];
            [TOKEN, KEY, BODY, OWNER, WRITE, DATABASE, order, back].concat()
        }
        "show_timeline" => [TOKEN, OWNER, &[InvalidParameter, UnknownOrder]].concat(),
        "follow_order" => [TOKEN, OWNER, &[InvalidParameter, UnknownOrder, Code::TooManyStreams]].concat(),
        "list_sagas" => [TOKEN, OWNER, &[Forbidden, InvalidParameter, InvalidCursor]].concat(),
        "retry_step" | "compensate_step" | "resolve_step" => {
            let step = &[Forbidden, InvalidParameter, UnknownOrder, WrongState, Code::NoSuchStep, Code::WrongStep];
            [TOKEN, BODY, OWNER, WRITE, DATABASE, step].concat()
        }
        "readyz" => vec![NotReady],
        _ => Vec::new(),
    };
    all.into_iter().chain([Code::NotFound, Code::MethodNotAllowed]).collect()
}

impl Modify for Problems {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        for item in openapi.paths.paths.values_mut() {
            for operation in [&mut item.get, &mut item.post, &mut item.put, &mut item.delete].into_iter().flatten() {
                let codes = problems_of(operation.operation_id.as_deref().unwrap_or_default());
                let problems = by_status(&codes).into_iter().map(|(status, codes)| (status, RefOr::T(problem(&codes))));
                operation.responses.responses.extend(problems);
            }
        }
    }
}

fn by_status(codes: &[Code]) -> BTreeMap<String, Vec<&'static str>> {
    let mut statuses = BTreeMap::<_, Vec<_>>::new();
    for code in codes {
        let listed = statuses.entry(code.status().as_str().to_owned()).or_default();
        if !listed.contains(&code.as_str()) {
            listed.push(code.as_str());
        }
    }
    statuses
}

fn problem(codes: &[&str]) -> Response {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    let codes: Vec<_> = codes.iter().map(|code| format!("`{code}`")).collect();
    ResponseBuilder::new().description(codes.join(", ")).content("application/problem+json", content).build()
}
