//! What answers lead to: the saga of one attempt.

use crate::shop::{HOLD, LIFE, Shop, ann, captured, not_paid, order, paid, pending, unknown};
use son7shop_engine::payment::{Answered, Proof, Standing, Why};
use son7shop_engine::saga::{GRACE_MILLIS, SETTLE_MILLIS};
use son7shop_engine::{
    Act, AttemptStatus, Call, Command, Lsn, OrderStatus, Report, Requester, StepRef, StepState, Time, saga,
};

const FIRST: StepRef = StepRef::Attempt(1);

#[test]
fn an_order_is_paid_once() {
    let mut shop = Shop::approving();
    assert_eq!(shop.stock(), (5, 2, 0));
    assert_eq!(shop.answered(FIRST, Answered::Captured(captured(200))), "Captured = confirmed");
    assert_eq!((shop.stock(), shop.steps()), ((5, 0, 2), vec![]));
    let seen = shop.partition.lsn();
    assert_eq!(shop.report(FIRST, seen, Report::Captured(Box::new(captured(200)))), "nothing");
}

#[test]
fn a_deadline_is_frozen_while_approving_and_honoured_right_after_a_decline() {
    let mut shop = Shop::approving();
    shop.pass(HOLD + 1);
    assert_eq!(shop.tick(), "nothing");
    assert_eq!(shop.status(), OrderStatus::Approving);
    assert_eq!(shop.partition.next_deadline(), None);
    shop.answered(FIRST, unknown());
    assert_eq!(shop.answered(FIRST, not_paid(Why::Declined)), "Ended = held");
    assert_eq!(shop.start(2), "no: the order is expired", "whatever comes next finds it ended");
    assert_eq!((shop.status(), shop.stock()), (OrderStatus::Expired, (5, 0, 0)));
    assert_eq!(shop.view().deadline, Time(1_000 + HOLD), "paying moves no deadline");
}

#[test]
fn of_two_orders_the_frozen_one_does_not_hide_the_others_deadline() {
    let mut shop = Shop::approving();
    shop.pass(10);
    let other = son7shop_engine::OrderId::new(Time(0), 2, son7shop_engine::PartitionId(0));
    shop.run(&Command::PlaceOrder(son7shop_engine::PlaceOrder {
        id: other,
        customer: crate::shop::ann(),
        key: crate::shop::key(2),
        lines: std::iter::once(crate::shop::line("air", 1)).collect(),
        parts: vec![],
        hold_millis: HOLD,
    }));
    shop.pass(HOLD);
    shop.tick();
    let status = shop.partition.order(other).map(|view| view.status);
    assert_eq!((status, shop.status()), (Some(OrderStatus::Expired), OrderStatus::Approving));
}

#[test]
fn a_superseded_attempt_is_never_approved() {
    let mut shop = Shop::ready();
    shop.pay_again(2);
    assert_eq!(shop.back(1, Some("right")), "nothing");
    assert_eq!(shop.back(1, None), "nothing");
    assert_eq!(shop.steps(), [(StepRef::Attempt(2), Call::Lapse)]);
    let attempts = shop.view().payment.expect("attempts").attempts;
    assert_eq!(attempts[0].status, AttemptStatus::Ended(Why::Superseded));
    assert_eq!(attempts[0].pages, None);
    // Should the gateway have taken its money all the same, it goes back.
    let seen = shop.partition.lsn();
    assert_eq!(shop.report(FIRST, seen, Report::Captured(Box::new(captured(200)))), "CapturedLate = paying");
    assert_eq!(shop.steps().len(), 2);
}

#[test]
fn a_forged_proof_does_not_keep_the_right_one_out() {
    let mut shop = Shop::ready();
    assert_eq!(shop.back(1, Some("forged")), "Authorised = approving");
    assert_eq!(shop.back(1, Some("forged")), "nothing");
    assert_eq!(shop.back(1, Some("right")), "Authorised = approving");
    assert_eq!(shop.answered(FIRST, Answered::WrongProof("-708".into())), "Tried = approving");
    assert_eq!(shop.answered(FIRST, pending()), "ProofRejected = approving");
    assert_eq!(shop.step(FIRST).work.proof.as_ref().map(Proof::expose), Some("right"));
    assert_eq!(shop.answered(FIRST, Answered::Captured(captured(200))), "Captured = confirmed");
}

