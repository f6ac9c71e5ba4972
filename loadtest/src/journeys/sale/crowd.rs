//! The crowd: who waits looks at the product, some try too early, and everybody orders at a fixed time,
//! whatever the shop does.

use super::SaleError;
use super::scenario::SaleScenario;
use crate::answer::Answer;
use crate::api::{Admin, Placed, Problem, Sale};
use crate::contention::Target;
use crate::contention::buyers::{REFUSALS, STILL_RUNNING};
use crate::contention::check::{Outcome, Told};
use crate::drive::{Failure, Then, Workload};
use crate::journeys::ledger::{Ledger, Told as Count};
use crate::request::Request;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The refusal before the opening.
const NOT_OPEN: &str = "sale_not_open";
/// How often an order is sent again before its buyer gives up.
const AGAIN_MAX: u32 = 100;
/// A pause before an order is sent again.
const AGAIN_PAUSE: Duration = Duration::from_millis(20);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    Look,
    Early,
    Order,
}

pub(super) struct Buyer {
    looking: Request,
    buying: Request,
    doing: Doing,
    pub(super) due: Option<Instant>,
    /// The first order is due so long after the opening.
    after_opening: Duration,
    first_order: Instant,
    /// It also tries early.
    is_early: bool,
    /// When; none when that is over.
    early: Option<Instant>,
    /// The order was not sent before that.
    sent: Instant,
    /// Orders begun, the early one among them.
    begun: u64,
    again: u32,
}

/// Everybody who waits for the sale.
pub(super) struct Crowd<'a> {
    scenario: &'a SaleScenario,
    stop: &'a AtomicBool,
    sale: Announced<'a>,
    /// Why there is no sale; nobody does anything then.
    pub(super) failed: Option<SaleError>,
    pub(super) opens: Instant,
    pub(super) buyers: Vec<Buyer>,
    pub(super) ledger: Ledger,
    pub(super) told: Vec<Told>,
    /// Orders acknowledged more than the margin before the opening.
    pub(super) sold_early: Vec<String>,
    /// The longest time after the opening, beyond the margin, at which an order was sent that was refused
    /// because there was no sale yet.
    pub(super) not_open_after: Option<Duration>,
    /// Early orders that were acknowledged, by customer: they are demand, too.
    pub(super) early_demand: Vec<usize>,
    pub(super) sold_out: Option<Instant>,
}

