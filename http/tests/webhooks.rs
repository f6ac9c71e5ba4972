//! Webhooks of the real program: a receiver on a socket, kills and starts, and signatures held
//! against the official Standard Webhooks library (PyPI), in a virtual environment in the build
//! folder.
//!
//! Where Python or the library cannot be had it says `NOT RUN` and passes, unless
//! `SON7_REQUIRE_WEBHOOKS=1`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use support::{Caller, PATIENCE, Place, code, stop, until};

/// The release that the script below is written for.
const PACKAGE: &str = "standardwebhooks>=1,<2";
/// Reads a list of `{secret, headers, body}`; prints a list of whether each verifies.
const SCRIPT: &str = "
import json, sys
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
def verifies(case):
    try:
        return Webhook(case['secret']).verify(case['body'], case['headers']) == json.loads(case['body'])
    except WebhookVerificationError:
        return False
print(json.dumps([verifies(case) for case in json.load(sys.stdin)]))
";

/// A request as the receiver got it.
#[derive(Debug, Clone)]
struct Heard {
    headers: Vec<(String, String)>,
    body: String,
}

impl Heard {
    fn header(&self, name: &str) -> &str {
        &self.headers.iter().find(|(known, _)| known == name).unwrap().1
    }

    fn data(&self) -> Value {
        serde_json::from_str::<Value>(&self.body).unwrap()["data"].clone()
    }

    /// What the library is asked about it.
    fn case(&self, secret: &str) -> Value {
        let wanted = ["webhook-id", "webhook-timestamp", "webhook-signature"];
        let headers: serde_json::Map<_, _> =
            wanted.iter().map(|&name| (name.to_owned(), self.header(name).into())).collect();
        json!({ "secret": secret, "headers": headers, "body": self.body })
    }
}

/// Software that listens to the shop and answers with one status after another, the last one for good.
struct Software {
    address: SocketAddr,
    heard: Receiver<Heard>,
    ends: Arc<AtomicBool>,
}

impl Software {
    fn at(address: &str, statuses: &[u16]) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, heard) = channel();
        let ends = Arc::new(AtomicBool::new(false));
        let statuses = Arc::new(Mutex::new(statuses.to_vec()));
        let until = Arc::clone(&ends);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if until.load(Ordering::Relaxed) {
                    return;
                }
                let (tell, statuses) = (tell.clone(), Arc::clone(&statuses));
                std::thread::spawn(move || listen(stream.unwrap(), &tell, &statuses));
            }
        });
        Self { address, heard, ends }
    }

    fn url(&self) -> String {
        format!("http://{}/hook?token=t0psecret", self.address)
    }

    fn next(&self) -> Heard {
        self.heard.recv_timeout(PATIENCE).expect("nothing was heard")
    }
}

impl Drop for Software {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        // Wakes it, so that it sees that it ends.
        drop(TcpStream::connect(self.address));
    }
}

fn listen(stream: TcpStream, tell: &Sender<Heard>, statuses: &Mutex<Vec<u16>>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut stream = stream;
    loop {
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            match line.trim_end().split_once(": ") {
                Some((name, value)) => headers.push((name.to_lowercase(), value.to_owned())),
                None if line.trim_end().is_empty() => break,
                None => {}
            }
        }
        let length = headers.iter().find(|(name, _)| name == "content-length").unwrap().1.parse().unwrap();
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let status = {
            let mut statuses = statuses.lock().unwrap();
            if statuses.len() > 1 { statuses.remove(0) } else { statuses[0] }
        };
        write!(stream, "HTTP/1.1 {status} Said\r\ncontent-length: 0\r\n\r\n").ok()?;
        tell.send(Heard { headers, body: String::from_utf8(body).unwrap() }).ok()?;
    }
}

/// An address that nobody listens at, and that the kernel gives to nobody unasked.
fn quiet_address() -> String {
    let mut ports = (20_000..30_000).cycle().skip(std::process::id() as usize % 10_000);
    let port = ports.find(|&port| TcpListener::bind(("127.0.0.1", port)).is_ok()).unwrap();
    format!("127.0.0.1:{port}")
}

fn admin(place: &Place, address: SocketAddr) -> Caller {
    Caller::new(address, &place.shop.admin_token().unwrap())
}

fn kim(place: &Place, address: SocketAddr) -> Caller {
    Caller::new(address, &place.shop.customer_tokens("kim", 1).unwrap().remove(0))
}

