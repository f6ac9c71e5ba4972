//! `ready` and what every call has in common: key, fields, merchant, journal.

use super::*;

#[test]
fn a_payment_is_prepared_with_every_field_of_the_table() {
    let mut world = World::empty();
    let body = world.answer(Endpoint::Ready, World::ready_body());
    let names: Vec<&String> = body.as_object().unwrap().keys().collect();
    assert_eq!(
        names,
        [
            "android_app_scheme",
            "created_at",
            "ios_app_scheme",
            "next_redirect_app_url",
            "next_redirect_mobile_url",
            "next_redirect_pc_url",
            "tid"
        ]
    );
    assert_eq!(body["created_at"], "2023-11-15T07:13:20", "Korean time, and no word of it");
    let page = |field: &str, kind: &str| {
        let address = body[field].as_str().unwrap();
        let before = format!("http://pages.sandbox.invalid/bridge/{kind}/pg/one-time/payment/");
        address.strip_prefix(&before).unwrap_or_else(|| panic!("{address}")).to_owned()
    };
    let hash = page("next_redirect_pc_url", "pc");
    assert_eq!(hash.len(), 64);
    assert_eq!(page("next_redirect_mobile_url", "mobile-web"), hash);
    assert_eq!(page("next_redirect_app_url", "mobile-app"), hash);
    let shown = world.machine.shown(world.now, Whose::Page(&hash)).unwrap();
    assert_eq!(shown.tid.as_str(), body["tid"].as_str().unwrap());
    assert_eq!((shown.total.0, shown.quantity, shown.status), (10_000, 2, Status::Ready));
}

#[test]
fn each_field_has_its_limits() {
    let long = |count: usize| json!("가".repeat(count));
    let address = |length: usize| json!(format!("http://shop/{}", "a".repeat(length - 12)));
    let rows = [
        (json!({}), 0),
        (json!({ "cid": "TC0OTHER" }), -731),
        (json!({ "cid": "TC0ONETIME1" }), -2),
        (json!({ "cid": null }), -2),
        (json!({ "cid_secret": "0123456789abcdefghijklmn" }), 0),
        (json!({ "cid_secret": "0123456789ABCDEFGHIJKLMN" }), -2),
        (json!({ "cid_secret": "short" }), -2),
        (json!({ "partner_order_id": "" }), -2),
        (json!({ "partner_order_id": null }), -2),
        (json!({ "partner_order_id": 1 }), -2),
        (json!({ "partner_order_id": long(100) }), 0),
        (json!({ "partner_order_id": long(101) }), -2),
        (json!({ "partner_user_id": null }), -2),
        (json!({ "partner_user_id": long(101) }), -2),
        (json!({ "item_name": long(100) }), 0),
        (json!({ "item_name": long(101) }), -2),
        (json!({ "item_name": null }), -2),
        (json!({ "item_code": long(101) }), -2),
        (json!({ "quantity": 0 }), -2),
        (json!({ "quantity": "2" }), -2),
        (json!({ "quantity": 1.5 }), -2),
        (json!({ "quantity": null }), -2),
        (json!({ "total_amount": 0 }), -2),
        (json!({ "total_amount": -1 }), -2),
        (json!({ "total_amount": null }), -2),
        (json!({ "total_amount": 1_000_000_000_001_i64 }), -2),
        (json!({ "total_amount": 18_446_744_073_709_551_615_u64 }), -2),
        (json!({ "tax_free_amount": null }), -2),
        (json!({ "tax_free_amount": -1 }), -2),
        (json!({ "tax_free_amount": 10_000 }), 0),
        (json!({ "tax_free_amount": 10_001 }), -722),
        (json!({ "tax_free_amount": 5_000, "vat_amount": 5_001 }), -722),
        (json!({ "vat_amount": -1 }), -2),
        (json!({ "vat_amount": 0 }), 0),
        (json!({ "green_deposit": 10_001 }), -722),
        (json!({ "approval_url": null }), -2),
        (json!({ "approval_url": "shop/ok" }), -2),
        (json!({ "approval_url": "http://" }), -2),
        (json!({ "approval_url": "javascript:alert(1)" }), -2),
        (json!({ "approval_url": "http://shop/a b" }), -2),
        (json!({ "approval_url": "http://shop/\r\nset-cookie:a" }), -2),
        (json!({ "approval_url": address(255) }), 0),
        (json!({ "approval_url": address(256) }), -2),
        (json!({ "cancel_url": null }), -2),
        (json!({ "cancel_url": address(256) }), -2),
        (json!({ "fail_url": null }), -2),
        (json!({ "fail_url": address(256) }), -2),
        (json!({ "payment_method_type": "CARD" }), 0),
        (json!({ "payment_method_type": "BARTER" }), -705),
        (json!({ "install_month": 12 }), 0),
        (json!({ "install_month": 13 }), -2),
    ];
    for (more, code) in rows {
        let mut world = World::empty();
        assert_eq!(world.code(Endpoint::Ready, with(World::ready_body(), more.clone())), code, "{more}");
        let prepared = usize::from(code == 0);
        assert_eq!(world.machine.all_shown(world.now, 0, 9).len(), prepared, "{more}");
    }
}

#[test]
fn what_is_no_json_object_is_refused() {
    for body in [&b"cid=TC0ONETIME&tid=T1"[..], b"", b"[]", b"{\"cid\":", b"\xff"] {
        for endpoint in Endpoint::ALL {
            let mut world = World::empty();
            let reply = world.machine.call(START, endpoint, Some(AUTH), body).reply.unwrap();
            assert_eq!((reply.status, reply.error_code()), (400, Some(-2)));
        }
    }
}

