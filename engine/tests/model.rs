//! Random histories of one partition against a model that is too simple to be wrong: a
//! list of orders, from which held, sold and limits are added up anew at every question.
//!
//! `SON7_SEED=n` runs one history again; `SON7_SEEDS=n` sets how many are run (400).

#![allow(clippy::expect_used, missing_docs, reason = "a test says what went wrong by panicking")]

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use son7shop_engine::{
    Answer, Command, CustomerId, LineRequest, Lines, Lsn, OrderId, Outcome, PartHold, Partition, PartitionId,
    PlaceOrder, Refusal, RequestKey, Requester, SaleTerms, Sku, Time, Won, invariants,
};
use std::collections::BTreeSet;

const SKUS: [&str; 4] = ["air", "bee", "cat", "dog"];
const CUSTOMERS: [&str; 5] = ["ann", "bob", "cat", "dan", "eve"];
const STEPS: usize = 400;

/// Where an order or part of the model stands.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Status {
    Held,
    Confirmed,
    Cancelled,
    Expired,
}

#[derive(Clone, Debug)]
struct Line {
    sku: usize,
    units: u32,
    price: i64,
    sale: usize,
}

#[derive(Clone, Debug)]
struct Taken {
    id: u64,
    customer: usize,
    key: Option<u8>,
    lines: Vec<Line>,
    status: Status,
    deadline: i64,
    ended_at: i64,
    forgotten: bool,
    part: bool,
}

#[derive(Clone, Debug, Default)]
struct Product {
    price: i64,
    supplied: i64,
    /// The sale's number and terms.
    sale: Option<(usize, SaleTerms)>,
}

#[derive(Default, Debug)]
struct Model {
    now: i64,
    products: [Option<Product>; SKUS.len()],
    taken: Vec<Taken>,
    /// Keys of adjustments: key, when, the units on the books that were answered.
    adjusted: Vec<(u8, i64, usize, i64)>,
    sales: usize,
}

impl Model {
    fn sum(&self, sku: usize, counts: impl Fn(&Taken) -> bool) -> i64 {
        let lines = self.taken.iter().filter(|taken| counts(taken)).flat_map(|taken| &taken.lines);
        lines.filter(|line| line.sku == sku).map(|line| i64::from(line.units)).sum()
    }

    fn held(&self, sku: usize) -> i64 {
        self.sum(sku, |taken| taken.status == Status::Held)
    }

    fn sold(&self, sku: usize) -> i64 {
        self.sum(sku, |taken| taken.status == Status::Confirmed)
    }

    fn in_sale(&self, sku: usize, customer: usize, number: usize) -> i64 {
        let counts =
            |taken: &&Taken| taken.customer == customer && matches!(taken.status, Status::Held | Status::Confirmed);
        let lines = self.taken.iter().filter(counts).flat_map(|taken| &taken.lines);
        lines.filter(|line| line.sku == sku && line.sale == number).map(|line| i64::from(line.units)).sum()
    }

    fn advance(&mut self, clock: i64) {
        self.now = self.now.max(clock);
        for taken in &mut self.taken {
            if !taken.part && taken.status == Status::Held && taken.deadline <= self.now {
                (taken.status, taken.ended_at) = (Status::Expired, self.now);
            }
        }
    }

    fn price(&self, customer: usize, wanted: &[(usize, u32)]) -> Result<Vec<Line>, &'static str> {
        let mut lines = Vec::new();
        for &(sku, units) in wanted {
            let product = self.products[sku].as_ref().ok_or("UnknownProduct")?;
            let mut line = Line { sku, units, price: product.price, sale: 0 };
            if let Some((number, terms)) = &product.sale {
                if self.now < terms.opens_at.0 {
                    return Err("SaleNotOpen");
                }
                if self.now >= terms.closes_at.0 {
                    return Err("SaleOver");
                }
                if self.in_sale(sku, customer, *number) + i64::from(units) > i64::from(terms.per_customer_limit) {
                    return Err("LimitReached");
                }
                (line.price, line.sale) = (terms.price.0, *number);
            }
            if product.supplied - self.held(sku) - self.sold(sku) < i64::from(units) {
                return Err("SoldOut");
            }
            lines.push(line);
        }
        Ok(lines)
    }

    fn find(&self, id: u64, part: bool) -> Option<usize> {
        self.taken.iter().position(|taken| taken.id == id && taken.part == part && !taken.forgotten)
    }

    fn key_is_known(&self, key: u8) -> Option<&Taken> {
        self.taken.iter().find(|taken| taken.key == Some(key) && !taken.forgotten)
    }
}

