//! Starting, stopping, many at once, and what is never printed.

use crate::wire::{bounded, send};
use crate::*;
use son7shop_payments::sandbox::server::SandboxError;
use std::collections::BTreeSet;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

#[tokio::test]
async fn it_listens_on_this_machine_only_unless_told_otherwise() {
    let everywhere = "0.0.0.0:0".parse().unwrap();
    let own = SandboxSettings::default();
    for settings in [
        SandboxSettings { api: everywhere, ..own.clone() },
        SandboxSettings { pages: everywhere, ..own.clone() },
        SandboxSettings { control: everywhere, ..own.clone() },
        SandboxSettings { api: "[::]:0".parse().unwrap(), ..own.clone() },
    ] {
        let refused = Sandbox::start(settings.clone()).await.unwrap_err();
        assert!(matches!(refused, SandboxError::NotLoopback { .. }), "{refused}");
        assert!(refused.to_string().contains("127.0.0.1"), "{refused}");
    }
    let open = SandboxSettings { api: everywhere, pages: everywhere, allow_remote: true, ..own };
    let refused = Sandbox::start(open.clone()).await.unwrap_err();
    assert!(matches!(refused, SandboxError::NoPagesUrl(_)), "{refused}");
    let pages_url = Some("http://pages.example:1234/".to_owned());
    let town = Town::with(SandboxSettings { pages_url, ..open }).await;
    assert_eq!(town.sandbox.pages_url(), "http://pages.example:1234");
    // The API is reached at its own port, by whatever address.
    let port = town.sandbox.api_url().rsplit_once(':').unwrap().1.to_owned();
    let url = format!("http://127.0.0.1:{port}/online/v1/payment/ready");
    assert_eq!(wire::ask("POST", &url, &[], b"").await.unwrap().status, 401);
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let town = Town::new().await;
    let taken = town.sandbox.pages_url().trim_start_matches("http://").parse().unwrap();
    let refused = Sandbox::start(SandboxSettings { control: taken, ..SandboxSettings::default() }).await.unwrap_err();
    assert!(matches!(refused, SandboxError::Listen { what: "control plane", address, .. } if address == taken));
}

#[tokio::test]
async fn the_three_have_addresses_of_their_own() {
    let town = Town::new().await;
    let all = [town.sandbox.api_url(), town.sandbox.pages_url(), town.sandbox.control_url()];
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 3);
    assert!(all.iter().all(|url| url.starts_with("http://127.0.0.1:")), "{all:?}");
}

#[tokio::test]
async fn a_stop_hangs_up_on_whoever_waits_and_on_nothing_that_was_done() {
    let town = Town::new().await;
    let (prepared, token) = town.authorised("o1").await;
    let (other, other_token) = town.authorised("o2").await;
    town.fault(Place::Approve, Action::DelayBefore { ms: u32::MAX });
    let headers = [
        ("authorization", format!("SECRET_KEY {SANDBOX_SECRET_KEY}")),
        ("content-type", "application/json".to_owned()),
    ];
    let url = format!("{}/online/v1/payment/approve", town.sandbox.api_url());
    let waits =
        send("POST", &url, &headers, Town::approve_body("o1", &prepared.tid, &token).to_string().as_bytes()).await;
    bounded(town.control.until(|machine| machine.waiting() == 1)).await;
    assert_eq!(town.code("approve", Town::approve_body("o2", &other.tid, &other_token)).await, 0);
    let (api, control) = (town.sandbox.api_url(), town.control.clone());
    let authority = api.trim_start_matches("http://").to_owned();
    assert!(bounded(town.sandbox.stop()).await, "all is quiet");
    assert!(bounded(wire::read(waits)).await.is_none(), "closed without an answer");
    assert!(tokio::net::TcpStream::connect(authority).await.is_err(), "nobody listens");
    assert_eq!(control.ledger().payments.iter().map(|line| line.net().0).collect::<Vec<_>>(), [0, 10_000]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_are_each_served_once() {
    let town = Arc::new(Town::new().await);
    let mut journeys = tokio::task::JoinSet::new();
    for at in 0..100 {
        let town = Arc::clone(&town);
        journeys.spawn(async move {
            let order = format!("o{at}");
            let (prepared, token) = town.authorised(&order).await;
            let body = || Town::approve_body(&order, &prepared.tid, &token);
            // Two at once: one captures, and the other one is told that it was done, or is being done.
            let (one, two) = tokio::join!(town.code("approve", body()), town.code("approve", body()));
            assert!(matches!((one, two), (0, -702 | -785) | (-702 | -785, 0)), "{one} {two}");
            prepared.tid
        });
    }
    let tids: BTreeSet<String> = bounded(journeys.join_all()).await.into_iter().collect();
    assert_eq!((tids.len(), town.money()), (100, (1_000_000, 0)));
}

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn nothing_secret_is_logged_or_printed() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone()).finish();
    // One thread runs all of this test: it is heard on this one.
    let _heard = tracing::subscriber::set_default(subscriber);
    let town = Town::new().await;
    let mut body = town.ready_body("o1");
    // Nobody is there: the visit fails, and says so.
    body["approval_url"] = json!("http://127.0.0.1:1/hush-hush");
    let ready = town.call("ready", body).await.unwrap().json();
    let page = ready["next_redirect_pc_url"].as_str().unwrap();
    for action in [Action::Twice, Action::ForgedToken] {
        town.fault(Place::Callback, action);
    }
    town.fault(Place::Approve, Action::DropAfterCommit);
    let token = town.press(page, "press=pay").await.location().split_once("pg_token=").unwrap().1.to_owned();
    let tid = ready["tid"].as_str().unwrap();
    assert!(town.call("approve", Town::approve_body("o1", tid, &token)).await.is_none());
    let settings = SandboxSettings::default();
    let printed = format!("{:?} {:?} {:?} {settings:?}", town.sandbox, town.control, town.control.requests(0, 9));
    let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(logged.contains("the sandbox could not visit the shop"), "{logged}");
    let hash = page.rsplit_once('/').unwrap().1;
    for secret in [token.as_str(), hash, "hush-hush", SANDBOX_SECRET_KEY] {
        assert!(!printed.contains(secret), "{secret} in {printed}");
        assert!(!logged.contains(secret), "{secret} in {logged}");
    }
}
