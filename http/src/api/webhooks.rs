//! Webhooks: which other software is told what happens. Each parses, calls, renders.

use super::answer::Answer;
use super::call::Call;
use super::keys::{Digest, request_key};
use super::page::{Cursor, Page, percent_decoded};
use super::problem::Problem;
use super::{json, wire};
use http::HeaderValue;
use son7shop_actors::webhooks::WebhookTerms;

/// Registers an endpoint.
///
/// The answer shows its secret, this once. From now on the endpoint is sent what happens, as
/// `POST` in the Standard Webhooks form: headers `webhook-id` (`msg_p{partition}_{lsn}`, the same
/// whenever the same event is told), `webhook-timestamp` and `webhook-signature` (`v1,` and the
/// base64 of HMAC-SHA256 over `id.timestamp.body`; several, separated by spaces, while a secret is
/// being replaced), body `{"type", "timestamp", "data"}`.
///
/// A message comes at least once, in no promised order. 2xx within 15 s is delivered, 410 disables
/// the endpoint, redirects are not followed, and anything else is tried again after 5 s, 5 min,
/// 30 min, 2 h, 5 h, 10 h, 14 h, 20 h and 24 h, each up to a tenth later; then it is given up.
/// A start of the shop, or an endpoint that is back while 1,000 messages wait for it, brings tries
/// forward on top of these. What has not been read for an endpoint within seven days, or before
/// the journal comes near its disk limit, is skipped; the delivery log says so.
///
/// Under an `Idempotency-Key`, the same request answers 201 again for a day.
#[utoipa::path(
    post, path = "/v1/webhooks", tag = "webhooks", operation_id = "create_webhook", request_body = wire::CreateWebhook,
    params(("Idempotency-Key" = Option<String>, Header, description = "Drawn by the client, the same with every retry",
        min_length = 1, max_length = 255, pattern = "^[!-~]+$")),
    responses((status = 201, description = "The endpoint is registered", body = super::schema::WebhookWithSecret,
        headers(("Location" = String, description = "Where the endpoint is"),
                ("Idempotent-Replayed" = Option<String>, description = "`true`: an earlier request under the key had registered it")))),
    security(("bearer" = []))
)]
pub(super) async fn create(call: Call) -> Result<Answer, Problem> {
    let admin = call.admin()?;
    let key = call.optional_key()?;
    let wire::CreateWebhook { url, events, description } = wire::read(call.json()?)?;
    let mut request = Digest::of("create-webhook");
    request.text(&url).text(&description);
    for event in &events {
        request.text(event);
    }
    let key = key.map(|key| request_key(&admin, key, &request));
    let terms = WebhookTerms { url, events, description, disabled: false };
    let done = call.api.shop.create_webhook(terms, key).await?;
    let json = json::webhook(&done.value.webhook, Some(&done.value.secret));
    Ok(Answer::created(location(&done.value.webhook.id), json).replayed(done.repeated))
}

/// Every endpoint, the oldest first.
#[utoipa::path(
    get, path = "/v1/webhooks", tag = "webhooks", operation_id = "list_webhooks",
    responses((status = 200, description = "The endpoints", body = super::schema::Webhooks)),
    security(("bearer" = []))
)]
pub(super) async fn list(call: Call) -> Result<Answer, Problem> {
    call.admin()?;
    Ok(Answer::ok(json::webhooks(&call.api.shop.webhooks())))
}

/// An endpoint, and how much waits for it.
#[utoipa::path(
    get, path = "/v1/webhooks/{id}", tag = "webhooks", operation_id = "show_webhook",
    params(super::schema::WebhookInPath),
    responses((status = 200, description = "The endpoint", body = super::schema::Webhook)),
    security(("bearer" = []))
)]
pub(super) async fn show(id: String, call: Call) -> Result<Answer, Problem> {
    call.admin()?;
    let webhook = call.api.shop.webhook(&percent_decoded(&id))?;
    Ok(Answer::ok(json::webhook(&webhook, None)))
}

/// Puts other terms in the place of an endpoint's; what is left out goes back to its default.
///
/// A disabled endpoint keeps what waits for it and is told nothing new. Enabled again, it goes on
/// with what happens then; what happened meanwhile it gets by a replay.
#[utoipa::path(
    put, path = "/v1/webhooks/{id}", tag = "webhooks", operation_id = "update_webhook", request_body = wire::SetWebhook,
    params(super::schema::WebhookInPath),
    responses((status = 200, description = "The endpoint after the change", body = super::schema::Webhook)),
    security(("bearer" = []))
)]
pub(super) async fn update(id: String, call: Call) -> Result<Answer, Problem> {
    call.admin()?;
    let wire::SetWebhook { url, events, description, disabled } = wire::read(call.json()?)?;
    let terms = WebhookTerms { url, events, description, disabled };
    let webhook = call.api.shop.update_webhook(&percent_decoded(&id), terms).await?;
    Ok(Answer::ok(json::webhook(&webhook, None)))
}

