//! Browsers that are led astray, over real sockets: what the sandbox itself visits.

use crate::wire::bounded;
use crate::*;
use son7shop_payments::sandbox::machine::{LIFE_MS, Means, Whose};
use son7shop_payments::sandbox::server::Browser;

async fn paying(actions: &[Action]) -> (Town, Prepared, Answer) {
    let town = Town::new().await;
    let prepared = town.prepare("o1").await;
    for action in actions {
        town.fault(Place::Callback, action.clone());
    }
    let answer = town.press(&prepared.page, "press=pay").await;
    (town, prepared, answer)
}

/// The path of an address of the shop.
fn path<'a>(town: &Town, address: &'a str) -> &'a str {
    address.strip_prefix(&town.shop.url).unwrap()
}

#[tokio::test]
async fn twice_is_once_by_the_sandbox_before_the_browser() {
    let (town, _, answer) = paying(&[Action::Twice]).await;
    assert_eq!(town.shop.paths(), [path(&town, answer.location())], "answered before the browser was sent");
}

#[tokio::test]
async fn at_once_is_by_the_sandbox_while_the_browser_goes() {
    let town = Town::new().await;
    let prepared = town.prepare("o1").await;
    town.fault(Place::Callback, Action::Concurrent);
    // The shop answers nobody: the browser is sent all the same.
    town.shop.hold();
    let answer = town.press(&prepared.page, "press=pay").await;
    assert_eq!(answer.status, 302);
    assert_eq!(town.shop.arrived(1).await, [path(&town, answer.location())]);
    town.shop.answer();
    assert_eq!(town.shop.waited(1).await, [true], "the browser was sent before the other one had lost patience");
}

#[tokio::test]
async fn who_forges_arrives_before_the_browser() {
    let (town, prepared, answer) = paying(&[Action::ForgedToken, Action::ForgedCancel]).await;
    let paths = town.shop.paths();
    assert_eq!(paths.len(), 2, "{paths:?}");
    let forged = paths[0].strip_prefix("/ok/o1?pg_token=").unwrap();
    assert_eq!(forged.len(), 20);
    assert_eq!(paths[1], "/cancel/o1");
    assert_eq!(town.code("approve", Town::approve_body("o1", &prepared.tid, forged)).await, -708);
    let token = answer.location().split_once("pg_token=").unwrap().1;
    assert_eq!(town.code("approve", Town::approve_body("o1", &prepared.tid, token)).await, 0);
}

#[tokio::test]
async fn who_is_lost_stays_at_the_page() {
    let (town, prepared, answer) = paying(&[Action::Lost]).await;
    assert_eq!((answer.status, answer.header("location")), (200, None));
    assert!(answer.text().contains("The browser does not go back"));
    assert_eq!(town.control.payment(&prepared.tid).unwrap().status.as_str(), "AUTH_PASSWORD");
    assert!(town.shop.paths().is_empty());
}

#[tokio::test]
async fn who_is_late_arrives_when_the_time_is_over() {
    let (town, prepared, answer) = paying(&[Action::AfterExpiry, Action::Twice]).await;
    assert_eq!((answer.status, answer.header("location")), (200, None));
    // Somebody else comes and goes meanwhile: who were not late would be there by then.
    let other = town.prepare("o2").await;
    town.fault(Place::Callback, Action::Twice);
    town.press(&other.page, "press=quit").await;
    assert_eq!(town.shop.paths(), ["/cancel/o2"]);
    town.control.advance(LIFE_MS);
    let paths = town.shop.arrived(3).await.split_off(1);
    let token = paths[0].strip_prefix("/ok/o1?pg_token=").unwrap();
    assert_eq!(paths[0], paths[1]);
    assert_eq!(town.code("approve", Town::approve_body("o1", &prepared.tid, token)).await, -723);
}

#[tokio::test]
async fn whose_order_was_swapped_arrives_at_the_other() {
    let town = Town::new().await;
    town.prepare("o2").await;
    let prepared = town.prepare("o1").await;
    town.fault(Place::Callback, Action::SwappedOrder);
    let answer = town.press(&prepared.page, "press=pay").await;
    assert!(path(&town, answer.location()).starts_with("/ok/o2?pg_token="));
}

#[tokio::test]
async fn the_sandbox_plays_the_browser_where_it_is_asked_to_and_follows_no_redirect() {
    let town = Town::new().await;
    let prepared = town.prepare("o1").await;
    let sent = bounded(town.control.pay(Whose::Tid(&prepared.tid), Means::Card, Browser::Followed)).await.unwrap();
    assert_eq!(sent.answered, Some(302));
    assert_eq!(town.shop.paths(), [path(&town, sent.location.unwrap().as_str())], "not /followed");
    let prepared = town.prepare("o2").await;
    let sent = bounded(town.control.quit(Whose::Tid(&prepared.tid), Browser::Told)).await.unwrap();
    assert_eq!((sent.answered, town.shop.paths().len()), (None, 1));
    assert_eq!(path(&town, sent.location.unwrap().as_str()), "/cancel/o2");
}

#[tokio::test]
async fn a_shop_that_cannot_be_visited_is_no_error_of_the_shopper() {
    let town = Town::new().await;
    let gone = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}/ok", listener.local_addr().unwrap())
    };
    // Nobody listens; another machine; not ours to speak.
    for address in [gone.as_str(), "http://192.0.2.1/ok", "https://127.0.0.1/ok"] {
        let mut body = town.ready_body("o1");
        body["approval_url"] = json!(address);
        let tid = town.call("ready", body).await.unwrap().json()["tid"].as_str().unwrap().to_owned();
        let sent = bounded(town.control.pay(Whose::Tid(&tid), Means::Card, Browser::Followed)).await.unwrap();
        assert_eq!(sent.answered, None, "{address}");
        assert!(sent.location.unwrap().as_str().starts_with(address));
    }
}
