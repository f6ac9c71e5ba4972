//! What paying costs: selling while the gateway hangs, whole journeys against the gateway's calls alone, and
//! many sagas open at once. The shop and the sandbox are programs of their own; this one plays the shoppers.
//!
//! Must never count a journey that did not end confirmed.

use super::http::{FEW, MANY};
use crate::measure::{Load, Sample, measure};
use crate::side::{Gateway, Sides};
use crate::spread::Spread;
use crate::table::{Asked, Measured, Row};
use anyhow::{Context, ensure};
use serde_json::{Value, json};
use son7shop_loadtest::client::{Client, Response};
use son7shop_loadtest::drive::Pace;
use son7shop_loadtest::process::resident_bytes;
use son7shop_loadtest::request::Request;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Who pays beside the orders.
const PAYERS: usize = 64;
/// Each of them begins a payment no more often than this: a gateway that hangs is refused at once after a while,
/// and whoever is refused must not bring more load than whoever is served.
const PAYER_PAUSE: Duration = Duration::from_millis(250);
/// Shoppers of whole journeys.
const SHOPPERS: usize = 200;
/// How long the gateway hangs, in milliseconds.
const HANG_MILLIS: u32 = 60_000;
/// Every so many-th of the open sagas is looked at.
const SAGA_SAMPLE: usize = 100;

/// How to measure.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Rounds.
    pub rounds: usize,
    /// Load before each window.
    pub warmup: Duration,
    /// The counted window.
    pub window: Duration,
}

/// Selling while the gateway hangs against selling while it is fast.
pub fn hanging(sides: &Sides, settings: &Settings, say: &mut dyn FnMut(&str)) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for connections in [FEW, MANY] {
        let (mut ratios, mut rates, mut wrong) = (Spread::new(), [Spread::new(), Spread::new()], None);
        for _ in 0..settings.rounds {
            let mut samples = Vec::new();
            for (hangs, rates) in [false, true].into_iter().zip(&mut rates) {
                let sample = selling(sides, settings, connections, hangs)?;
                say(&format!(
                    "  orders beside payments, {connections} connections, hangs: {hangs}: {:.0}/s",
                    sample.per_second
                ));
                rates.add(sample.per_second);
                wrong = wrong.or(sample.wrong);
                samples.push(sample.per_second);
            }
            ratios.add(samples[1] / samples[0]);
        }
        let whole = |rate| format!("{rate:.0}");
        rows.push(Row {
            figure: format!(
                "order rate while the gateway hangs 60 s on every call ÷ with a fast gateway, {connections} connections"
            ),
            asked: Asked::AtLeast(0.95, 1.0),
            unit: "",
            measured: match wrong {
                Some(wrong) => Measured::Void(ratios, wrong),
                None => Measured::Rounds(ratios),
            },
            beside: format!(
                "{} against {} a second; beside them {PAYERS} shoppers, who pay when the gateway begins to hang and go on to begin payments",
                rates[1].show(whole),
                rates[0].show(whole)
            ),
        });
    }
    Ok(rows)
}

fn selling(sides: &Sides, settings: &Settings, connections: usize, hangs: bool) -> anyhow::Result<Sample> {
    let gateway = sides.start_gateway()?;
    let (running, tokens) = sides.start_paid(&gateway, connections, PAYERS)?;
    let (stop, ready) = (Arc::new(AtomicBool::new(false)), Arc::new(Barrier::new(PAYERS + 1)));
    let payers: Vec<JoinHandle<anyhow::Result<()>>> = (0..PAYERS)
        .map(|n| {
            let mut shopper = Shopper::new(running.program.address(), gateway.pages, &tokens[n], n);
            let (stop, ready) = (Arc::clone(&stop), Arc::clone(&ready));
            std::thread::spawn(move || {
                // Half of them have paid when it begins, and come back to have it taken.
                let back = if n % 2 == 0 { shopper.paid().map(Some) } else { Ok(None) };
                ready.wait();
                ready.wait();
                if let Some(back) = back? {
                    // What becomes of it is not this measurement's.
                    let _ = shopper.come_back(&back);
                }
                while !stop.load(Ordering::Relaxed) {
                    let begun = Instant::now();
                    // A gateway that hangs is answered 502 or not at all.
                    let _ = shopper.place().and_then(|order| shopper.start(&order));
                    std::thread::sleep(PAYER_PAUSE.saturating_sub(begun.elapsed()));
                }
                Ok(())
            })
        })
        .collect();
    ready.wait();
    let hung = if hangs { gateway.hang(HANG_MILLIS) } else { Ok(()) };
    ready.wait();
    let load = Load { connections, pace: Pace::Closed, warmup: settings.warmup, window: settings.window };
    let sample = hung.and_then(|()| measure(&running, &load));
    stop.store(true, Ordering::Relaxed);
    // Those who wait for an answer have none to expect.
    drop(running);
    drop(gateway);
    for payer in payers {
        payer.join().map_err(|_| anyhow::anyhow!("a payer panicked"))??;
    }
    sample
}

