//! The API's description, generated from the handlers (OpenAPI 3.1).

use super::status::Code;
use super::{operations, orders, products, schema};
use std::collections::BTreeMap;
use std::sync::LazyLock;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{Modify, OpenApi};

/// The document as JSON; made once.
pub(super) fn document() -> &'static str {
    static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
        // The document holds nothing that JSON cannot say; the fallback is never taken.
        Description::openapi().to_json().unwrap_or_default()
    });
    &DOCUMENT
}

#[derive(OpenApi)]
#[openapi(
    info(title = "Son7shop", description = "\
Orders that are on disk before they are answered.\n\n\
Every answer has the headers `trace-id` and `server-time` (RFC 3339, for countdowns). Every error is \
`application/problem+json` with a stable `code`. Amounts are whole won. `Idempotency-Key` is required where a repeat would \
do something twice; cancelling, confirming and setting a sale are idempotent without. A refusal is not remembered: the same \
key may be accepted later. 429 is reserved for rate limits."),
    paths(
        orders::place, orders::list, orders::show, orders::cancel, orders::confirm,
        products::create, products::list, products::show, products::adjust_stock, products::set_sale, products::delete_sale,
        operations::healthz, operations::readyz, operations::metrics, operations::openapi,
    ),
    components(schemas(schema::Problem)),
    tags(
        (name = "orders", description = "What customers buy"),
        (name = "products", description = "What is sold"),
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

/// What can go wrong in each operation.
fn problems_of(operation: &str) -> Vec<Code> {
    use Code::{Forbidden, InvalidCursor, InvalidHeader, InvalidParameter, NoSale, NotReady, PreconditionFailed};
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
