//! Payments: start, return, refund, timeline. Each parses, calls, renders.
//!
//! What a browser brings back is a hint: the gateway is asked before anything counts. An amount from a
//! browser is never used, and a proof is passed on and never shown.

use super::answer::Answer;
use super::call::Call;
use super::keys::{Digest, request_key};
use super::orders::{location, order_id};
use super::problem::Problem;
use super::status::Code;
use super::{return_page, shown, wire};
use son7shop_actors::{Done, ReturnHandle};
use son7shop_engine::{RefundRequest, Refusal, Requester};
use son7shop_payments::gateway::{Expected, Return};
use std::time::Duration;

/// How long a browser that came back waits for the outcome before it is shown what is known.
const OUTCOME_WAIT: Duration = Duration::from_secs(10);

/// Starts an attempt at paying an order; the answer says where the shopper pays.
///
/// The order's deadline, `expires_at`, is not moved. An attempt that waited for its shopper is
/// superseded; while the gateway is asked to take the money, no other is started (409 `wrong_state`). The
/// same key and request answer 201 again, with the attempt as it is by then. 502 `payment_not_begun`: the
/// gateway would not or could not, and nothing was taken; try again with another key.
#[utoipa::path(
    post, path = "/v1/orders/{id}/payments", tag = "payments", operation_id = "start_payment",
    request_body = wire::StartPayment,
    params(("id" = uuid::Uuid, Path, description = "The order's id"),
        ("Idempotency-Key" = String, Header, description = "Drawn by the client, the same with every retry. \
            It belongs to its sender and to the order: for another order the same key is another request",
            min_length = 1, max_length = 255, pattern = "^[!-~]+$")),
    responses((status = 201, description = "The gateway has begun the payment", body = super::schema::StartedAttempt,
        headers(("Location" = String, description = "Where the order is"),
                ("Idempotent-Replayed" = Option<String>, description = "`true`: an earlier request under the key had started it")))),
    security(("bearer" = []))
)]
pub(super) async fn start(id: String, call: Call) -> Result<Answer, Problem> {
    let (identity, by) = (call.identity()?, call.requester()?);
    let key = call.key()?;
    let order = order_id(&id)?;
    let wire::StartPayment { method } = wire::read(call.json()?)?;
    let mut request = Digest::of("start-payment");
    request.text(&order.to_string()).text(method.as_str());
    let key = request_key(&identity, key, &request);
    let Done { value: (view, number), repeated } = call.api.shop.start_payment(order, by, method, key).await?;
    let attempts = view.payment.as_ref().map_or(&[][..], |payment| &payment.attempts);
    let attempt = attempts.get(number as usize - 1).ok_or_else(Problem::lost)?;
    Ok(Answer::created(location(order), shown::started(&view, attempt)).replayed(repeated))
}

/// Where the gateway sends the shopper's browser back to; a page for people.
///
/// The address was given to the gateway alone; a wrong one is 404, whatever came with it. Whatever a right one
/// says is followed by a question to the gateway. `Accept: application/json` shows the same as JSON.
#[utoipa::path(
    get, path = "/v1/payments/{handle}/{outcome}", tag = "payments", operation_id = "return_from_gateway",
    params(("handle" = String, Path, description = "Names the attempt", min_length = 1, max_length = 100,
            pattern = "^[0-9a-f.-]+$"),
        ("outcome" = super::schema::ReturnOutcome, Path, description = "Which address it is"),
        ("pg_token" = Option<String>, Query, description = "What the gateway gives the shopper to bring")),
    responses((status = 200, description = "How the order stands now", content(
        (String = "text/html; charset=utf-8"), (super::schema::Returned = "application/json"))))
)]
pub(super) async fn came_back((handle, word, query): (String, String, String), call: Call) -> Result<Answer, Problem> {
    let nowhere = || Problem::new(Code::NotFound, "there is nothing at this path");
    let handle = ReturnHandle::parse(&handle).ok_or_else(nowhere)?;
    let to = ReturnHandle::returned_to(&word).ok_or_else(nowhere)?;
    let shop = &call.api.shop;
    let view = match shop.order(handle.order, Requester::Admin).await {
        Err(son7shop_actors::ShopError::Refused(Refusal::UnknownOrder { .. })) => return Err(nowhere()),
        view => view?,
    };
    let attempts = view.payment.as_ref().map_or(&[][..], |payment| &payment.attempts);
    let attempt = attempts.iter().find(|attempt| attempt.number == handle.attempt).ok_or_else(nowhere)?;
    let gateway = shop.payments().gateway(attempt.method).ok_or_else(nowhere)?;
    let expected = Expected { order: handle.order, attempt: handle.attempt, amount: attempt.amount };
    let (proof, unfit) = match gateway.parse_return(to, &query, &expected) {
        Ok(Return::Authorised(proof)) => (Some(proof), None),
        Ok(Return::Quit | Return::Failed) => (None, None),
        Err(error) => (None, Some(error)),
    };
    // Whether the handle is right comes first: who only guesses learns nothing from how they guessed.
    match shop.report_return(handle, proof).await {
        Err(son7shop_actors::ShopError::Refused(Refusal::UnknownOrder { .. })) => return Err(nowhere()),
        done => done?,
    }
    if let Some(error) = unfit {
        return Err(Problem::new(Code::InvalidParameter, error.to_string()));
    }
    let view = shop.settled_order(handle.order, OUTCOME_WAIT).await?;
    Ok(return_page::of(&view, handle.attempt, call.wants_json()))
}

