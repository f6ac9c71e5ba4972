//! The cases of the contract.
#![allow(unreachable_pub, reason = "a module of a test program")]

mod applying;
mod paying;
mod reading;
mod schema;

use crate::store_support::Place;
use futures_util::future::BoxFuture;
use son7shop_persistence::store::{self, Store};
use std::sync::Arc;

/// What a case gets: an empty database.
pub struct Case {
    pub url: String,
    pub store: Arc<dyn Store>,
}

type Check = fn(Case) -> BoxFuture<'static, ()>;

/// Every case by its name; a new one is a line.
const CASES: &[(&str, Check)] = &[
    ("an empty database shows nothing", |c| Box::pin(reading::empty(c))),
    ("pages go from new to old and miss nothing", |c| Box::pin(reading::pages(c))),
    ("an audit stops when it is told to", |c| Box::pin(reading::audit_stops(c))),
    ("a replay and the database agree", |c| Box::pin(applying::converges(c))),
    ("partitions do not disturb each other", |c| Box::pin(applying::side_by_side(c))),
    ("a batch that is there already is not applied again", |c| Box::pin(applying::repeated(c))),
    ("a batch out of place changes nothing", |c| Box::pin(applying::out_of_place(c))),
    ("another journal is refused", |c| Box::pin(applying::foreign(c))),
    ("a call given up in the middle leaves all or nothing", |c| Box::pin(applying::given_up(c))),
    ("rows that somebody changed stop the batch", |c| Box::pin(applying::diverged(c))),
    ("a basket shows when it is placed, and a refused one never", |c| Box::pin(applying::baskets(c))),
    ("payments and refunds show as the replay has them", |c| Box::pin(paying::replayed(c))),
    ("however events are cut into batches, the tables are the same", |c| Box::pin(paying::cut_anyhow(c))),
    ("nothing secret is in any table", |c| Box::pin(paying::nothing_secret(c))),
    ("every attempt that a gateway knows is found by pages", |c| Box::pin(paying::references(c))),
    ("a payment that somebody deleted stops the batch", |c| Box::pin(paying::diverged(c))),
    ("the timeline tells who did what about paying", |c| Box::pin(paying::told(c))),
    ("the largest values fit", |c| Box::pin(schema::largest(c))),
    ("the largest payment fits, and longer texts are cut", |c| Box::pin(schema::largest_payment(c))),
    ("tables of the version before are brought up", |c| Box::pin(schema::brought_up(c))),
    ("columns are as wide as the API's limits", |c| Box::pin(schema::widths(c))),
    ("tables of a newer version are refused", |c| Box::pin(schema::newer(c))),
    ("tables of another build are refused", |c| Box::pin(schema::altered(c))),
    ("a migration that was cut short is run again", |c| Box::pin(schema::cut_short(c))),
    ("opening again keeps what is there", |c| Box::pin(schema::reopened(c))),
];

/// Runs all cases, or those whose name has `SON7_CASE` in it.
pub async fn run(place: &Place) {
    let only = std::env::var("SON7_CASE").unwrap_or_default();
    for (name, check) in CASES.iter().filter(|(name, _)| name.contains(&only)) {
        println!("case: {name}");
        let url = place.new_url();
        let store = store::connect(&url).await.unwrap();
        check(Case { url, store: store.clone() }).await;
        store.close().await;
    }
}