#[test]
fn forged_proofs_do_not_hold_units_past_the_deadline() {
    let mut shop = Shop::ready();
    shop.back(1, Some("p0"));
    for n in 1..40 {
        shop.back(1, Some(&format!("p{n}")));
        shop.pass(60_000);
        shop.answered(FIRST, Answered::WrongProof("-708".into()));
        shop.answered(FIRST, pending());
        shop.tick();
        if shop.status() == OrderStatus::Expired {
            assert!(shop.now <= Time(1_000 + HOLD + 5 * 60_000), "{:?}", shop.now);
            return;
        }
    }
    panic!("the units are never given back");
}

#[test]
fn an_address_without_its_nonce_is_nobodys() {
    let mut shop = Shop::ready();
    let nonce = son7shop_engine::payment::Nonce([9; 16]);
    let back = Command::ReportReturn { order: order(), attempt: 1, nonce, proof: None };
    assert_eq!(shop.told(&back), format!("no: there is no order {}", order()));
}

#[test]
fn a_hint_asks_and_changes_nothing() {
    let mut shop = Shop::ready();
    assert_eq!(shop.back(1, None), "Hinted = paying");
    assert_eq!(shop.steps(), [(FIRST, Call::LOOK)]);
    assert_eq!(shop.answered(FIRST, pending()), "Looked = paying");
    assert_eq!(shop.steps(), [(FIRST, Call::Lapse)]);
    shop.back(1, None);
    assert_eq!(shop.answered(FIRST, not_paid(Why::Quit)), "Ended = held");
    let hints = (0..100).filter(|_| {
        let mut shop = Shop::ready();
        shop.back(1, None).starts_with("Hinted")
    });
    assert_eq!(hints.count(), 100);
    let mut shop = Shop::ready();
    let asked = (0..100).filter(|_| {
        let hinted = shop.back(1, None).starts_with("Hinted");
        if hinted {
            shop.answered(FIRST, pending());
        }
        hinted
    });
    assert_eq!(asked.count(), 16, "whoever forges more waits for the attempt's end");
}

#[test]
fn an_answer_that_leaves_it_open_is_followed_by_a_question() {
    let mut shop = Shop::approving();
    assert_eq!(shop.answered(FIRST, unknown()), "Tried = approving");
    assert_eq!(shop.step(FIRST).call, Call::LOOK);
    let asked = shop.now;
    shop.answered(FIRST, pending());
    assert_eq!(shop.step(FIRST).due_at, asked.plus_millis(SETTLE_MILLIS), "it may be at work on it");
    shop.answered(FIRST, pending());
    assert_eq!(shop.step(FIRST).call, Call::Capture, "nothing was done: the same once more");
    shop.answered(FIRST, unknown());
    assert_eq!(shop.answered(FIRST, paid(200, 0)), "Captured = confirmed");
}

/// A bank that does not know for a quarter of an hour is waited for, by nobody but the participant.
#[test]
fn pending_is_not_parked_before_the_gateway_has_forgotten_it() {
    let mut shop = Shop::approving();
    let (begun, mut tries) = (shop.now, 0);
    while shop.status() == OrderStatus::Approving {
        let answered = if shop.step(FIRST).call == Call::Capture { unknown() } else { pending() };
        shop.answered(FIRST, answered);
        tries += 1;
        if shop.status() == OrderStatus::Approving {
            assert_ne!(shop.step(FIRST).state, StepState::Parked, "after {tries} tries");
        }
    }
    let took = shop.now.0 - begun.0;
    assert!((LIFE + GRACE_MILLIS..LIFE + 3 * GRACE_MILLIS).contains(&took), "{took}");
    assert!(tries < 150, "{tries} tries");
    assert_eq!(shop.steps(), [(FIRST, Call::LOOK)], "one late look");
    assert_eq!(shop.answered(FIRST, paid(200, 0)), "Expired+CapturedLate = expired");
}