/// Gives money back: all that is left, the price of some lines, or a sum.
///
/// However long ago it was paid; what the order's home has forgotten, the database tells it. One refund of an order at a
/// time (409 `refund_under_way`). The answer comes when it is on disk; the
/// gateway is asked until the money went back, and the order shows it.
#[utoipa::path(
    post, path = "/v1/orders/{id}/refunds", tag = "payments", operation_id = "request_refund",
    request_body = wire::RequestRefund,
    params(("id" = uuid::Uuid, Path, description = "The order's id"),
        ("Idempotency-Key" = String, Header, description = "Drawn by the client, the same with every retry. \
            It belongs to its sender and to the order: for another order the same key is another request",
            min_length = 1, max_length = 255, pattern = "^[!-~]+$")),
    responses((status = 201, description = "The refund is on disk", body = super::schema::RequestedRefund,
        headers(("Location" = String, description = "Where the order is"),
                ("Idempotent-Replayed" = Option<String>, description = "`true`: an earlier request under the key had asked for it")))),
    security(("bearer" = []))
)]
pub(super) async fn refund(id: String, call: Call) -> Result<Answer, Problem> {
    let admin = call.admin()?;
    let key = call.key()?;
    let order = order_id(&id)?;
    let body: wire::RequestRefund = wire::read(call.json()?)?;
    let lines = body.lines()?;
    let mut request = Digest::of("request-refund");
    request.text(&order.to_string()).number(body.amount.map_or(-1, |amount| amount.0));
    request.number(body.restock.into()).text(&body.reason);
    for line in &lines {
        request.text(line.sku.as_str()).number(line.quantity.into());
    }
    let key = request_key(&admin, key, &request);
    let wire::RequestRefund { amount, restock, reason, .. } = body;
    let refund = RefundRequest { key, amount, lines: lines.into(), restock, reason };
    let Done { value: (view, number), repeated } = call.api.shop.request_refund(order, refund).await?;
    let refunds = view.payment.as_ref().map_or(&[][..], |payment| &payment.refunds);
    let refund = refunds.get(number as usize - 1).ok_or_else(Problem::lost)?;
    Ok(Answer::created(location(order), shown::refunding(&view, refund)).replayed(repeated))
}

/// What happened to an order so far: every step, attempt and answer, and when the next try is due.
///
/// Of the last 24 hours after an order ended; the database's timeline has all.
#[utoipa::path(
    get, path = "/v1/orders/{id}/timeline", tag = "payments", operation_id = "show_timeline",
    params(("id" = uuid::Uuid, Path, description = "The order's id")),
    responses((status = 200, description = "The timeline, oldest first", body = super::schema::Timeline)),
    security(("bearer" = []))
)]
pub(super) async fn timeline(id: String, call: Call) -> Result<Answer, Problem> {
    let by = call.requester()?;
    Ok(Answer::ok(shown::timeline(&call.api.shop.timeline(order_id(&id)?, by).await?)))
}
