//! The program as people use it: start, stop, kill, wrong settings, a damaged journal.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use serde_json::{Value, json};
use son7shop_loadtest::client::ClientError;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use support::{Caller, PATIENCE, Place, code, stop, until};

/// Customers that buy while the shop is stopped.
const BUYERS: usize = 16;

fn customer(place: &Place) -> String {
    place.shop.customer_tokens("kim", 1).unwrap().remove(0)
}

/// What the program says when it refuses to serve; it must exit 1.
fn refusal(place: &Place) -> String {
    let mut command = place.shop.command(&["serve"]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let code = ended(&mut child);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(code, Some(1), "{said}");
    assert!(output.stdout.is_empty(), "it does not say that it serves");
    said
}

/// Its exit code; `None` for a program that had to be killed, because it does not end.
fn ended(child: &mut Child) -> Option<i32> {
    let by = Instant::now() + PATIENCE;
    while Instant::now() < by {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    None
}

#[test]
fn an_order_survives_a_kill_with_its_deadline() {
    let place = Place::new(2);
    let program = place.start();
    let (admin, kim) = (place.shop.admin_token().unwrap(), customer(&place));
    Caller::new(program.address(), &admin).product("AIR-90", 129_000, 5);
    let mut caller = Caller::new(program.address(), &kim);
    let placed = caller.order("once", "AIR-90", 2).unwrap();
    assert_eq!(placed.status, 201, "{}", placed.text());
    let order = placed.json().unwrap();
    assert_eq!((&order["status"], &order["total"]), (&Value::from("held"), &Value::from(258_000)));
    program.kill().unwrap();

    let program = place.start();
    // The tokens of before are still good: the key is in the data folder.
    let mut caller = Caller::new(program.address(), &kim);
    let location = placed.header("location").unwrap();
    assert_eq!(caller.get(location).unwrap().json().unwrap(), order);
    let again = caller.order("once", "AIR-90", 2).unwrap();
    assert_eq!((again.status, again.header("idempotent-replayed")), (201, Some("true")));
    assert_eq!(again.json().unwrap(), order);
    let listed = caller.get("/v1/orders").unwrap().json().unwrap();
    assert_eq!(listed["orders"], Value::from(vec![order]));
    stop(program);
    place.verify();
}

#[test]
fn sigterm_under_load_answers_what_was_accepted_and_loses_nothing() {
    let place = Place::new(2);
    let program = place.start();
    let admin = place.shop.admin_token().unwrap();
    let tokens = place.shop.customer_tokens("kim", BUYERS).unwrap();
    Caller::new(program.address(), &admin).product("AIR-90", 1, 1 << 30);
    let address = program.address();
    let count = AtomicU64::new(0);
    let acknowledged: HashMap<String, Value> = std::thread::scope(|scope| {
        let buyers: Vec<_> = tokens
            .iter()
            .enumerate()
            .map(|(buyer, token)| {
                let count = &count;
                scope.spawn(move || buy_until_refused(&mut Caller::new(address, token), buyer, count))
            })
            .collect();
        until("the load", || count.load(Ordering::Relaxed) > 200);
        stop(program);
        buyers.into_iter().flat_map(|buyer| buyer.join().unwrap()).collect()
    });
    assert!(acknowledged.len() > 200);
    // Before anything else runs: stopping has carried everything to the database.
    place.verify();

    let program = place.start();
    let mut admin = Caller::new(program.address(), &admin);
    for (id, order) in &acknowledged {
        assert_eq!(&admin.get(&format!("/v1/orders/{id}")).unwrap().json().unwrap(), order);
    }
    let held = admin.get("/v1/products/AIR-90").unwrap().json().unwrap()["stock"]["held"].as_u64().unwrap();
    // Whatever was accepted was answered: no order is there that nobody was told of.
    assert_eq!(held, acknowledged.len() as u64);
    stop(program);
}

/// Orders, one after the other, until the shop takes no more; those acknowledged.
fn buy_until_refused(caller: &mut Caller, buyer: usize, count: &AtomicU64) -> Vec<(String, Value)> {
    let mut acknowledged = Vec::new();
    for n in 0.. {
        match caller.order(&format!("{buyer}-{n}"), "AIR-90", 1) {
            Ok(answer) if answer.status == 201 => {
                let order = answer.json().unwrap();
                acknowledged.push((order["id"].as_str().unwrap().to_owned(), order));
                count.fetch_add(1, Ordering::Relaxed);
            }
            Ok(answer) => {
                assert_eq!((answer.status, code(&answer).as_str()), (503, "partition_closed"), "{}", answer.text());
                break;
            }
            Err(ClientError::Connect { .. } | ClientError::Broken(_)) => break,
            Err(error) => panic!("{error}"),
        }
    }
    acknowledged
}

/// Six products are in several partitions: all of a basket comes back, whoever holds it.
#[test]
fn units_of_an_expired_order_can_be_bought_again() {
    const SKUS: std::ops::Range<usize> = 0..6;
    let mut place = Place::new(3);
    place.set("SON7_HOLD_SECONDS", "1");
    let program = place.start();
    let (admin, kim) = (place.shop.admin_token().unwrap(), customer(&place));
    let mut admin = Caller::new(program.address(), &admin);
    SKUS.for_each(|sku| admin.product(&format!("sku-{sku}"), 1, 1));
    let lines: Vec<Value> = SKUS.map(|sku| json!({ "sku": format!("sku-{sku}"), "quantity": 1 })).collect();
    let basket = json!({ "lines": lines });
    let mut caller = Caller::new(program.address(), &kim);
    let first = caller.post("/v1/orders", Some("first"), Some(&basket)).unwrap();
    assert_eq!(first.status, 201);
    let refused = caller.post("/v1/orders", Some("second"), Some(&basket)).unwrap();
    assert_eq!((refused.status, code(&refused).as_str()), (409, "sold_out"));
    // The refusal is not remembered: the same key buys once the deadline has given the units back.
    until("the deadline", || caller.post("/v1/orders", Some("second"), Some(&basket)).unwrap().status == 201);
    let expired = caller.get(first.header("location").unwrap()).unwrap().json().unwrap();
    assert_eq!(expired["status"], "expired", "{expired}");
    stop(program);
    place.verify();
}

#[test]
fn verify_exits_1_with_the_differences() {
    let mut place = Place::new(2);
    let program = place.start();
    let (admin, kim) = (place.shop.admin_token().unwrap(), customer(&place));
    Caller::new(program.address(), &admin).product("AIR-90", 1, 100);
    let placed = Caller::new(program.address(), &kim).order("once", "AIR-90", 1).unwrap();
    stop(program);
    place.verify();
    // An empty database lacks the product and the order.
    place.set("SON7_DATABASE_URL", &format!("sqlite:{}", place.beside("empty.sqlite").display()));
    let (code, said) = place.run(&["verify"]);
    let id = placed.header("location").unwrap().rsplit('/').next().unwrap();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("AIR-90") && said.contains(id), "{said}");
}

#[test]
fn what_cannot_be_said_is_no_finding() {
    let mut place = Place::new(1);
    for arguments in [&["verify"][..], &["journal", "inspect"]] {
        let (code, said) = place.run(arguments);
        assert_eq!(code, Some(2), "there is no journal: {said}");
    }
    stop(place.start());
    let (code, said) = place.run(&["verify"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("1 partition, 0 products, 0 orders, 0 payments, 0 refunds compared: 0 differences"),
        "{said}"
    );
    place.set("SON7_DATABASE_URL", "mysql://shop@127.0.0.1:1/shop");
    let (code, said) = place.run(&["verify"]);
    assert_eq!(code, Some(2), "nobody listens there: {said}");
}

#[test]
fn a_damaged_journal_is_refused_with_its_place() {
    let place = Place::new(1);
    let program = place.start();
    let (admin, kim) = (place.shop.admin_token().unwrap(), customer(&place));
    Caller::new(program.address(), &admin).product("AIR-90", 1, 100);
    let mut caller = Caller::new(program.address(), &kim);
    for n in 0..20 {
        assert_eq!(caller.order(&n.to_string(), "AIR-90", 1).unwrap().status, 201);
    }
    program.kill().unwrap();

    // The first of those frames that hold orders: what comes after it shows that it was whole once.
    let (code, said) = place.run(&["journal", "inspect"]);
    assert_eq!(code, Some(0), "{said}");
    let (segment, offset) = third_frame(&said);
    let mut bytes = fs::read(&segment).unwrap();
    bytes[offset + 60] ^= 1;
    fs::write(&segment, bytes).unwrap();

    let said = refusal(&place);
    let name = segment.file_name().unwrap().to_str().unwrap();
    assert!(said.contains(name) && said.contains(&offset.to_string()), "{said}");
    let (code, said) = place.run(&["journal", "inspect"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("WRONG"), "{said}");
}

/// The file and the offset of the third frame that `journal inspect` shows.
fn third_frame(said: &str) -> (PathBuf, usize) {
    let segment = said.lines().find(|line| line.trim_start().starts_with("segment ")).unwrap();
    let path = segment.split_once(": ").unwrap().1;
    let frame = said.lines().filter_map(|line| line.trim_start().strip_prefix("frame at ")).nth(2).unwrap();
    (PathBuf::from(path), frame.split(',').next().unwrap().parse().unwrap())
}

#[test]
fn one_folder_has_one_process() {
    let place = Place::new(1);
    let program = place.start();
    let said = refusal(&place);
    assert!(said.contains("data folder") && said.contains("process"), "{said}");
    stop(program);
    stop(place.start());
}

/// Two shops on one port would each get half of the customers.
#[test]
fn one_port_has_one_process() {
    let (mut second, first) = (Place::new(1), Place::new(1));
    let program = first.start();
    second.set("SON7_LISTEN", &program.address().to_string());
    let said = refusal(&second);
    assert!(said.contains(&program.address().to_string()) && said.contains("in use"), "{said}");
    stop(program);
}

/// A disk that takes for ever: the file that is read first is a pipe that nobody writes to.
#[test]
fn a_signal_ends_it_while_the_folder_is_being_read() {
    let place = Place::new(1);
    stop(place.start());
    let (lock, meta) = (place.data().join("journal.lock"), place.data().join("journal.meta"));
    fs::remove_file(&meta).unwrap();
    assert!(Command::new("mkfifo").arg(&meta).status().unwrap().success());
    let mut child = place.shop.command(&["serve"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let id = child.id().to_string();
    // Signals are in hand before the lock is; the next file is the pipe.
    until("the lock", || has_open(&id, &lock));
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    assert_eq!(ended(&mut child), Some(0));
}

fn has_open(process: &str, file: &Path) -> bool {
    let files = fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten();
    files.flatten().any(|entry| fs::read_link(entry.path()).is_ok_and(|path| path == file))
}

#[test]
fn wrong_settings_are_refused_with_words() {
    let mut place = Place::new(2);
    stop(place.start());
    place.set("SON7_PARTITIONS", "3");
    let said = refusal(&place);
    assert!(said.contains("not 3") && said.contains("SON7_PARTITIONS=2"), "{said}");
    place.set("SON7_PARTITIONS", "2");
    place.set("SON7_LISTEN", "0.0.0.0:0");
    let said = refusal(&place);
    assert!(said.contains("SON7_TOKEN_KEY") && said.contains("127.0.0.1"), "{said}");
    let key = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIOVzRVz/yVrgJuukYQQAQTrw5rKgNFm1tQYFUXnDqy6H\n-----END PRIVATE KEY-----\n";
    for (name, value) in [("SON7_TOKEN_KEY", key), ("SON7_KAKAO_KEY", "DEV0"), ("SON7_PAYMENTS", "kakaopay")] {
        place.set(name, value);
    }
    let said = refusal(&place);
    assert!(said.contains("SON7_PUBLIC_URL") && said.contains("0.0.0.0"), "{said}");
    place.set("SON7_LISTEN", "127.0.0.1:0");
    place.set("SON7_DATABASE_URL", "oracle://somewhere/shop");
    let said = refusal(&place);
    assert!(said.contains("sqlite") && said.contains("mysql"), "{said}");
}

#[test]
fn a_wrong_variable_is_named_and_an_empty_one_is_not_set() {
    let mut place = Place::new(2);
    place.set("SON7_HOLD_SECONDS", "");
    let (code, said) = place.run(&["config"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("hold_seconds = 600"), "{said}");
    place.set("SON7_HOLD_SECONDS", "soon");
    let (code, said) = place.run(&["config"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("SON7_HOLD_SECONDS") && said.contains("soon"), "{said}");
    place.set("SON7_HOLD_SECONDS", "86400");
    let (code, said) = place.run(&["config"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("SON7_HOLD_SECONDS") && said.contains("1 to 86399"), "{said}");
    let (code, said) = place.run(&["config", "--hold-seconds", "later"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(!said.contains("SON7_HOLD_SECONDS") && said.contains("later"), "{said}");
}

#[test]
fn a_key_that_is_no_text_is_refused() {
    let place = Place::new(1);
    let key = OsStr::from_bytes(b"secret \xff");
    for name in ["SON7_TOKEN_KEY", "SON7_KAKAO_KEY", "SON7_DATABASE_URL"] {
        for command in ["config", "serve"] {
            let output = place.shop.command(&[command]).env(name, key).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(!output.status.success() && output.stdout.is_empty(), "{name}: {output:?}");
            assert!(said.contains(name) && !said.contains("secret"), "{name}: {said}");
        }
    }
    let mut place = place;
    place.set("SON7_KAKAO_KEY", " ");
    let said = refusal(&place);
    assert!(said.contains("Kakao Pay's key"), "{said}");
}

#[test]
fn config_hides_the_password() {
    let mut place = Place::new(2);
    place.set("SON7_DATABASE_URL", "mysql://shop:s3cret@127.0.0.1:3306/shop");
    let (code, said) = place.run(&["config"]);
    assert_eq!(code, Some(0));
    assert!(said.contains("partitions = 2") && said.contains("shop:***@") && !said.contains("s3cret"), "{said}");
    assert!(said.contains("# SON7_KAKAO_KEY: not set"), "{said}");
    place.set("SON7_KAKAO_KEY", "DEV0s3cret");
    place.set("SON7_PUBLIC_URL", "https://shop.example");
    let (code, said) = place.run(&["config"]);
    assert_eq!(code, Some(0));
    assert!(said.contains("# SON7_KAKAO_KEY: set") && !said.contains("s3cret"), "{said}");
    assert!(
        said.contains("public_url = \"https://shop.example\"") && said.contains("payments = \"kakaopay\""),
        "{said}"
    );
}

/// What the log says of connections that were still open when their time to end was over.
const TOO_LATE: &str = "did not end in time";

/// Half of the time to stop is the connections'. It ends before a silent connection is cut
/// off for its silence (10 s), so that only the stop itself can have closed it.
#[test]
fn a_stop_closes_connections_on_which_nothing_happens() {
    let mut place = Place::new(1);
    place.set("SON7_STOP_SECONDS", "12");
    let program = place.start();
    let mut caller = Caller::new(program.address(), &place.shop.admin_token().unwrap());
    assert_eq!(caller.get("/readyz").unwrap().status, 200);
    stop(program);
    assert!(!place.log().contains(TOO_LATE), "{}", place.log());
}

#[test]
fn a_stop_ends_while_a_request_is_still_being_sent() {
    let mut place = Place::new(1);
    place.set("SON7_STOP_SECONDS", "1");
    let program = place.start();
    let mut sender = TcpStream::connect(program.address()).unwrap();
    let head = "POST /v1/orders HTTP/1.1\r\nhost: shop\r\ncontent-length: 9\r\nexpect: 100-continue\r\n\r\n";
    sender.write_all(head.as_bytes()).unwrap();
    // It awaits the body, which does not come.
    sender.read_exact(&mut [0; 25]).unwrap();
    stop(program);
    assert!(place.log().contains(TOO_LATE), "{}", place.log());
}