impl Crowd<'_> {
    /// Tells the ledger and says what comes next.
    fn done(&mut self, connection: usize, told: Count) -> Then {
        let buyer = &mut self.buyers[connection];
        let step = match buyer.doing {
            Doing::Look => "look",
            Doing::Early => "early",
            Doing::Order => "order",
        };
        if let Some(due) = buyer.due.take() {
            self.ledger.tell(step, due, told);
        }
        if buyer.doing == Doing::Order {
            return Then::Next;
        }
        let poll = Duration::try_from_secs_f64(self.scenario.poll_ms / 1_000.0).unwrap_or_default();
        let next = (Instant::now() + poll).min(buyer.first_order);
        Then::At(buyer.early.map_or(next, |early| early.min(next)))
    }

    /// The sale opens at the next whole second that is far enough away; it becomes known to the shop here, when
    /// everybody is connected and waits.
    fn announce(&mut self) -> Result<(), SaleError> {
        let now = OffsetDateTime::now_utc();
        let begin = Instant::now();
        let soon = now + Duration::from_secs(u64::from(self.scenario.opens_in_seconds) + 1);
        // A whole second, which every clock can say.
        let opens_at = soon.replace_nanosecond(0).unwrap_or(soon);
        self.opens = begin + Duration::try_from(opens_at - now).unwrap_or_default();
        let (opens_text, closes_text) =
            (opens_at.format(&Rfc3339)?, (opens_at + Duration::from_hours(1)).format(&Rfc3339)?);
        let terms = Sale { price: self.scenario.price, per_customer_limit: self.scenario.per_customer_limit };
        self.sale.admin.set_sale_between(self.sale.sku, terms, &opens_text, &closes_text)?;
        let early_count = self.buyers.iter().filter(|buyer| buyer.is_early).count();
        let time = self.opens.saturating_duration_since(Instant::now() + 2 * self.scenario.margin());
        let apart = time / u32::try_from(early_count).unwrap_or(u32::MAX).max(1);
        let mut early = Instant::now();
        for buyer in &mut self.buyers {
            buyer.first_order = self.opens + buyer.after_opening;
            if buyer.is_early {
                early += apart;
                buyer.early = Some(early);
            }
        }
        Ok(())
    }

    fn remember(&mut self, connection: usize, outcome: Outcome) {
        let key = connection as u64 * (self.scenario.requests + 1) + self.buyers[connection].begun - 1;
        self.told.push(Told { customer: self.scenario.customer(connection), key, outcome });
    }

    /// An order was refused because the sale is not open.
    fn not_open(&mut self, connection: usize) {
        let since = self.buyers[connection].sent.saturating_duration_since(self.opens);
        if since > self.scenario.margin() {
            self.not_open_after = self.not_open_after.max(Some(since));
        }
    }

    /// The run is over and there is no answer.
    pub(super) fn unanswered(&mut self, connection: usize) {
        let why = "not answered when the run ended";
        self.ledger.explain(|| why.to_owned());
        if self.buyers[connection].doing == Doing::Order {
            self.remember(connection, Outcome::Unexpected(why.to_owned()));
        }
        self.done(connection, Count::Unanswered);
    }

    fn unexpected(&mut self, connection: usize, why: String) -> Then {
        self.ledger.explain(|| why.clone());
        if self.buyers[connection].doing == Doing::Order {
            self.remember(connection, Outcome::Unexpected(why));
        }
        self.done(connection, Count::Error)
    }

    fn again_or(&mut self, connection: usize, pause: Duration, why: impl FnOnce() -> String) -> Then {
        self.buyers[connection].again += 1;
        if self.buyers[connection].again > AGAIN_MAX {
            return self.unexpected(connection, format!("given up: {}", why()));
        }
        self.buyers[connection].sent = Instant::now() + pause;
        Then::Again(pause)
    }

    fn accepted(&mut self, connection: usize, id: String) -> Then {
        if self.buyers[connection].doing == Doing::Early {
            self.early_demand.push(self.scenario.customer(connection));
        }
        // The answer is here, so it was decided before now.
        if Instant::now() + self.scenario.margin() < self.opens {
            self.sold_early.push(id.clone());
        }
        self.remember(connection, Outcome::Accepted(id));
        self.done(connection, Count::Accepted)
    }
}

