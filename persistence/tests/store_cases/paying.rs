//! Cases about payments and refunds.

use super::Case;
use crate::store_support::history::{PARTITIONS, World, bring};
use crate::store_support::paying::paid_order;
use crate::store_support::{contents, dump, execute, number, position, seeds};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use son7shop_engine::payment::Captured;
use son7shop_engine::{
    AttemptStatus, Call, CustomerId, Event, OrderId, Partition, PartitionId, Record, RefundStatus, Sku, StepRef, Time,
    Won,
};
use son7shop_persistence::store::{self, Batch, PaymentCursor, PaymentReference, StoreError};
use std::collections::BTreeSet;

const EVENTS: [&str; 14] = [
    "PaymentStarted",
    "PaymentReady",
    "PaymentAuthorised",
    "PaymentHinted",
    "ProofRejected",
    "PaymentCaptured",
    "PaymentCapturedLate",
    "PaymentEnded",
    "PaymentLooked",
    "StepTried",
    "RefundRequested",
    "RefundSized",
    "RefundDone",
    "PartRestocked",
];

/// What can follow from an operator's act.
const EFFECTS: [&str; 7] = [
    "OrderCancelled",
    "PaymentCaptured",
    "PaymentCapturedLate",
    "PaymentEnded",
    "RefundDone",
    "RefundRefused",
    "StepRetried",
];

/// How many statuses an attempt can have.
const STATUSES: usize = 13;

fn name(event: &Event) -> String {
    let text = format!("{event:?}");
    match event {
        Event::OperatorActed { effect, .. } => format!("by an operator: {}", name(effect)),
        _ => text[..text.find([' ', '(']).unwrap_or(text.len())].to_owned(),
    }
}

/// A world in which everything about paying has happened.
fn paid(seed: u64) -> World {
    let mut world = World::new(seed, 12);
    let mut expected: BTreeSet<String> = EVENTS.iter().map(|&event| event.to_owned()).collect();
    expected.extend(EFFECTS.iter().map(|effect| format!("by an operator: {effect}")));
    for _ in 0..400 {
        world.run(50);
        for record in world.journals.iter().flatten() {
            expected.remove(&name(&record.event));
        }
        if expected.is_empty() && world.attempts().len() == STATUSES {
            world.settle();
            return world;
        }
    }
    panic!("too little happened, without {expected:?}, and only {:?}", world.attempts());
}

pub(super) async fn replayed(case: Case) {
    for seed in seeds(1) {
        println!("SON7_SEED={seed}");
        let world = paid(seed);
        let mut rng = StdRng::seed_from_u64(seed);
        for (partition, journal) in (0..PARTITIONS).zip(&world.journals) {
            bring(&*case.store, partition, journal, 0, || rng.random_range(1..40)).await.unwrap();
        }
        world.check(&contents(&*case.store).await);
        for (status, attempts) in world.attempts() {
            let sql = format!("SELECT COUNT(*) FROM payments WHERE status = '{status}'");
            assert_eq!(number(&case.url, &sql).await, i64::try_from(attempts).unwrap(), "{status}");
        }
        let sums = "SELECT COUNT(*) FROM payments WHERE refunded_amount <> COALESCE((SELECT SUM(amount) FROM refunds \
                    WHERE refunds.order_id = payments.order_id AND refunds.attempt = payments.attempt \
                    AND refunds.status = 'done'), 0)";
        assert_eq!(number(&case.url, sums).await, 0);
        for (refused, rows) in [("", "orders.status = 'refunded'"), (" NOT", "orders.status <> 'refunded'")] {
            // A refunded order has nothing left of what it was paid with; every other one has.
            let sql = format!(
                "SELECT COUNT(*) FROM payments JOIN orders ON orders.id = payments.order_id \
                 WHERE payments.status = 'captured' AND {rows} AND{refused} refunded_amount < captured_amount"
            );
            assert_eq!(number(&case.url, &sql).await, 0, "{rows}");
        }
    }
}

