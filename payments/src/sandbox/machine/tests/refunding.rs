//! `cancel`: the table of checks, and the money that goes back.

use super::*;

fn refund(world: &mut World, more: Value) -> i64 {
    let body = with(world.cancel_body(1_000), more);
    world.code(Endpoint::Cancel, body)
}

#[test]
fn the_checks_stand_in_the_order_of_the_table() {
    // From the last to the first: each row is wrong in what it names and in all that was above it.
    let rows = [
        (json!({ "cancel_tax_free_amount": 1 }), -722),
        (json!({ "cancel_available_amount": 9_999 }), -722),
        (json!({ "cancel_amount": 10_001, "cancel_available_amount": 9_999 }), -710),
        (json!({ "cancel_amount": 10_001, "tid": "T0000000000000000000" }), -721),
        (json!({ "tid": "T0000000000000000000", "cid": "TC0OTHER" }), -731),
        (json!({ "cid": "TC0OTHER", "cancel_amount": 0 }), -2),
    ];
    for (more, code) in rows {
        let mut world = World::captured();
        assert_eq!(refund(&mut world, more.clone()), code, "{more}");
        assert_eq!(world.money(), (10_000, 0), "{more}");
        assert_eq!(refund(&mut world, json!({ "cancel_available_amount": 10_000 })), 0, "{more}");
    }
}

#[test]
fn each_field_has_its_limits() {
    let rows = [
        (json!({ "cancel_amount": null }), -2),
        (json!({ "cancel_amount": -1 }), -2),
        (json!({ "cancel_amount": "1000" }), -2),
        (json!({ "cancel_tax_free_amount": null }), -2),
        (json!({ "cancel_tax_free_amount": -1 }), -2),
        (json!({ "cancel_vat_amount": -1 }), -2),
        (json!({ "cancel_vat_amount": 0 }), 0),
        (json!({ "cancel_vat_amount": 909 }), 0),
        (json!({ "cancel_vat_amount": 910 }), -722),
        (json!({ "cancel_amount": 500, "cancel_vat_amount": 501 }), -722),
        (json!({ "cancel_available_amount": -1 }), -2),
        (json!({ "payload": "가".repeat(200) }), 0),
        (json!({ "payload": "가".repeat(201) }), -2),
        (json!({ "tid": null }), -2),
    ];
    for (more, code) in rows {
        assert_eq!(refund(&mut World::captured(), more.clone()), code, "{more}");
    }
}

#[test]
fn only_what_was_captured_can_go_back() {
    let mut world = World::ready();
    for act in [Act::Open, Act::Choose { means: Means::Card }, Act::Pay] {
        assert_eq!(world.cancel(10_000), -784);
        world.act(act).unwrap();
    }
    assert_eq!(world.cancel(10_000), -784);
    world.pass(LIFE_MS);
    assert_eq!(world.cancel(10_000), -784);
    let mut world = World::ready();
    world.act(Act::Quit).unwrap();
    assert_eq!(world.cancel(10_000), -784);
}

#[test]
fn state_comes_before_sums_and_in_flight_before_state() {
    let mut world = World::captured();
    assert_eq!(world.cancel(10_000), 0);
    assert_eq!(refund(&mut world, json!({ "cancel_available_amount": 1, "cancel_amount": 99_999 })), -784);

    // A slow approve holds the payment: it is not captured, and in flight comes first.
    let mut world = World::authorised();
    world.fault(Place::Approve, Action::DelayBefore { ms: 1_000 });
    let Step::Wait { .. } = world.begin(Endpoint::Approve, world.approve_body()) else { panic!("it waits") };
    assert_eq!(world.cancel(99_999), -785);
}

