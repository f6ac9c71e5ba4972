//! Shoppers: place an order, start a payment, go to the gateway's page and do there what people do. They go
//! on through the shop's restarts.

use crate::sandbox::{Button, press};
use crate::support::{Caller, Chance, code};
use crate::town::{Town, count};
use serde_json::{Value, json};
use son7shop_loadtest::client::Response;
use std::time::Duration;

/// Attempts that one shopper makes at one order.
const ATTEMPTS: usize = 3;
/// Milliseconds between a shopper's orders.
const THINKS: std::ops::Range<u64> = 100..1_500;
/// Addresses that are kept for whoever forges.
const ADDRESSES: usize = 200;

/// One customer, with one thing in hand at a time.
pub(crate) struct Shopper<'a> {
    town: &'a Town,
    index: usize,
    skus: &'a [String],
    chance: Chance,
    caller: Caller,
    keys: u64,
}

impl<'a> Shopper<'a> {
    pub(crate) fn new(town: &'a Town, index: usize, skus: &'a [String]) -> Self {
        let caller = Caller::new(town.address, &town.customers[index]);
        Self { town, index, skus, chance: Chance::new(town.seed, &[1, index as u64]), caller, keys: 0 }
    }

    /// Shops until the run is over.
    pub(crate) fn run(mut self) {
        while self.town.doors.pause(Duration::from_millis(self.chance.within(THINKS.start, THINKS.end))) {
            let Some(id) = self.order() else { continue };
            match self.chance.within(0, 100) {
                0..5 => self.cancel(&id),
                // Leaves before it comes to paying.
                5..10 => count(&self.town.counts.left),
                _ => self.pay(&id),
            }
        }
    }

    fn key(&mut self) -> String {
        self.keys += 1;
        format!("{}-{}", self.index, self.keys)
    }

    /// Places an order for one product or two.
    fn order(&mut self) -> Option<String> {
        let first = self.chance.within(0, self.skus.len() as u64);
        let width = self.chance.within(1, 3);
        let lines: Vec<Value> = (0..width)
            .map(|at| {
                let sku = &self.skus[usize::try_from(first + at).unwrap() % self.skus.len()];
                json!({ "sku": sku, "quantity": self.chance.within(1, 4) })
            })
            .collect();
        let (key, body) = (self.key(), json!({ "lines": lines }));
        let said = self.town.insist(&mut self.caller, ("POST", "/v1/orders"), Some(&key), Some(&body))?;
        if said.status != 201 {
            self.refused("an order", &said, &["part_unanswered", "deadline_before_placed", "sold_out"]);
            return None;
        }
        let id = said.json().unwrap()["id"].as_str().unwrap().to_owned();
        self.town.books().orders.insert(id.clone(), self.index);
        Some(id)
    }

    /// Makes a few attempts at paying.
    fn pay(&mut self, id: &str) {
        for _ in 0..ATTEMPTS {
            let Some(page) = self.start(id) else { return };
            match self.chance.within(0, 100) {
                0..45 => self.press(id, &page, Button::Pay),
                45..55 => self.press(id, &page, Button::Quit),
                55..65 => self.press(id, &page, Button::WrongPassword),
                65..72 => return count(&self.town.counts.left),
                72..79 => {
                    self.press(id, &page, Button::Pay);
                    self.press(id, &page, Button::Pay);
                }
                79..90 => {
                    // Starts again, pays on the old page, and then on the new one.
                    let Some(new) = self.start(id) else { return };
                    self.press(id, &page, Button::Pay);
                    self.press(id, &new, Button::Pay);
                }
                _ => self.cancel_meanwhile(id, &page),
            }
            match self.show(id).as_str() {
                "confirmed" => {
                    let refunds = self.chance.within(0, 100) < 40;
                    let mut books = self.town.books();
                    books.confirmed.insert(id.to_owned());
                    if refunds {
                        books.to_refund.push(id.to_owned());
                    }
                    return;
                }
                "held" | "paying" if self.chance.within(0, 100) < 60 => {}
                _ => return,
            }
        }
    }

    /// Starts an attempt: its page. The gateway may not begin it; another key may be tried.
    fn start(&mut self, id: &str) -> Option<String> {
        for _ in 0..ATTEMPTS {
            let (key, path) = (self.key(), format!("/v1/orders/{id}/payments"));
            let body = json!({ "method": "kakaopay" });
            let said = self.town.insist(&mut self.caller, ("POST", &path), Some(&key), Some(&body))?;
            if said.status == 201 {
                count(&self.town.counts.payments);
                // None, if the attempt has ended by the time that this is answered.
                let page = said.json().unwrap()["redirect"]["desktop"].as_str()?.to_owned();
                let secret = page.rsplit('/').next().unwrap().to_owned();
                self.town.books().secrets.insert(secret);
                return Some(page);
            }
            if code(&said) != "payment_not_begun" {
                self.refused("a payment", &said, &["wrong_state"]);
                return None;
            }
            count(&self.town.counts.not_begun);
        }
        None
    }