/// Forgets an endpoint, and with it what waits for it and its delivery log.
#[utoipa::path(
    delete, path = "/v1/webhooks/{id}", tag = "webhooks", operation_id = "delete_webhook",
    params(super::schema::WebhookInPath),
    responses((status = 204, description = "There is no such endpoint any more")),
    security(("bearer" = []))
)]
pub(super) async fn delete(id: String, call: Call) -> Result<Answer, Problem> {
    call.admin()?;
    call.api.shop.delete_webhook(&percent_decoded(&id)).await?;
    Ok(Answer::nothing())
}

/// Draws a new secret, which the answer shows this once. The one before signs beside it for
/// 24 hours; at most four sign at the same time.
#[utoipa::path(
    post, path = "/v1/webhooks/{id}/secret", tag = "webhooks", operation_id = "rotate_webhook_secret",
    params(super::schema::WebhookInPath),
    responses((status = 200, description = "The endpoint with its new secret", body = super::schema::WebhookWithSecret)),
    security(("bearer" = []))
)]
pub(super) async fn rotate(id: String, call: Call) -> Result<Answer, Problem> {
    call.admin()?;
    let rotated = call.api.shop.rotate_webhook_secret(&percent_decoded(&id)).await?;
    Ok(Answer::ok(json::webhook(&rotated.webhook, Some(&rotated.secret))))
}

/// The delivery log, newest first: the last 5,000 to 10,000 tries.
#[utoipa::path(
    get, path = "/v1/webhooks/{id}/deliveries", tag = "webhooks", operation_id = "list_webhook_deliveries",
    params(super::schema::WebhookInPath, super::page::PageParameters),
    responses((status = 200, description = "A page of tries", body = super::schema::Deliveries)),
    security(("bearer" = []))
)]
pub(super) async fn deliveries((id, query): (String, String), call: Call) -> Result<Answer, Problem> {
    call.admin()?;
    let page = Page::read(&query)?;
    let before = page.after.map(|cursor| Cursor::delivery(&cursor)).transpose()?;
    let id = percent_decoded(&id);
    // One more than asked for tells whether there is a next page.
    let mut tries = call.api.shop.webhook_deliveries(&id, before, page.limit + 1).await?;
    let more = tries.len() > page.limit as usize;
    tries.truncate(page.limit as usize);
    let next = tries.last().filter(|_| more).map(|last| Cursor::of_delivery(last.number));
    Ok(Answer::ok(json::deliveries(&tries, next.as_deref())))
}

/// Tells an endpoint again what the journal still has: after an event of one partition
/// (`after_lsn`; `partition` may be left out where there is one), or since a time.
///
/// It reads up to what is in the journal now, beside what is told anyway, and takes the place of
/// a replay that still runs. The messages have the ids they had.
#[utoipa::path(
    post, path = "/v1/webhooks/{id}/replay", tag = "webhooks", operation_id = "replay_webhook", request_body = wire::ReplayWebhook,
    params(super::schema::WebhookInPath),
    responses((status = 202, description = "The replay has begun", body = super::schema::Replay)),
    security(("bearer" = []))
)]
pub(super) async fn replay(id: String, call: Call) -> Result<Answer, Problem> {
    call.admin()?;
    let (partition, from) = wire::read::<wire::ReplayWebhook>(call.json()?)?.into_place()?;
    let parts = call.api.shop.replay_webhook(&percent_decoded(&id), partition, from)?;
    Ok(Answer::accepted(json::replay(&parts)))
}

/// Sends an endpoint a message of type `ping`; its delivery log shows what came of it.
#[utoipa::path(
    post, path = "/v1/webhooks/{id}/test", tag = "webhooks", operation_id = "test_webhook",
    params(super::schema::WebhookInPath),
    responses((status = 202, description = "The message is on its way", body = super::schema::Ping)),
    security(("bearer" = []))
)]
pub(super) async fn test(id: String, call: Call) -> Result<Answer, Problem> {
    call.admin()?;
    let message = call.api.shop.test_webhook(&percent_decoded(&id))?;
    Ok(Answer::accepted(json::ping(&message)))
}

fn location(id: &str) -> HeaderValue {
    // An id is always a valid value; the fallback is never taken.
    HeaderValue::try_from(format!("/v1/webhooks/{id}")).unwrap_or(HeaderValue::from_static("/v1/webhooks"))
}
