//! The Kakao Pay client on real sockets, against a server that fails in every way a server can: each ends in
//! an answer, nothing is asked twice, nothing that hangs holds up what money hangs on.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use kakaopay_common::toy::{Act, Toy, http};
use kakaopay_common::{AMOUNT, CID, KEY, ORDER, TID, begin, capture, customer, look_up, refund};
use serde_json::json;
use son7shop_engine::payment::{Answered, Standing};
use son7shop_payments::gateway::PaymentGateway;
use son7shop_payments::kakaopay::wire::{Wire, partner_user_id};
use son7shop_payments::kakaopay::{KakaoPay, Key, Profile, Settings};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

mod kakaopay_common;

/// Long enough never to be reached by an answer that comes.
const LONG: Duration = Duration::from_mins(1);

fn settings(base: &str) -> Settings {
    let mut settings = Settings::new(base, Key::new(KEY), CID, Profile::Test);
    settings.read_timeout = LONG;
    settings
}

fn client(base: &str) -> KakaoPay {
    KakaoPay::new(&settings(base)).unwrap()
}

/// One that soon gives up waiting.
fn impatient(base: &str) -> KakaoPay {
    let mut settings = settings(base);
    settings.connect_timeout = Duration::from_secs(1);
    settings.read_timeout = Duration::from_millis(100);
    KakaoPay::new(&settings).unwrap()
}

fn begun() -> Vec<u8> {
    let page = "http://127.0.0.1:1/bridge/pc/pg/one-time/payment/5ec7e7";
    let body = json!({"tid": TID, "next_redirect_pc_url": page, "next_redirect_mobile_url": page,
        "next_redirect_app_url": page, "created_at": "2024-05-09T14:57:00"});
    http(200, &body.to_string())
}

fn captured() -> Vec<u8> {
    let body = json!({"aid": "A1", "tid": TID, "cid": CID, "partner_order_id": ORDER,
        "partner_user_id": partner_user_id(&customer()), "amount": {"total": AMOUNT}});
    http(200, &body.to_string())
}

fn stands() -> Vec<u8> {
    http(200, &json!({"tid": TID, "status": "OPEN_PAYMENT"}).to_string())
}

fn gave_back() -> Vec<u8> {
    let body = json!({"aid": "A2", "tid": TID, "cid": CID, "partner_order_id": ORDER,
        "partner_user_id": partner_user_id(&customer()), "approved_cancel_amount": {"total": 1_100}});
    http(200, &body.to_string())
}

fn all_well(endpoint: &str) -> Act {
    Act::Say(match endpoint {
        "ready" => begun(),
        "approve" => captured(),
        "order" => stands(),
        _ => gave_back(),
    })
}

async fn each_call(client: &KakaoPay) -> [Answered; 4] {
    [
        PaymentGateway::begin(client, &begin()).await,
        client.capture(&capture()).await,
        client.look_up(&look_up()).await,
        client.refund(&refund()).await,
    ]
}

#[track_caller]
fn unknown(answered: &Answered, words: &str) {
    assert!(matches!(answered, Answered::Unknown(text) if text.contains(words)), "{answered:?}, not {words}");
}

#[tokio::test]
async fn each_call_is_one_post_with_the_key_and_the_body_of_its_table() {
    let toy = Toy::start(all_well).await;
    let answers = each_call(&client(&toy.base)).await;
    assert!(matches!(answers[0], Answered::Begun(_)), "{answers:?}");
    assert!(matches!(&answers[1], Answered::Captured(captured) if captured.amount.0 == AMOUNT), "{answers:?}");
    assert_eq!(answers[2], Answered::Stands(Standing::Pending));
    assert!(matches!(&answers[3], Answered::GaveBack(back) if back.amount.0 == 1_100), "{answers:?}");

    let wire = Wire::new(CID, true, Key::new(KEY));
    let bodies = [wire.ready(&begin()), wire.approve(&capture()), wire.order(&look_up()), wire.cancel(&refund())];
    let requests = toy.requests();
    assert_eq!(requests.len(), 4);
    for ((request, body), endpoint) in requests.iter().zip(bodies).zip(["ready", "approve", "order", "cancel"]) {
        let line = format!("POST /online/v1/payment/{endpoint} HTTP/1.1\r\n");
        assert!(request.head.starts_with(&line), "{}", request.head);
        for header in [format!("authorization: SECRET_KEY {KEY}"), "content-type: application/json".to_owned()] {
            assert_eq!(request.head.matches(&header).count(), 1, "{}", request.head);
        }
        assert_eq!(request.body, body.unwrap(), "{endpoint}");
    }
}

