//! Random histories of one partition against a model that is too simple to be wrong: a
//! list of orders, from which held, sold and limits are added up anew at every question.
//!
//! `SON7_SEED=n` runs one history again; `SON7_SEEDS=n` sets how many are run (400).

#![allow(clippy::expect_used, missing_docs, reason = "a test says what went wrong by panicking")]

mod naive;

use naive::{Ask, Model, Said, again, no, yes};
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
        Answer::Number(number) => i64::from(*number),
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
        // Those about paying are in payments.rs.
        _ => "never here",
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
