//! Moves the bytes between [`super::wire`] and Kakao Pay.
//!
//! One request, one answer: it must never make a call again, follow a redirect, or send the key in the clear.
//! Each kind of call has turns of its own, so that one that hangs never keeps another waiting.

use super::breaker::{Breaker, Pass};
use super::settings::{Settings, SettingsError};
use super::wire::{EXPIRY_MILLIS, Endpoint, Read, SETTLE_MILLIS, Unfit, Wire};
use super::{answer::line, returns};
use crate::gateway::{
    BadReturn, BeginRequest, Call, Caps, CaptureRequest, Expected, LookUpRequest, PaymentGateway, RefundRequest,
    Return, ReturnedTo,
};
use compact_str::CompactString;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Client, Response, Url, redirect, retry};
use son7shop_engine::OrderId;
use son7shop_engine::payment::Answered;
use std::error::Error;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// The longest answer that is read, in bytes; real ones have about two thousand.
const ANSWER_MAX: usize = 256 * 1024;
/// A connection that nobody used for this long is closed, rather than found closed by the other side.
const IDLE: Duration = Duration::from_secs(20);

/// The client. One for the whole program; its connections are pooled.
pub struct KakaoPay {
    http: Client,
    wire: Wire,
    ready: Url,
    approve: Url,
    order: Url,
    cancel: Url,
    begins: Semaphore,
    begin_wait: Duration,
    /// For captures, questions and refunds.
    others: [Semaphore; 3],
    breaker: Mutex<Breaker>,
}

impl fmt::Debug for KakaoPay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KakaoPay").field("ready", &self.ready.as_str()).finish_non_exhaustive()
    }
}

impl KakaoPay {
    /// Checks the settings; makes no call.
    pub fn new(settings: &Settings) -> Result<Self, SettingsError> {
        let base = settings.checked()?;
        let authorization = format!("SECRET_KEY {}", settings.key.expose());
        let mut authorization = HeaderValue::from_str(&authorization).map_err(|_| SettingsError::Key)?;
        authorization.set_sensitive(true);
        let headers = [(AUTHORIZATION, authorization), (CONTENT_TYPE, HeaderValue::from_static("application/json"))];
        let mut builder = Client::builder()
            .user_agent(concat!("son7shop/", env!("CARGO_PKG_VERSION")))
            .default_headers(HeaderMap::from_iter(headers))
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .referer(false)
            .https_only(!base.plain)
            .connect_timeout(settings.connect_timeout)
            .timeout(settings.connect_timeout.saturating_add(settings.read_timeout))
            .pool_idle_timeout(IDLE);
        if base.loopback {
            builder = builder.no_proxy();
        }
        if base.plain {
            // No TLS, no certificates: a machine that has none can have a sandbox.
            builder = builder.tls_certs_only([]);
        }
        let endpoint = |endpoint: Endpoint| base.join(endpoint.as_str());
        Ok(Self {
            http: builder.build().map_err(|error| SettingsError::Client(with_sources(&error.without_url())))?,
            wire: Wire::new(&settings.cid, base.plain, settings.key.clone()),
            ready: endpoint(Endpoint::Ready)?,
            approve: endpoint(Endpoint::Approve)?,
            order: endpoint(Endpoint::Order)?,
            cancel: endpoint(Endpoint::Cancel)?,
            begins: Semaphore::new(settings.begins_max),
            begin_wait: settings.begin_wait,
            others: [(); 3].map(|()| Semaphore::new(settings.others_max)),
            breaker: Mutex::new(Breaker::new(settings.failures_max, settings.pause)),
        })
    }