    /// Presses a button, and comes back to the shop; somebody may have come with a forgery before.
    fn press(&mut self, id: &str, page: &str, button: Button) {
        let Some(location) = self.pressed(page, button) else { return };
        if self.chance.within(0, 100) < 12 {
            self.forge(&location);
        }
        // Most people reload a page that did not come.
        let reloads = self.chance.within(0, 100) < 85;
        let said = self.town.arrive(&location, reloads);
        self.came_back(id, said.as_ref());
    }

    fn pressed(&mut self, page: &str, button: Button) -> Option<String> {
        let led = press(page, button).unwrap_or_else(|said| {
            self.town.unexpected(said);
            None
        });
        count(match button {
            Button::Pay => &self.town.counts.paid,
            Button::Quit => &self.town.counts.quit,
            Button::WrongPassword => &self.town.counts.mistyped,
        });
        let location = led?;
        self.town.keep_address(&location);
        Some(location)
    }

    fn came_back(&self, id: &str, said: Option<&Response>) {
        let Some(said) = said else { return };
        if said.status != 200 {
            return self.town.unexpected(format!("coming back for {id}: {} {}", said.status, code(said)));
        }
        // Whose order the page is about, a fault may have swapped.
        let page = said.text();
        if page.contains("Your order is confirmed") && page.contains(id) {
            self.town.books().confirmed.insert(id.to_owned());
        }
    }

    /// Somebody comes with what no gateway said. What it brings is looked at when the run is over.
    fn forge(&mut self, location: &str) {
        let Some(parts) = Parts::of(location) else { return };
        let other = self.chance.one(&self.town.books().addresses).cloned();
        let other = other.as_deref().and_then(Parts::of);
        let proof = format!("{:016x}{:04x}", self.chance.next(), self.chance.next() & 0xffff);
        let (forged, right) = match (self.chance.within(0, 4), other) {
            (0, _) => (parts.with(&parts.handle, &format!("approved?pg_token={proof}")), 200),
            (1, _) => (parts.with(&parts.handle, "cancelled"), 200),
            (2, Some(other)) => (parts.with(&other.handle, &parts.rest), 200),
            _ => {
                let (order, _) = parts.handle.rsplit_once('.').unwrap();
                let nonce = format!("{:016x}{:016x}", self.chance.next(), self.chance.next());
                (parts.with(&format!("{order}.{nonce}"), &parts.rest), 404)
            }
        };
        count(&self.town.counts.forged);
        if let Some(said) = self.town.arrive(&forged, false)
            && said.status != right
        {
            self.town.unexpected(format!("a forged return: {} instead of {right}", said.status));
        }
    }

    /// Pays in one window and cancels in another.
    fn cancel_meanwhile(&mut self, id: &str, page: &str) {
        let Some(location) = self.pressed(page, Button::Pay) else { return };
        let town = self.town;
        let said = std::thread::scope(|scope| {
            let back = scope.spawn(|| town.arrive(&location, true));
            self.cancel(id);
            back.join().unwrap()
        });
        self.came_back(id, said.as_ref());
    }

    fn cancel(&mut self, id: &str) {
        let path = format!("/v1/orders/{id}/cancel");
        let Some(said) = self.town.insist(&mut self.caller, ("POST", &path), None, None) else { return };
        if said.status == 200 {
            self.town.books().cancelled.insert(id.to_owned());
        } else {
            self.refused("a cancellation", &said, &["wrong_state"]);
        }
    }

    /// The order's status.
    fn show(&mut self, id: &str) -> String {
        let path = format!("/v1/orders/{id}");
        let Some(said) = self.town.insist(&mut self.caller, ("GET", &path), None, None) else { return String::new() };
        if said.status != 200 {
            self.refused("an order of one's own", &said, &[]);
            return String::new();
        }
        said.json().unwrap()["status"].as_str().unwrap().to_owned()
    }

    fn refused(&self, what: &str, said: &Response, may: &[&str]) {
        if !may.contains(&code(said).as_str()) {
            self.town.unexpected(format!("{what}: {} {}", said.status, said.text()));
        }
    }
}

impl Town {
    /// Keeps what an address holds: secrets, and something to forge from.
    fn keep_address(&self, location: &str) {
        let Some(parts) = Parts::of(location) else { return };
        let mut books = self.books();
        let nonce = parts.handle.rsplit('.').next().unwrap().to_owned();
        books.secrets.insert(nonce);
        let token = parts.rest.split_once("pg_token=").map(|(_, token)| token.to_owned());
        books.secrets.extend(token);
        if books.addresses.len() >= ADDRESSES {
            books.addresses.clear();
        }
        books.addresses.push(location.to_owned());
    }
}

/// A return address in its parts: before the handle, the handle, and what follows.
struct Parts {
    before: String,
    handle: String,
    rest: String,
}

impl Parts {
    fn of(location: &str) -> Option<Self> {
        let (before, rest) = location.split_once("/v1/payments/")?;
        let (handle, rest) = rest.split_once('/')?;
        Some(Self { before: format!("{before}/v1/payments"), handle: handle.to_owned(), rest: rest.to_owned() })
    }

    fn with(&self, handle: &str, rest: &str) -> String {
        format!("{}/{handle}/{rest}", self.before)
    }
}