/// What fails, and the words in which it is told.
#[tokio::test]
async fn whatever_fails_is_unknown_and_is_not_asked_again() {
    let whole = String::from_utf8(captured()).unwrap();
    let half = whole.as_bytes()[..whole.len() - 20].to_vec();
    let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    let chunk = [b"10000\r\n".to_vec(), vec![b' '; 0x10000], b"\r\n".to_vec()].concat();
    let cut_chunk = [chunked.clone(), b"ff\r\n{\"tid\"".to_vec()].concat();
    let closed = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"tid\":".to_vec();
    let cases = [
        ("closed without a byte", Act::Close, "no whole answer"),
        ("closed in the head", Act::SayAndClose(b"HTTP/1.1 200 O".to_vec()), "no whole answer"),
        ("closed in the body", Act::SayAndClose(half), "no whole answer"),
        ("closed in a chunk", Act::SayAndClose(cut_chunk), "no whole answer"),
        ("cut where the end is the end", Act::SayAndClose(closed), "no JSON"),
        ("no HTTP", Act::SayAndClose(b"SSH-2.0-OpenSSH\r\n".to_vec()), "no whole answer"),
        ("no JSON", Act::Say(http(200, "<html>")), "no JSON"),
        ("no end", Act::SayForEver(chunked, chunk), "too long"),
        ("too long", Act::Say(http(200, &" ".repeat(256 * 1024 + 1))), "too long"),
        ("moved", Act::Say(http(302, "")), "HTTP 302"),
        ("broken", Act::Say(http(500, "")), "HTTP 500"),
        ("away", Act::Say(http(503, "{\"error_code\":-503}")), "-503"),
    ];
    for (case, act, words) in cases {
        let toy = Toy::always(act).await;
        for answered in each_call(&client(&toy.base)).await {
            assert!(matches!(&answered, Answered::Unknown(text) if text.contains(words)), "{case}: {answered:?}");
        }
        assert_eq!(toy.requests().len(), 4, "{case}: one request a call");
    }
}

