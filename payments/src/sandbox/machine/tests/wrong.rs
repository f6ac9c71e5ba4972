//! Every fault of the API, alone: what is answered, what became of the money, how often.

use super::*;
use son7shop_engine::Won;

fn decline(soft: bool) -> Action {
    Action::Decline { code: "EXCEED_LIMIT".to_owned(), soft }
}

fn word(reply: &Reply) -> Value {
    reply.json().unwrap()["extras"]["method_result_code"].clone()
}

#[test]
fn a_delay_before_holds_the_payment_and_has_done_nothing() {
    let mut world = World::authorised();
    world.fault(Place::Approve, Action::DelayBefore { ms: 70_000 });
    let Step::Wait { ms, ticket } = world.begin(Endpoint::Approve, world.approve_body()) else { panic!("it waits") };
    assert_eq!((ms, world.money(), world.machine.waiting()), (70_000, (0, 0), 1));
    assert_eq!(world.order()["status"], "AUTH_PASSWORD", "a query does not wait");
    assert_eq!(world.approve(), -785);
    let mut other = world.clone();
    other.prepare(json!({ "partner_order_id": "o2" }));
    assert_eq!(other.machine.waiting(), 1, "others go on");
    world.pass(70_000);
    assert!(matches!(world.machine.resume(world.now, ticket), Step::Answer(reply) if reply.status == 200));
    assert_eq!(world.money(), (10_000, 0));
    assert_eq!(world.machine.requests().find(|entry| entry.committed_at == Some(world.now)).unwrap().at, START);
    assert_eq!(world.machine.resume(world.now, ticket), Step::Hangup, "a ticket is good once");
    assert_eq!(world.cancel(10), 0, "nothing holds it any more");
}

#[test]
fn a_delay_after_holds_the_payment_and_has_done_it() {
    let mut world = World::captured();
    world.fault(Place::Cancel, Action::DelayAfterCommit { ms: 70_000 });
    let Step::Wait { ms, ticket } = world.begin(Endpoint::Cancel, world.cancel_body(10)) else { panic!("it waits") };
    assert_eq!((ms, world.money()), (70_000, (10_000, 10)));
    assert_eq!(world.last().end, End::UnderWay);
    assert_eq!(world.cancel(10), -785);
    assert_eq!(world.approve(), -702);
    assert!(matches!(world.machine.resume(world.now, ticket), Step::Answer(reply) if reply.status == 200));
    assert_eq!(world.cancel(10), 0);
}

#[test]
fn who_waits_for_its_turn_holds_the_payment_in_turn() {
    let mut world = World::captured();
    world.fault(Place::Cancel, Action::DelayAfterCommit { ms: 10 });
    let Step::Wait { ticket: first, .. } = world.begin(Endpoint::Cancel, world.cancel_body(1)) else {
        panic!("it waits")
    };
    for action in [Action::DelayBefore { ms: 20 }, Action::DelayAfterCommit { ms: 30 }] {
        world.fault(Place::Cancel, action);
    }
    let Step::Wait { ticket, .. } = world.begin(Endpoint::Cancel, world.cancel_body(2)) else { panic!("it waits") };
    assert!(matches!(world.machine.resume(START, first), Step::Answer(_)));
    let Step::Wait { ms, ticket } = world.machine.resume(START, ticket) else { panic!("it waits again") };
    assert_eq!((ms, world.money(), world.cancel(3)), (30, (10_000, 3), -785));
    assert!(matches!(world.machine.resume(START, ticket), Step::Answer(_)));
    assert_eq!(world.cancel(3), 0);
}

#[test]
fn time_that_a_call_waits_counts() {
    let mut world = World::authorised();
    world.pass(LIFE_MS - 1_000);
    world.fault(Place::Approve, Action::DelayBefore { ms: 1_000 });
    let delivery = world.call(Endpoint::Approve, world.approve_body());
    assert_eq!((delivery.ms, delivery.reply.unwrap().error_code()), (1_000, Some(-723)));
}

#[test]
fn a_call_that_is_refused_anyway_holds_nothing() {
    let mut world = World::authorised();
    world.fault(Place::Approve, Action::DelayBefore { ms: 1_000 });
    let body = with(world.approve_body(), json!({ "pg_token": "0" }));
    let Step::Wait { ticket, .. } = world.begin(Endpoint::Approve, body) else { panic!("it waits") };
    assert_eq!(world.approve(), 0);
    assert!(matches!(world.machine.resume(START, ticket), Step::Answer(reply) if reply.error_code() == Some(-702)));
}