/// Whole journeys against two calls of the gateway and two hits of its pages.
pub fn journeys(sides: &Sides, settings: &Settings, say: &mut dyn FnMut(&str)) -> anyhow::Result<Row> {
    let (mut ratios, mut ours, mut alone) = (Spread::new(), Spread::new(), Spread::new());
    for _ in 0..settings.rounds {
        let gateway = sides.start_gateway()?;
        let bare = per_second(settings, |n| {
            let mut shopper = Bare::new(&gateway, n);
            move || shopper.pay()
        })?;
        drop(gateway);
        let gateway = sides.start_gateway()?;
        let (running, tokens) = sides.start_paid(&gateway, 1, SHOPPERS)?;
        let whole = per_second(settings, |n| {
            let mut shopper = Shopper::new(running.program.address(), gateway.pages, &tokens[n], n);
            move || shopper.journey()
        })?;
        say(&format!("  journeys: {whole:.0}/s; the gateway alone {bare:.0}/s"));
        ratios.add(whole / bare);
        ours.add(whole);
        alone.add(bare);
    }
    let whole = |rate| format!("{rate:.0}");
    Ok(Row {
        figure: format!(
            "complete journeys a second (order, pay, confirm), {SHOPPERS} shoppers ÷ two gateway calls and two page hits alone"
        ),
        asked: Asked::AtLeast(0.6, 1.0),
        unit: "",
        measured: Measured::Rounds(ratios),
        beside: format!("{} against {} a second", ours.show(whole), alone.show(whole)),
    })
}