/// However the events are cut into batches, the tables are the same.
pub(super) async fn cut_anyhow(case: Case) {
    for seed in seeds(1) {
        println!("SON7_SEED={seed}");
        let world = paid(seed);
        let mut rng = StdRng::seed_from_u64(seed);
        let mut dumps = Vec::new();
        for most in [usize::MAX, 1, 30, 6] {
            let url = case.url.replace("shop_", &format!("cut_{most}_"));
            let store = store::connect(&url).await.unwrap();
            // Of one partition: a transaction for each event takes its time.
            let size = || if most > 1000 { most / 2 } else { rng.random_range(1..=most) };
            bring(&*store, 0, &world.journals[0], 0, size).await.unwrap();
            dumps.push(dump(&url).await);
            store.close().await;
        }
        for other in &dumps[1..] {
            assert_eq!(other.len(), dumps[0].len());
            for (ours, theirs) in dumps[0].iter().zip(other) {
                assert_eq!(ours, theirs);
            }
        }
        assert!(dumps[0].iter().any(|row| row.starts_with("refund_lines ")));
    }
}

pub(super) async fn nothing_secret(case: Case) {
    for seed in seeds(1) {
        println!("SON7_SEED={seed}");
        let world = paid(seed);
        for (partition, journal) in (0..PARTITIONS).zip(&world.journals) {
            bring(&*case.store, partition, journal, 0, || 50).await.unwrap();
        }
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().concat();
        let all = dump(&case.url).await.join("\n");
        // What is looked for would be found: a reference is a public thing of the same kind.
        let reference = case.store.payment_references(None, 1).await.unwrap().remove(0).reference;
        assert!(all.contains(&hex(reference.as_str().as_bytes())));
        assert!(world.secrets.0.len() > 1000);
        for secret in &world.secrets.0 {
            let digits = hex(secret);
            for form in [hex(digits.as_bytes()), hex(digits.to_lowercase().as_bytes()), digits] {
                assert!(!all.contains(&form), "a secret is in a table: {}", String::from_utf8_lossy(secret));
            }
        }
    }
}

pub(super) async fn references(case: Case) {
    let world = paid(77);
    for (partition, journal) in (0..PARTITIONS).zip(&world.journals) {
        bring(&*case.store, partition, journal, 0, || 500).await.unwrap();
    }
    let mut expected = Vec::new();
    for order in world.partitions.iter().flat_map(Partition::orders) {
        for attempt in order.payment.iter().flat_map(|payment| &payment.attempts) {
            expected.extend(attempt.reference.clone().map(|reference| PaymentReference {
                order: order.id,
                attempt: attempt.number,
                method: attempt.method,
                reference,
                amount: attempt.amount,
                status: attempt.status,
                captured: attempt.captured.as_ref().map(|captured| captured.amount),
                refunded: attempt.refunded,
            }));
        }
    }
    expected.sort_unstable_by_key(|found| (found.order, found.attempt));
    // A page ends between two attempts of one order somewhere.
    assert!(expected.windows(2).any(|pair| pair[0].order == pair[1].order));
    for limit in [1000, 7, 1] {
        let (mut found, mut after) = (Vec::<PaymentReference>::new(), None);
        loop {
            let page = case.store.payment_references(after, limit).await.unwrap();
            assert!(page.len() <= limit as usize);
            let Some(last) = page.last() else { break };
            after = Some(PaymentCursor { order: last.order, attempt: last.attempt });
            found.extend(page);
        }
        assert_eq!(found, expected);
    }
}

fn records(events: impl IntoIterator<Item = Event>) -> Vec<Record> {
    (1_700_000_000_000..).zip(events).map(|(at, event)| Record { at: Time(at), event }).collect()
}

async fn apply(case: &Case, records: &[Record], from: usize, to: usize) -> Result<(), StoreError> {
    let before = (from > 0).then(|| position(from as u64));
    let after = position(to as u64);
    let batch = Batch { partition: PartitionId(0), before, after, records: &records[from..to] };
    case.store.apply(&batch).await.map(drop)
}

