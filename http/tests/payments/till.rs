//! A shop with one product that is paid in the sandbox: the shopper's browser and the sandbox's
//! control plane.

use crate::said::{Said, exchange};
use crate::world::{Request, Who, World, get, post};
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// How long anything may take that is awaited; never reached where nothing is broken.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);
/// The price of the only product.
pub(crate) const PRICE: i64 = 1000;

/// What a shopper does on the gateway's page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Button {
    Pay,
    WrongPassword,
    Quit,
}

/// A shop with a hundred apples.
pub(crate) struct Till {
    pub(crate) world: World,
    /// The sandbox's control plane.
    control: SocketAddr,
    keys: Cell<u32>,
    /// Browsers that wait for a page.
    waiting: RefCell<Vec<TcpStream>>,
}

impl Till {
    pub(crate) fn open(settings: &[(&str, &str)]) -> Self {
        let world = World::start(settings);
        world.product("apple", PRICE, 100);
        Self::over(world)
    }

    /// Over a shop that has apples.
    pub(crate) fn over(world: World) -> Self {
        let control = control_plane(&world.log());
        Self { world, control, keys: Cell::new(0), waiting: RefCell::default() }
    }

    pub(crate) fn into_world(self) -> World {
        self.world
    }

    /// A key that was not used before.
    pub(crate) fn key(&self) -> String {
        self.keys.set(self.keys.get() + 1);
        format!("till-{}", self.keys.get())
    }

    /// Places an order of Kim's for so many apples.
    pub(crate) fn order(&self, quantity: i64) -> String {
        self.world.placed(&self.key(), &[("apple", quantity)])
    }

