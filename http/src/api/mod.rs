//! The HTTP API: parse, call the shop, render.
//!
//! [`routes`] lists every route on one screen. `status.rs` is the only file that knows
//! status codes, `problem.rs` the only one that says an error, `wire.rs` what comes in,
//! `json.rs` what goes out.
//!
//! Must never decide anything that the shop decides, never block, never answer 200 with an
//! error in it, and never take a price from a client.

mod answer;
mod call;
mod clock;
mod etag;
mod json;
mod keys;
mod openapi;
pub mod opening;
mod operations;
mod order_events;
mod orders;
mod page;
mod payments;
mod problem;
mod products;
mod return_page;
mod sagas;
mod schema;
mod shown;
mod status;
mod streams;
mod trace;
mod webhooks;
mod wire;

use crate::metrics::Metrics;
use crate::token::Tokens;
use answer::{Answer, finish, with_trace};
use call::Call;
use problem::Problem;
use son7shop_actors::Shop;
use status::Code;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use streams::Streams;
use warp::path::FullPath;
use warp::reply::Response;
use warp::{Filter, Rejection, any, delete, get, path, post, put};

/// What the API stands on.
#[derive(Clone)]
pub struct Api {
    /// The shop.
    pub shop: Shop,
    /// Who is who.
    pub tokens: Tokens,
    /// The process's figures.
    pub metrics: Metrics,
    streams: Arc<Streams>,
}

impl Api {
    /// The API of this shop.
    #[must_use]
    pub fn new(shop: Shop, tokens: Tokens, metrics: Metrics) -> Self {
        Self { shop, tokens, metrics, streams: Arc::default() }
    }
}

/// Every route. The order route is first and passes through nothing that it does not need.
#[rustfmt::skip]
pub fn routes(api: Api) -> impl Filter<Extract = (Response,), Error = Rejection> + Clone + Send + Sync + 'static {
    let call = call(Arc::new(api));

    let place = path!("v1" / "orders").and(post()).and(call.clone())
        .then(|call: Call| async move { finish(call.trace, orders::place(call).await) });

    let orders = path!("v1" / "orders").and(read()).and(query()).and(call.clone()).then(run_on(orders::list))
        .or(path!("v1" / "orders" / String).and(read()).and(call.clone()).then(run_on(orders::show))).unify()
        .or(path!("v1" / "orders" / String / "cancel").and(post()).and(call.clone()).then(run_on(orders::cancel))).unify()
        .or(path!("v1" / "orders" / String / "confirm").and(post()).and(call.clone()).then(run_on(orders::confirm))).unify();

    let payments = path!("v1" / "orders" / String / "payments").and(post()).and(call.clone()).then(run_on(payments::start))
        .or(path!("v1" / "payments" / String / String).and(get()).and(query()).map(all).and(call.clone()).then(run_on(payments::came_back))).unify()
        .or(path!("v1" / "orders" / String / "refunds").and(post()).and(call.clone()).then(run_on(payments::refund))).unify()
        .or(path!("v1" / "orders" / String / "timeline").and(read()).and(call.clone()).then(run_on(payments::timeline))).unify()
        .or(path!("v1" / "orders" / String / "events").and(get()).and(call.clone()).then(stream(order_events::follow))).unify();

    let sagas = path!("v1" / "operations" / "sagas").and(read()).and(query()).and(call.clone()).then(run_on(sagas::list))
        .or(path!("v1" / "operations" / "sagas" / String / String / "retry").and(post()).map(both).and(call.clone()).then(run_on(sagas::retry))).unify()
        .or(path!("v1" / "operations" / "sagas" / String / String / "compensate").and(post()).map(both).and(call.clone()).then(run_on(sagas::compensate))).unify()
        .or(path!("v1" / "operations" / "sagas" / String / String / "resolve").and(post()).map(both).and(call.clone()).then(run_on(sagas::resolve))).unify();

    let products = path!("v1" / "products" / String).and(read()).and(call.clone()).then(run_on(products::show))
        .or(path!("v1" / "products").and(read()).and(query()).and(call.clone()).then(run_on(products::list))).unify()
        .or(path!("v1" / "products").and(post()).and(call.clone()).then(run(products::create))).unify()
        .or(path!("v1" / "products" / String / "stock").and(post()).and(call.clone()).then(run_on(products::adjust_stock))).unify()
        .or(path!("v1" / "products" / String / "sale").and(put()).and(call.clone()).then(run_on(products::set_sale))).unify()
        .or(path!("v1" / "products" / String / "sale").and(delete()).and(call.clone()).then(run_on(products::delete_sale))).unify();

    let webhooks = path!("v1" / "webhooks").and(read()).and(call.clone()).then(run(webhooks::list))
        .or(path!("v1" / "webhooks").and(post()).and(call.clone()).then(run(webhooks::create))).unify()
        .or(path!("v1" / "webhooks" / String).and(read()).and(call.clone()).then(run_on(webhooks::show))).unify()
        .or(path!("v1" / "webhooks" / String).and(put()).and(call.clone()).then(run_on(webhooks::update))).unify()
        .or(path!("v1" / "webhooks" / String).and(delete()).and(call.clone()).then(run_on(webhooks::delete))).unify()
        .or(path!("v1" / "webhooks" / String / "secret").and(post()).and(call.clone()).then(run_on(webhooks::rotate))).unify()
        .or(path!("v1" / "webhooks" / String / "deliveries").and(read()).and(query()).map(both).and(call.clone()).then(run_on(webhooks::deliveries))).unify()
        .or(path!("v1" / "webhooks" / String / "replay").and(post()).and(call.clone()).then(run_on(webhooks::replay))).unify()
        .or(path!("v1" / "webhooks" / String / "test").and(post()).and(call.clone()).then(run_on(webhooks::test))).unify();

    let operations = path!("healthz").and(read()).and(call.clone()).then(run(operations::healthz))
        .or(path!("readyz").and(read()).and(call.clone()).then(run(operations::readyz))).unify()
        .or(path!("metrics").and(read()).and(call.clone()).then(run(operations::metrics))).unify()
        .or(path!("openapi.json").and(read()).and(call.clone()).then(run(operations::openapi))).unify();

    let nowhere = path::full().and(call).then(run_on(nowhere));

    place.or(orders.boxed()).unify().or(payments.boxed()).unify().or(sagas.boxed()).unify().or(products.boxed()).unify().or(webhooks.boxed()).unify().or(operations.boxed()).unify().or(nowhere.boxed()).unify()
}