#[test]
fn connections_are_closed_on_either_side() {
    for (action, money) in [(Action::DropBeforeCommit, (0, 0)), (Action::DropAfterCommit, (10_000, 0))] {
        let mut world = World::authorised();
        world.fault(Place::Approve, action.clone());
        assert_eq!(world.call(Endpoint::Approve, world.approve_body()).reply, None);
        assert_eq!((world.last().end.clone(), world.money()), (End::Dropped, money), "{action:?}");
        assert_eq!(world.last().faults[0].action, action);
        assert_eq!(world.approve(), if money.0 > 0 { -702 } else { 0 }, "{action:?}");
    }
}

#[test]
fn errors_of_http_on_either_side() {
    for when in [When::Before, When::After] {
        for (action, status) in
            [(Action::Http429 { when }, 429), (Action::Http500 { when }, 500), (Action::Http503 { when }, 503)]
        {
            let mut world = World::authorised();
            world.fault(Place::Approve, action);
            let reply = world.reply(Endpoint::Approve, world.approve_body());
            assert_eq!((reply.status, reply.error_code()), (status, Some(-i64::from(status))));
            let money = if when == When::After { 10_000 } else { 0 };
            assert_eq!(world.money(), (money, 0), "{status} {when:?}");
        }
    }
}

#[test]
fn answers_that_nobody_can_read_come_after_the_money_moved() {
    for action in [Action::BadJson, Action::Truncated] {
        let mut world = World::captured();
        world.fault(Place::Cancel, action.clone());
        let reply = world.reply(Endpoint::Cancel, world.cancel_body(10));
        assert_eq!((reply.status, reply.json()), (200, None), "{action:?}");
        assert_eq!(reply.announced > reply.body.len(), action == Action::Truncated);
        assert_eq!(world.money(), (10_000, 10), "{action:?}");
    }
}

#[test]
fn good_answers_lack_fields_have_others_and_know_other_words() {
    let mut world = World::captured();
    let whole = world.order();
    world.fault(Place::Order, Action::MissingField { field: "amount".to_owned() });
    let mut lacking = whole.clone();
    lacking.as_object_mut().unwrap().remove("amount");
    assert_eq!(world.order(), lacking);
    world.fault(Place::Order, Action::ExtraField);
    assert!(world.order()["sandbox_extra"].is_object());
    world.fault(Place::Order, Action::UnknownStatus { status: "ARS_WAITING_ARS".to_owned() });
    assert_eq!(world.order()["status"], "ARS_WAITING_ARS");
    assert_eq!(world.order(), whole, "once each");
    // An error is no good answer: the fault waits for one.
    world.fault(Place::Cancel, Action::ExtraField);
    assert_eq!(world.cancel(99_999), -710);
    assert!(world.answer(Endpoint::Cancel, world.cancel_body(10))["sandbox_extra"].is_object());
}

#[test]
fn a_decline_ends_the_payment_and_a_soft_one_does_not() {
    let mut world = World::authorised();
    world.fault(Place::Approve, decline(true));
    let reply = world.reply(Endpoint::Approve, world.approve_body());
    assert_eq!((reply.status, reply.error_code(), word(&reply)), (400, Some(-780), json!("EXCEED_LIMIT")));
    assert_eq!(world.status(), Status::AuthPassword);
    world.fault(Place::Approve, decline(false));
    assert_eq!(world.approve(), -780);
    assert_eq!(world.order()["status"], "FAIL_PAYMENT");
    assert_eq!(world.last().committed, Committed::Nothing);
    assert_eq!((world.approve(), world.money()), (-783, (0, 0)));
}

#[test]
fn a_user_who_is_locked_may_try_again() {
    let mut world = World::authorised();
    world.fault(Place::Approve, Action::UserLocked);
    let reply = world.reply(Endpoint::Approve, world.approve_body());
    assert_eq!((reply.error_code(), word(&reply)), (Some(-780), json!("USER_LOCKED")));
    assert_eq!((world.status(), world.approve()), (Status::AuthPassword, 0));
}

#[test]
fn what_the_bank_does_not_know_turns_out_later() {
    for (then, code, status, money) in [
        (Outcome::Paid, -702, Status::SuccessPayment, (10_000, 0)),
        (Outcome::Failed, -783, Status::FailPayment, (0, 0)),
    ] {
        let mut world = World::authorised();
        world.fault(Place::Approve, Action::BankUnknown { then, after: 60_000 });
        let reply = world.reply(Endpoint::Approve, world.approve_body());
        assert_eq!((reply.error_code(), word(&reply)), (Some(-780), json!("BANK_FIRM_UNKNOWN")));
        assert_eq!(world.last().committed, Committed::Unsettled);
        world.pass(59_999);
        assert_eq!((world.status(), world.money(), world.approve()), (Status::AuthPassword, (0, 0), -785));
        world.pass(1);
        // Whoever looks first lets it turn out.
        assert_eq!(world.clone().money(), money);
        assert_eq!(world.clone().approve(), code);
        assert_eq!(world.order()["status"], status.as_str());
        assert_eq!(world.money(), money);
    }
    let mut world = World::authorised();
    world.fault(Place::Approve, Action::BankUnknown { then: Outcome::Paid, after: 900_000 });
    assert_eq!(world.approve(), -780);
    world.pass(LIFE_MS);
    assert_eq!(world.order()["status"], "SUCCESS_PAYMENT", "also after its time");
    world.machine.requests().for_each(|entry| assert!(entry.at <= world.now));
    let mut world = World::authorised();
    world.fault(Place::Approve, Action::BankUnknown { then: Outcome::Paid, after: 0 });
    assert_eq!((world.approve(), world.status()), (-780, Status::SuccessPayment), "or at once");
}

