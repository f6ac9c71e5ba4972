//! The sandbox as a process of its own, so that it outlives the shop's kills: its control plane, its pages,
//! and its API for what happens behind the shop's back.

use crate::support::{PATIENCE, Place};
use serde_json::{Value, json};
use son7shop_loadtest::client::{Client, Response};
use son7shop_loadtest::program::Program;
use son7shop_loadtest::request::Request;
use std::net::SocketAddr;

/// The sandbox's key; anybody may know it, and the shop must print it nowhere all the same.
pub(crate) const KEY: &str = "DEV_SANDBOX_KEY_THAT_IS_NO_SECRET";
/// The merchant's number in the sandbox.
const CID: &str = "TC0ONETIME";
/// What the program says when it is there; the control plane's address follows.
const READY_LINE: &str = "control http://";
/// Payments that are read at once.
const PAGE: usize = 1000;

/// A button of the payment's page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Button {
    Pay,
    WrongPassword,
    Quit,
}

/// The running program.
pub(crate) struct Sandbox {
    program: Program,
    /// The API's address up to `/ready`.
    api_url: String,
}

impl Sandbox {
    /// Starts one on free ports, with its log beside the shop's data.
    pub(crate) fn start(place: &Place, seed: u64) -> Self {
        let arguments = ["kakao-sandbox", "--port", "0", "--seed", &seed.to_string()];
        let (command, log) = (place.shop.command(&arguments), place.beside("sandbox.log"));
        let program = Program::start_saying(READY_LINE, command, &log, PATIENCE).unwrap();
        let about = Client::new(program.address()).get("/ready", None).unwrap().json().unwrap();
        let api_url = format!("{}/online/v1/payment", about["api_url"].as_str().unwrap());
        Self { program, api_url }
    }

    /// Tells the shop to be paid here.
    pub(crate) fn pays(&self, place: &mut Place) {
        place.set("SON7_PAYMENTS", "kakaopay");
        place.set("SON7_KAKAO_URL", &self.api_url);
        place.set("SON7_KAKAO_KEY", KEY);
    }

    /// Asks the control plane.
    pub(crate) fn control(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let mut client = Client::new(self.program.address());
        let request = Request::to(method, &client.host(), path);
        let said = client.send(&match body {
            Some(body) => request.json(&body.to_string()),
            None => request.header("Content-Length", "0").empty(),
        });
        let said = said.unwrap();
        assert_eq!(said.status, 200, "{method} {path}: {}", said.text());
        said.json().unwrap()
    }

    /// A fault to come, so many times.
    pub(crate) fn fault(&self, at: &str, action: &Value, times: u32) {
        self.control("POST", "/faults", Some(&json!({ "endpoint": at, "action": action, "times": times })));
    }

    /// A fault at every call that is about this order.
    pub(crate) fn fault_of(&self, order: &str, at: &str, action: &Value) {
        let rule = json!({ "endpoint": at, "match": { "order": order }, "action": action, "times": u32::MAX });
        self.control("POST", "/faults", Some(&rule));
    }

    /// The API's address, as a shop is told it.
    pub(crate) fn api_url(&self) -> &str {
        &self.api_url
    }

    /// No fault any more.
    pub(crate) fn clear_faults(&self) {
        self.control("DELETE", "/faults", None);
    }

    /// Every payment with the money that moved for it.
    pub(crate) fn ledger(&self) -> Vec<Value> {
        let check = self.control("GET", "/ledger/check", None);
        assert_eq!(check["good"], true, "{check}");
        self.control("GET", "/ledger", None)["payments"].as_array().unwrap().clone()
    }

    /// The payments of an order, the oldest first.
    pub(crate) fn payments_of(&self, order: &str) -> Vec<Value> {
        let mut found = Vec::new();
        for from in (0..).step_by(PAGE) {
            let page = self.control("GET", &format!("/payments?from={from}&count={PAGE}"), None);
            let page = page["payments"].as_array().unwrap();
            found.extend(page.iter().filter(|payment| payment["order"] == order).cloned());
            if page.len() < PAGE {
                break;
            }
        }
        found
    }

    /// A call to the API that the shop knows nothing of; its answer, which must be 200.
    pub(crate) fn call(&self, endpoint: &str, mut body: Value) -> Value {
        body["cid"] = CID.into();
        let (address, path) = place_of(&format!("{}/{endpoint}", self.api_url));
        let mut client = Client::new(address);
        let request = Request::to("POST", &client.host(), &path).header("Authorization", &format!("SECRET_KEY {KEY}"));
        let said = client.send(&request.json(&body.to_string())).unwrap();
        assert_eq!(said.status, 200, "{endpoint}: {}", said.text());
        said.json().unwrap()
    }

    /// Ends it.
    pub(crate) fn stop(self) {
        crate::support::stop(self.program);
    }
}

/// Opens a page and presses a button: where the browser is sent. `None`: nowhere, or there is nothing to press.
pub(crate) fn press(page: &str, button: Button) -> Result<Option<String>, String> {
    let (address, path) = place_of(page);
    let mut client = Client::new(address);
    let opened = client.get(&path, None).map_err(|error| format!("the page: {error}"))?;
    if opened.status != 200 {
        return leads_to(&opened);
    }
    let button = match button {
        Button::Pay => "press=pay&means=CARD",
        Button::WrongPassword => "press=wrong_password&means=CARD",
        Button::Quit => "press=quit",
    };
    let form = Request::to("POST", &client.host(), &path).json(button);
    leads_to(&client.send(&form).map_err(|error| format!("the button: {error}"))?)
}

fn leads_to(said: &Response) -> Result<Option<String>, String> {
    match (said.status, said.header("location")) {
        (302, Some(location)) => Ok(Some(location.to_owned())),
        // A fault keeps the browser, or the payment has ended.
        (200 | 409, _) => Ok(None),
        _ => Err(format!("a page answered {}", said.status)),
    }
}

/// Where an address leads: the socket, and the path with its query.
pub(crate) fn place_of(url: &str) -> (SocketAddr, String) {
    let rest = url.strip_prefix("http://").unwrap_or_else(|| panic!("an address of another kind"));
    let (address, path) = rest.split_once('/').unwrap();
    (address.parse().unwrap(), format!("/{path}"))
}