/// What is asked in a step; the words that both sides understand.
#[derive(Debug)]
enum Ask {
    Product { sku: usize, price: i64, units: u32 },
    Adjust { sku: usize, delta: i64, key: u8 },
    Sale { sku: usize, terms: SaleTerms },
    Unsale { sku: usize },
    Order { id: u64, customer: usize, key: u8, lines: Vec<(usize, u32)>, hold: i64 },
    Cancel { id: u64, by: Option<usize> },
    Confirm { id: u64 },
    HoldPart { id: u64, customer: usize, deadline: i64, lines: Vec<(usize, u32)> },
    EndPart { id: u64, sell: bool },
    Tick,
    Forget { ended_by: i64 },
}

/// Said by the model and by the partition: `yes`, `again`, or a refusal's name; then a number.
type Said = (String, i64);

fn yes(number: i64) -> Said {
    ("yes".to_owned(), number)
}

fn again(number: i64) -> Said {
    ("again".to_owned(), number)
}

fn no(why: &str) -> Said {
    (why.to_owned(), 0)
}

fn total(lines: &[Line]) -> i64 {
    lines.iter().map(|line| line.price * i64::from(line.units)).sum()
}

impl Model {
    fn answer(&mut self, ask: &Ask) -> Said {
        match *ask {
            Ask::Product { sku, price, units } => {
                if self.products[sku].is_some() {
                    return no("ProductExists");
                }
                self.products[sku] = Some(Product { price, supplied: i64::from(units), sale: None });
                yes(i64::from(units))
            }
            Ask::Adjust { sku, delta, key } => self.adjust(sku, delta, key),
            Ask::Sale { sku, terms } => {
                let next = self.sales + 1;
                let Some(product) = &mut self.products[sku] else { return no("UnknownProduct") };
                match &mut product.sale {
                    Some((_, known)) if *known == terms => return again(product.supplied),
                    Some((_, known)) => *known = terms,
                    None => {
                        self.sales = next;
                        product.sale = Some((next, terms));
                    }
                }
                yes(product.supplied)
            }
            Ask::Unsale { sku } => {
                let Some(product) = &mut self.products[sku] else { return no("UnknownProduct") };
                if product.sale.take().is_some() { yes(product.supplied) } else { no("NoSale") }
            }
            Ask::Order { id, customer, key, ref lines, hold } => self.order(id, customer, key, lines, hold),
            Ask::Cancel { id, by } => self.end(id, by, Status::Cancelled),
            Ask::Confirm { id } => self.end(id, None, Status::Confirmed),
            Ask::HoldPart { id, customer, deadline, ref lines } => self.hold_part(id, customer, deadline, lines),
            Ask::EndPart { id, sell } => self.end_part(id, sell),
            Ask::Tick => again(0),
            Ask::Forget { ended_by } => self.forget(ended_by),
        }
    }

    fn adjust(&mut self, sku: usize, delta: i64, key: u8) -> Said {
        if self.key_is_known(key).is_some() {
            return no("KeyReused");
        }
        if let Some((.., known, supplied)) = self.adjusted.iter().find(|known| known.0 == key) {
            return if *known == sku { again(*supplied) } else { no("KeyReused") };
        }
        let taken = self.held(sku) + self.sold(sku);
        let Some(product) = &mut self.products[sku] else { return no("UnknownProduct") };
        if product.supplied + delta < taken {
            return no("StockOutOfRange");
        }
        product.supplied += delta;
        self.adjusted.push((key, self.now, sku, product.supplied));
        yes(product.supplied)
    }

