//! The key, the `pg_token`, the nonce in the return addresses and the payment page's address are printed
//! nowhere: not by a log of any level, a `Debug`, an error, an answer's words or a metric, even if the gateway
//! repeats them in its own words. And an operator hears of what only an operator can mend.

#![allow(clippy::unwrap_used, reason = "tests")]

use kakaopay_common::toy::{Act, Toy, http};
use kakaopay_common::{CID, KEY, PROOF, TID, begin, capture, look_up, refund};
use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::json;
use son7shop_payments::gateway::{Expected, PaymentGateway, ReturnedTo};
use son7shop_payments::kakaopay::{KakaoPay, Key, Profile, Settings};
use std::fmt::Write as _;
use std::io::Write;
use std::sync::{Arc, Mutex, OnceLock};
use tracing_subscriber::util::SubscriberInitExt;

mod kakaopay_common;

const PAGE: &str = "5ec7e7pa6e";
const NONCE: &str = "n0nce";

/// Where the log goes.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What a call told the gateway of secrets.
fn told(endpoint: &str) -> String {
    match endpoint {
        "ready" => format!("{KEY} {} {} {}", back("approval"), back("cancel"), back("fail")),
        "approve" => format!("{KEY} {PROOF}"),
        _ => KEY.to_owned(),
    }
}

/// How the gateway answers a call: with a payment, or with a complaint that repeats what it was told.
type Says = fn(&str) -> Vec<u8>;
const SAYS: [Says; 9] = [
    |_| {
        let page = format!("http://127.0.0.1:1/bridge/pc/pg/one-time/payment/{PAGE}");
        let body = json!({"tid": TID, "next_redirect_pc_url": page, "next_redirect_mobile_url": page,
            "next_redirect_app_url": page, "android_app_scheme": format!("kakaotalk://{PAGE}")});
        http(200, &body.to_string())
    },
    |endpoint| complaint(400, -780, &told(endpoint)),
    // Its words are cut in the middle of the key.
    |endpoint| complaint(400, -780, &format!("{}{}", "x".repeat(180), told(endpoint))),
    |endpoint| complaint(400, -708, &told(endpoint)),
    |endpoint| complaint(401, -401, &told(endpoint)),
    |endpoint| complaint(500, -500, &told(endpoint)),
    |endpoint| complaint(400, -9999, &told(endpoint)),
    |endpoint| http(200, &format!("<html>{}", told(endpoint))),
    |endpoint| format!("{}\r\n\r\n", told(endpoint)).into_bytes(),
];

fn complaint(status: u16, code: i64, words: &str) -> Vec<u8> {
    let body = json!({"error_code": code, "error_message": words,
        "extras": {"method_result_code": words, "method_result_message": words}});
    http(status, &body.to_string())
}

fn back(name: &str) -> String {
    format!("https://shop.example/pay/{NONCE}/{name}")
}

async fn each_answer_to_each_call(printed: &mut String) {
    let (requests, expected) = (format!("{:?} {:?} {:?} {:?}", begin(), capture(), look_up(), refund()), expected());
    printed.push_str(&requests);
    for says in SAYS {
        let toy = Toy::start(move |endpoint| Act::SayAndClose(says(endpoint))).await;
        let settings = Settings::new(&toy.base, Key::new(KEY), CID, Profile::Test);
        let client = KakaoPay::new(&settings).unwrap();
        write!(printed, "{settings:?} {client:?}").unwrap();
        let began = PaymentGateway::begin(&client, &begin()).await;
        let captured = client.capture(&capture()).await;
        let (stands, back) = (client.look_up(&look_up()).await, client.refund(&refund()).await);
        write!(printed, "{began:?} {captured:?} {stands:?} {back:?}").unwrap();
        for query in
            [format!("pg_token={PROOF}"), format!("pg_token={PROOF}%20"), format!("pg_token={PROOF}&pg_token=")]
        {
            let returned = client.parse_return(ReturnedTo::Approval, &query, &expected);
            write!(printed, "{returned:?}").unwrap();
            if let Err(error) = returned {
                write!(printed, "{error}").unwrap();
            }
        }
        assert_eq!(toy.requests().len(), 4);
    }
    let wrong = Settings::new("http://shop.example", Key::new(KEY), CID, Profile::Test);
    let error = KakaoPay::new(&wrong).unwrap_err();
    write!(printed, "{error} {error:?}").unwrap();
}

fn expected() -> Expected {
    Expected { order: kakaopay_common::order(), attempt: 1, amount: begin().amount }
}

/// Everything that was printed, and the metrics.
fn all() -> &'static (String, String) {
    static ALL: OnceLock<(String, String)> = OnceLock::new();
    ALL.get_or_init(|| {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_max_level(tracing_subscriber::filter::LevelFilter::TRACE);
        subscriber.with_ansi(false).with_writer(move || writer.clone()).finish().init();
        let recorder = PrometheusBuilder::new().build_recorder();
        let metrics = recorder.handle();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut printed = String::new();
        metrics::with_local_recorder(&recorder, || runtime.block_on(each_answer_to_each_call(&mut printed)));
        printed.push_str(&String::from_utf8(log.0.lock().unwrap().clone()).unwrap());
        (printed, metrics.render())
    })
}

#[test]
fn no_secret_is_printed_anywhere() {
    let (printed, metrics) = all();
    // The log is read: ours, and that of the libraries below.
    assert!(printed.contains("Kakao Pay answered") && printed.contains("starting new connection"), "{printed}");
    for secret in [KEY, PROOF, NONCE, PAGE] {
        for (at, part) in [("printed", printed), ("in a metric", metrics)] {
            assert!(!part.contains(secret), "{secret} is {at}:\n{part}");
        }
    }
    assert!(!printed.contains(&KEY[..8]), "a piece of the key is printed:\n{printed}");
}

#[test]
fn an_operator_hears_of_a_key_that_is_not_taken() {
    let (printed, metrics) = all();
    let alerts = printed.lines().filter(|line| line.contains("ERROR") && line.contains("code=-401")).count();
    assert_eq!(alerts, 4, "{printed}");
    assert!(metrics.contains("son7_gateway_alerts_total{code=\"-401\"} 4"), "{metrics}");
    for counted in [
        "son7_gateway_calls_total{endpoint=\"ready\",outcome=\"begun\"} 1",
        "son7_gateway_calls_total{endpoint=\"ready\",outcome=\"refused\"} 5",
        "son7_gateway_calls_total{endpoint=\"approve\",outcome=\"wrong_proof\"} 1",
        "son7_gateway_calls_total{endpoint=\"order\",outcome=\"unknown\"} 9",
        "son7_gateway_call_seconds_count{endpoint=\"cancel\"} 9",
    ] {
        assert!(metrics.contains(counted), "{counted} is not in\n{metrics}");
    }
    assert!(!metrics.contains("son7_gateway_alerts_total{code=\"-780\"}"), "{metrics}");
}
