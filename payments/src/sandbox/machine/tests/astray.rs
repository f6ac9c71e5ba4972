//! Browsers that are led astray: every fault of the way back, alone and with others.

use super::*;

/// Where who arrives after "pay" was pressed, told in short.
fn arrivals(actions: &[Action], others: bool) -> Vec<String> {
    let mut world = World::empty();
    if others {
        world.prepare(json!({ "partner_order_id": "o2", "approval_url": "http://shop/ok?order=o2" }));
    }
    world.prepare(json!({}));
    for action in actions {
        world.fault(Place::Callback, action.clone());
    }
    let moved = world.press_pay();
    assert_eq!(moved.status, Status::AuthPassword, "whatever becomes of the browser");
    let real = world.machine.pay(START, Whose::Tid(&world.tid), Means::Card).unwrap().visits.pop().unwrap();
    let real = real.pg_token().unwrap().to_owned();
    let told = |visit: &Visit| {
        let token = match visit.pg_token() {
            None => "",
            Some(token) if token == real => "+right",
            Some(token) => {
                assert_eq!(token.len(), 20, "of the right shape");
                "+wrong"
            }
        };
        let when = match visit.arrival {
            Arrival::Next => "",
            Arrival::Together => " together",
            Arrival::At(time) => {
                assert_eq!(time, START.plus_millis(LIFE_MS));
                " late"
            }
        };
        format!("{:?}{token} {}{when}{}", visit.to, visit.order, if visit.forged { " forged" } else { "" })
    };
    let left = world.machine.faults().len();
    let swapped_alone = actions.contains(&Action::SwappedOrder) && !others;
    assert_eq!(left, usize::from(swapped_alone), "used up: {actions:?}");
    moved.visits.iter().map(told).collect()
}

#[test]
fn each_leads_its_own_way() {
    let own = "Approval+right o1";
    let rows: [(&[Action], &[&str]); 9] = [
        (&[], &[own]),
        (&[Action::Lost], &[]),
        (&[Action::Twice], &[own, own]),
        (&[Action::Concurrent], &[own, "Approval+right o1 together"]),
        (&[Action::ForgedToken], &["Approval+wrong o1 forged", own]),
        (&[Action::ForgedCancel], &["Cancel o1 forged", own]),
        (&[Action::AfterExpiry], &["Approval+right o1 late"]),
        (&[Action::SwappedOrder], &["Approval+right o2 forged"]),
        (&[Action::Twice, Action::Concurrent], &[own, own, "Approval+right o1 together"]),
    ];
    for (actions, expected) in rows {
        assert_eq!(arrivals(actions, true), expected, "{actions:?}");
    }
}

#[test]
fn pairs_do_both_in_either_order() {
    let rows: [([Action; 2], &[&str]); 9] = [
        ([Action::Lost, Action::Twice], &[]),
        ([Action::Lost, Action::ForgedToken], &["Approval+wrong o1 forged"]),
        ([Action::Lost, Action::ForgedCancel], &["Cancel o1 forged"]),
        (
            [Action::ForgedToken, Action::ForgedCancel],
            &["Approval+wrong o1 forged", "Cancel o1 forged", "Approval+right o1"],
        ),
        ([Action::Twice, Action::AfterExpiry], &["Approval+right o1 late", "Approval+right o1 late"]),
        ([Action::Concurrent, Action::AfterExpiry], &["Approval+right o1 late", "Approval+right o1 late"]),
        ([Action::Twice, Action::SwappedOrder], &["Approval+right o2 forged", "Approval+right o2 forged"]),
        ([Action::ForgedToken, Action::SwappedOrder], &["Approval+wrong o1 forged", "Approval+right o2 forged"]),
        ([Action::ForgedCancel, Action::AfterExpiry], &["Cancel o1 forged", "Approval+right o1 late"]),
    ];
    for (actions, expected) in rows {
        assert_eq!(arrivals(&actions, true), expected, "{actions:?}");
        let turned = [actions[1].clone(), actions[0].clone()];
        assert_eq!(arrivals(&turned, true), expected, "{turned:?}");
    }
}

#[test]
fn with_nobody_to_be_mistaken_for_the_fault_waits() {
    assert_eq!(arrivals(&[Action::SwappedOrder], false), ["Approval+right o1"]);
    // Nor is there one where the only other payment has ended.
    let mut world = World::prepared(json!({ "partner_order_id": "o2" }));
    world.act(Act::Quit).unwrap();
    world.prepare(json!({}));
    world.fault(Place::Callback, Action::SwappedOrder);
    assert_eq!(world.press_pay().visits[0].order, "o1");
}

#[test]
fn quitting_and_failing_are_led_astray_too() {
    let mut world = World::ready();
    world.fault(Place::Callback, Action::ForgedToken);
    world.fault(Place::Callback, Action::Twice);
    let moved = world.act(Act::Quit).unwrap();
    let to: Vec<(Callback, bool)> = moved.visits.iter().map(|visit| (visit.to, visit.forged)).collect();
    assert_eq!(to, [(Callback::Approval, true), (Callback::Cancel, false), (Callback::Cancel, false)]);
    assert_eq!(moved.status, Status::QuitPayment);
    let mut world = World::ready();
    world.fault(Place::Callback, Action::Lost);
    assert!(world.act(Act::Open).unwrap().visits.is_empty());
    assert_eq!(world.machine.faults().len(), 1, "who stays at the page has not been led astray");
    assert!(world.act(Act::Quit).unwrap().visits.is_empty());
    assert_eq!(world.machine.faults().len(), 0);
}

#[test]
fn a_token_that_was_forged_is_refused_and_the_right_one_still_taken() {
    let mut world = World::ready();
    world.fault(Place::Callback, Action::ForgedToken);
    let moved = world.press_pay();
    let right = std::mem::replace(&mut world.token, moved.visits[0].pg_token().unwrap().to_owned());
    assert_eq!(world.approve(), -708);
    world.token = right;
    assert_eq!(world.approve(), 0);
}

#[test]
fn the_token_of_one_order_does_not_pay_another() {
    let mut world = World::empty();
    world.prepare(json!({ "partner_order_id": "o2" }));
    let other = world.tid.clone();
    world.machine.pay(START, Whose::Tid(&other), Means::Card).unwrap();
    world.prepare(json!({}));
    world.fault(Place::Callback, Action::SwappedOrder);
    let moved = world.press_pay();
    assert_eq!(moved.visits[0].order, "o2");
    let token = moved.visits[0].pg_token().unwrap();
    let body = with(world.approve_body(), json!({ "tid": other, "partner_order_id": "o2", "pg_token": token }));
    assert_eq!(world.code(Endpoint::Approve, body), -708);
    assert_eq!(world.money(), (0, 0));
}