/// Registers a webhook; its id and its secret.
fn register(admin: &mut Caller, url: &str, events: &[&str]) -> (String, String) {
    let said = admin.post("/v1/webhooks", None, Some(&json!({ "url": url, "events": events }))).unwrap();
    assert_eq!(said.status, 201, "{}", said.text());
    let made = said.json().unwrap();
    (made["id"].as_str().unwrap().to_owned(), made["secret"].as_str().unwrap().to_owned())
}

/// Runs a command to its end; what it printed, or what it said if it failed.
fn run(command: &mut Command, input: &str) -> Result<String, String> {
    let shown = format!("{command:?}");
    let failed = |error: std::io::Error| format!("{shown}: {error}");
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(failed)?;
    child.stdin.take().unwrap().write_all(input.as_bytes()).map_err(failed)?;
    let output = child.wait_with_output().map_err(failed)?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = || format!("{shown} ({}):\n{printed}{}", output.status, String::from_utf8_lossy(&output.stderr));
    if output.status.success() { Ok(printed) } else { Err(said()) }
}

/// A Python that has the library, installed where it is not yet.
fn library() -> Result<PathBuf, String> {
    let environment = Path::new(env!("CARGO_TARGET_TMPDIR")).join("standardwebhooks");
    let python = environment.join("bin/python");
    let has_it = |python: &Path| run(Command::new(python).args(["-c", SCRIPT]), "[]");
    if has_it(&python).is_err() {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment), "")?;
        run(Command::new(environment.join("bin/pip")).args(["install", "--quiet", PACKAGE]), "")?;
        has_it(&python)?;
    }
    Ok(python)
}

#[test]
fn an_official_library_verifies_every_signature() {
    let python = match library() {
        Ok(python) => python,
        Err(why) if std::env::var("SON7_REQUIRE_WEBHOOKS").is_ok_and(|set| set == "1") => panic!("{why}"),
        // To the terminal itself: what a passing test prints is not shown.
        Err(why) => {
            _ = writeln!(std::io::stderr(), "NOT RUN: the standardwebhooks library cannot be had: {why}");
            return;
        }
    };
    let place = Place::new(1);
    let program = place.start();
    let software = Software::at("127.0.0.1:0", &[200]);
    let mut admin = admin(&place, program.address());
    let (id, first) = register(&mut admin, &software.url(), &[]);
    admin.product("AIR-90", 129_000, 5);
    let product = software.next();
    // What needs escaping in JSON and is not ASCII.
    let name = json!({ "sku": "tea", "name": "\"녹차\" \\ 100 %", "price": 1, "on_hand": 1 });
    assert_eq!(admin.post("/v1/products", None, Some(&name)).unwrap().status, 201);
    let tea = software.next();
    let rotated = admin.post(&format!("/v1/webhooks/{id}/secret"), None, None).unwrap();
    let second = rotated.json().unwrap()["secret"].as_str().unwrap().to_owned();
    kim(&place, program.address()).order("once", "AIR-90", 2).unwrap();
    let order = software.next();
    stop(program);

    let forged = |heard: &Heard, secret: &str, change: &dyn Fn(&mut Value)| {
        let mut case = heard.case(secret);
        change(&mut case);
        case
    };
    let cases = [
        (product.case(&first), true),
        (tea.case(&first), true),
        // While a secret is being replaced, whoever has either can check.
        (order.case(&first), true),
        (order.case(&second), true),
        (product.case(&second), false),
        (forged(&order, &second, &|case| case["body"] = order.body.replace("258000", "1").into()), false),
        (forged(&order, &second, &|case| case["headers"]["webhook-id"] = "msg_p0_1".into()), false),
        (forged(&order, &second, &|case| case["headers"]["webhook-timestamp"] = "1764000000".into()), false),
    ];
    let (asked, wanted): (Vec<Value>, Vec<bool>) = cases.into_iter().unzip();
    let said = run(Command::new(python).args(["-c", SCRIPT]), &Value::from(asked).to_string()).unwrap();
    assert_eq!(serde_json::from_str::<Vec<bool>>(&said).unwrap(), wanted, "{said}");
    assert_eq!(tea.data()["name"], "\"녹차\" \\ 100 %");
}

