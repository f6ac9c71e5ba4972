//! `approve` and `order`: the table of checks, their order, and what is answered.

use super::*;

/// A world in which an approve meets this, and the code that it is answered.
type Obstacle = (&'static str, fn(&mut World) -> Value, i64);

fn body(world: &mut World, more: Value) -> Value {
    with(world.approve_body(), more)
}

/// From the last check to the first, so that each stands on top of those before it.
const OBSTACLES: [Obstacle; 6] = [
    ("total", |world| body(world, json!({ "total_amount": 9_999 })), -725),
    ("token", |world| body(world, json!({ "total_amount": 9_999, "pg_token": "0".repeat(20) })), -708),
    ("user", |world| body(world, json!({ "total_amount": 9_999, "pg_token": "0", "partner_user_id": "u2" })), -707),
    ("order", |world| body(world, json!({ "partner_user_id": "u2", "partner_order_id": "o2", "pg_token": "0" })), -706),
    ("tid", |world| body(world, json!({ "partner_order_id": "o2", "tid": "T0000000000000000000" })), -721),
    ("cid", |world| body(world, json!({ "tid": "T0000000000000000000", "cid": "TC0OTHER" })), -731),
];

#[test]
fn the_checks_stand_in_the_order_of_the_table() {
    for (name, body, code) in OBSTACLES {
        let mut world = World::authorised();
        let body = body(&mut world);
        assert_eq!(world.code(Endpoint::Approve, body.clone()), code, "{name}");
        assert_eq!(world.status(), Status::AuthPassword, "{name}");
        // Fields come before them all, and the key before the fields.
        let without = with(body, json!({ "pg_token": null }));
        assert_eq!(world.code(Endpoint::Approve, without.clone()), -2, "{name}");
        let reply =
            world.machine.call(world.now, Endpoint::Approve, Some("SECRET_KEY x"), without.to_string().as_bytes());
        assert_eq!(reply.reply.unwrap().error_code(), Some(-401), "{name}");
        assert_eq!(world.approve(), 0, "{name}: after the wrong ones the right one");
    }
}

/// A second approve, while a first one of the same payment is slow.
fn beside_a_slow_one(world: &mut World) -> i64 {
    world.fault(Place::Approve, Action::DelayBefore { ms: 1_000 });
    let Step::Wait { .. } = world.begin(Endpoint::Approve, world.approve_body()) else { panic!("it waits") };
    world.approve()
}

#[test]
fn states_refuse_in_the_order_of_the_table() {
    let wrong = json!({ "pg_token": "0", "total_amount": 1 });
    // Ids before everything that the state says.
    let mut world = World::captured();
    let body = with(world.approve_body(), json!({ "partner_user_id": "u2" }));
    assert_eq!(world.code(Endpoint::Approve, body), -707);
    // Paid, whatever else is wrong, also when all of it went back.
    let body = with(world.approve_body(), wrong.clone());
    assert_eq!(world.code(Endpoint::Approve, body.clone()), -702);
    world.pass(LIFE_MS);
    assert_eq!(world.code(Endpoint::Approve, body.clone()), -702);
    assert_eq!(world.cancel(10_000), 0);
    assert_eq!(world.code(Endpoint::Approve, body), -702);

    // Paid before in flight: the slow one has captured, and is not answered yet.
    let mut world = World::authorised();
    world.fault(Place::Approve, Action::DelayAfterCommit { ms: 1_000 });
    let Step::Wait { .. } = world.begin(Endpoint::Approve, world.approve_body()) else { panic!("it waits") };
    assert_eq!(world.approve(), -702);
    assert_eq!(world.cancel(10), -785);

    // In flight before expired, and before a wrong token.
    let mut world = World::authorised();
    assert_eq!(beside_a_slow_one(&mut world), -785);
    let body = with(world.approve_body(), wrong.clone());
    assert_eq!(world.code(Endpoint::Approve, body.clone()), -785);
    world.pass(LIFE_MS);
    assert_eq!(world.code(Endpoint::Approve, body), -785);

    // In flight before terminal: the slow one was declined, and is not answered yet.
    let mut world = World::authorised();
    for action in [Action::DelayAfterCommit { ms: 10 }, Action::Decline { code: "NO".to_owned(), soft: false }] {
        world.fault(Place::Approve, action);
    }
    let Step::Wait { .. } = world.begin(Endpoint::Approve, world.approve_body()) else { panic!("it waits") };
    assert_eq!((world.approve(), world.status()), (-785, Status::FailPayment));

    // Terminal before expired, expired before unauthenticated.
    for end in [Act::Quit, Act::WrongPassword] {
        let mut world = World::ready();
        world.act(Act::Open).unwrap();
        world.act(Act::Choose { means: Means::Money }).unwrap();
        world.act(end).unwrap();
        let body = with(world.approve_body(), wrong.clone());
        assert_eq!(world.code(Endpoint::Approve, body.clone()), -783);
        world.pass(LIFE_MS);
        assert_eq!(world.code(Endpoint::Approve, body), -783);
    }
    let mut world = World::ready();
    let body = with(world.approve_body(), wrong);
    assert_eq!(world.code(Endpoint::Approve, body.clone()), -701);
    world.pass(LIFE_MS);
    assert_eq!(world.code(Endpoint::Approve, body), -723);
}

#[test]
fn nobody_is_authenticated_before_the_password() {
    let mut world = World::ready();
    world.token = "0".repeat(20);
    for act in [Act::Open, Act::Choose { means: Means::Card }] {
        assert_eq!(world.approve(), -701);
        world.act(act).unwrap();
    }
    assert_eq!(world.approve(), -701);
    assert_eq!(world.money(), (0, 0));
}

#[test]
fn fifteen_minutes_are_the_limit_and_not_more() {
    let mut world = World::authorised();
    world.pass(LIFE_MS - 1);
    assert_eq!(world.clone().approve(), 0);
    world.pass(1);
    assert_eq!(world.approve(), -723);
    assert_eq!(world.order()["status"], "AUTH_PASSWORD", "the last status stands");
}

#[test]
fn a_capture_is_answered_with_every_field_of_the_table() {
    for means in [Means::Card, Means::Money] {
        let more = json!({ "item_code": "mandarin", "tax_free_amount": 1_000, "install_month": 3 });
        let mut world = World::prepared(more);
        let moved = world.machine.pay(START, Whose::Tid(&world.tid), means).unwrap();
        moved.visits[0].pg_token().unwrap().clone_into(&mut world.token);
        world.pass(61_000);
        let body = with(world.approve_body(), json!({ "payload": "mine" }));
        let body = world.answer(Endpoint::Approve, body);
        let mut names: Vec<&str> = body.as_object().unwrap().keys().map(String::as_str).collect();
        names.retain(|name| *name != "card_info");
        let expected = [
            "aid",
            "amount",
            "approved_at",
            "cid",
            "created_at",
            "item_code",
            "item_name",
            "partner_order_id",
            "partner_user_id",
            "payload",
            "payment_method_type",
            "quantity",
            "sequential_payment_methods",
            "sid",
            "tid",
        ];
        assert_eq!(names, expected, "and no status");
        let amount =
            json!({ "total": 10_000, "tax_free": 1_000, "vat": 818, "point": 0, "discount": 0, "green_deposit": 0 });
        assert_eq!(body["amount"], amount);
        assert_eq!(body["created_at"], "2023-11-15T07:13:20");
        assert_eq!(body["approved_at"], "2023-11-15T07:14:21");
        assert_eq!(body["payment_method_type"], means.as_str());
        assert_eq!((&body["payload"], &body["item_code"]), (&json!("mine"), &json!("mandarin")));
        assert_eq!(body.get("card_info").is_some(), means == Means::Card);
        if means == Means::Card {
            let card = body["card_info"].as_object().unwrap();
            let names: Vec<&str> = card.keys().map(String::as_str).collect();
            let expected = [
                "approved_id",
                "bin",
                "card_item_code",
                "card_mid",
                "card_type",
                "install_month",
                "installment_type",
                "interest_free_install",
                "kakaopay_issuer_corp",
                "kakaopay_issuer_corp_code",
                "kakaopay_purchase_corp",
                "kakaopay_purchase_corp_code",
            ];
            assert_eq!(names, expected);
            assert_eq!(card["install_month"], "03");
        }
        assert_eq!(world.money(), (10_000, 0));
    }
}

#[test]
fn a_total_that_is_not_said_is_not_compared() {
    let mut world = World::authorised();
    let body = with(world.approve_body(), json!({ "total_amount": null }));
    assert_eq!(world.code(Endpoint::Approve, body), 0);
}

#[test]
fn a_query_tells_every_status_with_every_field_of_the_table() {
    let mut world = World::ready();
    let fields = |body: &Value| body.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let first = world.order();
    let expected = [
        "amount",
        "approved_at",
        "cancel_available_amount",
        "canceled_amount",
        "canceled_at",
        "cid",
        "created_at",
        "item_code",
        "item_name",
        "partner_order_id",
        "partner_user_id",
        "payment_action_details",
        "payment_method_type",
        "quantity",
        "status",
        "tid",
    ];
    assert_eq!(fields(&first), expected);
    assert_eq!((&first["status"], &first["approved_at"]), (&json!("READY"), &json!(null)));
    assert_eq!((&first["amount"]["total"], &first["cancel_available_amount"]["total"]), (&json!(10_000), &json!(0)));
    world.act(Act::Open).unwrap();
    assert_eq!(world.order()["status"], "OPEN_PAYMENT");
    world.act(Act::Choose { means: Means::Money }).unwrap();
    assert_eq!(world.order()["status"], "SELECT_METHOD");
    assert_eq!(world.order()["payment_method_type"], "MONEY");
    world.press_pay();
    assert_eq!(world.order()["status"], "AUTH_PASSWORD");
    assert_eq!(world.order()["payment_action_details"], json!([]));
    world.approve();
    let paid = world.order();
    assert_eq!((&paid["status"], &paid["approved_at"]), (&json!("SUCCESS_PAYMENT"), &json!("2023-11-15T07:13:20")));
    assert_eq!(paid["cancel_available_amount"]["total"], 10_000);
    assert_eq!(paid["payment_action_details"][0]["payment_action_type"], "PAYMENT");
    world.cancel(1_000);
    let part = world.order();
    assert_eq!((&part["status"], &part["canceled_at"]), (&json!("PART_CANCEL_PAYMENT"), &json!("2023-11-15T07:13:20")));
    assert_eq!((&part["canceled_amount"]["total"], &part["canceled_amount"]["vat"]), (&json!(1_000), &json!(91)));
    assert_eq!(part["payment_action_details"][1]["payment_action_type"], "CANCEL");
    world.cancel(9_000);
    assert_eq!(world.order()["status"], "CANCEL_PAYMENT");
    assert_eq!(world.order()["payment_action_details"].as_array().unwrap().len(), 3);
}

#[test]
fn both_kinds_of_details_are_met() {
    let (mut with_sums, mut without) = (0, 0);
    let mut world = World::empty();
    for _ in 0..64 {
        world.prepare(json!({}));
        world.press_pay();
        world.approve();
        let details = world.order()["payment_action_details"][0].clone();
        assert!(details["aid"].is_string() && details["approved_at"].is_string(), "{details}");
        assert_eq!((&details["point_amount"], &details["discount_amount"]), (&json!(0), &json!(0)));
        if details.get("amount").is_some() {
            assert_eq!(details["amount"], 10_000);
            assert!(["payment_method_type", "green_deposit", "payload"].iter().all(|name| details.get(name).is_some()));
            with_sums += 1;
        } else {
            without += 1;
        }
    }
    assert!(with_sums > 0 && without > 0, "{with_sums} {without}");
}

#[test]
fn a_query_has_its_checks_too() {
    let mut world = World::captured();
    let rows = [
        (json!({ "tid": null }), -2),
        (json!({ "tid": "T".repeat(21) }), -2),
        (json!({ "tid": "T0000000000000000000", "cid": "TC0OTHER" }), -731),
        (json!({ "tid": "T0000000000000000000" }), -721),
    ];
    for (more, code) in rows {
        assert_eq!(world.code(Endpoint::Order, with(world.order_body(), more.clone())), code, "{more}");
    }
}