#[test]
fn another_total_is_told_and_the_right_one_moves() {
    let mut world = World::authorised();
    world.fault(Place::Approve, Action::AmountOverride { total: Won(1) });
    world.fault(Place::Order, Action::AmountOverride { total: Won(2) });
    let body = world.approve_body();
    assert_eq!(world.answer(Endpoint::Approve, body)["amount"]["total"], 1);
    assert_eq!(world.order()["amount"]["total"], 2);
    assert_eq!(world.order()["amount"]["total"], 10_000);
    assert_eq!(world.money(), (10_000, 0));
}

#[test]
fn refunds_are_refused_and_nothing_changes() {
    for (action, code) in [(Action::RefundRefused { code: "NO".to_owned() }, -781), (Action::RefundDup, -785)] {
        let mut world = World::captured();
        world.fault(Place::Cancel, action);
        let reply = world.reply(Endpoint::Cancel, world.cancel_body(10));
        assert_eq!((reply.status, reply.error_code()), (400, Some(code)));
        assert_eq!((world.money(), world.cancel(10)), ((10_000, 0), 0));
    }
}

#[test]
fn a_query_is_behind_for_a_while() {
    let mut world = World::captured();
    world.pass(500);
    assert_eq!(world.cancel(10), 0);
    world
        .machine
        .add_fault(Rule { times: Rule::ALWAYS, ..Rule::once(Place::Order, Action::StaleOrder { ms: 400 }) })
        .unwrap();
    let before = world.order();
    assert_eq!((&before["status"], &before["canceled_amount"]["total"]), (&json!("SUCCESS_PAYMENT"), &json!(0)));
    assert_eq!(before["cancel_available_amount"]["total"], 10_000);
    assert_eq!(before["payment_action_details"].as_array().unwrap().len(), 1);
    world.pass(399);
    assert_eq!(world.order()["status"], "SUCCESS_PAYMENT");
    world.pass(1);
    assert_eq!(world.order()["status"], "PART_CANCEL_PAYMENT");
    let mut world = World::authorised();
    world.pass(1);
    assert_eq!(world.approve(), 0);
    world.fault(Place::Order, Action::StaleOrder { ms: 1 });
    let before = world.order();
    assert_eq!((&before["status"], &before["approved_at"]), (&json!("AUTH_PASSWORD"), &json!(null)));
    assert_eq!(before["cancel_available_amount"]["total"], 0);
    world.fault(Place::Order, Action::StaleOrder { ms: 60_000 });
    assert_eq!(world.order()["status"], "READY", "older than the payment: as it was prepared");
}

#[test]
fn a_rule_means_some_calls_and_is_used_up() {
    let mut world = World::captured();
    let tid = Tid::new(&world.tid);
    let of = Match { tid: Some(tid), nth: Some(2), ..Match::default() };
    let id =
        world.machine.add_fault(Rule { endpoint: Place::Order, of, action: Action::ExtraField, times: 2 }).unwrap();
    let (first, tid) = (world.tid.clone(), &mut world.tid);
    tid.clear();
    world.prepare(json!({ "partner_order_id": "o2" }));
    let second = std::mem::replace(&mut world.tid, first);
    let faulty = |world: &mut World, tid: &str| {
        let body = world.answer(Endpoint::Order, json!({ "cid": SANDBOX_CID, "tid": tid }));
        body.get("sandbox_extra").is_some()
    };
    let first = world.tid.clone();
    let met: Vec<bool> =
        [&first, &second, &second, &first, &second, &first, &first].map(|tid| faulty(&mut world, tid)).into();
    assert_eq!(met, [false, false, false, true, false, true, false], "the second of its calls, twice");
    assert!(!world.machine.remove_fault(id), "used up");

    let of = Match { order: Some("o2".to_owned()), ..Match::default() };
    let rule = Rule { endpoint: Place::Order, of, action: Action::ExtraField, times: Rule::ALWAYS };
    let id = world.machine.add_fault(rule).unwrap();
    let met: Vec<bool> = [&first, &second, &second].map(|tid| faulty(&mut world, tid)).into();
    assert_eq!(met, [false, true, true]);
    assert_eq!(world.machine.faults()[0].seen, 2);
    assert_eq!(world.machine.faults()[0].rule.times, Rule::ALWAYS);
    assert!(world.machine.remove_fault(id));
    assert!(!faulty(&mut world, &second));
    world.fault(Place::Order, Action::ExtraField);
    world.machine.clear_faults();
    assert!(!faulty(&mut world, &second));
}