impl Workload for Crowd<'_> {
    fn started(&mut self, start: Instant) {
        self.ledger.begins(start);
        self.failed = self.announce().err();
    }

    fn first_due(&mut self, connection: usize) -> Option<Instant> {
        Some(self.buyers[connection].first_order.min(Instant::now()))
    }

    fn due(&mut self, connection: usize, due: Instant) {
        self.buyers[connection].due = Some(due);
    }

    fn is_stopped(&self) -> bool {
        self.failed.is_some() || self.stop.load(Ordering::Relaxed)
    }

    fn prepare(&mut self, connection: usize) -> bool {
        let requests = self.scenario.requests;
        let now = Instant::now();
        let is_early = now + self.scenario.margin() < self.opens;
        let buyer = &mut self.buyers[connection];
        buyer.again = 0;
        buyer.sent = now;
        let is_open = buyer.due.is_some_and(|due| due >= buyer.first_order) || buyer.doing == Doing::Order;
        let tries = buyer.early.is_some_and(|early| buyer.due.is_some_and(|due| due >= early));
        if tries {
            buyer.early = None;
        }
        buyer.doing = match (is_open, tries && is_early) {
            (true, _) => Doing::Order,
            (false, true) => Doing::Early,
            (false, false) => Doing::Look,
        };
        if buyer.doing == Doing::Look {
            return true;
        }
        if buyer.doing == Doing::Order && buyer.begun == 0 {
            // Key 0 belongs to the early order, whether there was one or not.
            buyer.begun = 1;
        }
        if buyer.begun > requests {
            buyer.due = None;
            return false;
        }
        buyer.buying.set_key(connection as u64 * (requests + 1) + buyer.begun);
        buyer.begun += 1;
        true
    }

    fn bytes(&self, connection: usize) -> &[u8] {
        let buyer = &self.buyers[connection];
        if buyer.doing == Doing::Look { buyer.looking.bytes() } else { buyer.buying.bytes() }
    }

    fn answered(&mut self, connection: usize, answer: Answer<'_>) -> Then {
        let doing = self.buyers[connection].doing;
        self.ledger.answered(answer.status);
        let text = || format!("{} {}", answer.status, String::from_utf8_lossy(answer.body));
        if doing == Doing::Look {
            return if answer.status == 200 {
                self.done(connection, Count::Accepted)
            } else {
                self.unexpected(connection, text())
            };
        }
        if answer.status == 201 {
            return match serde_json::from_slice::<Placed>(answer.body) {
                Ok(placed) => self.accepted(connection, placed.id),
                Err(_) => self.unexpected(connection, text()),
            };
        }
        if let (503, Some(seconds)) = (answer.status, answer.retry_after) {
            return self.again_or(connection, Duration::from_secs(seconds.into()) + AGAIN_PAUSE, text);
        }
        let code = serde_json::from_slice::<Problem>(answer.body).map(|problem| problem.code).unwrap_or_default();
        if code == NOT_OPEN && doing == Doing::Order {
            self.not_open(connection);
        }
        if code == STILL_RUNNING || (code == NOT_OPEN && doing == Doing::Order) {
            // The shop's clock may be a moment behind this one's.
            return self.again_or(connection, AGAIN_PAUSE, text);
        }
        let is_open = Instant::now() + self.scenario.margin() >= self.opens;
        let is_explained =
            (is_open && REFUSALS.contains(&code.as_str())) || (doing == Doing::Early && code == NOT_OPEN);
        if !is_explained {
            return self.unexpected(connection, text());
        }
        *self.ledger.codes.entry(code.clone()).or_default() += 1;
        if code == "sold_out" {
            self.sold_out.get_or_insert_with(Instant::now);
        }
        if doing == Doing::Order {
            self.remember(connection, Outcome::Refused(code));
        }
        self.done(connection, Count::Refused)
    }

    fn failed(&mut self, connection: usize, failure: &Failure) -> Then {
        self.again_or(connection, Duration::from_millis(100), || failure.to_string())
    }
}

/// What the crowd waits for, and who may announce it.
pub(super) struct Announced<'a> {
    pub(super) sku: &'a str,
    pub(super) admin: Admin,
}

/// Everybody, with a first order due within the jitter.
pub(super) fn crowd<'a>(
    scenario: &'a SaleScenario,
    target: &Target,
    stop: &'a AtomicBool,
    sale: Announced<'a>,
    (seed, run): (u64, u64),
) -> Crowd<'a> {
    let mut chance = StdRng::seed_from_u64(seed);
    let (now, sku) = (Instant::now(), sale.sku);
    let host = target.address.to_string();
    let body = serde_json::json!({ "lines": [{ "sku": sku, "quantity": 1 }] }).to_string();
    let buyer = |connection: usize| {
        let token = &target.customer_tokens[scenario.customer(connection)];
        let after = chance.random::<f64>() * scenario.jitter_ms / 1_000.0;
        Buyer {
            looking: Request::to("GET", &host, &format!("/v1/products/{sku}")).bearer(token).empty(),
            buying: Request::to("POST", &host, "/v1/orders")
                .bearer(token)
                .numbered_key(&format!("{run:016x}"))
                .json(&body),
            doing: Doing::Look,
            due: None,
            after_opening: Duration::try_from_secs_f64(after).unwrap_or_default(),
            first_order: now,
            early: None,
            sent: now,
            is_early: scenario.too_early_every > 0 && connection.is_multiple_of(scenario.too_early_every),
            begun: 0,
            again: 0,
        }
    };
    Crowd {
        scenario,
        stop,
        failed: None,
        opens: now,
        buyers: (0..scenario.buyers).map(buyer).collect(),
        ledger: Ledger::new(Instant::now(), f64::from(scenario.opens_in_seconds) + 5.0),
        sale,
        not_open_after: None,
        told: Vec::new(),
        sold_early: Vec::new(),
        early_demand: Vec::new(),
        sold_out: None,
    }
}