    fn order(&mut self, id: u64, customer: usize, key: u8, wanted: &[(usize, u32)], hold: i64) -> Said {
        if let Some(known) = self.key_is_known(key) {
            return if known.customer == customer { again(total(&known.lines)) } else { no("KeyReused") };
        }
        if self.adjusted.iter().any(|known| known.0 == key) {
            return no("KeyReused");
        }
        if self.find(id, false).is_some() {
            return no("OrderIdTaken");
        }
        match self.price(customer, wanted) {
            Err(why) => no(why),
            Ok(lines) => {
                let sum = total(&lines);
                self.take(id, customer, Some(key), lines, self.now + hold);
                yes(sum)
            }
        }
    }

    fn take(&mut self, id: u64, customer: usize, key: Option<u8>, lines: Vec<Line>, deadline: i64) {
        let part = key.is_none();
        let (status, ended_at, forgotten) = (Status::Held, 0, false);
        self.taken.push(Taken { id, customer, key, lines, status, deadline, ended_at, forgotten, part });
    }

    fn end(&mut self, id: u64, by: Option<usize>, status: Status) -> Said {
        let Some(at) = self.find(id, false).filter(|at| by.is_none_or(|by| by == self.taken[*at].customer)) else {
            return no("UnknownOrder");
        };
        let now = self.now;
        let taken = &mut self.taken[at];
        let sum = total(&taken.lines);
        if taken.status == status {
            return again(sum);
        }
        if taken.status != Status::Held {
            return no("WrongState");
        }
        (taken.status, taken.ended_at) = (status, now);
        yes(sum)
    }

    fn hold_part(&mut self, id: u64, customer: usize, deadline: i64, wanted: &[(usize, u32)]) -> Said {
        if let Some(at) = self.find(id, true) {
            let known = &self.taken[at];
            return if known.status == Status::Held { again(total(&known.lines)) } else { no("PartEnded") };
        }
        if deadline <= self.now {
            return no("DeadlineBeforePlaced");
        }
        match self.price(customer, wanted) {
            Err(why) => no(why),
            Ok(lines) => {
                let sum = total(&lines);
                self.take(id, customer, None, lines, i64::MAX);
                yes(sum)
            }
        }
    }

    fn end_part(&mut self, id: u64, sell: bool) -> Said {
        let (now, status) = (self.now, if sell { Status::Confirmed } else { Status::Cancelled });
        let Some(at) = self.find(id, true) else {
            if sell {
                return no("UnknownOrder");
            }
            self.take(id, 0, None, Vec::new(), i64::MAX);
            let last = self.taken.len() - 1;
            (self.taken[last].status, self.taken[last].ended_at) = (status, now);
            return yes(0);
        };
        let taken = &mut self.taken[at];
        if taken.status == status {
            return again(0);
        }
        if taken.status != Status::Held {
            return no("PartEnded");
        }
        (taken.status, taken.ended_at) = (status, now);
        yes(0)
    }

    fn forget(&mut self, ended_by: i64) -> Said {
        let mut any = false;
        for taken in &mut self.taken {
            let old = taken.status != Status::Held && !taken.forgotten && taken.ended_at <= ended_by;
            taken.forgotten |= old;
            any |= old;
        }
        let before = self.adjusted.len();
        self.adjusted.retain(|known| known.1 > ended_by);
        if any || self.adjusted.len() < before { yes(0) } else { again(0) }
    }
}

fn sku(at: usize) -> Sku {
    Sku::parse(SKUS[at]).expect("a sku")
}

fn customer(at: usize) -> CustomerId {
    CustomerId::parse(CUSTOMERS[at]).expect("a customer")
}

fn order_id(id: u64) -> OrderId {
    OrderId::new(Time(0), id, PartitionId(0))
}

/// The digest of a request is its customer here: the same key by another one is another request.
fn key(key: u8, request: usize) -> RequestKey {
    RequestKey { key: [key; 16], request: [u8::try_from(request).expect("small"); 16] }
}

