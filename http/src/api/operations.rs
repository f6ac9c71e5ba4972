//! For whoever runs the shop and for programs: health, readiness, figures, the OpenAPI.

use super::answer::Answer;
use super::call::Call;
use super::openapi;
use super::problem::Problem;
use super::status::Code;
use crate::metrics::Metrics;
use son7shop_actors::Readiness;

/// What `/healthz` answers.
pub(super) fn alive() -> Answer {
    Answer::ok(br#"{"status":"ok"}"#.to_vec())
}

/// What `/metrics` answers.
pub(super) fn figures(metrics: &Metrics) -> Answer {
    Answer::text("text/plain; version=0.0.4", metrics.render())
}

/// The process lives.
#[utoipa::path(
    get, path = "/healthz", tag = "operations", operation_id = "healthz",
    responses((status = 200, description = "The process lives", body = super::schema::Status))
)]
pub(super) async fn healthz(_call: Call) -> Result<Answer, Problem> {
    Ok(alive())
}

/// Every partition serves; 503 while recovering or draining.
#[utoipa::path(
    get, path = "/readyz", tag = "operations", operation_id = "readyz",
    responses((status = 200, description = "The shop sells", body = super::schema::Status))
)]
pub(super) async fn readyz(call: Call) -> Result<Answer, Problem> {
    match call.api.shop.readiness() {
        Readiness::Ready => Ok(Answer::ok(br#"{"status":"ready"}"#.to_vec())),
        Readiness::Draining => Err(Problem::new(Code::NotReady, "draining")),
        Readiness::NotReady(why) => Err(Problem::new(Code::NotReady, why)),
    }
}

/// The process's figures in Prometheus's text format.
#[utoipa::path(
    get, path = "/metrics", tag = "operations", operation_id = "metrics",
    responses((status = 200, description = "The figures", body = String, content_type = "text/plain; version=0.0.4"))
)]
pub(super) async fn metrics(call: Call) -> Result<Answer, Problem> {
    Ok(figures(&call.api.metrics))
}

/// This document.
#[utoipa::path(
    get, path = "/openapi.json", tag = "operations", operation_id = "openapi",
    responses((status = 200, description = "OpenAPI 3.1", body = serde_json::Value, content_type = "application/json"))
)]
pub(super) async fn openapi(_call: Call) -> Result<Answer, Problem> {
    Ok(Answer::ok(openapi::document().as_bytes().to_vec()))
}
