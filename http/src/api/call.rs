//! What a request brings: its headers in one pass, its body up to a limit, who sent it.
//!
//! Must never decide anything about the shop, and never read more of a body than
//! [`BODY_MAX`].

use super::Api;
use super::etag::Tags;
use super::keys::KEY_MAX;
use super::problem::Problem;
use super::status::Code;
use super::trace::TraceId;
use crate::token::{Identity, Role};
use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use http::{HeaderMap, HeaderValue};
use son7shop_engine::{CustomerId, Requester};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

/// The longest body that is read, in bytes; the largest order needs about a tenth.
pub(super) const BODY_MAX: usize = 64 * 1024;
/// A body that is not whole in this time is cut off, as a slow head is.
const BODY_READ_TIMEOUT: Duration = Duration::from_secs(10);

/// A request, as handlers see it.
pub(super) struct Call {
    pub(super) api: Arc<Api>,
    pub(super) trace: TraceId,
    authorization: Header,
    idempotency_key: Header,
    content_type: Header,
    if_match: Vec<HeaderValue>,
    if_none_match: Vec<HeaderValue>,
    accept: Header,
    last_event_id: Header,
    body: Result<Bytes, Problem>,
}

/// A header that may stand once.
enum Header {
    None,
    One(HeaderValue),
    Many,
}

impl Call {
    /// Takes what handlers need out of the headers, in one pass, and reads the body.
    pub(super) async fn read(
        api: Arc<Api>,
        headers: HeaderMap,
        body: impl Stream<Item = Result<impl Buf, warp::Error>>,
    ) -> Self {
        let mut call = Self::from_headers(api, headers);
        // Costs no timer for a body that is here already.
        let body = tokio::time::timeout(BODY_READ_TIMEOUT, read_body(body)).await;
        call.body = body.unwrap_or_else(|_| Err(cut_short("the body did not come in time")));
        call
    }

    /// The request without its body.
    pub(super) fn from_headers(api: Arc<Api>, headers: HeaderMap) -> Self {
        let mut call = Self {
            api,
            trace: TraceId::draw(),
            authorization: Header::None,
            idempotency_key: Header::None,
            content_type: Header::None,
            if_match: Vec::new(),
            if_none_match: Vec::new(),
            accept: Header::None,
            last_event_id: Header::None,
            body: Ok(Bytes::new()),
        };
        let mut last = None;
        for (name, value) in headers {
            // A header's second line comes without its name.
            last = name.or(last);
            match last.as_ref().map_or("", |name| name.as_str()) {
                "authorization" => call.authorization.add(value),
                "idempotency-key" => call.idempotency_key.add(value),
                "content-type" => call.content_type.add(value),
                "if-match" => call.if_match.push(value),
                "if-none-match" => call.if_none_match.push(value),
                "accept" => call.accept.add(value),
                "last-event-id" => call.last_event_id.add(value),
                "traceparent" => call.trace = TraceId::of_traceparent(&value).unwrap_or(call.trace),
                _ => {}
            }
        }
        call
    }

    /// Who sent the request; 401 if that is not proved.
    pub(super) fn identity(&self) -> Result<Identity, Problem> {
        let sent = self.authorization.get("authorization")?;
        // A value that is no text is no token either.
        let text = sent.map(|value| value.to_str().unwrap_or(""));
        self.api.tokens.verify(text).map_err(|error| Problem::unauthorized(sent.is_some(), error))
    }

    /// Who sent the request, if they run the shop; 403 otherwise.
    pub(super) fn admin(&self) -> Result<Identity, Problem> {
        self.identity_with(Role::Admin, "this needs a token of an admin")
    }

    /// Who sent the request, if they are a customer; 403 otherwise.
    pub(super) fn customer(&self) -> Result<Identity, Problem> {
        self.identity_with(Role::Customer, "this needs a token of a customer: an order belongs to one")
    }

    fn identity_with(&self, role: Role, needed: &'static str) -> Result<Identity, Problem> {
        let identity = self.identity()?;
        if identity.role == role { Ok(identity) } else { Err(Problem::new(Code::Forbidden, needed)) }
    }

    /// On whose behalf the request comes.
    pub(super) fn requester(&self) -> Result<Requester, Problem> {
        Ok(self.identity()?.into_requester())
    }

    /// Whose orders the sender may list; `None`: everybody's.
    pub(super) fn whose(&self) -> Result<Option<CustomerId>, Problem> {
        Ok(match self.requester()? {
            Requester::Admin => None,
            Requester::Customer(subject) => Some(subject),
        })
    }

    /// The idempotency key; 400 if there is none.
    pub(super) fn key(&self) -> Result<&[u8], Problem> {
        self.optional_key()?
            .ok_or_else(|| Problem::new(Code::KeyMissing, "send an Idempotency-Key header, the same with every retry"))
    }

    /// The idempotency key, if one was sent.
    pub(super) fn optional_key(&self) -> Result<Option<&[u8]>, Problem> {
        let Some(key) = self.idempotency_key.get("idempotency-key")? else { return Ok(None) };
        let key = key.as_bytes();
        let fits = (1..=KEY_MAX).contains(&key.len()) && key.iter().all(u8::is_ascii_graphic);
        let wrong =
            || Problem::new(Code::KeyInvalid, format!("the key must be 1 to {KEY_MAX} visible ASCII characters"));
        if fits { Ok(Some(key)) } else { Err(wrong()) }
    }