pub(super) async fn diverged(case: Case) {
    let world = paid(78);
    let journal = &world.journals[0];
    let end = journal.iter().rposition(|record| matches!(record.event, Event::PaymentCaptured { .. })).unwrap();
    apply(&case, journal, 0, end).await.unwrap();
    let Event::PaymentCaptured { ended, attempt, .. } = &journal[end].event else { unreachable!() };
    let of_it = format!("order_id = '{}' AND attempt = {attempt}", ended.id);
    assert_eq!(number(&case.url, &format!("SELECT COUNT(*) FROM payments WHERE {of_it}")).await, 1);
    execute(&case.url, &format!("DELETE FROM payments WHERE {of_it}")).await;
    let said = apply(&case, journal, end, end + 1).await;
    assert!(matches!(said, Err(StoreError::Diverged(_))), "{said:?}");
    assert_eq!(case.store.position(PartitionId(0)).await.unwrap(), Some(position(end as u64)));
}

/// What people read about an order: every event, with what was answered, by whom and when it goes on.
pub(super) async fn told(case: Case) {
    let order = OrderId::new(Time(1_700_000_000_000), 1, PartitionId(0));
    let step = StepRef::Attempt(2);
    let acted = |step, effect| Event::OperatorActed {
        order,
        step,
        by: CustomerId::parse("operator-7").unwrap(),
        reason: "전화로 확인".into(),
        effect: Box::new(effect),
    };
    let captured = Captured { amount: Won(5), receipt: "A1".into(), means: "CARD".into(), at: Time(5) };
    let due = Time(1_700_000_060_000);
    let events = [
        Event::StepTried { order, step, answer: "no answer".into(), next: Some((Call::LOOK, due)) },
        Event::StepTried { order, step, answer: "no answer".into(), next: None },
        acted(step, Event::StepRetried { order, step, call: Call::LOOK }),
        acted(StepRef::Refund(1), Event::RefundRefused { order, refund: 1 }),
        acted(
            step,
            Event::PaymentCapturedLate { order, attempt: 2, captured: Box::new(captured), refund: 2, held: false },
        ),
        Event::RefundSized { order, refund: 2, amount: Won(5), before: Won(5) },
    ];
    let (sku, customer) = (Sku::parse("a").unwrap(), CustomerId::parse("kim").unwrap());
    let all = records(paid_order(order, &sku, &customer, "x").into_iter().chain(events));
    apply(&case, &all, 0, all.len()).await.unwrap();
    let rows = [
        "event = 'step_tried' AND attempt = 2 AND refund IS NULL AND detail = 'look_up' AND answer = 'no answer' \
         AND next_at = '2023-11-14 22:14:20.000' AND actor IS NULL",
        "event = 'step_tried' AND attempt = 2 AND detail = 'parked' AND answer = 'no answer' AND next_at IS NULL",
        "event = 'operator_acted' AND attempt = 2 AND detail = 'step_retried' AND actor = 'operator-7' \
         AND answer = '전화로 확인' AND next_at IS NULL",
        "event = 'operator_acted' AND attempt IS NULL AND refund = 1 AND detail = 'refund_refused' \
         AND actor = 'operator-7'",
        "event = 'operator_acted' AND attempt = 2 AND detail = 'payment_captured_late' AND actor = 'operator-7'",
        "event = 'refund_sized' AND attempt IS NULL AND refund = 2 AND detail IS NULL AND answer IS NULL",
    ];
    for row in rows {
        let sql = format!("SELECT COUNT(*) FROM timeline WHERE order_id = '{order}' AND partition_id = 0 AND {row}");
        assert_eq!(number(&case.url, &sql).await, 1, "{row}");
    }
    let timeline = number(&case.url, "SELECT COUNT(*) FROM timeline").await;
    assert_eq!(usize::try_from(timeline).unwrap(), all.len() - 1, "a product has no timeline");
    let view = case.store.order(order).await.unwrap().unwrap();
    assert_eq!(view.lsn.0, all.len() as u64);
    let payment = view.payment.unwrap();
    assert_eq!(payment.attempts[1].status, AttemptStatus::CapturedLate);
    assert_eq!(payment.attempts[1].captured.as_ref().unwrap().means, "CARD");
    assert_eq!([payment.refunds[0].status, payment.refunds[1].status], [RefundStatus::Refused, RefundStatus::UnderWay]);
    assert_eq!([payment.refunds[0].asked, payment.refunds[1].asked], [true, false]);
    assert_eq!((payment.refunds[1].amount, payment.refunds[1].reason.as_str()), (Some(Won(5)), "captured late"));
}