#[test]
fn parts_go_back_until_nothing_is_left() {
    let mut world = World::prepared(json!({ "total_amount": 1_100_000 }));
    world.press_pay();
    let body = with(world.approve_body(), json!({ "total_amount": 1_100_000 }));
    world.answer(Endpoint::Approve, body);
    world.pass(1_000);
    let body = world.answer(Endpoint::Cancel, with(world.cancel_body(1_100), json!({ "payload": "size" })));
    // The figures of a real answer.
    assert_eq!(body["status"], "PART_CANCEL_PAYMENT");
    assert_eq!(body["cancel_available_amount"]["total"], 1_098_900);
    assert_eq!(body["approved_cancel_amount"]["vat"], 100);
    assert_eq!(body["approved_cancel_amount"]["total"], 1_100);
    assert_eq!(body["canceled_amount"]["total"], 1_100);
    assert_eq!((&body["payload"], &body["canceled_at"]), (&json!("size"), &json!("2023-11-15T07:13:21")));
    let fields: Vec<&str> = body.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = [
        "aid",
        "amount",
        "approved_at",
        "approved_cancel_amount",
        "cancel_available_amount",
        "canceled_amount",
        "canceled_at",
        "cid",
        "created_at",
        "item_code",
        "item_name",
        "partner_order_id",
        "partner_user_id",
        "payload",
        "payment_method_type",
        "quantity",
        "status",
        "tid",
    ];
    assert_eq!(fields, expected);
    let again = world.answer(Endpoint::Cancel, world.cancel_body(98_900));
    assert_eq!(
        (&again["canceled_amount"]["total"], &again["approved_cancel_amount"]["total"]),
        (&json!(100_000), &json!(98_900))
    );
    assert_ne!(again["aid"], body["aid"]);
    let last = world.answer(Endpoint::Cancel, world.cancel_body(1_000_000));
    assert_eq!(last["status"], "CANCEL_PAYMENT");
    assert_eq!(last["canceled_amount"], last["amount"], "every part of it");
    assert_eq!(last["cancel_available_amount"]["vat"], 0);
    assert_eq!(world.money(), (1_100_000, 1_100_000));
    assert_eq!(world.cancel(1), -784);
}

#[test]
fn what_is_left_guards_against_the_same_refund_twice() {
    let mut world = World::captured();
    let body = with(world.cancel_body(3_000), json!({ "cancel_available_amount": 10_000 }));
    assert_eq!(world.code(Endpoint::Cancel, body.clone()), 0);
    assert_eq!(world.code(Endpoint::Cancel, body), -722);
    assert_eq!(world.cancel(7_001), -710);
    assert_eq!(world.money(), (10_000, 3_000));
}

#[test]
fn untaxed_money_goes_back_as_such() {
    let mut world = World::prepared(json!({ "tax_free_amount": 4_000 }));
    world.press_pay();
    assert_eq!(world.approve(), 0);
    let rows = [
        // More than is untaxed, more than the whole, and less than would leave more untaxed than is left.
        (json!({ "cancel_amount": 5_000, "cancel_tax_free_amount": 4_001 }), -722),
        (json!({ "cancel_amount": 1_000, "cancel_tax_free_amount": 1_001 }), -722),
        (json!({ "cancel_amount": 7_000, "cancel_tax_free_amount": 0 }), -722),
        (json!({ "cancel_amount": 10_000, "cancel_tax_free_amount": 3_999 }), -722),
        (json!({ "cancel_amount": 7_000, "cancel_tax_free_amount": 1_000 }), 0),
        (json!({ "cancel_amount": 3_000, "cancel_tax_free_amount": 2_999 }), -722),
        (json!({ "cancel_amount": 3_000, "cancel_tax_free_amount": 3_000 }), 0),
    ];
    for (more, code) in rows {
        assert_eq!(refund(&mut world, more.clone()), code, "{more}");
    }
    assert_eq!(world.money(), (10_000, 10_000));
}

#[test]
fn rounding_never_gives_back_more_tax_than_there_was() {
    // An eleventh of 16 is 1, and so is one of 6; an eleventh of 10 is 1, and one of 5 is none.
    for (total, vat, parts) in [(16, 1, vec![(6, 1), (6, 0), (4, 0)]), (10, 1, vec![(5, 0), (5, 1)])] {
        let mut world = World::prepared(json!({ "total_amount": total }));
        world.press_pay();
        let body = with(world.approve_body(), json!({ "total_amount": total }));
        assert_eq!(world.answer(Endpoint::Approve, body)["amount"]["vat"], vat);
        for (part, vat) in parts {
            let body = world.answer(Endpoint::Cancel, world.cancel_body(part));
            assert_eq!(body["approved_cancel_amount"]["vat"], vat, "{part} of {total}");
        }
    }
}

#[test]
fn a_deposit_goes_back_whole_or_not() {
    let mut world = World::prepared(json!({ "green_deposit": 300 }));
    world.press_pay();
    assert_eq!(world.approve(), 0);
    assert_eq!(world.cancel(5_000), -784);
    let body = world.answer(Endpoint::Cancel, world.cancel_body(10_000));
    assert_eq!(body["approved_cancel_amount"]["green_deposit"], 300);
}