#[test]
fn what_was_given_up_is_looked_for_and_goes_back() {
    let mut shop = Shop::approving();
    assert_eq!(shop.operate(FIRST, Act::Compensate), "Cancelled = cancelled");
    assert_eq!(shop.stock(), (5, 0, 0));
    let late = shop.step(FIRST);
    assert!(late.due_at >= late.work.expires_at.plus_millis(GRACE_MILLIS));
    for again in [Act::Compensate, Act::ResolveNotPaid] {
        assert_eq!(shop.operate(FIRST, again), "no: this cannot be done about this step", "the look goes on");
    }
    assert_eq!(shop.answered(FIRST, paid(200, 0)), "CapturedLate = cancelled");
    let refund = StepRef::Refund(1);
    assert_eq!(shop.steps(), [(refund, Call::LOOK)]);
    let seen = shop.partition.lsn();
    assert_eq!(shop.report(FIRST, seen, Report::Captured(Box::new(captured(200)))), "nothing", "one refund");
    assert_eq!(shop.answered(refund, paid(200, 0)), "RefundSized = cancelled");
    assert_eq!(shop.answered(refund, crate::shop::gave_back(200)), "RefundDone = cancelled");
    assert_eq!((shop.steps(), shop.stock()), (vec![], (5, 0, 0)));
}

#[test]
fn a_sum_that_differs_is_believed_when_it_was_said_twice() {
    let mut shop = Shop::approving();
    shop.answered(FIRST, unknown());
    assert_eq!(shop.answered(FIRST, paid(7, 0)), "Tried = approving");
    assert_eq!(shop.answered(FIRST, paid(200, 0)), "Captured = confirmed", "a slip of the tongue");
    let mut shop = Shop::approving();
    shop.answered(FIRST, unknown());
    shop.answered(FIRST, paid(7, 0));
    assert_eq!(shop.answered(FIRST, paid(7, 0)), "CapturedLate = held", "it goes back, and the order may be paid");
    assert_eq!(shop.stock(), (5, 2, 0));
}

#[test]
fn a_payment_that_the_gateway_gave_back_itself_is_not_paid() {
    let mut shop = Shop::approving();
    shop.answered(FIRST, unknown());
    let refunded = Answered::Stands(Standing::Refunded { captured: captured(200) });
    assert_eq!(shop.answered(FIRST, refunded), "Ended = held");
}

#[test]
fn a_begin_whose_answer_is_lost_is_over() {
    let mut shop = Shop::held();
    shop.start(1);
    assert_eq!(shop.answered(FIRST, unknown()), "Ended = held");
    assert_eq!((shop.steps(), shop.start(2)), (vec![], "Started = paying".to_owned()));
}

#[test]
fn whoever_does_not_come_back_lapses() {
    let mut shop = Shop::ready();
    let seen = shop.step(FIRST);
    assert_eq!(seen.due_at, Time(1_000 + LIFE));
    shop.now = Time(1_000 + HOLD - 1);
    assert_eq!(shop.report(FIRST, seen.lsn, Report::Lapsed), "Ended = held");
    assert_eq!(shop.back(1, Some("late")), "nothing");
}

#[test]
fn one_key_starts_one_attempt() {
    let mut shop = Shop::held();
    assert_eq!(shop.start(1), "Started = paying");
    assert_eq!(shop.start(1), "again 1");
    let mut other = Shop::start_command(1);
    if let Command::StartPayment { key, .. } = &mut other {
        key.request = [9; 16];
    }
    assert_eq!(shop.told(&other), "no: the idempotency key was used for another request");
    shop.told(&Command::CancelOrder { order: order(), by: Requester::Admin });
    assert_eq!(shop.start(1), "again 1", "also when the order has ended");
    let mut shop = Shop::held();
    for n in 1..=50 {
        assert_eq!(shop.start(n), "Started = paying");
    }
    assert_eq!(shop.start(51), "no: the order was tried to pay 50 times; it may not be tried again");
}

#[test]
fn an_operator_retries_what_is_parked_with_a_question_first() {
    let mut shop = crate::states::parked();
    assert_eq!(shop.step(FIRST).state, StepState::Parked);
    assert_eq!(shop.operate(FIRST, Act::Retry), "Retried = approving");
    let step = shop.step(FIRST);
    assert_eq!((step.call, step.tries, step.state), (Call::LOOK, 0, StepState::Open));
    let mut shop = Shop::approving();
    assert_eq!(shop.operate(FIRST, Act::Retry), "Retried = approving");
    assert_eq!(shop.step(FIRST).call, Call::LOOK, "the call may be under way");
    let mut shop = Shop::approving();
    shop.answered(FIRST, unknown());
    shop.answered(FIRST, pending());
    shop.operate(FIRST, Act::Retry);
    shop.answered(FIRST, pending());
    assert_ne!(shop.step(FIRST).call, Call::Capture, "it may still be at work on the last one");
    let mut shop = Shop::ready();
    assert_eq!(shop.operate(FIRST, Act::Retry), "no: this cannot be done about this step");
}