    /// `ready`, unless the gateway is known not to answer.
    async fn begin(&self, request: &BeginRequest) -> Answered {
        let Some(probe) = Attempted::admit(&self.breaker) else { return refused("the gateway is not answering") };
        let Ok(Ok(_turn)) = tokio::time::timeout(self.begin_wait, self.begins.acquire()).await else {
            return refused("too many payments are being begun");
        };
        let body = self.wire.ready(request);
        let sent = body.is_ok();
        let read = |status, answer: &[u8]| self.wire.read_ready(request, status, answer);
        let answered = self.call(Endpoint::Ready, request.order, body, read).await;
        if sent {
            probe.ended(!matches!(answered, Answered::Unknown(_)));
        }
        answered
    }

    /// A call that money hangs on: it waits for its turn, however long.
    async fn in_turn(
        &self,
        endpoint: Endpoint,
        order: OrderId,
        body: Result<Vec<u8>, Unfit>,
        read: impl FnOnce(u16, &[u8]) -> Read + Send,
    ) -> Answered {
        // Never closed; were it, the call would go without a turn.
        let turns = match endpoint {
            Endpoint::Ready => &self.begins,
            Endpoint::Approve => &self.others[0],
            Endpoint::Order => &self.others[1],
            Endpoint::Cancel => &self.others[2],
        };
        let _turn = turns.acquire().await;
        self.call(endpoint, order, body, read).await
    }

    async fn call(
        &self,
        endpoint: Endpoint,
        order: OrderId,
        body: Result<Vec<u8>, Unfit>,
        read: impl FnOnce(u16, &[u8]) -> Read + Send,
    ) -> Answered {
        let began = Instant::now();
        let read = match body {
            Err(unfit) => Answered::Refused(unfit).into(),
            Ok(body) => match self.exchange(endpoint, body).await {
                Ok((status, answer)) => read(status, &answer),
                Err(broken) => Answered::Unknown(broken).into(),
            },
        };
        report(endpoint, order, &read, began.elapsed());
        read.answered
    }

    /// Sends, and reads the whole answer: its status and its bytes.
    async fn exchange(&self, endpoint: Endpoint, body: Vec<u8>) -> Result<(u16, Vec<u8>), CompactString> {
        let sent = self.http.post(self.url(endpoint).clone()).body(body).send().await;
        let response = sent.map_err(broken)?;
        let status = response.status().as_u16();
        Ok((status, whole(response).await?))
    }

    fn url(&self, endpoint: Endpoint) -> &Url {
        match endpoint {
            Endpoint::Ready => &self.ready,
            Endpoint::Approve => &self.approve,
            Endpoint::Order => &self.order,
            Endpoint::Cancel => &self.cancel,
        }
    }
}

impl PaymentGateway for KakaoPay {
    fn begin<'a>(&'a self, request: &'a BeginRequest) -> Call<'a> {
        Box::pin(self.begin(request))
    }

    fn parse_return(&self, to: ReturnedTo, query: &str, _expected: &Expected) -> Result<Return, BadReturn> {
        returns::parse(to, query)
    }

    fn capture<'a>(&'a self, request: &'a CaptureRequest) -> Call<'a> {
        let read = |status, answer: &[u8]| self.wire.read_approve(request, status, answer);
        Box::pin(self.in_turn(Endpoint::Approve, request.order, self.wire.approve(request), read))
    }

    fn look_up<'a>(&'a self, request: &'a LookUpRequest) -> Call<'a> {
        let read = |status, answer: &[u8]| self.wire.read_order(request, status, answer);
        Box::pin(self.in_turn(Endpoint::Order, request.order, self.wire.order(request), read))
    }

    fn refund<'a>(&'a self, request: &'a RefundRequest) -> Call<'a> {
        let read = |status, answer: &[u8]| self.wire.read_cancel(request, status, answer);
        Box::pin(self.in_turn(Endpoint::Cancel, request.order, self.wire.cancel(request), read))
    }

    fn caps(&self) -> Caps {
        Caps {
            native_idempotency: false,
            lookup_by_order: false,
            webhook: false,
            expiry_millis: EXPIRY_MILLIS,
            settle_millis: SETTLE_MILLIS,
        }
    }
}

