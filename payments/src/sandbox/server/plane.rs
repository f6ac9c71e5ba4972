//! The control plane over HTTP, in JSON.
//!
//! | what | how |
//! |---|---|
//! | whether it is there, and where the rest is | `GET /ready` |
//! | payments | `GET /payments?from=0&count=100`, `GET /payments/{tid}` |
//! | the shopper | `POST /payments/{tid}/open`, `choose`, `pay`, `wrong_password`, `quit`, with `{"means": "CARD", "follow": false}` |
//! | faults | `GET /faults`, `POST /faults`, `DELETE /faults`, `DELETE /faults/{id}` |
//! | the clock | `GET /clock`, `PUT /clock` with `{"now": ms}`, `POST /clock/advance` with `{"ms": 1000}` |
//! | money | `GET /ledger`, `GET /ledger/check` |
//! | calls | `GET /requests?after=0&count=100` |
//!
//! Whoever reaches it may do everything, so a browser may not: what has an `Origin`, or asks for
//! another host, is refused. Answers hold secrets of the sandbox's own payments.

use super::control::{Browser, Control, Sent};
use super::listen::{Asked, Sending};
use super::shared::Shared;
use crate::sandbox::machine::{Act, Means, Rule, Stuck, Whose};
use http::header::{CONTENT_TYPE, HOST, ORIGIN};
use http::{HeaderValue, Method, Response, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use son7shop_engine::Time;
use std::net::SocketAddr;
use std::sync::Arc;

/// What a list has at most, where nothing is said.
const COUNT: usize = 1_000;

/// What the plane says of itself.
#[derive(Debug, Serialize)]
pub(super) struct About {
    pub(super) api_url: String,
    pub(super) pages_url: String,
}

/// What is asked of a shopper.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Press {
    /// What to pay with; a card unless said otherwise.
    means: Option<Means>,
    /// Whether the sandbox plays the browser.
    #[serde(default)]
    follow: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    ms: i64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SetClock {
    now: Time,
}

/// Why nothing was done.
struct No(StatusCode, String);

type Told = Result<Value, No>;

pub(super) async fn answer(
    shared: &Arc<Shared>,
    about: &About,
    own_host: Option<SocketAddr>,
    asked: &Asked,
) -> Response<Sending> {
    let told = if comes_from_a_browser(asked, own_host) {
        Err(No(StatusCode::FORBIDDEN, "the control plane is not for browsers".to_owned()))
    } else {
        route(&Control::new(Arc::clone(shared)), about, asked).await
    };
    let told = told.map(|body| (StatusCode::OK, body));
    let (status, body) = told.unwrap_or_else(|No(status, why)| (status, json!({ "error": why })));
    let mut response = Response::new(Sending::whole(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A page somewhere must not steer it through the browser of whoever develops here.
fn comes_from_a_browser(asked: &Asked, own_host: Option<SocketAddr>) -> bool {
    let headers = &asked.head.headers;
    let is_other_host = own_host.is_some_and(|own| {
        let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        host != own.to_string() && host != format!("localhost:{}", own.port())
    });
    headers.contains_key(ORIGIN) || is_other_host
}

async fn route(control: &Control, about: &About, asked: &Asked) -> Told {
    let path: Vec<&str> = asked.head.uri.path().split('/').skip(1).collect();
    match (&asked.head.method, path.as_slice()) {
        (&Method::GET, ["ready"]) => Ok(json!(about)),
        (&Method::GET, ["payments"]) => {
            let (from, count) = (number(asked, "from", 0)?, number(asked, "count", COUNT)?);
            Ok(json!({ "payments": control.payments(from, count) }))
        }
        (&Method::GET, ["payments", tid]) => {
            control.payment(tid).map_or(Err(stuck(Stuck::NoSuchPage)), |shown| Ok(json!(shown)))
        }
        (&Method::POST, ["payments", tid, act]) => press(control, tid, act, asked).await,
        (&Method::GET, ["faults"]) => Ok(json!({ "faults": control.faults() })),
        (&Method::POST, ["faults"]) => {
            let id = control.add_fault(read::<Rule>(asked)?).map_err(|why| bad(why.to_string()))?;
            Ok(json!({ "id": id }))
        }
        (&Method::DELETE, ["faults"]) => {
            control.clear_faults();
            Ok(json!({}))
        }
        (&Method::DELETE, ["faults", id]) => {
            let removed = id.parse().is_ok_and(|id| control.remove_fault(id));
            if removed { Ok(json!({})) } else { Err(No(StatusCode::NOT_FOUND, "there is no such fault".to_owned())) }
        }
        (&Method::GET, ["clock"]) => Ok(clock(control)),
        (&Method::PUT, ["clock"]) => {
            control.set_now(read::<SetClock>(asked)?.now);
            Ok(clock(control))
        }
        (&Method::POST, ["clock", "advance"]) => {
            control.advance(read::<Advance>(asked)?.ms);
            Ok(clock(control))
        }
        (&Method::GET, ["ledger"]) => Ok(json!(control.ledger())),
        (&Method::GET, ["ledger", "check"]) => {
            let breaches = control.ledger().check();
            let told: Vec<Value> =
                breaches.iter().map(|breach| json!({ "breach": breach, "says": breach.to_string() })).collect();
            Ok(json!({ "good": told.is_empty(), "breaches": told }))
        }
        (&Method::GET, ["requests"]) => {
            let (after, count) = (number(asked, "after", 0)?, number(asked, "count", COUNT)?);
            let entries: Vec<Value> =
                control.requests(after as u64, count).iter().map(crate::sandbox::machine::Entry::to_json).collect();
            Ok(json!({ "requests": entries }))
        }
        _ => Err(No(StatusCode::NOT_FOUND, "there is no such verb".to_owned())),
    }
}

async fn press(control: &Control, tid: &str, act: &str, asked: &Asked) -> Told {
    let press: Press =
        if asked.body.as_ref().is_some_and(bytes::Bytes::is_empty) { Press::default() } else { read(asked)? };
    let (means, whose) = (press.means.unwrap_or(Means::Card), Whose::Tid(tid));
    let browser = if press.follow { Browser::Followed } else { Browser::Told };
    let sent: Result<Sent, Stuck> = match act {
        "open" => control.act(whose, Act::Open, browser).await,
        "choose" => control.act(whose, Act::Choose { means }, browser).await,
        "pay" => control.pay(whose, means, browser).await,
        "wrong_password" => control.mistype(whose, means, browser).await,
        "quit" => control.quit(whose, browser).await,
        _ => return Err(No(StatusCode::NOT_FOUND, "a shopper cannot do that".to_owned())),
    };
    sent.map_err(stuck).map(|sent| json!(sent))
}

fn clock(control: &Control) -> Value {
    json!({ "now": control.now(), "offset": control.offset() })
}

fn bad(why: String) -> No {
    No(StatusCode::BAD_REQUEST, why)
}

fn stuck(why: Stuck) -> No {
    let status = if why == Stuck::NoSuchPage { StatusCode::NOT_FOUND } else { StatusCode::CONFLICT };
    No(status, why.to_string())
}

fn read<T: for<'a> Deserialize<'a>>(asked: &Asked) -> Result<T, No> {
    let body = asked.body.as_deref().ok_or_else(|| bad("the body is too long".to_owned()))?;
    serde_json::from_slice(body).map_err(|why| bad(why.to_string()))
}

/// A number in the query.
fn number(asked: &Asked, name: &str, otherwise: usize) -> Result<usize, No> {
    let query = asked.head.uri.query().unwrap_or_default();
    let pair = query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name);
    pair.map_or(Ok(otherwise), |(_, value)| value.parse().map_err(|_| bad(format!("'{name}' is no number"))))
}