#[test]
fn the_key_is_looked_at_before_anything_else() {
    let rows = [
        (None, -400, 401),
        (Some("SECRET_KEY wrong"), -401, 401),
        (Some("KakaoAK DEV_SANDBOX_KEY_THAT_IS_NO_SECRET"), -401, 401),
        (Some("DEV_SANDBOX_KEY_THAT_IS_NO_SECRET"), -401, 401),
        (Some("SECRET_KEY"), -401, 401),
        (Some("SECRET_KEY DEV_SANDBOX_KEY_THAT_IS_NO_SECRET"), -2, 400),
        (Some("DEV_SECRET_KEY DEV_SANDBOX_KEY_THAT_IS_NO_SECRET"), -2, 400),
    ];
    for (auth, code, status) in rows {
        for endpoint in Endpoint::ALL {
            let mut world = World::empty();
            let reply = world.machine.call(START, endpoint, auth, b"{}").reply.unwrap();
            assert_eq!((reply.error_code(), reply.status), (Some(code), status), "{auth:?}");
            assert_eq!(world.last().key_is_right, code == -2);
        }
    }
}

#[test]
fn fields_that_nobody_knows_are_tolerated_and_named() {
    let mut world = World::captured();
    let body = with(world.cancel_body(100), json!({ "cancel_reason": "changed my mind" }));
    assert_eq!(world.code(Endpoint::Cancel, body), 0);
    assert_eq!(world.last().unknown, ["cancel_reason"]);
    world.order();
    assert!(world.last().unknown.is_empty());
    let body = with(World::ready_body(), json!({ "tid": world.tid, "quantity": 0 }));
    assert_eq!(world.code(Endpoint::Ready, body), -2);
    assert_eq!((world.last().tid.clone(), &world.last().unknown), (None, &vec!["tid".to_owned()]));
}

#[test]
fn the_journal_tells_what_each_call_did() {
    let mut world = World::captured();
    world.cancel(4_000);
    world.cancel(7_000);
    let told: Vec<(Endpoint, String)> = world
        .machine
        .requests()
        .map(|entry| {
            assert_eq!((entry.tid.as_deref(), entry.order.as_deref()), (Some(world.tid.as_str()), Some("o1")));
            assert_eq!(entry.committed_at, Some(START));
            (entry.endpoint, entry.to_json()["committed"]["kind"].as_str().unwrap().to_owned())
        })
        .collect();
    let told: Vec<(Endpoint, &str)> = told.iter().map(|(endpoint, what)| (*endpoint, what.as_str())).collect();
    let expected = [
        (Endpoint::Ready, "prepared"),
        (Endpoint::Approve, "captured"),
        (Endpoint::Cancel, "refunded"),
        (Endpoint::Cancel, "nothing"),
    ];
    assert_eq!(told, expected);
    let json = world.last().to_json();
    assert_eq!(json["body"]["cancel_amount"], 7_000);
    assert_eq!((&json["status"], &json["answer"]["error_code"]), (&json!(400), &json!(-710)));
}

#[test]
fn the_journal_keeps_the_last_calls_only() {
    let settings = MachineSettings { journal_entries_max: 2, ..MachineSettings::default() };
    let mut world = World { machine: Machine::new(settings), ..World::empty() };
    world.fault(Place::Ready, Action::DelayBefore { ms: 1 });
    let Step::Wait { ticket, .. } = world.begin(Endpoint::Ready, World::ready_body()) else { panic!("it waits") };
    world.prepare(json!({}));
    world.prepare(json!({}));
    assert_eq!(world.machine.requests().map(|entry| entry.seq).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(world.machine.requests_count(), 3);
    // Its entry is gone, and it goes on.
    assert!(matches!(world.machine.resume(world.now, ticket), Step::Answer(reply) if reply.status == 200));
    assert!(world.machine.requests().all(|entry| matches!(entry.end, End::Answered(_))));
}

#[test]
fn nothing_secret_is_printed() {
    let mut world = World::authorised();
    let moved = world.press_pay();
    world.approve();
    world.approve();
    let machine = world.machine.clone();
    let page = world.machine.shown(START, Whose::Tid(&world.tid)).unwrap();
    let entries: Vec<&Entry> = machine.requests().collect();
    let replies: Vec<Option<Reply>> = vec![world.call(Endpoint::Order, world.order_body()).reply];
    let printed = format!("{machine:?} {entries:?} {moved:?} {page:?} {replies:?} {:?}", machine.settings());
    for secret in [&world.token, page.page.as_str(), "s3cret", "THAT_IS_NO_SECRET"] {
        assert!(!secret.is_empty() && !printed.contains(secret), "{secret} in {printed}");
    }
    assert!(printed.contains(&world.tid), "{printed}");
}

#[test]
fn the_same_seed_and_calls_give_the_same_answers() {
    let play = |seed| {
        let machine = Machine::new(MachineSettings { seed, ..MachineSettings::default() });
        let mut world = World { machine, ..World::empty() };
        world.prepare(json!({}));
        world.press_pay();
        world.approve();
        world.cancel(10);
        world.order();
        world.machine.requests().map(|entry| entry.to_json().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(play(3), play(3));
    assert_ne!(play(3), play(4));
}
