//! What answers while the shop opens: recovery of a long journal takes a while, and whoever
//! watches the process wants to know that it lives and does not sell yet.
//!
//! Must never tell anything about the shop: it is not there.

use super::answer::{Answer, finish};
use super::problem::Problem;
use super::status::Code;
use super::trace::TraceId;
use super::{operations, read};
use crate::metrics::Metrics;
use std::convert::Infallible;
use warp::reply::Response;
use warp::{Filter, any, path};

/// `/healthz` and `/metrics` as always; everything else is [`Code::NotReady`].
pub fn routes(
    metrics: Metrics,
) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone + Send + Sync + 'static {
    let healthz = path!("healthz").and(read()).map(|| Ok(operations::alive()));
    let metrics = path!("metrics").and(read()).map(move || Ok(operations::figures(&metrics)));
    let rest = any().map(|| Err(Problem::new(Code::NotReady, "recovering")));
    healthz.or(metrics).unify().or(rest).unify().map(|answer: Result<Answer, Problem>| finish(TraceId::draw(), answer))
}