/// A `ready` that was let through: what becomes of it is told to the breaker, also if it is given up.
struct Attempted<'a> {
    breaker: &'a Mutex<Breaker>,
    pass: Pass,
    ended: bool,
}

impl<'a> Attempted<'a> {
    fn admit(breaker: &'a Mutex<Breaker>) -> Option<Self> {
        let pass = locked(breaker).admit(Instant::now())?;
        Some(Self { breaker, pass, ended: false })
    }

    fn ended(mut self, answered: bool) {
        self.ended = true;
        let mut breaker = locked(self.breaker);
        let before = breaker.is_open();
        if answered {
            breaker.succeeded();
        } else {
            breaker.failed(self.pass, Instant::now());
        }
        match (before, breaker.is_open()) {
            (false, true) => tracing::warn!("Kakao Pay does not answer: payments are refused for a while"),
            (true, false) => tracing::info!("Kakao Pay answers again"),
            _ => {}
        }
        metrics::gauge!("son7_gateway_breaker_open").set(if breaker.is_open() { 1.0 } else { 0.0 });
    }
}

impl Drop for Attempted<'_> {
    fn drop(&mut self) {
        if !self.ended {
            locked(self.breaker).given_up(self.pass, Instant::now());
        }
    }
}

/// A breaker is whole after each of its calls: one that a panic left behind is as good as any.
fn locked(breaker: &Mutex<Breaker>) -> MutexGuard<'_, Breaker> {
    breaker.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The answer's body, to its end.
async fn whole(mut response: Response) -> Result<Vec<u8>, CompactString> {
    let mut answer = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(broken)? {
        if answer.len() + chunk.len() > ANSWER_MAX {
            return Err("the answer is too long".into());
        }
        answer.extend_from_slice(&chunk);
    }
    Ok(answer)
}

/// Why there is no answer. Without the address, which is long and says nothing new.
fn broken(error: reqwest::Error) -> CompactString {
    let what = match () {
        () if error.is_connect() && error.is_timeout() => "no connection in time",
        () if error.is_connect() => "no connection",
        () if error.is_timeout() => "no answer in time",
        () => "no whole answer",
    };
    line(&format!("{what}: {}", with_sources(&error.without_url())))
}

fn with_sources(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

fn refused(why: &'static str) -> Answered {
    count(Endpoint::Ready, "not_asked");
    Answered::Refused(why.into())
}

fn count(endpoint: Endpoint, outcome: &'static str) {
    let endpoint = endpoint.as_str();
    metrics::counter!("son7_gateway_calls_total", "endpoint" => endpoint, "outcome" => outcome).increment(1);
}

/// Tells metrics and log of a call; an operator's business is an error, loudly.
fn report(endpoint: Endpoint, order: OrderId, read: &Read, took: Duration) {
    let (outcome, why) = match &read.answered {
        Answered::Begun(_) => ("begun", None),
        Answered::Captured(_) => ("captured", None),
        Answered::Stands(_) => ("stands", None),
        Answered::GaveBack(_) => ("gave_back", None),
        Answered::Refused(why) => ("refused", Some(why)),
        Answered::WrongProof(why) => ("wrong_proof", Some(why)),
        Answered::Unknown(why) => ("unknown", Some(why)),
    };
    count(endpoint, outcome);
    let endpoint = endpoint.as_str();
    metrics::histogram!("son7_gateway_call_seconds", "endpoint" => endpoint).record(took.as_secs_f64());
    let (millis, why) = (took.as_millis(), why.map_or("", CompactString::as_str));
    if let Some(code) = read.alert {
        metrics::counter!("son7_gateway_alerts_total", "code" => code.to_string()).increment(1);
        tracing::error!(endpoint, %order, code, why, "Kakao Pay takes no calls from this shop: key, cid, registration or quota");
    } else if why.is_empty() {
        tracing::debug!(endpoint, %order, outcome, millis, "Kakao Pay answered");
    } else {
        tracing::info!(endpoint, %order, outcome, why, millis, "Kakao Pay answered");
    }
}