#[test]
fn what_happened_while_the_receiver_was_down_comes_after_a_kill() {
    let place = Place::new(2);
    let program = place.start();
    let address = quiet_address();
    let url = format!("http://{address}/hook?token=t0psecret");
    let (id, secret) = register(&mut admin(&place, program.address()), &url, &["order.placed"]);
    admin(&place, program.address()).product("AIR-90", 1, 1000);
    let mut buyer = kim(&place, program.address());
    let mut wanted: BTreeSet<String> = (0..30)
        .map(|n| buyer.order(&n.to_string(), "AIR-90", 1).unwrap().json().unwrap()["id"].as_str().unwrap().to_owned())
        .collect();
    let path = format!("/v1/webhooks/{id}");
    let mut reader = admin(&place, program.address());
    until("a try", || {
        let log = reader.get(&format!("{path}/deliveries?limit=1")).unwrap().json().unwrap();
        log["deliveries"][0]["outcome"] == "failed"
    });
    program.kill().unwrap();

    let software = Software::at(&address, &[503, 200]);
    let program = place.start();
    while !wanted.is_empty() {
        wanted.remove(software.next().data()["id"].as_str().unwrap());
    }
    let mut reader = admin(&place, program.address());
    until("the queue", || reader.get(&path).unwrap().json().unwrap()["waiting"].as_u64().unwrap() <= 1);
    stop(program);
    place.verify();

    let log = place.log();
    for hidden in [secret.as_str(), "whsec_", "t0psecret"] {
        assert!(!log.contains(hidden), "the log has {hidden}:\n{log}");
    }
}

#[test]
fn a_receiver_that_says_it_is_gone_is_not_called_until_it_is_enabled() {
    let place = Place::new(1);
    let program = place.start();
    let software = Software::at("127.0.0.1:0", &[410, 200]);
    let mut admin = admin(&place, program.address());
    let (id, _) = register(&mut admin, &software.url(), &["product.created"]);
    let path = format!("/v1/webhooks/{id}");
    admin.product("one", 1, 1);
    assert_eq!(software.next().data()["sku"], "one");
    until("the end", || admin.get(&path).unwrap().json().unwrap()["disabled_by"] == "gone");
    admin.product("two", 1, 1);
    let refused = admin.post(&format!("{path}/test"), None, None).unwrap();
    assert_eq!((refused.status, code(&refused).as_str()), (409, "webhook_disabled"));
    let terms = json!({ "url": software.url(), "events": ["product.created"] });
    assert_eq!(admin.send("PUT", &path, None, Some(&terms)).unwrap().status, 200);
    // What was tried before comes again at once, what happened meanwhile by a replay.
    assert_eq!(software.next().data()["sku"], "one");
    let said = admin.post(&format!("{path}/replay"), None, Some(&json!({ "after_lsn": 1 }))).unwrap();
    assert_eq!(said.status, 202, "{}", said.text());
    assert_eq!(said.json().unwrap(), json!({ "partitions": [{ "partition": 0, "until_lsn": 2 }] }));
    let told = software.next();
    assert_eq!((told.data()["sku"].as_str(), told.header("webhook-id")), (Some("two"), "msg_p0_2"));
    let ping = admin.post(&format!("{path}/test"), None, None).unwrap().json().unwrap();
    assert_eq!(software.next().header("webhook-id"), ping["message"].as_str().unwrap());
    let mut seen = Vec::new();
    until("the log", || {
        seen.clear();
        let mut next = format!("{path}/deliveries?limit=2");
        loop {
            let page = admin.get(&next).unwrap().json().unwrap();
            let line = |line: &Value| [&line["event"], &line["outcome"]].map(|text| text.as_str().unwrap().to_owned());
            seen.extend(page["deliveries"].as_array().unwrap().iter().map(line));
            let Some(cursor) = page["next_cursor"].as_str() else { break };
            next = format!("{path}/deliveries?limit=2&after={cursor}");
        }
        seen.len() == 4
    });
    let told = |event: &str, outcome: &str| [event.to_owned(), outcome.to_owned()];
    let delivered = |event| told(event, "delivered");
    let product = "product.created";
    assert_eq!(seen.pop(), Some(told(product, "gone")), "the oldest");
    // Tries end in no promised order.
    seen.sort_unstable();
    assert_eq!(seen, [delivered("ping"), delivered(product), delivered(product)]);
    assert_eq!(admin.send("DELETE", &path, None, None).unwrap().status, 204);
    assert_eq!(code(&admin.get(&path).unwrap()), "unknown_webhook");
    stop(program);
    let left: Vec<_> = std::fs::read_dir(place.data().join("webhooks")).unwrap().collect();
    assert_eq!(left.len(), 1, "only the list of endpoints is left: {left:?}");
}

#[test]
fn a_damaged_list_of_endpoints_is_refused_by_name() {
    let place = Place::new(1);
    let program = place.start();
    register(&mut admin(&place, program.address()), "http://127.0.0.1:1/", &[]);
    stop(program);
    let path = place.data().join("webhooks/endpoints.json");
    let whole = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 9]).unwrap();
    let output = place.shop.command(&["serve"]).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("endpoints.json") && !said.contains("whsec_"), "{said}");
    std::fs::write(&path, whole).unwrap();
    stop(place.start());
}
