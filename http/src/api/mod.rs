//! STAND-IN until the branch `api` is merged.

use crate::{metrics::Metrics, token::Tokens};
use son7shop_actors::Shop;
use std::convert::Infallible;
use warp::Filter;
use warp::reply::{Reply as _, Response};

/// What the API stands on.
#[derive(Clone)]
pub struct Api {
    /// The shop.
    pub shop: Shop,
    /// Who is who.
    pub tokens: Tokens,
    /// The process's figures.
    pub metrics: Metrics,
}

/// No route yet.
pub fn routes(api: Api) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone + Send + Sync + 'static {
    warp::any().map(move || api.metrics.render().into_response())
}
