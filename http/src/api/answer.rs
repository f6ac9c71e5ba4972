//! Answers: a body, its headers, and what every answer carries.

use super::etag::ETag;
use super::problem::Problem;
use super::trace::TraceId;
use super::{clock, status};
use http::header::{CONTENT_TYPE, ETAG, LOCATION};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use warp::reply::Response;

/// The request's trace, in every answer.
const TRACE_ID: HeaderName = HeaderName::from_static("trace-id");
/// The server's time, in every answer; RFC 3339.
const SERVER_TIME: HeaderName = HeaderName::from_static("server-time");
/// Set when an earlier request under the same key had done it.
const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// What a handler answers with.
pub(super) struct Answer {
    status: StatusCode,
    body: Vec<u8>,
    headers: HeaderMap,
}

impl Answer {
    /// 200 with JSON.
    pub(super) fn ok(json: Vec<u8>) -> Self {
        Self::typed(status::OK, "application/json", json)
    }

    /// 201 with JSON, found at `location` from now on.
    pub(super) fn created(location: HeaderValue, json: Vec<u8>) -> Self {
        let mut answer = Self::typed(status::CREATED, "application/json", json);
        answer.headers.insert(LOCATION, location);
        answer
    }

    /// 200 with text of another type.
    pub(super) fn text(content_type: &'static str, text: String) -> Self {
        Self::typed(status::OK, content_type, text.into_bytes())
    }

    /// 202 with JSON.
    pub(super) fn accepted(json: Vec<u8>) -> Self {
        Self::typed(status::ACCEPTED, "application/json", json)
    }

    /// 204.
    pub(super) fn nothing() -> Self {
        Self { status: status::NO_CONTENT, body: Vec::new(), headers: HeaderMap::new() }
    }

    /// The answer, for one reader and one look: no cache keeps it, no page frames it, and the address
    /// that it was found at, which may hold a secret, goes nowhere.
    pub(super) fn private(mut self) -> Self {
        for (name, value) in [
            (http::header::CACHE_CONTROL, "no-store"),
            (http::header::REFERRER_POLICY, "no-referrer"),
            (http::header::X_FRAME_OPTIONS, "DENY"),
            (http::header::CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'"),
        ] {
            self.headers.insert(name, HeaderValue::from_static(value));
        }
        self
    }

    /// 304: the reader has it already.
    pub(super) fn not_modified(tag: &ETag) -> Self {
        let answer = Self { status: status::NOT_MODIFIED, body: Vec::new(), headers: HeaderMap::new() };
        answer.tagged(tag)
    }

    fn typed(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        Self { status, body, headers }
    }

    /// Says whether an earlier request under the same key had done it.
    pub(super) fn replayed(mut self, repeated: bool) -> Self {
        if repeated {
            self.headers.insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
        }
        self
    }

    /// The answer with its entity tag.
    pub(super) fn tagged(mut self, tag: &ETag) -> Self {
        self.headers.insert(ETAG, tag.header());
        self
    }
}

/// The response to a request: the handler's answer or its problem, with what every
/// answer carries.
pub(super) fn finish(trace: TraceId, result: Result<Answer, Problem>) -> Response {
    let response = match result {
        Ok(Answer { status, body, headers }) => {
            let mut response = Response::new(body.into());
            *response.status_mut() = status;
            *response.headers_mut() = headers;
            response
        }
        Err(problem) => problem.into_response(trace),
    };
    with_trace(trace, response)
}

/// The response with what every answer carries.
pub(super) fn with_trace(trace: TraceId, mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(TRACE_ID, trace.header());
    headers.insert(SERVER_TIME, clock::now_header());
    response
}
