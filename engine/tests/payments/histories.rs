//! Random histories of paying, and journals that cannot have come about.
//!
//! `SON7_SEED=n` runs one history again.

use crate::shop::{LIFE, Shop, captured, gave_back, name, not_paid, paid, pending, picture, unknown};
use crate::states::STATES;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use son7shop_engine::payment::{Answered, Why};
use son7shop_engine::{
    Act, AttemptStatus, Call, Command, Event, OrderStatus, Partition, PartitionId, Record, Requester, StepRef, Won,
    invariants,
};

fn replay(records: &[Record]) -> Partition {
    let mut partition = Partition::new(PartitionId(0), 77);
    for record in records {
        partition.evolve(record);
    }
    partition
}

fn any_answer(rng: &mut SmallRng, call: Call) -> Answered {
    let all = [
        unknown(),
        pending(),
        not_paid(Why::Declined),
        not_paid(Why::Quit),
        paid(200, 0),
        paid(7, 0),
        Answered::WrongProof("-708".into()),
        Answered::Captured(captured(200)),
    ];
    match call {
        Call::GiveBack => [unknown(), gave_back(50), gave_back(200)].choose(rng).expect("some").clone(),
        _ => all.choose(rng).expect("some").clone(),
    }
}

/// One thing that somebody does.
fn act(rng: &mut SmallRng, shop: &mut Shop, attempts: &mut u8) {
    match rng.random_range(0..12) {
        0 if *attempts < 40 => {
            *attempts += 1;
            shop.start(*attempts);
        }
        1 => drop(shop.back(rng.random_range(1..=(*attempts).max(1)), Some("right"))),
        2 => drop(shop.back(rng.random_range(1..=(*attempts).max(1)), None)),
        3 => drop(shop.back(*attempts, Some("forged"))),
        4 if rng.random_bool(0.1) => {
            shop.told(&Command::CancelOrder { order: crate::shop::order(), by: Requester::Admin });
        }
        5 => shop.pass(rng.random_range(0..LIFE / 10)),
        6 => drop(shop.refund(
            rng.random_range(0..100),
            [None, Some(50), Some(500)].choose(rng).copied().flatten(),
            &[],
            true,
        )),
        7 if rng.random_bool(0.2) => {
            let acts = [
                Act::Retry,
                Act::Compensate,
                Act::ResolveNotPaid,
                Act::ResolvePaid(Box::new(captured(200))),
                Act::ResolveNotRefunded,
            ];
            if let Some((step, _)) = shop.steps().choose(rng).copied() {
                shop.operate(step, acts.choose(rng).expect("some").clone());
            }
        }
        _ => {
            let Some((step, call)) = shop.steps().choose(rng).copied() else { return };
            match (step, call) {
                (StepRef::Attempt(number), Call::Begin) => drop(shop.begun(number)),
                _ => drop(shop.answered(step, any_answer(rng, call))),
            }
        }
    }
}

/// What holds of an order's money whatever happened.
fn check_money(shop: &Shop) {
    let view = shop.view();
    let Some(payment) = view.payment else { return };
    let confirmed = payment.attempts.iter().filter(|attempt| attempt.status == AttemptStatus::Captured).count();
    let sold = matches!(view.status, OrderStatus::Confirmed | OrderStatus::Refunded);
    assert_eq!(confirmed, usize::from(sold), "one capture confirms one order");
    for (number, attempt) in (1..).zip(&payment.attempts) {
        let taken = attempt.captured.as_ref().map_or(Won(0), |captured| captured.amount);
        let late = attempt.status == AttemptStatus::CapturedLate;
        assert!(late || attempt.refunded <= taken, "refunds are at most what was captured");
        let refunds = payment.refunds.iter().filter(|refund| refund.attempt == number).count();
        assert!(!late || refunds == 1, "a late capture opens one refund");
    }
    let superseded = payment.attempts.iter().rev().skip(1);
    assert!(superseded.filter(|attempt| attempt.status == AttemptStatus::Captured).count() <= 1);
}

#[test]
fn whatever_is_done_in_whatever_order_the_books_are_right() {
    let one = std::env::var("SON7_SEED").ok().map(|text| text.parse::<u64>().expect("SON7_SEED is a number"));
    let mut ends = std::collections::BTreeMap::<&str, u32>::new();
    for seed in one.map_or(0..1_000, |seed| seed..seed + 1) {
        println!("SON7_SEED={seed}");
        let mut rng = SmallRng::seed_from_u64(seed);
        let (mut shop, mut attempts) = (Shop::held(), 0);
        for _ in 0..60 {
            act(&mut rng, &mut shop, &mut attempts);
            check_money(&shop);
        }
        assert_eq!(picture(&replay(&shop.records)), picture(&shop.partition), "replay leads elsewhere");
        *ends.entry(shop.status().as_str()).or_default() += 1;
        for record in &shop.records {
            *ends.entry(name(&record.event)).or_default() += 1;
        }
    }
    println!("{ends:?}");
    let all = ["Captured", "CapturedLate", "RefundDone", "Parked", "ProofRejected", "Expired", "refunded", "cancelled"];
    for kind in all.iter().filter(|_| one.is_none()) {
        assert!(*kind == "Parked" || ends.contains_key(kind), "no history has {kind}: {ends:?}");
    }
}

/// Events that may come twice in a row: the same question can fail twice, the same proof be one of two.
fn repeats(event: &Event) -> bool {
    match event {
        Event::StepTried { .. } | Event::StepRetried { .. } => true,
        Event::OperatorActed { effect, .. } => repeats(effect),
        _ => false,
    }
}

#[test]
fn an_event_that_comes_twice_is_told_at_its_second_coming() {
    let mut kinds = std::collections::BTreeSet::new();
    for (state, shop) in STATES {
        let records = shop().records;
        for (at, record) in records.iter().enumerate().filter(|(_, record)| !repeats(&record.event)) {
            let mut twice = records[..=at].to_vec();
            twice.push(record.clone());
            let lsn = son7shop_engine::Lsn(u64::try_from(twice.len()).expect("few"));
            assert_eq!(replay(&twice).misfit(), Some(lsn), "{state}: {:?}", record.event);
            kinds.insert(name(&record.event));
        }
    }
    println!("{kinds:?}");
}

#[test]
fn no_damage_panics() {
    let one = std::env::var("SON7_SEED").ok().map(|text| text.parse::<u64>().expect("SON7_SEED is a number"));
    for seed in one.map_or(0..3_000, |seed| seed..seed + 1) {
        println!("SON7_SEED={seed}");
        let mut rng = SmallRng::seed_from_u64(seed);
        let (_, shop) = STATES.choose(&mut rng).expect("states");
        let mut records = shop().records;
        for _ in 0..rng.random_range(1..4) {
            let (a, b) = (rng.random_range(0..records.len()), rng.random_range(0..records.len()));
            match rng.random_range(0..3) {
                0 if records.len() > 1 => drop(records.remove(a)),
                1 => records.insert(a, records[b].clone()),
                _ => records.swap(a, b),
            }
        }
        let partition = replay(&records);
        let _ = invariants::check(&partition);
        let _ = invariants::check(&partition.image().restore(5));
        let _ = partition.open_step_views(son7shop_engine::Lsn(0)).count();
    }
}
