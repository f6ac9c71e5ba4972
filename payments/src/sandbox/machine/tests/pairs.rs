//! Faults of the API in pairs: which of two decides, what each still does, and that the money is
//! right whatever happens.

use super::*;
use son7shop_engine::Won;

/// How an approve with these faults is answered: its HTTP status (0: not at all), its code, and
/// what was taken; how long it took, and which faults are left.
fn approved(actions: &[Action]) -> (u16, i64, i64, i64, usize) {
    let mut world = World::authorised();
    for action in actions {
        world.fault(Place::Approve, action.clone());
    }
    let delivery = world.call(Endpoint::Approve, world.approve_body());
    let (status, code) = delivery.reply.map_or((0, 0), |reply| (reply.status, reply.error_code().unwrap_or(0)));
    world.pass(delivery.ms);
    (status, code, world.money().0, delivery.ms, world.machine.faults().len())
}

#[test]
fn of_two_faults_each_has_its_place() {
    let (before, after) = (Action::DelayBefore { ms: 100 }, Action::DelayAfterCommit { ms: 50 });
    let decline = Action::Decline { code: "NO".to_owned(), soft: false };
    let rows = [
        // Delays add up, and surround what the others do.
        ([before.clone(), before.clone()], (200, 0, 10_000, 200, 0)),
        ([before.clone(), after.clone()], (200, 0, 10_000, 150, 0)),
        ([before.clone(), Action::DropBeforeCommit], (0, 0, 0, 100, 0)),
        ([after.clone(), Action::DropAfterCommit], (0, 0, 10_000, 50, 0)),
        ([before.clone(), decline.clone()], (400, -780, 0, 100, 0)),
        ([after.clone(), decline.clone()], (400, -780, 0, 50, 0)),
        // What ends a call before it did anything leaves the rest for the next one.
        ([after.clone(), Action::DropBeforeCommit], (0, 0, 0, 0, 1)),
        ([decline.clone(), Action::DropBeforeCommit], (0, 0, 0, 0, 1)),
        ([decline.clone(), Action::Http500 { when: When::Before }], (500, -500, 0, 0, 1)),
        ([Action::DropBeforeCommit, Action::DropAfterCommit], (0, 0, 0, 0, 1)),
        ([Action::DropAfterCommit, Action::DropBeforeCommit], (0, 0, 0, 0, 1)),
        // Of two that decide the same, the first does, and the other one the next time.
        ([decline.clone(), Action::UserLocked], (400, -780, 0, 0, 1)),
        ([Action::Http500 { when: When::After }, Action::DropAfterCommit], (500, -500, 10_000, 0, 1)),
        ([Action::DropAfterCommit, Action::Http500 { when: When::After }], (0, 0, 10_000, 0, 1)),
        // A verdict that is lost on its way is a verdict.
        ([decline.clone(), Action::DropAfterCommit], (0, 0, 0, 0, 0)),
        ([decline.clone(), Action::Http503 { when: When::After }], (503, -503, 0, 0, 0)),
        ([decline.clone(), Action::Truncated], (400, 0, 0, 0, 0)),
        // What reshapes a good answer waits for one, and is lost with it.
        ([decline.clone(), Action::ExtraField], (400, -780, 0, 0, 1)),
        ([Action::AmountOverride { total: Won(1) }, Action::DropAfterCommit], (0, 0, 10_000, 0, 0)),
        (
            [Action::AmountOverride { total: Won(1) }, Action::MissingField { field: "amount".to_owned() }],
            (200, 0, 10_000, 0, 0),
        ),
    ];
    for (actions, expected) in rows {
        assert_eq!(approved(&actions), expected, "{actions:?}");
    }
}

/// Every fault of a call to approve.
fn every() -> Vec<Action> {
    let mut all = vec![
        Action::DelayBefore { ms: 10 },
        Action::DelayAfterCommit { ms: 10 },
        Action::DropBeforeCommit,
        Action::DropAfterCommit,
        Action::BadJson,
        Action::Truncated,
        Action::MissingField { field: "aid".to_owned() },
        Action::ExtraField,
        Action::Decline { code: "NO".to_owned(), soft: false },
        Action::Decline { code: "NO".to_owned(), soft: true },
        Action::UserLocked,
        Action::BankUnknown { then: Outcome::Paid, after: 5 },
        Action::BankUnknown { then: Outcome::Failed, after: 5 },
        Action::AmountOverride { total: Won(1) },
    ];
    for when in [When::Before, When::After] {
        all.extend([Action::Http429 { when }, Action::Http500 { when }, Action::Http503 { when }]);
    }
    all
}

#[test]
fn whatever_two_faults_do_the_money_moves_once() {
    for one in every() {
        for two in every() {
            let mut world = World::authorised();
            world.fault(Place::Approve, one.clone());
            world.fault(Place::Approve, two.clone());
            // A client that is as stupid as can be: it asks until it is told that it is paid, or not.
            let mut asked = 0;
            loop {
                asked += 1;
                assert!(asked < 20, "{one:?} {two:?}");
                let delivery = world.call(Endpoint::Approve, world.approve_body());
                world.pass(delivery.ms + 10);
                let code = delivery.reply.and_then(|reply| reply.error_code());
                if matches!(code, Some(-702 | -783)) {
                    break;
                }
            }
            // The other one may wait for an answer that never comes: a good one to reshape, say.
            assert!(world.machine.faults().len() < 2, "{one:?} {two:?}: neither happened");
            let failed = world.status() == Status::FailPayment;
            assert_eq!(world.money(), (if failed { 0 } else { 10_000 }, 0), "{one:?} {two:?}");
        }
    }
}

#[test]
fn a_bank_that_does_not_know_and_an_answer_that_does_not_come() {
    let mut world = World::authorised();
    world.fault(Place::Approve, Action::BankUnknown { then: Outcome::Paid, after: 1_000 });
    world.fault(Place::Approve, Action::DropAfterCommit);
    world.fault(Place::Order, Action::StaleOrder { ms: 1_000 });
    assert_eq!(world.call(Endpoint::Approve, world.approve_body()).reply, None);
    world.pass(1_500);
    assert_eq!(world.order()["status"], "AUTH_PASSWORD", "settled, and the query is behind");
    assert_eq!(world.order()["status"], "SUCCESS_PAYMENT");
    assert_eq!(world.order()["approved_at"], "2023-11-15T07:13:21");
}

#[test]
fn a_refund_that_is_slow_and_lost_is_done_once() {
    let mut world = World::captured();
    world.fault(Place::Cancel, Action::DelayBefore { ms: 20_000 });
    let drop = Rule { times: 2, ..Rule::once(Place::Cancel, Action::DropAfterCommit) };
    world.machine.add_fault(drop).unwrap();
    let body = with(world.cancel_body(3_000), json!({ "cancel_available_amount": 10_000 }));
    let Step::Wait { ticket, .. } = world.begin(Endpoint::Cancel, body.clone()) else { panic!("it waits") };
    assert_eq!(world.call(Endpoint::Cancel, body.clone()).reply, None, "refused, and nobody is told");
    assert_eq!(world.last().committed, Committed::Nothing);
    world.pass(20_000);
    assert_eq!(world.machine.resume(world.now, ticket), Step::Hangup);
    assert_eq!(world.code(Endpoint::Cancel, body), -722);
    assert_eq!(world.money(), (10_000, 3_000));
}
