//! Each fault of the gateway, on both sides of what it does: the client says unknown, and a look-up finds out.

use super::{Stage, refund_of, refunded, table, unknown};
use crate::kakaopay_common::{AMOUNT, begin, look_up};
use serde_json::{Value, json};
use son7shop_engine::Won;
use son7shop_engine::payment::{Answered, Standing, Why};
use son7shop_payments::gateway::{LookUpRequest, PaymentGateway};

table![
    noise_at_ready_begins_nothing_that_anyone_knows,
    noise_at_approve_is_found_out_by_a_look_up,
    noise_at_order_is_unknown,
    noise_at_cancel_is_found_out_by_a_look_up,
    a_capture_that_names_too_little_is_found_out_by_a_look_up,
    fields_that_nobody_needs_may_come_and_go,
    another_sum_is_never_taken_for_ours,
    a_decline_is_final_when_a_look_up_says_so,
    what_the_bank_does_not_know_yet_is_found_out_later,
    a_strange_status_is_kept_as_it_came,
    a_stale_look_up_says_what_was,
    a_refund_that_is_refused_gave_nothing_back,
    the_same_refund_twice_gives_back_once,
    an_answer_that_comes_too_late_is_found_out_by_a_look_up,
];

const DROPPED: &str = "no whole answer";