/// The methods that each path takes, for the `Allow` header.
fn allowed(path: &str) -> Option<&'static str> {
    // One slash at the end makes no difference, as in the filters above.
    let path = path.strip_prefix('/').unwrap_or(path);
    let parts: Vec<&str> = path.strip_suffix('/').unwrap_or(path).split('/').collect();
    match parts.as_slice() {
        parts if parts.contains(&"") => None,
        ["v1", "orders" | "products" | "webhooks"] => Some("GET, HEAD, POST"),
        ["v1", "webhooks", _] => Some("GET, HEAD, PUT, DELETE"),
        ["v1", "orders" | "products", _]
        | ["v1", "orders", _, "timeline"]
        | ["v1", "operations", "sagas"]
        | ["v1", "webhooks", _, "deliveries"]
        | ["healthz" | "readyz" | "metrics" | "openapi.json"] => Some("GET, HEAD"),
        ["v1", "orders", _, "cancel" | "confirm" | "payments" | "refunds"]
        | ["v1", "products", _, "stock"]
        | ["v1", "webhooks", _, "secret" | "replay" | "test"]
        | ["v1", "operations", "sagas", _, _, "retry" | "compensate" | "resolve"] => Some("POST"),
        ["v1", "payments", _, _] | ["v1", "orders", _, "events"] => Some("GET"),
        ["v1", "products", _, "sale"] => Some("PUT, DELETE"),
        _ => None,
    }
}

/// What no route took: 405 where the path is known, 404 where it is not.
async fn nowhere(path: FullPath, _call: Call) -> Result<Answer, Problem> {
    Err(match allowed(path.as_str()) {
        Some(allow) => Problem::method_not_allowed(allow),
        None => Problem::new(Code::NotFound, "there is nothing at this path"),
    })
}

/// Takes the request in; every route's last filter.
fn call(api: Arc<Api>) -> impl Filter<Extract = (Call,), Error = Rejection> + Clone {
    warp::header::headers_cloned().and(warp::body::stream()).then(move |headers, body| {
        let api = Arc::clone(&api);
        Call::read(api, headers, body)
    })
}

fn read() -> impl Filter<Extract = (), Error = Rejection> + Clone {
    warp::get().or(warp::head()).unify()
}

/// The query as it was sent; empty for none.
fn query() -> impl Filter<Extract = (String,), Error = Infallible> + Clone {
    warp::query::raw().or(any().map(String::new)).unify()
}

/// Two parts of the path, and the query.
fn all(one: String, other: String, query: String) -> (String, String, String) {
    (one, other, query)
}

/// Two parts of the path; or one, and the query.
fn both(part: String, query: String) -> (String, String) {
    (part, query)
}

/// A handler's answer, once it comes.
type Answering = Pin<Box<dyn Future<Output = Response> + Send>>;

/// A handler that answers with a stream.
fn stream<F>(handler: impl Fn(String, Call) -> F + Clone) -> impl Fn(String, Call) -> Answering + Clone
where
    F: Future<Output = Result<Response, Problem>> + Send + 'static,
{
    move |part, call| {
        let (trace, answer) = (call.trace, handler(part, call));
        Box::pin(async move {
            match answer.await {
                Ok(response) => with_trace(trace, response),
                Err(problem) => finish(trace, Err(problem)),
            }
        })
    }
}

fn run<F>(handler: impl Fn(Call) -> F + Clone) -> impl Fn(Call) -> Answering + Clone
where
    F: Future<Output = Result<Answer, Problem>> + Send + 'static,
{
    move |call| {
        let (trace, answer) = (call.trace, handler(call));
        Box::pin(async move { finish(trace, answer.await) })
    }
}

fn run_on<T, F>(handler: impl Fn(T, Call) -> F + Clone) -> impl Fn(T, Call) -> Answering + Clone
where
    F: Future<Output = Result<Answer, Problem>> + Send + 'static,
{
    move |part, call| {
        let (trace, answer) = (call.trace, handler(part, call));
        Box::pin(async move { finish(trace, answer.await) })
    }
}