#[tokio::test]
async fn an_answer_that_does_not_come_in_time_is_unknown() {
    let never = Act::Gate(Arc::default(), Vec::new());
    let dribble = Act::SayForEver(b"HTTP/1.1 200 OK\r\n".to_vec(), b"x: y\r\n".repeat(1_000));
    let half = [b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{".to_vec()].concat();
    for (case, act) in [("nothing", never), ("half of it", Act::Say(half))] {
        let toy = Toy::always(act).await;
        let client = impatient(&toy.base);
        let (begin, capture, look_up, refund) = (begin(), capture(), look_up(), refund());
        let answers = async {
            tokio::join!(
                PaymentGateway::begin(&client, &begin),
                client.capture(&capture),
                client.look_up(&look_up),
                client.refund(&refund),
            )
        };
        let answers = tokio::time::timeout(LONG, answers).await.expect("it waits for ever");
        for answered in [answers.0, answers.1, answers.2, answers.3] {
            assert!(
                matches!(&answered, Answered::Unknown(t) if t.contains("no answer in time")),
                "{case}: {answered:?}"
            );
        }
        assert_eq!(toy.requests().len(), 4, "{case}: one request a call");
    }
    let toy = Toy::always(dribble).await;
    assert!(matches!(client(&toy.base).capture(&capture()).await, Answered::Unknown(_)), "headers without end");
}

#[tokio::test]
async fn where_nobody_listens_is_no_connection() {
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    for answered in each_call(&client(&base)).await {
        unknown(&answered, "no connection");
    }
}

#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_is_replaced() {
    let toy = Toy::start(|endpoint| match all_well(endpoint) {
        Act::Say(bytes) => Act::SayAndClose(bytes),
        other => other,
    });
    let toy = toy.await;
    let client = client(&toy.base);
    for _ in 0..20 {
        let answered = client.look_up(&look_up()).await;
        // It may be sent just as the server closes; never is it sent twice.
        assert!(matches!(answered, Answered::Stands(_) | Answered::Unknown(_)), "{answered:?}");
    }
    assert!(toy.requests().len() <= 20);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let other = Toy::start(all_well).await;
    for status in [301, 302, 303, 307, 308] {
        let answer = format!("HTTP/1.1 {status} Moved\r\nlocation: {}/order\r\ncontent-length: 0\r\n\r\n", other.base);
        let toy = Toy::always(Act::Say(answer.into_bytes())).await;
        for answered in each_call(&client(&toy.base)).await {
            unknown(&answered, &format!("HTTP {status}"));
        }
    }
    assert!(other.requests().is_empty(), "the key went elsewhere");
}

#[tokio::test]
async fn over_https_nothing_goes_out_before_the_server_has_proved_itself() {
    let toy = Toy::start(all_well).await;
    let mut settings = settings(&toy.base.replace("http:", "https:"));
    settings.connect_timeout = Duration::from_millis(200);
    match KakaoPay::new(&settings) {
        Ok(client) => unknown(&client.capture(&capture()).await, "no connection"),
        Err(error) => println!("NOT RUN: https: {error}"),
    }
    assert!(toy.requests().is_empty(), "{:?}", toy.requests());
}

#[tokio::test]
async fn after_failures_in_a_row_begins_are_refused_at_once_and_nothing_else_is() {
    let toy = Toy::always(Act::Say(http(500, ""))).await;
    let mut settings = settings(&toy.base);
    (settings.failures_max, settings.pause) = (2, LONG);
    let client = KakaoPay::new(&settings).unwrap();
    for _ in 0..2 {
        unknown(&PaymentGateway::begin(&client, &begin()).await, "HTTP 500");
    }
    let refused = PaymentGateway::begin(&client, &begin()).await;
    assert_eq!(refused, Answered::Refused("the gateway is not answering".into()));
    assert_eq!(toy.requests().len(), 2, "the third was not sent");
    for _ in 0..5 {
        unknown(&client.capture(&capture()).await, "HTTP 500");
        unknown(&client.look_up(&look_up()).await, "HTTP 500");
        unknown(&client.refund(&refund()).await, "HTTP 500");
    }
    assert_eq!(toy.requests().len(), 17);
}

#[tokio::test]
async fn a_begin_that_succeeds_ends_the_refusals() {
    let well = Arc::new(AtomicBool::new(false));
    let is_well = Arc::clone(&well);
    let answer = move |endpoint: &str| {
        let well = is_well.load(Ordering::SeqCst);
        if well { all_well(endpoint) } else { Act::Say(http(503, "")) }
    };
    let toy = Toy::start(answer).await;
    let mut settings = settings(&toy.base);
    (settings.failures_max, settings.pause) = (1, Duration::ZERO);
    let client = KakaoPay::new(&settings).unwrap();
    unknown(&PaymentGateway::begin(&client, &begin()).await, "HTTP 503");
    unknown(&PaymentGateway::begin(&client, &begin()).await, "HTTP 503");
    well.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        let answered = PaymentGateway::begin(&client, &begin()).await;
        assert!(matches!(answered, Answered::Begun(_)), "{answered:?}");
    }
}

