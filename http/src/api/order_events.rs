//! An order's timeline as a live stream of server-sent events.
//!
//! Each entry is one event: `id` its number, `event` what happened, `data` the entry. A reader that
//! comes again with `Last-Event-ID` gets what it has not had. Between events a comment keeps the
//! connection. Must never outlive the reader's token or the shop's serving, and costs an order that nobody
//! watches nothing.

use super::call::Call;
use super::orders::order_id;
use super::problem::Problem;
use super::shown;
use super::streams::Place;
use futures_util::stream::{self, Stream};
use son7shop_actors::{Readiness, Shop, ShopError};
use son7shop_engine::{Entry, OrderId, OrderView, Requester, Timeline};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;
use warp::Reply as _;
use warp::reply::Response;
use warp::sse::Event;

/// How often a silent stream is given a comment.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How often a silent stream looks whether the shop still serves.
const LOOK: Duration = Duration::from_secs(1);

/// An order's timeline, live: what happened so far, then what happens.
///
/// `Last-Event-ID`: the number of the last entry that the reader has; one that the order has not reached
/// begins with the first entry. The stream ends with the reader's token, and when the shop stops. The shop
/// has at most 1,024 streams open, 16 for each customer; one more is 503 `too_many_streams`.
#[utoipa::path(
    get, path = "/v1/orders/{id}/events", tag = "payments", operation_id = "follow_order",
    params(("id" = uuid::Uuid, Path, description = "The order's id"),
        ("Last-Event-ID" = Option<u32>, Header, description = "The last entry that the reader has")),
    responses((status = 200, description = "Server-sent events", content_type = "text/event-stream", body = super::schema::OrderEvent)),
    security(("bearer" = []))
)]
pub(super) async fn follow(id: String, call: Call) -> Result<Response, Problem> {
    let identity = call.identity()?;
    let until = UNIX_EPOCH.checked_add(Duration::from_secs(identity.exp));
    let by = identity.into_requester();
    let order = order_id(&id)?;
    let had = call.last_event_id()?;
    let place = call.api.streams.place(call.whose()?)?;
    let shop = call.api.shop.clone();
    let changes = shop.watch_order(order).await?;
    let told = shop.timeline(order, by.clone()).await?;
    // A number that no event had: an error would end a browser's stream for good.
    let last = told.numbered().last().map_or(0, |(number, _)| number);
    let had = if had > last { 0 } else { had };
    let (changes, ready, beat) = (Some(changes), VecDeque::new(), Instant::now());
    let mut following = Following { shop, order, by, had, changes, ready, beat, until, _place: place };
    following.take(&told);
    let mut response = warp::sse::reply(events(following)).into_response();
    let headers = response.headers_mut();
    headers.insert("x-accel-buffering", http::HeaderValue::from_static("no"));
    headers.insert(http::header::CACHE_CONTROL, http::HeaderValue::from_static("no-store"));
    Ok(response)
}

struct Following {
    shop: Shop,
    order: OrderId,
    by: Requester,
    /// Entries that the reader has.
    had: u32,
    changes: Option<watch::Receiver<Option<OrderView>>>,
    ready: VecDeque<(u32, Entry)>,
    beat: Instant,
    /// When the reader's token is over; `None`: not in any time that there is.
    until: Option<SystemTime>,
    _place: Place,
}

impl Following {
    fn take(&mut self, timeline: &Timeline) {
        let had = self.had;
        let new = timeline.numbered().filter(|(number, _)| *number > had);
        self.ready.extend(new.map(|(number, entry)| (number, entry.clone())));
        self.had = self.ready.back().map_or(self.had, |(number, _)| *number);
    }

    /// The next event; `None`: the stream ends.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if self.look().is_zero() {
                return None;
            }
            if let Some((number, entry)) = self.ready.pop_front() {
                self.beat = Instant::now();
                let data = shown::entry(number, &entry).to_string();
                return Some(Event::default().id(number.to_string()).event(entry.what.as_str()).data(data));
            }
            if self.shop.readiness() == Readiness::Draining {
                return None;
            }
            if self.beat.elapsed() >= HEARTBEAT {
                self.beat = Instant::now();
                return Some(Event::default().comment("still here"));
            }
            self.wait().await?;
        }
    }

    /// How long to wait for a change: not beyond the token's end.
    fn look(&self) -> Duration {
        let left = self.until.map(|until| until.duration_since(SystemTime::now()).unwrap_or_default());
        left.unwrap_or(LOOK).min(LOOK)
    }

    /// Waits for a change, at most for a while; `None`: there is nothing to follow any more.
    async fn wait(&mut self) -> Option<()> {
        let look = self.look();
        let changed = if let Some(changes) = &mut self.changes {
            tokio::time::timeout(look, changes.changed()).await
        } else {
            tokio::time::sleep(look).await;
            self.changes = self.shop.watch_order(self.order).await.ok();
            // What happened in between is read now.
            Ok(Ok(()))
        };
        match changed {
            Err(_) => return Some(()),
            // Its owner ended; the next one is asked.
            Ok(Err(_)) => self.changes = None,
            Ok(Ok(())) => {}
        }
        match self.shop.timeline(self.order, self.by.clone()).await {
            Ok(timeline) => self.take(&timeline),
            Err(ShopError::Refused(_)) => return None,
            Err(_) => self.changes = None,
        }
        Some(())
    }
}

fn events(following: Following) -> impl Stream<Item = Result<Event, Infallible>> + Send {
    stream::unfold(following, |mut following| async move {
        let event = following.next().await?;
        Some((Ok(event), following))
    })
}