#[test]
fn an_operator_says_what_the_gateway_did() {
    let resolved = |act| crate::states::parked().operate(FIRST, act);
    assert_eq!(resolved(Act::ResolvePaid(Box::new(captured(200)))), "Captured = confirmed");
    assert_eq!(resolved(Act::ResolveNotPaid), "Ended = held");
    assert_eq!(resolved(Act::ResolveNotRefunded), "no: this cannot be done about this step");
    let mut shop = crate::states::parked();
    shop.operate(FIRST, Act::ResolveNotPaid);
    shop.tick();
    assert_eq!(shop.status(), OrderStatus::Expired, "the deadline had come meanwhile");
    assert_eq!(shop.steps(), [(FIRST, Call::LOOK)], "and if the operator was wrong, it goes back");
    assert_eq!(shop.answered(FIRST, paid(200, 0)), "CapturedLate = expired");
}

#[test]
fn a_bank_that_tells_late_is_asked_for_a_day() {
    let mut shop = Shop::approving();
    shop.operate(FIRST, Act::Compensate);
    let first = shop.step(FIRST).due_at;
    for _ in saga::LATE_LOOKS_MILLIS {
        assert_eq!(shop.answered(FIRST, pending()), "Tried = cancelled");
    }
    let hours = (shop.step(FIRST).due_at.0 - first.0) / 3_600_000;
    assert!((24..36).contains(&hours), "{hours} hours");
    let mut gone = Shop::approving();
    gone.operate(FIRST, Act::Compensate);
    assert_eq!(shop.answered(FIRST, paid(200, 0)), "CapturedLate = cancelled", "it was taken all the same");
    for _ in saga::LATE_LOOKS_MILLIS {
        gone.answered(FIRST, pending());
    }
    assert_eq!(gone.answered(FIRST, pending()), "Looked = cancelled");
    assert_eq!(gone.steps(), []);
}

#[test]
fn a_read_in_pieces_misses_no_step() {
    let mut shop = Shop::approving();
    shop.operate(FIRST, Act::ResolveNotPaid);
    shop.start(2);
    let all = shop.partition.due_after(Lsn(0), usize::MAX);
    assert_eq!(all.len(), 2, "the late look and the new attempt");
    for limit in 1..=3 {
        let (mut seen, mut read) = (Lsn(0), Vec::new());
        loop {
            let piece = shop.partition.due_after(seen, limit);
            let Some(last) = piece.last() else { break };
            seen = last.lsn;
            read.extend(piece);
        }
        assert_eq!(read, all, "in pieces of {limit}");
        let (states, mut found, mut after) = ([StepState::Open, StepState::Retrying], Vec::new(), Some(Lsn(0)));
        while let Some(from) = after {
            let (piece, more) = shop.partition.steps_in(&states, from, usize::MAX, limit);
            found.extend(piece.into_iter().map(|step| step.step));
            after = more;
        }
        assert_eq!(found.len(), 2, "scanning {limit} at a time");
    }
}

#[test]
fn a_customer_is_not_told_who_runs_the_shop_nor_what_the_gateway_says_of_it() {
    let mut shop = Shop::approving();
    shop.answered(FIRST, unknown());
    shop.operate(FIRST, Act::Retry);
    let answers = |by: &Requester| {
        let told = shop.partition.timeline(order(), by).expect("the order's");
        let entries = told.entries.into_iter().map(|entry| entry.answer);
        entries.chain(told.steps.into_iter().map(|step| step.answer)).collect::<Vec<_>>().join(" ")
    };
    let admin = answers(&Requester::Admin);
    assert!(admin.contains("operator: looked") && admin.contains("no answer"), "{admin}");
    let customer = answers(&Requester::Customer(ann()));
    assert!(!customer.contains("looked") && !customer.contains("no answer"), "{customer}");
}