#[tokio::test]
async fn a_refusal_by_kakao_pay_is_an_answer_and_opens_nothing() {
    let toy = Toy::always(Act::Say(http(400, "{\"error_code\":-722,\"error_message\":\"no\"}"))).await;
    let mut settings = settings(&toy.base);
    (settings.failures_max, settings.pause) = (1, LONG);
    let client = KakaoPay::new(&settings).unwrap();
    for _ in 0..3 {
        assert_eq!(PaymentGateway::begin(&client, &begin()).await, Answered::Refused("-722 no".into()));
    }
    assert_eq!(toy.requests().len(), 3);
}

#[tokio::test]
async fn captures_that_hang_keep_no_look_up_or_refund_waiting() {
    let gate = Arc::new(Notify::new());
    let hung = Arc::clone(&gate);
    let toy = Toy::start(move |endpoint| match endpoint {
        "approve" => Act::Gate(Arc::clone(&hung), captured()),
        other => all_well(other),
    });
    let toy = toy.await;
    let mut settings = settings(&toy.base);
    settings.others_max = 1;
    let client = Arc::new(KakaoPay::new(&settings).unwrap());
    let hanging = Arc::clone(&client);
    let hanging = tokio::spawn(async move { hanging.capture(&capture()).await });
    toy.came(1).await;
    assert!(matches!(client.look_up(&look_up()).await, Answered::Stands(_)));
    assert!(matches!(client.refund(&refund()).await, Answered::GaveBack(_)));
    gate.notify_one();
    assert!(matches!(hanging.await.unwrap(), Answered::Captured(_)));
}

#[tokio::test]
async fn begins_that_hang_keep_no_capture_look_up_or_refund_waiting() {
    let gate = Arc::new(Notify::new());
    let hung = Arc::clone(&gate);
    let toy = Toy::start(move |endpoint| match endpoint {
        "ready" => Act::Gate(Arc::clone(&hung), begun()),
        other => all_well(other),
    });
    let toy = toy.await;
    let mut settings = settings(&toy.base);
    (settings.begins_max, settings.others_max, settings.begin_wait) = (1, 1, Duration::from_millis(1));
    let client = Arc::new(KakaoPay::new(&settings).unwrap());

    let hanging = Arc::clone(&client);
    let hanging = tokio::spawn(async move { PaymentGateway::begin(&*hanging, &begin()).await });
    toy.came(1).await;
    let refused = PaymentGateway::begin(&*client, &begin()).await;
    assert_eq!(refused, Answered::Refused("too many payments are being begun".into()));
    assert!(matches!(client.capture(&capture()).await, Answered::Captured(_)));
    assert!(matches!(client.look_up(&look_up()).await, Answered::Stands(_)));
    assert!(matches!(client.refund(&refund()).await, Answered::GaveBack(_)));

    gate.notify_one();
    assert!(matches!(hanging.await.unwrap(), Answered::Begun(_)));
    gate.notify_one();
    let next = PaymentGateway::begin(&*client, &begin()).await;
    assert!(matches!(next, Answered::Begun(_)), "its turn came back: {next:?}");
}

#[tokio::test]
async fn what_kakao_pay_would_not_take_is_refused_without_a_call() {
    let toy = Toy::start(all_well).await;
    let client = client(&toy.base);
    let mut nameless = begin();
    nameless.item_name.clear();
    let mut too_much = refund();
    too_much.remaining_before.0 = 1;
    let mut nothing = capture();
    nothing.amount.0 = 0;
    let answers = [
        PaymentGateway::begin(&client, &nameless).await,
        client.refund(&too_much).await,
        client.capture(&nothing).await,
    ];
    assert!(answers.iter().all(|answered| matches!(answered, Answered::Refused(_))), "{answers:?}");
    assert!(toy.requests().is_empty());
}
