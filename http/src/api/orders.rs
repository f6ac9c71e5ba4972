//! Orders: place, show, list, cancel, confirm. Each parses, calls, renders.

use super::answer::Answer;
use super::call::Call;
use super::etag::ETag;
use super::keys::{Digest, request_key};
use super::page::{Cursor, Page};
use super::problem::Problem;
use super::{json, wire};
use http::HeaderValue;
use son7shop_actors::Done;
use son7shop_engine::{CustomerId, LineRequest, OrderId, OrderView, RequestKey};

/// Sets units aside for a customer until the deadline, `expires_at`.
///
/// The answer comes when the order is on disk. The same key and request answer 201 again,
/// with the order as it is by then and `Idempotent-Replayed: true`; a refusal is not
/// remembered, so the same key may be accepted later.
#[utoipa::path(
    post, path = "/v1/orders", tag = "orders", operation_id = "place_order", request_body = wire::PlaceOrder,
    params(("Idempotency-Key" = String, Header, description = "Drawn by the client, the same with every retry",
        min_length = 1, max_length = 255, pattern = "^[!-~]+$")),
    responses((status = 201, description = "The order is on disk", body = super::schema::Order,
        headers(("Location" = String, description = "Where the order is"),
                ("Idempotent-Replayed" = Option<String>, description = "`true`: an earlier request under the key had made it")))),
    security(("bearer" = []))
)]
pub(super) async fn place(call: Call) -> Result<Answer, Problem> {
    let Placing { customer, key, lines } = placing(&call)?;
    let done = call.api.shop.place_order(customer, key, lines).await?;
    Ok(placed(&done))
}

/// What an order is placed with.
pub(super) struct Placing {
    pub(super) customer: CustomerId,
    pub(super) key: RequestKey,
    pub(super) lines: Vec<LineRequest>,
}

/// Reads an order to place.
pub(super) fn placing(call: &Call) -> Result<Placing, Problem> {
    let customer = call.customer()?;
    let key = call.key()?;
    let lines = wire::read::<wire::PlaceOrder>(call.json()?)?.into_lines()?;
    let key = request_key(&customer, key, &Digest::of_order(&lines));
    Ok(Placing { customer: customer.subject, key, lines })
}

/// The answer to an order that was placed.
pub(super) fn placed(done: &Done<OrderView>) -> Answer {
    Answer::created(location(done.value.id), json::order(&done.value)).replayed(done.repeated)
}

/// An order: from its owner until the database has it.
#[utoipa::path(
    get, path = "/v1/orders/{id}", tag = "orders", operation_id = "show_order",
    params(("id" = uuid::Uuid, Path, description = "The order's id"),
        ("If-None-Match" = Option<String>, Header, description = "Entity tags that the reader has",
            pattern = "^([*]|(W/)?\"[!#-~]*\"( *, *(W/)?\"[!#-~]*\")*)$")),
    responses((status = 200, description = "The order", body = super::schema::Order,
            headers(("ETag" = String, description = "Of what is shown"))),
        (status = 304, description = "The reader has it")),
    security(("bearer" = []))
)]
pub(super) async fn show(id: String, call: Call) -> Result<Answer, Problem> {
    let (by, known) = (call.requester()?, call.if_none_match()?);
    let order = call.api.shop.order(order_id(&id)?, by).await?;
    let json = json::order(&order);
    let tag = ETag::of(&json);
    Ok(if tag.is_known_by(known.as_ref()) { Answer::not_modified(&tag) } else { Answer::ok(json).tagged(&tag) })
}

/// Orders, newest first: a customer's own, or everybody's for an admin.
#[utoipa::path(
    get, path = "/v1/orders", tag = "orders", operation_id = "list_orders", params(super::page::PageParameters),
    responses((status = 200, description = "A page of orders", body = super::schema::Orders)),
    security(("bearer" = []))
)]
pub(super) async fn list(query: String, call: Call) -> Result<Answer, Problem> {
    let of = call.whose()?;
    let page = Page::read(&query)?;
    let after = page.after.map(|cursor| Cursor::order(&cursor)).transpose()?;
    let found = call.api.shop.orders(of, after, page.limit).await?;
    let next = found.next.map(|(placed_at, id)| Cursor::of_order(placed_at, id));
    Ok(Answer::ok(json::orders(&found.orders, next.as_deref())))
}

/// Ends a held order and gives its units back, once: a repeat answers the same again.
#[utoipa::path(
    post, path = "/v1/orders/{id}/cancel", tag = "orders", operation_id = "cancel_order",
    params(("id" = uuid::Uuid, Path, description = "The order's id")),
    responses((status = 200, description = "The order, cancelled", body = super::schema::Order)),
    security(("bearer" = []))
)]
pub(super) async fn cancel(id: String, call: Call) -> Result<Answer, Problem> {
    let by = call.requester()?;
    let order = call.api.shop.cancel_order(order_id(&id)?, by).await?;
    Ok(Answer::ok(json::order(&order)))
}

/// Sells a held order's units: it was paid by other means. A repeat answers the same again.
#[utoipa::path(
    post, path = "/v1/orders/{id}/confirm", tag = "orders", operation_id = "confirm_order",
    params(("id" = uuid::Uuid, Path, description = "The order's id")),
    responses((status = 200, description = "The order, confirmed", body = super::schema::Order)),
    security(("bearer" = []))
)]
pub(super) async fn confirm(id: String, call: Call) -> Result<Answer, Problem> {
    call.admin()?;
    let order = call.api.shop.confirm_order(order_id(&id)?).await?;
    Ok(Answer::ok(json::order(&order)))
}

pub(super) fn order_id(text: &str) -> Result<OrderId, Problem> {
    OrderId::parse(text).map_err(|error| Problem::parameter("id", error.to_string()))
}

pub(super) fn location(id: OrderId) -> HeaderValue {
    // An id is always a valid value; the fallback is never taken.
    HeaderValue::try_from(format!("/v1/orders/{id}")).unwrap_or(HeaderValue::from_static("/v1/orders"))
}
