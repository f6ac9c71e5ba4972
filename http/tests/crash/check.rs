//! Asks the shop after a crash, and compares with the books.

use crate::books::{Books, Finding, Units};
use crate::load::{Fate, Placed, Wish, fate, placed, send_change};
use crate::support::{Caller, PATIENCE, code};
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

/// Whoever looks after a crash.
pub(crate) struct Examiner<'a> {
    pub(crate) admin: Caller,
    /// One for each customer.
    pub(crate) customers: Vec<Caller>,
    pub(crate) books: &'a mut Books,
}

impl Examiner<'_> {
    /// What the last round touched, a few older orders, and all stock.
    pub(crate) fn examine(&mut self, older: &[Wish]) {
        self.settle_unknown();
        let touched = self.look_at_touched();
        let again: Vec<Wish> = touched
            .iter()
            .filter_map(|id| self.books.orders.get(id))
            .map(|known| known.wish.clone())
            .take(20)
            .collect();
        for wish in again.iter().chain(older) {
            self.ask_again(wish);
        }
        for wish in older {
            let id = self.books.id_of(wish);
            self.look_at(&id);
        }
        self.compare_stock();
    }

    /// Every order that the last round touched, and which they are.
    pub(crate) fn look_at_touched(&mut self) -> Vec<String> {
        let touched: Vec<String> = self.books.touched.drain().collect();
        for id in &touched {
            self.look_at(id);
        }
        touched
    }

    /// What was sent without an answer is sent again under its key, until there is one.
    fn settle_unknown(&mut self) {
        let unknown: Vec<Wish> = self.books.unknown.drain().map(|(_, wish)| wish).collect();
        for wish in unknown {
            self.ask_again(&wish);
        }
        for change in std::mem::take(&mut self.books.unknown_changes) {
            match send_change(&mut self.admin, &change) {
                Ok(fate) => self.books.enter_change(change, &fate),
                Err(said) => self.books.findings.push(Finding::Unexpected(said)),
            }
        }
    }

    /// The same order under the same key: a new one only where there was none.
    fn ask_again(&mut self, wish: &Wish) {
        let by = Instant::now() + PATIENCE;
        loop {
            let answer = self.customers[wish.customer].post("/v1/orders", Some(&wish.key), Some(&wish.body()));
            let fate = fate(answer, 201, &["sold_out"], |response| response.json().ok().and_then(placed));
            match fate {
                Ok(Fate::Unknown) if Instant::now() < by => std::thread::sleep(Duration::from_millis(2)),
                Ok(Fate::Unknown) => {
                    self.books.findings.push(Finding::Unexpected(format!("no answer for {wish:?}")));
                    return;
                }
                Ok(Fate::Refused) if self.books.has(wish) => {
                    let id = self.books.id_of(wish);
                    let said = "its key is not known any more, and it is sold out".to_owned();
                    self.books.findings.push(Finding::Lost { id, said });
                    return;
                }
                Ok(fate) => {
                    self.books.enter_order(wish.clone(), fate);
                    return;
                }
                Err(said) => {
                    self.books.findings.push(Finding::Unexpected(said));
                    return;
                }
            }
        }
    }

    fn look_at(&mut self, id: &str) {
        let response = self.admin.get(&format!("/v1/orders/{id}")).unwrap();
        let order = response.json().ok().filter(|_| response.status == 200).and_then(read);
        match order {
            Some((order, status)) => self.books.compare(&order, &status),
            None if response.status == 404 => {
                self.books.findings.push(Finding::Lost { id: id.to_owned(), said: code(&response) });
            }
            None => self.books.findings.push(Finding::Unexpected(response.text())),
        }
    }

    /// Every order that the shop has, page by page, is one of the books', and the other way round.
    pub(crate) fn compare_all(&mut self) {
        let mut path = "/v1/orders?limit=100".to_owned();
        let mut seen = HashSet::new();
        loop {
            let response = self.admin.get(&path).unwrap();
            assert_eq!(response.status, 200, "{}", response.text());
            let page = response.json().unwrap();
            for order in page["orders"].as_array().unwrap() {
                let (order, status) = read(order.clone()).unwrap();
                assert!(seen.insert(order.id.clone()), "{} is listed twice", order.id);
                self.books.compare(&order, &status);
            }
            let Some(cursor) = page["next_cursor"].as_str() else { break };
            path = format!("/v1/orders?limit=100&after={cursor}");
        }
        let lost = self.books.orders.keys().filter(|id| !seen.contains(*id)).cloned();
        let lost: Vec<Finding> = lost.map(|id| Finding::Lost { id, said: "not in the list".to_owned() }).collect();
        self.books.findings.extend(lost);
    }

    /// The parts of a basket are settled behind its answer, so that stock is asked until it fits.
    fn compare_stock(&mut self) {
        let expected = self.books.expected();
        let by = Instant::now() + Duration::from_secs(20);
        loop {
            let found = self.stock();
            if found == expected {
                return;
            }
            if Instant::now() >= by {
                for (sku, expected) in expected {
                    let found = found.get(&sku).copied().unwrap_or_default();
                    if found != expected {
                        self.books.findings.push(Finding::Stock { sku, expected, found });
                    }
                }
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn stock(&mut self) -> BTreeMap<String, Units> {
        let response = self.admin.get("/v1/products?limit=100").unwrap();
        assert_eq!(response.status, 200, "{}", response.text());
        let products = response.json().unwrap();
        let units = |product: &Value| {
            let stock = |name: &str| product["stock"][name].as_i64().unwrap();
            let units = Units {
                on_hand: stock("on_hand"),
                held: stock("held"),
                sold: stock("sold"),
                available: stock("available"),
            };
            (product["sku"].as_str().unwrap().to_owned(), units)
        };
        products["products"].as_array().unwrap().iter().map(units).collect()
    }
}

/// An order as it is shown: what never changes, and its status.
fn read(order: Value) -> Option<(Placed, String)> {
    let status = order["status"].as_str()?.to_owned();
    Some((placed(order)?, status))
}