    /// The body, if it is said to be JSON.
    pub(super) fn json(&self) -> Result<&[u8], Problem> {
        match self.content_type.get("content-type")? {
            Some(content_type) if is_json(content_type.as_bytes()) => {}
            _ => {
                return Err(Problem::new(
                    Code::UnsupportedMediaType,
                    "send the body as content-type: application/json",
                ));
            }
        }
        self.body.as_deref().map_err(Problem::clone)
    }

    /// Whether the sender asks for JSON where people are shown a page.
    pub(super) fn wants_json(&self) -> bool {
        matches!(&self.accept, Header::One(accept) if accept.as_bytes().starts_with(b"application/json"))
    }

    /// The number of the last event that the reader of a stream has; 0 for none.
    pub(super) fn last_event_id(&self) -> Result<u32, Problem> {
        let Some(sent) = self.last_event_id.get("last-event-id")? else { return Ok(0) };
        let number = sent.to_str().ok().and_then(|text| text.parse().ok());
        let wrong = || Problem::named(Code::InvalidHeader, "header", "last-event-id", "must be an event's id");
        number.ok_or_else(wrong)
    }

    /// The tags in `If-Match`.
    pub(super) fn if_match(&self) -> Result<Option<Tags>, Problem> {
        Tags::read("if-match", &self.if_match)
    }

    /// The tags in `If-None-Match`.
    pub(super) fn if_none_match(&self) -> Result<Option<Tags>, Problem> {
        Tags::read("if-none-match", &self.if_none_match)
    }
}

impl Header {
    fn add(&mut self, value: HeaderValue) {
        *self = if matches!(self, Self::None) { Self::One(value) } else { Self::Many };
    }

    fn get(&self, name: &'static str) -> Result<Option<&HeaderValue>, Problem> {
        match self {
            Self::None => Ok(None),
            Self::One(value) => Ok(Some(value)),
            Self::Many => Err(Problem::named(Code::InvalidHeader, "header", name, format!("{name} must be sent once"))),
        }
    }
}

/// Whether a `Content-Type` says JSON in UTF-8.
fn is_json(content_type: &[u8]) -> bool {
    if content_type == b"application/json" {
        return true;
    }
    let mut parts = content_type.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
    parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case(b"application/json"))
        && parts.all(|parameter| {
            let is = |text: &[u8]| parameter.eq_ignore_ascii_case(text);
            parameter.is_empty() || is(b"charset=utf-8") || is(b"charset=\"utf-8\"")
        })
}

/// Reads a body, however it is cut into chunks; most come in one, which is not copied.
async fn read_body(body: impl Stream<Item = Result<impl Buf, warp::Error>>) -> Result<Bytes, Problem> {
    let mut body = pin!(body);
    let mut whole = Bytes::new();
    while let Some(chunk) = body.next().await {
        let mut chunk = chunk.map_err(|error| {
            tracing::debug!(%error, "a body was cut short");
            cut_short("the connection failed before the body had ended")
        })?;
        let chunk = chunk.copy_to_bytes(chunk.remaining());
        if whole.len() + chunk.len() > BODY_MAX {
            return Err(Problem::new(Code::BodyTooLarge, format!("a body has at most {BODY_MAX} bytes")));
        }
        whole = if whole.is_empty() { chunk } else { joined(whole, &chunk) };
    }
    Ok(whole)
}

fn cut_short(why: &'static str) -> Problem {
    Problem::new(Code::BodyCutShort, why)
}

fn joined(head: Bytes, tail: &[u8]) -> Bytes {
    let mut both = BytesMut::from(head);
    both.extend_from_slice(tail);
    both.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;

    fn body(chunks: &[usize]) -> Result<usize, Code> {
        let chunks: Vec<_> = chunks.iter().map(|&n| Ok::<_, warp::Error>(Bytes::from(vec![b'x'; n]))).collect();
        let read = read_body(stream::iter(chunks));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(read).map(|body| body.len()).map_err(|problem| problem.code())
    }

    #[test]
    fn a_body_is_read_up_to_its_limit_however_it_is_cut() {
        assert_eq!(body(&[]), Ok(0));
        assert_eq!(body(&[BODY_MAX]), Ok(BODY_MAX));
        assert_eq!(body(&[1; 1000]), Ok(1000));
        assert_eq!(body(&[BODY_MAX, 1]), Err(Code::BodyTooLarge));
        assert_eq!(body(&[BODY_MAX + 1]), Err(Code::BodyTooLarge));
    }

    #[test]
    fn json_is_known_by_its_type() {
        for yes in ["application/json", "Application/JSON; charset=utf-8", "application/json;charset=\"UTF-8\";"] {
            assert!(is_json(yes.as_bytes()), "{yes}");
        }
        for no in [
            "",
            "text/plain",
            "application/jsonl",
            "application/json; charset=euc-kr",
            "application/x-www-form-urlencoded",
        ] {
            assert!(!is_json(no.as_bytes()), "{no}");
        }
    }
}
