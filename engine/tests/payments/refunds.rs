//! Money that goes back: limits, lines, restocking, one at a time.

use crate::shop::{Shop, captured, gave_back, order, paid, unknown};
use son7shop_engine::payment::{Answered, GivenBack, Nonce, Standing};
use son7shop_engine::{
    Act, Call, Command, CustomerId, Event, Lsn, OrderId, OrderStatus, OrderView, Outcome, PartHold, Partition,
    PartitionId, RecalledOrder, Refusal, Report, StepRef, Time, Won, basket, invariants, saga,
};

const FIRST: StepRef = StepRef::Refund(1);
const SECOND: StepRef = StepRef::Refund(2);

#[test]
fn part_and_then_all_of_it() {
    let mut shop = Shop::confirmed();
    assert_eq!(shop.refund(1, Some(50), &[], false), "RefundRequested = confirmed");
    assert_eq!(shop.refund(1, Some(50), &[], false), "again 1");
    assert_eq!(shop.refund(2, Some(50), &[], false), "no: refund 1 of the order is under way; one at a time");
    assert_eq!(shop.answered(FIRST, gave_back(50)), "RefundDone = confirmed");
    assert_eq!(shop.refund(2, Some(151), &[], false), "no: 150 won are left to give back, 151 were asked for");
    assert_eq!(shop.refund(2, None, &[], false), "RefundRequested = confirmed");
    assert_eq!(shop.answered(SECOND, gave_back(150)), "RefundDone = refunded");
    assert_eq!(shop.stock(), (5, 0, 2), "nothing was restocked");
    assert_eq!(shop.refund(3, Some(1), &[], false), "no: no money was taken for the order that could be given back");
    assert_eq!(shop.steps(), []);
}

/// Amount, lines, and what is told.
type Row = (Option<i64>, &'static [(&'static str, u32)], &'static str);

#[test]
fn amounts_and_lines_are_within_what_was_bought() {
    let rows: [Row; 9] = [
        (Some(0), &[], "no: 200 won are left to give back, 0 were asked for"),
        (Some(-5), &[], "no: 200 won are left to give back, -5 were asked for"),
        (Some(201), &[], "no: 200 won are left to give back, 201 were asked for"),
        (Some(200), &[], "RefundRequested = confirmed"),
        (None, &[("air", 3)], "no: 'air' has 2 units left to refund, 3 were asked for"),
        (None, &[("air", 0)], "no: 'air' has 2 units left to refund, 0 were asked for"),
        (None, &[("air", 1), ("air", 1)], "no: 'air' has 0 units left to refund, 1 were asked for"),
        (None, &[("bee", 1)], "no: 'bee' has 0 units left to refund, 1 were asked for"),
        (Some(30), &[("air", 1)], "RefundRequested = confirmed"),
    ];
    for (amount, lines, told) in rows {
        assert_eq!(Shop::confirmed().refund(1, amount, lines, false), told, "{amount:?} {lines:?}");
    }
    let mut shop = Shop::confirmed();
    shop.refund(1, None, &[("air", 1)], true);
    assert_eq!(shop.view().payment.expect("paid").refunds[0].amount, Some(Won(100)), "what the line cost");
    shop.answered(FIRST, gave_back(100));
    assert_eq!(shop.refund(2, None, &[("air", 2)], true), "no: 'air' has 1 units left to refund, 2 were asked for");
}

#[test]
fn units_are_restocked_once_and_only_when_the_money_is_back() {
    let mut shop = Shop::confirmed();
    shop.refund(1, None, &[("air", 1)], true);
    assert_eq!(shop.stock(), (5, 0, 2));
    let seen = shop.step(FIRST).lsn;
    assert_eq!(shop.answered(FIRST, gave_back(100)), "RefundDone = confirmed");
    assert_eq!(shop.stock(), (5, 0, 1));
    let back = son7shop_engine::payment::GivenBack { amount: Won(100), receipt: "R1".into() };
    assert_eq!(shop.report(FIRST, seen, Report::GaveBack(back)), "nothing");
    assert_eq!(shop.stock(), (5, 0, 1));
    shop.refund(2, None, &[], true);
    shop.answered(SECOND, gave_back(100));
    assert_eq!((shop.status(), shop.stock()), (OrderStatus::Refunded, (5, 0, 0)));
}

#[test]
fn a_refund_that_will_not_be_gives_its_units_back_to_be_refunded() {
    let mut shop = Shop::confirmed();
    shop.refund(1, None, &[("air", 2)], true);
    assert_eq!(shop.operate(FIRST, Act::ResolveNotRefunded), "RefundRefused = confirmed");
    assert_eq!((shop.stock(), shop.steps()), ((5, 0, 2), vec![]));
    assert_eq!(shop.refund(2, None, &[("air", 2)], true), "RefundRequested = confirmed");
    assert_eq!(shop.operate(SECOND, Act::Compensate), "no: this cannot be done about this step");
}

