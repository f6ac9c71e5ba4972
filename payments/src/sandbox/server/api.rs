//! The four calls of the API over HTTP. What a call does it does also when nobody waits for its
//! answer any more, as at the real one: only a stop of the sandbox ends it.

use super::listen::{Asked, Hangup, Sending};
use super::shared::{Shared, stopping};
use crate::sandbox::machine::{Endpoint, Reply, Step};
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE};
use http::{Method, Response, StatusCode};
use son7shop_engine::Time;
use std::sync::Arc;

pub(super) async fn answer(shared: &Arc<Shared>, asked: Asked) -> Result<Response<Sending>, Hangup> {
    let endpoint = Endpoint::at(asked.head.uri.path()).filter(|_| asked.head.method == Method::POST);
    let Some(endpoint) = endpoint else { return Ok(send(Reply::no_such_api())) };
    let header = |name| asked.head.headers.get(name).and_then(|value| value.to_str().ok());
    let is_json = header(CONTENT_TYPE).is_some_and(|kind| {
        kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
    });
    // What is not said to be JSON, or too long to be, is none.
    let body = asked.body.filter(|_| is_json).unwrap_or_default();
    let (began, step) = shared.with(|machine, now| (now, machine.begin(now, endpoint, header(AUTHORIZATION), &body)));
    let reply = match step {
        Step::Answer(reply) => Some(reply),
        Step::Hangup => None,
        Step::Wait { .. } => {
            let waiting = tokio::spawn(wait_out(Arc::clone(shared), began, step));
            // It does not panic; and whoever it would be has no answer.
            waiting.await.unwrap_or_default()
        }
    };
    reply.map(send).ok_or(Hangup)
}

/// Goes on with a call that has come to `step` at `now`, until it ends; `None`: without an answer.
async fn wait_out(shared: Arc<Shared>, mut now: Time, mut step: Step) -> Option<Reply> {
    let mut stopped = shared.running();
    loop {
        match step {
            Step::Answer(reply) => return Some(reply),
            Step::Hangup => return None,
            Step::Wait { ms, ticket } => {
                tokio::select! {
                    // Counted from then: the clock may have been moved since.
                    () = shared.at(now.plus_millis(ms)) => {}
                    () = stopping(&mut stopped) => return None,
                }
                (now, step) = shared.with(|machine, now| (now, machine.resume(now, ticket)));
            }
        }
    }
}

fn send(reply: Reply) -> Response<Sending> {
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let is_whole = reply.announced == reply.body.len();
    let body = if is_whole { Sending::whole(reply.body) } else { Sending::beginning(reply.body) };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json;charset=UTF-8"));
    headers.insert(CONTENT_LENGTH, http::HeaderValue::from(reply.announced));
    response
}