fn requested(lines: &[(usize, u32)]) -> Vec<LineRequest> {
    lines.iter().map(|&(at, quantity)| LineRequest { sku: sku(at), quantity }).collect()
}

fn command(ask: &Ask) -> Command {
    match *ask {
        Ask::Product { sku: at, price, units } => Command::CreateProduct {
            sku: sku(at),
            name: SKUS[at].into(),
            price: Won(price),
            on_hand: u64::from(units),
            key: None,
        },
        Ask::Adjust { sku: at, delta, key: k } => {
            Command::AdjustStock { sku: sku(at), delta, reason: "counted".into(), key: key(k, 99) }
        }
        Ask::Sale { sku: at, terms } => Command::SetSale { sku: sku(at), terms },
        Ask::Unsale { sku: at } => Command::DeleteSale { sku: sku(at) },
        Ask::Order { id, customer: who, key: k, ref lines, hold } => Command::PlaceOrder(PlaceOrder {
            id: order_id(id),
            customer: customer(who),
            key: key(k, who),
            lines: Lines::from_vec(requested(lines)),
            parts: Vec::new(),
            hold_millis: hold,
        }),
        Ask::Cancel { id, by } => {
            let by = by.map_or(Requester::Admin, |who| Requester::Customer(customer(who)));
            Command::CancelOrder { order: order_id(id), by }
        }
        Ask::Confirm { id } => Command::ConfirmOrder { order: order_id(id) },
        Ask::HoldPart { id, customer: who, deadline, ref lines } => Command::HoldPart(PartHold {
            order: order_id(id),
            customer: customer(who),
            lines: requested(lines),
            deadline: Time(deadline),
        }),
        Ask::EndPart { id, sell: true } => Command::ConfirmPart { order: order_id(id) },
        Ask::EndPart { id, sell: false } => Command::ReleasePart { order: order_id(id) },
        Ask::Tick => Command::Tick,
        Ask::Forget { ended_by } => Command::Forget { stored: Lsn(u64::MAX), ended_by: Time(ended_by) },
    }
}

fn said(outcome: &Outcome) -> Said {
    match outcome {
        Outcome::Accepted(answer) => yes(number(answer)),
        Outcome::Repeated(answer) => again(number(answer)),
        Outcome::Refused(refusal) => no(name(refusal)),
    }
}

fn number(answer: &Answer) -> i64 {
    match answer {
        Answer::Product(view) => i64::try_from(view.stock.supplied).expect("few units"),
        Answer::Order(view) => view.total.0,
        Answer::Part(lines) => lines.iter().map(|line| line.unit_price.0 * i64::from(line.quantity)).sum(),
        Answer::Done => 0,
    }
}

fn name(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::UnknownProduct { .. } => "UnknownProduct",
        Refusal::ProductExists { .. } => "ProductExists",
        Refusal::SoldOut { .. } => "SoldOut",
        Refusal::LimitReached { .. } => "LimitReached",
        Refusal::SaleNotOpen { .. } => "SaleNotOpen",
        Refusal::SaleOver { .. } => "SaleOver",
        Refusal::NoSale { .. } => "NoSale",
        Refusal::UnknownOrder { .. } => "UnknownOrder",
        Refusal::WrongState { .. } => "WrongState",
        Refusal::KeyReused => "KeyReused",
        Refusal::StockOutOfRange { .. } => "StockOutOfRange",
        Refusal::OrderIdTaken => "OrderIdTaken",
        Refusal::PartEnded => "PartEnded",
        Refusal::DeadlineBeforePlaced => "DeadlineBeforePlaced",
        Refusal::StillRunning | Refusal::TotalTooLarge | Refusal::PartUnanswered { .. } => "never here",
    }
}