/// How often all shoppers together do it in a second; the first failure ends it.
fn per_second<F: FnMut() -> anyhow::Result<()> + Send + 'static>(
    settings: &Settings,
    mut each: impl FnMut(usize) -> F,
) -> anyhow::Result<f64> {
    let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let failed = Arc::new(Mutex::new(None));
    let shoppers: Vec<_> = (0..SHOPPERS)
        .map(|n| {
            let (mut once, stop, count, failed) = (each(n), Arc::clone(&stop), Arc::clone(&count), Arc::clone(&failed));
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    if let Err(error) = once() {
                        failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                        return;
                    }
                    count.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    std::thread::sleep(settings.warmup);
    let (opened, before) = (Instant::now(), count.load(Ordering::Relaxed));
    std::thread::sleep(settings.window);
    let (window, done) = (opened.elapsed(), count.load(Ordering::Relaxed) - before);
    stop.store(true, Ordering::Relaxed);
    for shopper in shoppers {
        shopper.join().map_err(|_| anyhow::anyhow!("a shopper panicked"))?;
    }
    match failed.lock().unwrap_or_else(PoisonError::into_inner).take() {
        Some(error) => Err(error),
        None => Ok(f64::from(u32::try_from(done)?) / window.as_secs_f64()),
    }
}

/// Memory of many open sagas, and how late their orders' deadlines are kept. An order may be paid for
/// `hold_seconds`: longer than it takes to open them all.
pub fn open_sagas(sides: &Sides, sagas: u64, hold_seconds: u64, say: &mut dyn FnMut(&str)) -> anyhow::Result<Row> {
    let gateway = sides.start_gateway()?;
    let (running, tokens) = sides.start_held(&gateway, PAYERS, hold_seconds)?;
    let program = &running.program;
    let (empty, _) = resident_bytes(program.pid())?;
    let orders = Arc::new(Mutex::new(Vec::new()));
    let begun = Instant::now();
    let left = Arc::new(AtomicU64::new(sagas));
    let shoppers: Vec<JoinHandle<anyhow::Result<()>>> = (0..PAYERS)
        .map(|n| {
            let mut shopper = Shopper::new(program.address(), gateway.pages, &tokens[n], n);
            let (left, orders) = (Arc::clone(&left), Arc::clone(&orders));
            std::thread::spawn(move || {
                while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
                    let order = shopper.place()?;
                    shopper.started(&order)?;
                    orders.lock().unwrap_or_else(PoisonError::into_inner).push((order, n));
                }
                Ok(())
            })
        })
        .collect();
    for shopper in shoppers {
        shopper.join().map_err(|_| anyhow::anyhow!("a shopper panicked"))??;
    }
    let opened = begun.elapsed();
    let hold = Duration::from_secs(hold_seconds);
    ensure!(opened < hold, "opening {sagas} sagas took {} s; the first had expired by then", opened.as_secs());
    let (full, _) = resident_bytes(program.pid())?;
    say(&format!("  {sagas} sagas open after {} s, {} MB", opened.as_secs(), full / 1_000_000));
    // The last deadline, and as long again as any may be late.
    std::thread::sleep(hold + Duration::from_secs(10));
    let orders = std::mem::take(&mut *orders.lock().unwrap_or_else(PoisonError::into_inner));
    let mut client = Client::new(program.address());
    let mut late = Vec::new();
    for (order, n) in orders.iter().step_by(SAGA_SAMPLE) {
        let answer = expect(client.get(&format!("/v1/orders/{order}/timeline"), Some(&tokens[*n])), 200)?;
        late.push(lateness(&answer.json()?)?);
    }
    late.sort_unstable();
    let at = |percent: usize| late.get(late.len() * percent / 100).or(late.last()).copied().unwrap_or_default();
    Ok(Row {
        figure: format!("lateness of deadlines, {sagas} sagas open at once, on the wall clock, p99"),
        asked: Asked::Nothing,
        unit: "ms",
        measured: Measured::Rounds([f64::from(i32::try_from(at(99))?)].into_iter().collect()),
        beside: format!(
            "p50 {} ms, most {} ms, of {} orders; opened within {} s; resident {} MB, empty {} MB",
            at(50),
            at(100),
            late.len(),
            opened.as_secs(),
            full / 1_000_000,
            empty / 1_000_000
        ),
    })
}

/// How many milliseconds after its deadline an order expired.
fn lateness(timeline: &Value) -> anyhow::Result<i64> {
    let entries = timeline["entries"].as_array().context("a timeline without entries")?;
    let time = |text: &Value| -> anyhow::Result<i128> {
        let text = text.as_str().context("a timeline without a time")?;
        Ok(OffsetDateTime::parse(text, &Rfc3339)?.unix_timestamp_nanos() / 1_000_000)
    };
    let expired = entries.iter().find(|entry| entry["what"] == "order_expired");
    let expired = expired.with_context(|| format!("an order did not expire: {timeline}"))?;
    let deadline = entries.first().map_or(&Value::Null, |placed| &placed["next_at"]);
    Ok(i64::try_from(time(&expired["at"])? - time(deadline)?)?)
}

/// One shopper's browser.
struct Shopper {
    shop: Client,
    pages: Client,
    token: String,
    name: usize,
    sent: u64,
}

impl Shopper {
    fn new(shop: SocketAddr, pages: SocketAddr, token: &str, name: usize) -> Self {
        Self { shop: Client::new(shop), pages: Client::new(pages), token: token.to_owned(), name, sent: 0 }
    }

    fn post(&mut self, path: &str, body: &Value, status: u16) -> anyhow::Result<Value> {
        self.sent += 1;
        let request = Request::to("POST", &self.shop.host(), path)
            .bearer(&self.token)
            .header("Idempotency-Key", &format!("payer-{}-{}", self.name, self.sent))
            .json(&body.to_string());
        Ok(expect(self.shop.send(&request), status)?.json()?)
    }

    /// Places an order: its id.
    fn place(&mut self) -> anyhow::Result<String> {
        let order = self.post("/v1/orders", &crate::side::order(), 201)?;
        order["id"].as_str().map(str::to_owned).context("an order without an id")
    }

    /// Starts a payment: the path of its page.
    fn start(&mut self, order: &str) -> anyhow::Result<String> {
        let started = self.post(&format!("/v1/orders/{order}/payments"), &json!({ "method": "kakaopay" }), 201)?;
        path_of(started["redirect"]["desktop"].as_str())
    }

    /// The same, in a shop whose gateway is asked by so many others that it may refuse for a while.
    fn started(&mut self, order: &str) -> anyhow::Result<String> {
        self.start(order).or_else(|_| self.start(order))
    }

    /// Looks at the page and presses pay: where the browser is sent to.
    fn press(&mut self, page: &str) -> anyhow::Result<String> {
        press(&mut self.pages, page)
    }

    /// Orders and pays: the address to come back to.
    fn paid(&mut self) -> anyhow::Result<String> {
        let order = self.place()?;
        let page = self.start(&order)?;
        self.press(&page)
    }

    fn come_back(&mut self, path: &str) -> anyhow::Result<Value> {
        let request = Request::to("GET", &self.shop.host(), path).header("Accept", "application/json").empty();
        Ok(expect(self.shop.send(&request), 200)?.json()?)
    }

    fn journey(&mut self) -> anyhow::Result<()> {
        let back = self.paid()?;
        let shown = self.come_back(&back)?;
        ensure!(shown["order_status"] == "confirmed", "a journey ended as {}", shown["order_status"]);
        Ok(())
    }
}

/// The same calls and pages without a shop.
struct Bare {
    api: Client,
    pages: Client,
    path: String,
    key: String,
    name: usize,
    sent: u64,
}

impl Bare {
    fn new(gateway: &Gateway, name: usize) -> Self {
        let (api, pages) = (Client::new(gateway.api), Client::new(gateway.pages));
        Self { api, pages, path: gateway.path.clone(), key: gateway.key.clone(), name, sent: 0 }
    }

    fn call(&mut self, name: &str, body: &Value) -> anyhow::Result<Value> {
        let request = Request::to("POST", &self.api.host(), &format!("{}/{name}", self.path))
            .header("Authorization", &format!("SECRET_KEY {}", self.key))
            .json(&body.to_string());
        Ok(expect(self.api.send(&request), 200)?.json()?)
    }

    fn pay(&mut self) -> anyhow::Result<()> {
        self.sent += 1;
        let order = format!("order-{}-{}", self.name, self.sent);
        let back = "http://127.0.0.1:9/back";
        let prepared = self.call(
            "ready",
            &json!({
                "cid": "TC0ONETIME", "partner_order_id": order, "partner_user_id": "shopper", "item_name": "item",
                "quantity": 1, "total_amount": 10_000, "tax_free_amount": 0,
                "approval_url": back, "cancel_url": back, "fail_url": back,
            }),
        )?;
        let page = path_of(prepared["next_redirect_pc_url"].as_str())?;
        let sent_to = press(&mut self.pages, &page)?;
        let token = sent_to.split("pg_token=").nth(1).context("no token came back")?;
        let approved = self.call(
            "approve",
            &json!({
                "cid": "TC0ONETIME", "tid": prepared["tid"], "partner_order_id": order,
                "partner_user_id": "shopper", "pg_token": token, "total_amount": 10_000,
            }),
        )?;
        ensure!(approved["aid"].is_string(), "a payment was not approved");
        Ok(())
    }
}

fn press(pages: &mut Client, page: &str) -> anyhow::Result<String> {
    expect(pages.get(page, None), 200)?;
    let press = Request::to("POST", &pages.host(), page).json("press=pay&means=CARD");
    path_of(expect(pages.send(&press), 302)?.header("location"))
}

/// The path and query of an address; addresses are secrets, so none is in an error.
fn path_of(address: Option<&str>) -> anyhow::Result<String> {
    let rest = address.and_then(|address| address.strip_prefix("http://")).context("no address came")?;
    rest.find('/').map(|at| rest[at..].to_owned()).context("an address without a path")
}

fn expect(answer: Result<Response, son7shop_loadtest::client::ClientError>, status: u16) -> anyhow::Result<Response> {
    let answer = answer?;
    ensure!(answer.status == status, "{} instead of {status}", answer.status);
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lateness_is_counted_from_the_deadline() {
        let placed = json!({ "what": "order_placed", "next_at": "2026-11-24T09:30:00.000Z" });
        let expired = json!({ "what": "order_expired", "at": "2026-11-24T09:30:00.250Z" });
        let late = lateness(&json!({ "entries": [placed, expired] })).ok();
        assert_eq!(late, Some(250));
        assert!(lateness(&json!({ "entries": [placed] })).is_err(), "it has not expired");
    }

    #[test]
    fn an_address_is_cut_to_its_path() {
        assert_eq!(path_of(Some("http://127.0.0.1:1/a?b=c")).ok().as_deref(), Some("/a?b=c"));
        assert!(path_of(Some("https://x/a")).is_err() && path_of(None).is_err());
    }
}
