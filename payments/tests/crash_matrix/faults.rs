//! Every fault rule of the sandbox, alone, in pairs, and alone with a crash at every step.

use crate::matrix_world::{World, order};
use crate::paths::{Do, Path};
use crate::{assert_sound, begin, play};
use son7shop_engine::{OrderStatus, Won};
use son7shop_payments::sandbox::machine::{Action, Outcome, Place, Rule, When};

/// A shopper who tries again where they can, and a shop that gives all back; how it ends depends on the faults.
const SHOPPERS: &[Path] = &[
    Path {
        name: "pays",
        acts: &[Do::Start, Do::Start, Do::Start, Do::Approve(0), Do::Start, Do::Approve(0)],
        ends: OrderStatus::Confirmed,
        late: true,
    },
    Path {
        name: "pays, and is refunded in two parts",
        acts: &[Do::Start, Do::Start, Do::Start, Do::Approve(0), Do::Refund(4_000), Do::Refund(0)],
        ends: OrderStatus::Refunded,
        late: true,
    },
    Path {
        name: "quits",
        acts: &[Do::Start, Do::Start, Do::Start, Do::Quit(0)],
        ends: OrderStatus::Expired,
        late: true,
    },
    Path {
        name: "pays, and an operator gives it up",
        acts: &[Do::Start, Do::Start, Do::Approve(0), Do::Operator(crate::paths::Operator::Compensates)],
        ends: OrderStatus::Confirmed,
        late: true,
    },
];

fn rules() -> Vec<(Place, Action)> {
    let mut rules = Vec::new();
    for place in [Place::Ready, Place::Approve, Place::Order, Place::Cancel] {
        let mut any = vec![
            Action::DelayBefore { ms: 5_000 },
            Action::DelayBefore { ms: 20_000 },
            Action::DelayAfterCommit { ms: 20_000 },
            Action::DropBeforeCommit,
            Action::DropAfterCommit,
            Action::BadJson,
            Action::Truncated,
            Action::ExtraField,
        ];
        for when in [When::Before, When::After] {
            any.extend([Action::Http429 { when }, Action::Http500 { when }, Action::Http503 { when }]);
        }
        let fields: &[&str] = match place {
            Place::Ready => &["tid", "next_redirect_pc_url", "created_at"],
            Place::Approve => &["tid", "amount", "aid", "approved_at"],
            Place::Order => {
                &["status", "amount", "canceled_amount", "cancel_available_amount", "payment_action_details"]
            }
            _ => &["tid", "aid", "approved_cancel_amount", "status"],
        };
        any.extend(fields.iter().map(|field| Action::MissingField { field: (*field).to_owned() }));
        rules.extend(any.into_iter().map(|action| (place, action)));
    }
    let declined = |soft| Action::Decline { code: "NO_MONEY".to_owned(), soft };
    let mut at_approve = vec![declined(false), declined(true), Action::UserLocked];
    for then in [Outcome::Paid, Outcome::Failed] {
        at_approve.extend([0, 5_000, 60_000, 600_000, 900_000].map(|after| Action::BankUnknown { then, after }));
    }
    at_approve.push(Action::AmountOverride { total: Won(1) });
    rules.extend(at_approve.into_iter().map(|action| (Place::Approve, action)));
    let status = "ARS_WAITING_ARS".to_owned();
    let at_order = [
        Action::AmountOverride { total: Won(1) },
        Action::AmountOverride { total: Won(6_000) },
        Action::StaleOrder { ms: 1_000 },
        Action::StaleOrder { ms: 60_000 },
        Action::UnknownStatus { status: status.clone() },
    ];
    rules.extend(at_order.into_iter().map(|action| (Place::Order, action)));
    let at_cancel =
        [Action::RefundRefused { code: "NO".to_owned() }, Action::RefundDup, Action::UnknownStatus { status }];
    rules.extend(at_cancel.into_iter().map(|action| (Place::Cancel, action)));
    let astray = [
        Action::Lost,
        Action::Twice,
        Action::Concurrent,
        Action::ForgedToken,
        Action::ForgedCancel,
        Action::AfterExpiry,
        Action::SwappedOrder,
    ];
    rules.extend(astray.into_iter().map(|action| (Place::Callback, action)));
    rules
}

/// Besides the first order there is another one, whose page is open: browsers can be led astray to it.
fn world(faults: &[&(Place, Action)]) -> World {
    let mut world = begin(false, None);
    world.place(2, false);
    world.start_payment(2, 1);
    while world.page_of(2, 1).is_none() && world.beat() {}
    for (place, action) in faults {
        let name = order(crate::matrix_world::FIRST).to_string();
        let mut rule = Rule::once(*place, action.clone());
        rule.of.order = Some(name);
        world.machine.add_fault(rule).expect("a fault of that place");
        world.tell(format!("*** {place:?} {action:?}"));
    }
    world
}

/// How many points it has, and how many of the faults happened.
fn check(path: &Path, faults: &[&(Place, Action)], crashes: &[usize]) -> (usize, usize) {
    let (world, points) = play(world(faults), path, crashes);
    assert_sound(&world, &format!("the shopper {}, with {faults:?}, crashes {crashes:?}", path.name));
    (points, faults.len() - world.machine.faults().len())
}

#[test]
fn every_fault_alone_and_in_pairs() {
    let rules = rules();
    let (mut histories, mut both) = (0, 0);
    let mut happened = vec![0; rules.len()];
    for path in SHOPPERS {
        for (at, one) in rules.iter().enumerate() {
            happened[at] += check(path, &[one], &[]).1;
            for two in &rules[at..] {
                both += usize::from(check(path, &[one, two], &[]).1 == 2);
                histories += 1;
            }
        }
    }
    println!("{} fault rules alone, {histories} histories in pairs, in {both} both happened", rules.len());
    for (rule, times) in rules.iter().zip(happened) {
        assert!(times > 0, "{rule:?} never happened");
    }
}

#[test]
fn every_fault_with_a_crash_at_every_step() {
    let mut histories = 0;
    for path in SHOPPERS {
        for one in &rules() {
            for at in 0..check(path, &[one], &[]).0 {
                check(path, &[one], &[at]);
                histories += 1;
            }
        }
    }
    println!("{histories} histories with a fault and a crash");
}