/// What the next step asks. Ids, keys and times come from small ranges, so that they meet.
fn draw(rng: &mut SmallRng, now: i64) -> Ask {
    let sku = rng.random_range(0..SKUS.len());
    let customer = rng.random_range(0..CUSTOMERS.len());
    let id = rng.random_range(0..40);
    match rng.random_range(0..100) {
        0..6 => Ask::Product { sku, price: rng.random_range(1..1000), units: rng.random_range(0..20) },
        6..12 => Ask::Adjust { sku, delta: rng.random_range(-8..12), key: rng.random_range(0..60) },
        12..17 => {
            let opens = now + rng.random_range(-50..50);
            let terms = SaleTerms {
                opens_at: Time(opens),
                closes_at: Time(opens + rng.random_range(1..200)),
                price: Won(rng.random_range(1..500)),
                per_customer_limit: rng.random_range(1..6),
            };
            Ask::Sale { sku, terms }
        }
        17..21 => Ask::Unsale { sku },
        21..58 => {
            let hold = rng.random_range(0..120);
            Ask::Order { id, customer, key: rng.random_range(0..60), lines: draw_lines(rng), hold }
        }
        58..67 => Ask::Cancel { id, by: rng.random_bool(0.6).then_some(customer) },
        67..76 => Ask::Confirm { id },
        76..83 => {
            let deadline = now + rng.random_range(-10..120);
            Ask::HoldPart { id, customer, deadline, lines: draw_lines(rng) }
        }
        83..91 => Ask::EndPart { id, sell: rng.random_bool(0.4) },
        91..96 => Ask::Tick,
        _ => Ask::Forget { ended_by: now - rng.random_range(-5..100) },
    }
}

/// One to three lines, by sku, each of another product.
fn draw_lines(rng: &mut SmallRng) -> Vec<(usize, u32)> {
    let mut skus: Vec<usize> = (0..rng.random_range(1..4)).map(|_| rng.random_range(0..SKUS.len())).collect();
    skus.sort_unstable();
    skus.dedup();
    skus.into_iter().map(|sku| (sku, rng.random_range(1..5))).collect()
}

/// Runs one history; everything that was said goes into `heard`.
fn history(seed: u64, heard: &mut BTreeSet<String>) {
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut partition = Partition::new(PartitionId(0), seed);
    let mut model = Model::default();
    let mut clock = 100;
    for step in 0..STEPS {
        clock += rng.random_range(-5..15);
        let ask = draw(&mut rng, clock);
        let at = format!("SON7_SEED={seed}, step {step}: {ask:?}");
        // The model's time moves with what happens, as an owner's does.
        let before = partition.lsn();
        let outcome = partition.step(Time(clock), &command(&ask), |_| ());
        let now = model.now;
        model.advance(clock);
        let (word, number) = said(&outcome);
        assert_eq!((word.clone(), number), model.answer(&ask), "{at}");
        heard.insert(word);
        if partition.lsn() == before {
            model.now = now;
        }
        for (sku_at, product) in model.products.iter().enumerate() {
            let shown = partition.product(&sku(sku_at)).map(|view| view.stock);
            let numbers = shown.map(|stock| (stock.supplied, stock.held, stock.sold));
            let expected = product.as_ref().map(|known| (known.supplied, model.held(sku_at), model.sold(sku_at)));
            let expected = expected.map(|(supplied, held, sold)| {
                let units = |n: i64| u64::try_from(n).expect("the model oversold");
                (units(supplied), units(held), units(sold))
            });
            assert_eq!(numbers, expected, "{at}: stock of {}", SKUS[sku_at]);
        }
        if let Err(violation) = invariants::check(&partition) {
            panic!("{at}: {violation}");
        }
    }
}

#[test]
fn a_partition_does_what_the_model_does() {
    let mut heard = BTreeSet::new();
    if let Ok(seed) = std::env::var("SON7_SEED") {
        return history(seed.parse().expect("SON7_SEED is a number"), &mut heard);
    }
    let seeds: u64 = std::env::var("SON7_SEEDS").map_or(400, |text| text.parse().expect("SON7_SEEDS is a number"));
    (0..seeds).for_each(|seed| history(seed, &mut heard));
    let kinds = 2 + 14;
    assert!(seeds < 100 || heard.len() == kinds, "histories that do not say everything prove little: {heard:?}");
}
