//! Every command in every state, in one table.

use crate::shop::{Shop, captured, not_paid, order, paid, pending, unknown};
use son7shop_engine::payment::{Answered, Why};
use son7shop_engine::{Act, Call, Command, Lsn, Report, Requester, StepRef, saga};
use std::fmt::Write;

const FIRST: StepRef = StepRef::Attempt(1);
const REFUND: StepRef = StepRef::Refund(1);

/// Comes to a state.
type Make = fn() -> Shop;

/// Every state of an order and its newest attempt that can be told apart from outside.
pub(crate) const STATES: [(&str, Make); 17] = [
    ("held", Shop::held),
    ("preparing", || {
        let mut shop = Shop::held();
        shop.start(1);
        shop
    }),
    ("ready", Shop::ready),
    ("hinted", || {
        let mut shop = Shop::ready();
        shop.back(1, None);
        shop
    }),
    ("approving", Shop::approving),
    ("parked", parked),
    ("declined", || {
        let mut shop = Shop::approving();
        shop.answered(FIRST, unknown());
        shop.answered(FIRST, not_paid(Why::Declined));
        shop
    }),
    ("superseded", || {
        let mut shop = Shop::ready();
        shop.pay_again(2);
        shop
    }),
    ("expired", || {
        let mut shop = Shop::ready();
        shop.pass(crate::shop::HOLD);
        shop.tick();
        shop
    }),
    ("cancelled", || {
        let mut shop = Shop::ready();
        shop.told(&Command::CancelOrder { order: order(), by: Requester::Admin });
        shop
    }),
    ("given up", || {
        let mut shop = Shop::approving();
        shop.operate(FIRST, Act::Compensate);
        shop
    }),
    ("captured late", Shop::captured_late),
    ("late, given back", || {
        let mut shop = Shop::captured_late();
        shop.answered(REFUND, paid(200, 0));
        shop.answered(REFUND, crate::shop::gave_back(200));
        shop
    }),
    ("confirmed", Shop::confirmed),
    ("refund under way", || {
        let mut shop = Shop::confirmed();
        shop.refund(1, Some(50), &[], false);
        shop
    }),
    ("partly refunded", || {
        let mut shop = Shop::confirmed();
        shop.refund(1, Some(50), &[], false);
        shop.answered(REFUND, crate::shop::gave_back(50));
        shop
    }),
    ("refunded", || {
        let mut shop = Shop::confirmed();
        shop.refund(1, None, &[], true);
        shop.answered(REFUND, crate::shop::gave_back(200));
        shop
    }),
];

/// The gateway answers nothing until the step is parked.
pub(crate) fn parked() -> Shop {
    let mut shop = Shop::approving();
    for _ in 0..200 {
        let step = shop.step(FIRST);
        if shop.answered(FIRST, unknown()).starts_with("Parked") {
            return shop;
        }
        assert!(shop.step(FIRST).lsn > step.lsn);
    }
    panic!("it is never parked");
}

fn commands() -> Vec<(&'static str, Command)> {
    let report = |report| Command::Report { order: order(), step: FIRST, seen: Lsn(1), report };
    vec![
        ("start", Shop::start_command(9)),
        ("start again", Shop::start_command(1)),
        ("cancel", Command::CancelOrder { order: order(), by: Requester::Admin }),
        ("confirm", Command::ConfirmOrder { order: order() }),
        ("proof", Shop::back_command(1, Some("other"))),
        ("hint", Shop::back_command(1, None)),
        ("captured", report(Report::Captured(Box::new(captured(200))))),
        ("captured other", report(Report::Captured(Box::new(captured(7))))),
        ("stale", report(Report::NotPaid { why: Why::Quit, answer: "old".into() })),
        ("refund", Shop::refund_command(7, Some(10), &[], false)),
    ]
}

const EXPECTED: &str = include_str!("states.txt");

#[test]
fn every_command_in_every_state() {
    let mut table = String::new();
    for (state, shop) in STATES {
        for (what, command) in commands() {
            let told = shop().told(&command);
            writeln!(table, "{state}: {what} -> {told}").expect("a text");
        }
    }
    let differs: Vec<String> =
        table.lines().zip(EXPECTED.lines()).filter(|(a, b)| a != b).map(|(a, b)| format!("{a}\n    not {b}")).collect();
    assert!(
        differs.is_empty() && table.lines().count() == EXPECTED.lines().count(),
        "{}\n\n{table}",
        differs.join("\n")
    );
}

/// Reports that do not fit the step that is open are refused, and none panics.
#[test]
fn every_report_in_every_state_leaves_the_books_right() {
    let answers = [
        unknown(),
        pending(),
        paid(200, 0),
        paid(7, 0),
        not_paid(Why::Quit),
        Answered::WrongProof("-708".into()),
        Answered::Refused("no".into()),
        Answered::Captured(captured(200)),
        crate::shop::gave_back(50),
    ];
    let calls = [Call::Begin, Call::Lapse, Call::Capture, Call::LOOK, Call::GiveBack];
    for (_, shop) in STATES {
        for (step, _) in shop().steps() {
            for call in calls {
                for answered in &answers {
                    let mut shop = shop();
                    let view = shop.step(step);
                    let report = saga::report(&view, call, answered.clone(), shop.now);
                    // The shop itself looks at the books after each.
                    shop.report(step, view.lsn, report);
                }
            }
        }
    }
}