#[test]
fn a_rule_that_cannot_happen_is_none() {
    let places = [Place::Ready, Place::Approve, Place::Order, Place::Cancel, Place::Callback];
    let rows = [
        (json!({ "kind": "delay_before", "ms": 1 }), [true, true, true, true, false]),
        (json!({ "kind": "delay_after_commit", "ms": 1 }), [true, true, true, true, false]),
        (json!({ "kind": "drop_before_commit" }), [true, true, true, true, false]),
        (json!({ "kind": "drop_after_commit" }), [true, true, true, true, false]),
        (json!({ "kind": "http_429" }), [true, true, true, true, false]),
        (json!({ "kind": "http_500", "when": "after" }), [true, true, true, true, false]),
        (json!({ "kind": "http_503" }), [true, true, true, true, false]),
        (json!({ "kind": "bad_json" }), [true, true, true, true, false]),
        (json!({ "kind": "truncated" }), [true, true, true, true, false]),
        (json!({ "kind": "missing_field", "field": "tid" }), [true, true, true, true, false]),
        (json!({ "kind": "extra_field" }), [true, true, true, true, false]),
        (json!({ "kind": "unknown_status" }), [false, false, true, true, false]),
        (json!({ "kind": "decline", "code": "X" }), [false, true, false, false, false]),
        (json!({ "kind": "user_locked" }), [false, true, false, false, false]),
        (json!({ "kind": "bank_unknown", "then": "paid", "after": 1 }), [false, true, false, false, false]),
        (json!({ "kind": "amount_override", "total": 1 }), [false, true, true, false, false]),
        (json!({ "kind": "refund_refused" }), [false, false, false, true, false]),
        (json!({ "kind": "refund_dup" }), [false, false, false, true, false]),
        (json!({ "kind": "stale_order", "ms": 1 }), [false, false, true, false, false]),
        (json!({ "kind": "lost" }), [false, false, false, false, true]),
        (json!({ "kind": "twice" }), [false, false, false, false, true]),
        (json!({ "kind": "concurrent" }), [false, false, false, false, true]),
        (json!({ "kind": "forged_token" }), [false, false, false, false, true]),
        (json!({ "kind": "forged_cancel" }), [false, false, false, false, true]),
        (json!({ "kind": "after_expiry" }), [false, false, false, false, true]),
        (json!({ "kind": "swapped_order" }), [false, false, false, false, true]),
    ];
    let mut machine = World::empty().machine;
    for (action, fits) in rows {
        for (place, fits) in places.into_iter().zip(fits) {
            let rule: Rule = serde_json::from_value(json!({ "endpoint": place, "action": action })).unwrap();
            assert_eq!((rule.times, &rule.of), (1, &Match::default()));
            assert_eq!(rule.action.kind(), action["kind"].as_str().unwrap());
            let expected = if fits { Ok(()) } else { Err(BadRule::DoesNotFit { kind: rule.action.kind(), place }) };
            assert_eq!(machine.add_fault(rule).map(drop), expected, "{place:?} {action}");
        }
    }
    let rule = |more| {
        serde_json::from_value::<Rule>(with(json!({ "endpoint": "ready", "action": { "kind": "extra_field" } }), more))
    };
    assert_eq!(machine.add_fault(rule(json!({ "times": 0 })).unwrap()), Err(BadRule::Never));
    assert_eq!(machine.add_fault(rule(json!({ "match": { "nth": 0 } })).unwrap()), Err(BadRule::Never));
    assert_eq!(machine.add_fault(rule(json!({ "match": { "tid": "T1" } })).unwrap()), Err(BadRule::NoTidYet));
    for wrong in [
        json!({ "match": { "nht": 1 } }),
        json!({ "time": 1 }),
        json!({ "action": { "kind": "delay_before" } }),
        json!({ "action": { "kind": "delay_before", "ms": 1, "when": "after" } }),
        json!({ "action": { "kind": "drop" } }),
        json!({ "endpoint": "refund" }),
    ] {
        assert!(rule(wrong.clone()).is_err(), "{wrong}");
    }
}