/// Noise, whether the call still did what it should, and how it is told.
fn noise() -> [(Value, bool, &'static str); 10] {
    let http = |status: u16, when: &str| json!({"kind": format!("http_{status}"), "when": when});
    [
        (json!({"kind": "drop_before_commit"}), false, DROPPED),
        (json!({"kind": "drop_after_commit"}), true, DROPPED),
        (http(500, "before"), false, "-500"),
        (http(500, "after"), true, "-500"),
        (http(503, "before"), false, "-503"),
        (http(503, "after"), true, "-503"),
        (http(429, "before"), false, "-429"),
        (http(429, "after"), true, "-429"),
        (json!({"kind": "bad_json"}), true, "no JSON"),
        (json!({"kind": "truncated"}), true, ""),
    ]
}

async fn noise_at_ready_begins_nothing_that_anyone_knows(stage: Stage) {
    for (action, _, words) in noise() {
        stage.fault("ready", action.clone()).await;
        let answered = PaymentGateway::begin(&stage.client(), &begin()).await;
        // A 4xx is certain; the rest is not.
        match &answered {
            Answered::Refused(text) => assert!(words == "-429" && text.contains(words), "{action}: {answered:?}"),
            Answered::Unknown(text) => assert!(words != "-429" && text.contains(words), "{action}: {answered:?}"),
            _ => panic!("{action}: {answered:?}"),
        }
    }
    for field in ["tid", "next_redirect_pc_url", "next_redirect_mobile_url", "next_redirect_app_url"] {
        stage.fault("ready", json!({"kind": "missing_field", "field": field})).await;
        unknown(&PaymentGateway::begin(&stage.client(), &begin()).await, field);
    }
    assert_eq!(stage.settled().await, (0, 0));
}

async fn noise_at_approve_is_found_out_by_a_look_up(stage: Stage) {
    let mut taken = 0;
    for (action, commits, words) in noise() {
        let request = stage.authorised().await;
        stage.fault("approve", action.clone()).await;
        unknown(&stage.client().capture(&request).await, words);
        let standing = stage.standing(&request.reference).await;
        if commits {
            assert!(matches!(&standing, Standing::Paid { captured, .. } if captured.amount.0 == AMOUNT), "{action}");
            unknown(&stage.client().capture(&request).await, "-702");
        } else {
            assert_eq!(standing, Standing::Pending, "{action}");
            assert!(matches!(stage.client().capture(&request).await, Answered::Captured(_)), "{action}");
        }
        taken += AMOUNT;
    }
    assert_eq!(stage.settled().await, (taken, 0));
}

async fn noise_at_order_is_unknown(stage: Stage) {
    let (tid, _) = stage.captured().await;
    let request = LookUpRequest { reference: tid.clone(), ..look_up() };
    for (action, _, words) in noise() {
        stage.fault("order", action).await;
        unknown(&stage.client().look_up(&request).await, words);
    }
    for field in ["tid", "status", "amount"] {
        stage.fault("order", json!({"kind": "missing_field", "field": field})).await;
        unknown(&stage.client().look_up(&request).await, field);
    }
    assert_eq!(refunded(&stage.standing(&tid).await), 0);
    assert_eq!(stage.settled().await, (AMOUNT, 0));
}

async fn noise_at_cancel_is_found_out_by_a_look_up(stage: Stage) {
    let mut taken = 0;
    for (action, commits, words) in noise() {
        let (tid, _) = stage.captured().await;
        let request = refund_of(&tid, 1_100, AMOUNT);
        stage.fault("cancel", action.clone()).await;
        unknown(&stage.client().refund(&request).await, words);
        let back = refunded(&stage.standing(&tid).await);
        assert_eq!(back, if commits { 1_100 } else { 0 }, "{action}");
        let again = stage.client().refund(&request).await;
        if commits {
            unknown(&again, "-722");
        } else {
            assert!(matches!(again, Answered::GaveBack(_)), "{action}: {again:?}");
        }
        assert_eq!(refunded(&stage.standing(&tid).await), 1_100, "{action}");
        taken += 1;
    }
    assert_eq!(stage.settled().await, (taken * AMOUNT, taken * 1_100));
}

async fn a_capture_that_names_too_little_is_found_out_by_a_look_up(stage: Stage) {
    for field in ["tid", "cid", "partner_order_id", "partner_user_id", "amount"] {
        let request = stage.authorised().await;
        stage.fault("approve", json!({"kind": "missing_field", "field": field})).await;
        unknown(&stage.client().capture(&request).await, field);
        assert_eq!(refunded(&stage.standing(&request.reference).await), 0, "{field}");

        stage
            .fault(
                "cancel",
                json!({"kind": "missing_field", "field": field.replace("amount", "approved_cancel_amount")}),
            )
            .await;
        unknown(&stage.client().refund(&refund_of(&request.reference, 1_100, AMOUNT)).await, field);
        assert_eq!(refunded(&stage.standing(&request.reference).await), 1_100, "{field}");
    }
    assert_eq!(stage.settled().await, (5 * AMOUNT, 5 * 1_100));
}

async fn fields_that_nobody_needs_may_come_and_go(stage: Stage) {
    stage.fault("ready", json!({"kind": "missing_field", "field": "android_app_scheme"})).await;
    stage.fault("ready", json!({"kind": "extra_field"})).await;
    stage.fault("approve", json!({"kind": "missing_field", "field": "aid"})).await;
    stage.fault("approve", json!({"kind": "missing_field", "field": "approved_at"})).await;
    stage.fault("approve", json!({"kind": "extra_field"})).await;
    stage.fault("order", json!({"kind": "missing_field", "field": "payment_action_details"})).await;
    stage.fault("order", json!({"kind": "missing_field", "field": "canceled_amount"})).await;
    stage.fault("order", json!({"kind": "extra_field"})).await;
    stage.fault("cancel", json!({"kind": "missing_field", "field": "aid"})).await;
    stage.fault("cancel", json!({"kind": "extra_field"})).await;
    let (tid, captured) = stage.captured().await;
    assert!(captured.receipt.is_empty());
    assert_eq!(refunded(&stage.standing(&tid).await), 0);
    let answered = stage.client().refund(&refund_of(&tid, 1_100, AMOUNT)).await;
    assert!(matches!(&answered, Answered::GaveBack(back) if back.receipt.is_empty()), "{answered:?}");
    assert_eq!(stage.settled().await, (AMOUNT, 1_100));
}

async fn another_sum_is_never_taken_for_ours(stage: Stage) {
    let request = stage.authorised().await;
    stage.fault("approve", json!({"kind": "amount_override", "total": 7})).await;
    unknown(&stage.client().capture(&request).await, "amount.total differs");
    stage.fault("order", json!({"kind": "amount_override", "total": 7})).await;
    let standing = stage.standing(&request.reference).await;
    assert!(matches!(&standing, Standing::Paid { captured, .. } if captured.amount == Won(7)), "{standing:?}");
    assert_eq!(stage.settled().await, (AMOUNT, 0));
}

async fn a_decline_is_final_when_a_look_up_says_so(stage: Stage) {
    let cases = [
        (json!({"kind": "decline", "code": "CARD_LIMIT"}), Standing::NotPaid(Why::Declined), "CARD_LIMIT"),
        (json!({"kind": "decline", "code": "CARD_LIMIT", "soft": true}), Standing::Pending, "CARD_LIMIT"),
        (json!({"kind": "user_locked"}), Standing::Pending, "USER_LOCKED"),
    ];
    for (action, wanted, words) in cases {
        let request = stage.authorised().await;
        stage.fault("approve", action.clone()).await;
        unknown(&stage.client().capture(&request).await, words);
        assert_eq!(stage.standing(&request.reference).await, wanted, "{action}");
    }
    assert_eq!(stage.settled().await, (0, 0));
}

async fn what_the_bank_does_not_know_yet_is_found_out_later(stage: Stage) {
    let minute = 60_000;
    for (then, taken) in [("failed", 0), ("paid", AMOUNT)] {
        let request = stage.authorised().await;
        stage.fault("approve", json!({"kind": "bank_unknown", "then": then, "after": minute})).await;
        unknown(&stage.client().capture(&request).await, "BANK_FIRM_UNKNOWN");
        assert_eq!(stage.standing(&request.reference).await, Standing::Pending, "{then}");
        unknown(&stage.client().capture(&request).await, "-785");
        stage.advance(minute).await;
        let standing = stage.standing(&request.reference).await;
        let paid = matches!(&standing, Standing::Paid { captured, .. } if captured.amount.0 == taken);
        assert!(paid || (taken == 0 && standing == Standing::NotPaid(Why::Declined)), "{then}: {standing:?}");
    }
    assert_eq!(stage.settled().await, (AMOUNT, 0));
}

async fn a_strange_status_is_kept_as_it_came(stage: Stage) {
    let (tid, _) = stage.captured().await;
    for status in ["ARS_WAITING_ARS", "SUCCESS_PAYMENT\t"] {
        stage.fault("order", json!({"kind": "unknown_status", "status": status})).await;
        assert_eq!(stage.standing(&tid).await, Standing::Unrecognised(status.into()));
    }
    assert_eq!(stage.settled().await, (AMOUNT, 0));
}

async fn a_stale_look_up_says_what_was(stage: Stage) {
    let request = stage.authorised().await;
    stage.advance(60_000).await;
    assert!(matches!(stage.client().capture(&request).await, Answered::Captured(_)));
    stage.fault("order", json!({"kind": "stale_order", "ms": 30_000})).await;
    assert_eq!(stage.standing(&request.reference).await, Standing::Pending);
    assert_eq!(refunded(&stage.standing(&request.reference).await), 0);
    assert_eq!(stage.settled().await, (AMOUNT, 0));
}

async fn a_refund_that_is_refused_gave_nothing_back(stage: Stage) {
    let (tid, _) = stage.captured().await;
    for (kind, words) in [("refund_refused", "-781"), ("refund_dup", "-785")] {
        stage.fault("cancel", json!({ "kind": kind })).await;
        unknown(&stage.client().refund(&refund_of(&tid, 1_100, AMOUNT)).await, words);
        assert_eq!(refunded(&stage.standing(&tid).await), 0, "{kind}");
    }
    assert_eq!(stage.settled().await, (AMOUNT, 0));
}

async fn the_same_refund_twice_gives_back_once(stage: Stage) {
    let (tid, _) = stage.captured().await;
    let request = refund_of(&tid, 1_100, AMOUNT);
    let client = stage.client();
    let (one, other) = tokio::join!(client.refund(&request), client.refund(&request));
    let given = [&one, &other].iter().filter(|answered| matches!(answered, Answered::GaveBack(_))).count();
    assert_eq!(given, 1, "{one:?} {other:?}");
    assert_eq!(stage.settled().await, (AMOUNT, 1_100));
}

async fn an_answer_that_comes_too_late_is_found_out_by_a_look_up(stage: Stage) {
    let (minute, late) = (60_000, "no answer in time");
    stage.fault("ready", json!({"kind": "delay_before", "ms": minute})).await;
    unknown(&PaymentGateway::begin(&stage.impatient(), &begin()).await, late);

    let request = stage.authorised().await;
    stage.fault("approve", json!({"kind": "delay_after_commit", "ms": minute})).await;
    unknown(&stage.impatient().capture(&request).await, late);
    assert_eq!(refunded(&stage.standing(&request.reference).await), 0);
    stage.let_pass(minute).await;

    let refund = refund_of(&request.reference, 1_100, AMOUNT);
    stage.fault("cancel", json!({"kind": "delay_after_commit", "ms": minute})).await;
    unknown(&stage.impatient().refund(&refund).await, late);
    assert_eq!(refunded(&stage.standing(&request.reference).await), 1_100);
    stage.let_pass(minute).await;
    assert_eq!(stage.settled().await, (AMOUNT, 1_100));
}