    pub(crate) fn start(id: &str, key: &str, who: Who) -> Request {
        post(format!("/v1/orders/{id}/payments"), who).key(key).json(r#"{"method":"kakaopay"}"#)
    }

    /// Starts an attempt of Kim's.
    pub(crate) fn started(&self, id: &str) -> Value {
        self.world.check(&Self::start(id, &self.key(), Who::Kim), 201, "").json()
    }

    /// Starts an attempt; the address of its page.
    pub(crate) fn page(&self, id: &str) -> String {
        self.started(id)["redirect"]["desktop"].as_str().unwrap().to_owned()
    }

    /// Opens a page and presses a button; where the browser is sent.
    pub(crate) fn press(page: &str, button: Button) -> String {
        let (address, path) = place(page);
        let opened = exchange(address, &browser("GET", address, &path, "")).unwrap();
        assert_eq!(opened.status, 200, "{opened}");
        let button = match button {
            Button::Pay => "pay",
            Button::WrongPassword => "wrong_password",
            Button::Quit => "quit",
        };
        assert!(String::from_utf8_lossy(&opened.body).contains(&format!("value=\"{button}\"")), "{opened}");
        let pressed = exchange(address, &browser("POST", address, &path, &format!("press={button}"))).unwrap();
        assert_eq!(pressed.status, 302, "{pressed}");
        pressed.header("location").unwrap().to_owned()
    }

    /// The browser comes to one of the shop's addresses.
    pub(crate) fn arrive(&self, location: &str) -> Said {
        let (address, path) = place(location);
        assert_eq!(address, self.world.address(), "the browser comes back to the shop");
        self.world.send(&get(path, Who::Nobody))
    }

    /// The browser comes, and does not wait for the page: the shop has heard of it when this returns.
    pub(crate) fn arrive_later(&self, location: &str) {
        let (address, path) = place(location);
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(&browser("GET", address, &path, "")).unwrap();
        // Closed when the world ends: a browser that waits.
        self.waiting.borrow_mut().push(stream);
    }

    /// The order's open step, once it is in this state.
    pub(crate) fn step_when(&self, id: &str, state: &str) -> Value {
        let by = Instant::now() + PATIENCE;
        loop {
            let timeline = self.timeline(id);
            if let Some(step) = timeline["steps"].as_array().unwrap().iter().find(|step| step["state"] == state) {
                return step.clone();
            }
            assert!(Instant::now() < by, "no step of {id} came to be {state}: {timeline}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// An operator has a step tried again at once, if it was not done meanwhile.
    pub(crate) fn hurry(&self, id: &str, step: &str) {
        let retry = post(format!("/v1/operations/sagas/{id}/{step}/retry"), Who::Admin).json(r#"{"reason":"now"}"#);
        let said = self.world.send(&retry);
        assert!(said.status == 200 || said.json()["code"] == "no_such_step", "{said}");
    }

    /// Opens the stream of an order's events behind number `had`.
    pub(crate) fn stream(&self, id: &str, had: usize) -> TcpStream {
        self.streamed(&get(format!("/v1/orders/{id}/events"), Who::Kim).header("last-event-id", &had.to_string()))
    }

    /// Sends a request whose answer is a stream.
    pub(crate) fn streamed(&self, request: &Request) -> TcpStream {
        let mut stream = TcpStream::connect(self.world.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(&self.world.bytes(request)).unwrap();
        stream
    }

    /// Follows an order's events behind number `had` until one is of this kind; all that came.
    pub(crate) fn follow(&self, id: &str, had: usize, until: &str) -> String {
        read_until(&mut self.stream(id, had), until)
    }

    /// Starts an attempt, presses a button and comes back: the page that the shopper sees then.
    pub(crate) fn visit(&self, id: &str, button: Button) -> String {
        let back = self.arrive(&Self::press(&self.page(id), button));
        assert_eq!(back.status, 200, "{back}");
        String::from_utf8(back.body).unwrap()
    }

    /// An order that is paid and confirmed.
    pub(crate) fn paid(&self, quantity: i64) -> String {
        let id = self.order(quantity);
        self.visit(&id, Button::Pay);
        assert_eq!(self.show(&id)["status"], "confirmed");
        id
    }

    /// The order, as its owner sees it.
    pub(crate) fn show(&self, id: &str) -> Value {
        self.world.check(&get(format!("/v1/orders/{id}"), Who::Kim), 200, "").json()
    }

    /// The order once this is true of it.
    pub(crate) fn shown_when(&self, id: &str, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        let by = Instant::now() + PATIENCE;
        loop {
            let order = self.show(id);
            if is(&order) {
                return order;
            }
            assert!(Instant::now() < by, "{what} did not come: {order}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn timeline(&self, id: &str) -> Value {
        self.world.check(&get(format!("/v1/orders/{id}/timeline"), Who::Kim), 200, "").json()
    }

    /// What happened to the order, in words.
    pub(crate) fn happened(&self, id: &str) -> Vec<String> {
        let timeline = self.timeline(id);
        let entries = timeline["entries"].as_array().unwrap();
        entries.iter().map(|entry| entry["what"].as_str().unwrap().to_owned()).collect()
    }

    /// A request for a refund by whoever runs the shop.
    pub(crate) fn refund(&self, id: &str, body: &Value) -> Request {
        Self::refund_under(&self.key(), id, body)
    }

    /// The same under this key.
    pub(crate) fn refund_under(key: &str, id: &str, body: &Value) -> Request {
        post(format!("/v1/orders/{id}/refunds"), Who::Admin).key(key).json(body.to_string())
    }

    /// The stock of the apples: on hand, held, sold, as far as they are told.
    pub(crate) fn stock(&self) -> Value {
        self.world.check(&get("/v1/products/apple", Who::Admin), 200, "").json()["stock"].clone()
    }

    /// Asks the sandbox's control plane.
    pub(crate) fn control(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            self.control,
            body.len()
        );
        let said = exchange(self.control, head.as_bytes()).unwrap();
        assert_eq!(said.status, 200, "{said}");
        said.json()
    }

    /// The sandbox does something wrong, so many times.
    pub(crate) fn fault(&self, at: &str, action: &Value, times: u32) {
        self.control("POST", "/faults", &json!({ "endpoint": at, "action": action, "times": times }));
    }

    /// The sandbox's payments, the oldest first.
    pub(crate) fn payments(&self) -> Vec<Value> {
        self.control("GET", "/payments", &Value::Null)["payments"].as_array().unwrap().clone()
    }

    /// No breach in the sandbox's ledger, and this much in it: taken, given back.
    pub(crate) fn ledger(&self, taken: i64, given_back: i64) {
        let check = self.control("GET", "/ledger/check", &Value::Null);
        assert_eq!(check["good"], true, "{check}");
        let ledger = self.control("GET", "/ledger", &Value::Null);
        let booked = |name: &str| -> i64 {
            let lines = ledger["payments"].as_array().unwrap().iter();
            lines.flat_map(|line| line[name].as_array().unwrap()).map(|one| one["amount"].as_i64().unwrap()).sum()
        };
        assert_eq!((booked("captures"), booked("refunds")), (taken, given_back), "{ledger}");
    }
}

/// Reads a stream of events from its head until one is of this kind; all that came.
pub(crate) fn read_until(stream: &mut TcpStream, until: &str) -> String {
    let said = read_on(stream, until);
    assert!(said.starts_with("HTTP/1.1 200") && said.contains("content-type: text/event-stream"), "{said}");
    said
}

/// Reads on until an event is of this kind; all that came.
pub(crate) fn read_on(stream: &mut TcpStream, until: &str) -> String {
    let wanted = format!("event:{until}");
    let (said, ended) = read_while(stream, |said| !said.contains(&wanted));
    assert!(!ended, "the stream ended: {said}");
    said
}

/// Reads a stream to its end; all that came.
pub(crate) fn read_to_end(stream: &mut TcpStream) -> String {
    read_while(stream, |_| true).0
}

/// Reads while this is so and the stream goes on; all that came, and whether the stream ended. What keeps a
/// silent connection must not keep a test that has failed.
fn read_while(stream: &mut TcpStream, on: impl Fn(&str) -> bool) -> (String, bool) {
    let (mut all, mut piece, by) = (Vec::new(), [0; 4096], Instant::now() + PATIENCE);
    loop {
        let said = String::from_utf8_lossy(&all).into_owned();
        if !on(&said) {
            return (said, false);
        }
        assert!(Instant::now() < by, "nothing else came: {said}");
        match stream.read(&mut piece).unwrap_or_else(|error| panic!("{error} after {said}")) {
            0 => return (said, true),
            read => all.extend_from_slice(&piece[..read]),
        }
    }
}

/// A browser's request.
fn browser(method: &str, address: SocketAddr, path: &str, form: &str) -> Vec<u8> {
    let length = form.len();
    let form_type = "content-type: application/x-www-form-urlencoded";
    format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n{form_type}\r\ncontent-length: {length}\r\n\r\n{form}"
    )
    .into_bytes()
}

/// Where an address leads: the socket, and the path with its query.
pub(crate) fn place(url: &str) -> (SocketAddr, String) {
    let rest = url.strip_prefix("http://").unwrap_or_else(|| panic!("{url} is no address here"));
    let (address, path) = rest.split_once('/').unwrap();
    (address.parse().unwrap(), format!("/{path}"))
}

/// Where the program says that its sandbox is steered.
fn control_plane(log: &str) -> SocketAddr {
    let line = log.lines().rev().find(|line| line.contains("no money moves")).expect("the sandbox was not started");
    let line: Value = serde_json::from_str(line).unwrap();
    let control = line["fields"]["control"].as_str().unwrap();
    control.trim_start_matches("http://").trim_end_matches('/').parse().unwrap()
}