#[test]
fn a_refund_whose_answer_is_lost_is_asked_for_before_it_is_sent_again() {
    let mut shop = Shop::confirmed();
    shop.refund(1, Some(50), &[], false);
    assert_eq!(shop.answered(FIRST, unknown()), "Tried = confirmed");
    assert_eq!(shop.step(FIRST).call, Call::LOOK);
    assert_eq!(shop.answered(FIRST, paid(200, 50)), "RefundDone = confirmed", "it had been done");
    let mut shop = Shop::confirmed();
    shop.refund(1, Some(50), &[], false);
    shop.answered(FIRST, unknown());
    assert_eq!(shop.answered(FIRST, paid(200, 0)), "Tried = confirmed");
    assert_eq!(shop.step(FIRST).call, Call::GiveBack, "it had not: the same once more");
    let wait = shop.step(FIRST).due_at.0 - shop.now.0;
    assert!(wait >= saga::SETTLE_MILLIS, "the first may be at work yet: {wait} ms");
    assert_eq!(shop.answered(FIRST, gave_back(7)), "Tried = confirmed", "another sum is not believed");
    assert_eq!(shop.step(FIRST).call, Call::LOOK);
    assert_eq!(shop.answered(FIRST, paid(200, 7)), "Tried = confirmed", "neither before nor after");
    assert_eq!(shop.step(FIRST).call, Call::LOOK);
    assert_eq!(shop.answered(FIRST, paid(60, 10)), "Tried = confirmed", "a sum that was never taken proves nothing");
    assert_eq!(shop.answered(FIRST, paid(200, 50)), "RefundDone = confirmed");
}

#[test]
fn money_that_came_late_goes_back_whatever_it_was() {
    let mut shop = Shop::captured_late();
    assert_eq!(shop.answered(FIRST, paid(200, 200)), "RefundDone = cancelled", "somebody gave it back before us");
    let mut shop = Shop::captured_late();
    let all = Answered::Stands(Standing::Refunded { captured: captured(200) });
    assert_eq!(shop.answered(FIRST, all), "RefundDone = cancelled");
    let mut shop = Shop::captured_late();
    shop.answered(FIRST, paid(200, 0));
    shop.answered(FIRST, unknown());
    assert_eq!(shop.answered(FIRST, paid(200, 30)), "RefundSized = cancelled", "then it is the rest");
    assert_eq!(shop.answered(FIRST, gave_back(170)), "RefundDone = cancelled");
    assert_eq!(shop.refund(2, Some(1), &[], false), "no: the order is cancelled");
}

#[test]
fn a_refund_that_does_not_come_about_is_parked_after_a_day() {
    let mut shop = Shop::confirmed();
    shop.refund(1, Some(50), &[], false);
    let (begun, mut tries) = (shop.now, 0);
    while shop.step(FIRST).state != son7shop_engine::StepState::Parked {
        shop.answered(FIRST, unknown());
        tries += 1;
    }
    let hours = (shop.now.0 - begun.0) / 3_600_000;
    assert!(tries == 150 && (20..30).contains(&hours), "{tries} tries in {hours} hours");
    shop.operate(FIRST, Act::Retry);
    assert_eq!(shop.answered(FIRST, paid(200, 50)), "RefundDone = confirmed");
}

#[test]
fn money_without_a_gateway_is_not_given_back_through_one() {
    let mut shop = Shop::held();
    shop.told(&Command::ConfirmOrder { order: order() });
    assert_eq!(shop.refund(1, None, &[], false), "no: no money was taken for the order that could be given back");
}

#[test]
fn money_that_went_back_counts_although_an_operator_had_given_it_up() {
    let mut shop = Shop::confirmed();
    shop.refund(1, None, &[("air", 1)], true);
    let seen = shop.step(FIRST).lsn;
    shop.operate(FIRST, Act::ResolveNotRefunded);
    let back = GivenBack { amount: Won(100), receipt: "R1".into() };
    assert_eq!(shop.report(FIRST, seen, Report::GaveBack(back.clone())), "RefundDone = confirmed");
    assert_eq!(shop.report(FIRST, seen, Report::GaveBack(back)), "nothing");
    assert_eq!((shop.stock(), shop.view().payment.expect("paid").attempts[0].refunded), ((5, 0, 1), Won(100)));
    assert_eq!(shop.refund(2, None, &[("air", 2)], true), "no: 'air' has 1 units left to refund, 2 were asked for");
}

/// The order as the database keeps it, on its way back to its home.
fn recalled(view: &OrderView) -> Command {
    let recalled = RecalledOrder::of(view, 1, Nonce([77; 16])).expect("it can be given back");
    Command::RecallOrder(Box::new(recalled))
}

#[test]
fn an_order_that_was_forgotten_is_recalled_and_given_back() {
    let mut shop = Shop::confirmed();
    shop.refund(1, None, &[("air", 1)], true);
    shop.answered(FIRST, gave_back(100));
    let view = shop.view();
    assert_eq!(shop.told(&recalled(&view)), "nothing", "it is known");
    assert!(shop.forget(shop.partition.lsn()));
    assert_eq!(shop.refund(2, None, &[], true), format!("no: there is no order {}", order()));
    assert_eq!(shop.told(&recalled(&view)), "Recalled = confirmed");
    assert_eq!(shop.told(&recalled(&view)), "nothing");
    let again = shop.view();
    assert_eq!(OrderView { lsn: view.lsn, ..again.clone() }, view);
    assert_eq!(again.lsn, shop.partition.lsn(), "what shows it later tells this event's place");
    assert_eq!(shop.back(1, Some("right")), format!("no: there is no order {}", order()), "its old address is dead");
    assert_eq!(shop.refund(2, Some(101), &[], false), "no: 100 won are left to give back, 101 were asked for");
    assert_eq!(shop.refund(2, None, &[("air", 2)], true), "no: 'air' has 1 units left to refund, 2 were asked for");
    assert_eq!(shop.refund(2, None, &[], true), "RefundRequested = confirmed");
    assert_eq!(shop.answered(SECOND, gave_back(100)), "RefundDone = refunded");
    assert_eq!(shop.stock(), (5, 0, 0));
    assert!(shop.forget(shop.partition.lsn()), "it is forgotten again");
}

#[test]
fn only_a_paid_order_whose_saga_is_over_is_recalled() {
    let of = |shop: &Shop| RecalledOrder::of(&shop.view(), 1, Nonce([77; 16]));
    assert!(of(&Shop::confirmed()).is_some());
    assert!(of(&Shop::held()).is_none());
    assert!(of(&Shop::approving()).is_none());
    assert!(of(&Shop::captured_late()).is_none());
    let mut shop = Shop::confirmed();
    shop.refund(1, Some(50), &[], false);
    assert!(of(&shop).is_none(), "a refund is under way: it cannot have been forgotten");
    let mut other = Partition::new(PartitionId(0), 1);
    let command = recalled(&Shop::confirmed().view());
    let refused = Outcome::Refused(Refusal::UnknownOrder { order: order() });
    assert_eq!(other.step(Time(1), &command, |_| ()), refused, "it has no such product");
}

/// Home and the other owner, as the stock participant moves messages between them, each of them twice.
#[test]
fn a_part_elsewhere_is_restocked_once() {
    let mut shop = Shop::basket();
    shop.pay_again(1);
    shop.back(1, Some("right"));
    shop.answered(StepRef::Attempt(1), Answered::Captured(captured(250)));
    shop.refund(1, None, &[("air", 1), ("bee", 1)], true);
    assert_eq!(shop.answered(FIRST, gave_back(150)), "RefundDone = confirmed");
    assert_eq!(shop.stock(), (5, 0, 1));

    let mut other = Partition::new(PartitionId(1), 1);
    let mut ask = |command: &Command| {
        let outcome = other.step(Time(2_000), command, |_| ());
        assert_eq!(invariants::check(&other), Ok(()), "{command:?}");
        let image = other.image();
        assert_eq!(image.clone().restore(7).image(), image);
        outcome
    };
    let bee = crate::shop::sku("bee");
    ask(&Command::CreateProduct { sku: bee.clone(), name: "Bee".into(), price: Won(50), on_hand: 3, key: None });
    let asked = |event: &Event| basket::asks(event).into_iter().map(|(_, command)| command);
    let commands: Vec<Command> = shop.records.iter().flat_map(|record| asked(&record.event)).collect();
    assert_eq!(commands.len(), 3, "{commands:?}");
    assert!(matches!(ask(&commands[0]), Outcome::Accepted(_)));
    let early = ask(&commands[2]);
    assert_eq!(early, Outcome::Refused(Refusal::PartHeld), "it has not heard of the confirmation");
    assert!(!basket::answers(&early), "it is asked again");
    for command in &commands[1..] {
        assert!(matches!(ask(command), Outcome::Accepted(_)), "{command:?}");
    }
    for command in &commands[1..] {
        assert!(matches!(ask(command), Outcome::Repeated(_)), "{command:?}");
    }
    assert_eq!(ask(&commands[0]), Outcome::Refused(Refusal::PartEnded));
    // Home may ask again when the part is long forgotten: its cursor was held up.
    for _ in 0..2 {
        let stored = Lsn(u64::MAX);
        assert!(matches!(ask(&Command::Forget { stored, ended_by: Time(9_000) }), Outcome::Accepted(_)));
        assert!(matches!(ask(&commands[2]), Outcome::Repeated(_)), "its units are not for sale twice");
    }
    let stock = other.product(&bee).expect("bee").stock;
    assert_eq!((stock.supplied, stock.held, stock.sold), (3, 0, 0));
    let customer = CustomerId::parse("bob").expect("a customer");
    let id = OrderId::new(Time(0), 9, PartitionId(0));
    let lines = vec![crate::shop::line("bee", 3)];
    let held = Command::HoldPart(PartHold { order: id, customer, lines, deadline: Time(9_000) });
    assert!(matches!(other.step(Time(2_000), &held, |_| ()), Outcome::Accepted(_)), "all three are for sale");
    assert_eq!(Lsn(other.lsn().0), other.lsn());
}
