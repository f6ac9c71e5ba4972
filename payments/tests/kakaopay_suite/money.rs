//! What a shopper, a shop and a gateway do that all work: each way to pay, to leave and to get money back.

use super::{Stage, another_customer, another_order, another_proof, expected, refund_of, refunded, table, unknown};
use crate::kakaopay_common::{AMOUNT, CID, begin, look_up};
use son7shop_engine::Won;
use son7shop_engine::payment::{Answered, GatewayRef, Standing, Why};
use son7shop_payments::gateway::{CaptureRequest, LookUpRequest, PaymentGateway, Return, ReturnedTo};
use son7shop_payments::kakaopay::{KakaoPay, Key, Profile, Settings};

table![
    an_order_is_paid_and_all_of_it_given_back_in_parts,
    a_shopper_who_quits_has_not_paid,
    a_shopper_who_mistypes_has_not_paid,
    nothing_is_taken_before_the_shopper_authorised,
    the_wrong_proof_takes_nothing_and_the_right_one_still_does,
    money_is_taken_once,
    a_capture_for_somebody_else_takes_nothing,
    a_payment_that_nobody_made_is_unknown,
    no_more_is_given_back_than_remains,
    a_refund_that_counts_wrong_gives_nothing_back,
    after_its_time_nothing_is_taken,
    a_wrong_key_does_nothing,
];

async fn an_order_is_paid_and_all_of_it_given_back_in_parts(stage: Stage) {
    let begun = stage.begun().await;
    let tid = begun.reference;
    assert!(begun.pages.desktop.contains("/bridge/pc/") && begun.pages.mobile.contains("/bridge/mobile-web/"));
    assert!(begun.pages.app.contains("/bridge/mobile-app/") && begun.pages.android.is_some());
    assert_eq!(stage.standing(&tid).await, Standing::Pending);

    let query = stage.press(&tid, "pay", "approval").await;
    let client = stage.client();
    let Ok(Return::Authorised(proof)) = client.parse_return(ReturnedTo::Approval, &query, &expected()) else {
        panic!("not authorised")
    };
    let request = CaptureRequest { reference: tid.clone(), proof, ..crate::kakaopay_common::capture() };
    let Answered::Captured(captured) = client.capture(&request).await else { panic!("not captured") };
    assert_eq!((captured.amount, captured.means.as_str()), (Won(AMOUNT), "CARD"));
    assert!(captured.receipt.starts_with('A'));
    let Standing::Paid { captured: seen, refunded } = stage.standing(&tid).await else { panic!("not paid") };
    // The two answers' times may differ by a second.
    assert_eq!((seen.amount, &seen.receipt, refunded), (captured.amount, &captured.receipt, Won(0)));

    let Answered::GaveBack(back) = client.refund(&refund_of(&tid, 1_100, AMOUNT)).await else { panic!("not given") };
    assert!(back.amount == Won(1_100) && back.receipt != captured.receipt, "{back:?}");
    assert_eq!(refunded_of(&stage, &tid).await, 1_100);
    let rest = AMOUNT - 1_100;
    let answered = client.refund(&refund_of(&tid, rest, rest)).await;
    assert!(matches!(&answered, Answered::GaveBack(back) if back.amount.0 == rest), "{answered:?}");
    assert!(matches!(stage.standing(&tid).await, Standing::Refunded { captured } if captured.amount.0 == AMOUNT));
    assert_eq!(stage.settled().await, (AMOUNT, AMOUNT));
}

async fn refunded_of(stage: &Stage, tid: &GatewayRef) -> i64 {
    refunded(&stage.standing(tid).await)
}

async fn a_shopper_who_quits_has_not_paid(stage: Stage) {
    let tid = stage.begun().await.reference;
    let query = stage.press(&tid, "quit", "cancel").await;
    assert_eq!(stage.client().parse_return(ReturnedTo::Cancel, &query, &expected()), Ok(Return::Quit));
    assert_eq!(stage.standing(&tid).await, Standing::NotPaid(Why::Quit));
    assert_eq!(stage.settled().await, (0, 0));
}

async fn a_shopper_who_mistypes_has_not_paid(stage: Stage) {
    let tid = stage.begun().await.reference;
    let query = stage.press(&tid, "wrong_password", "fail").await;
    assert_eq!(stage.client().parse_return(ReturnedTo::Fail, &query, &expected()), Ok(Return::Failed));
    assert_eq!(stage.standing(&tid).await, Standing::NotPaid(Why::AuthenticationFailed));
    assert_eq!(stage.settled().await, (0, 0));
}

async fn nothing_is_taken_before_the_shopper_authorised(stage: Stage) {
    let reference = stage.begun().await.reference;
    let request = CaptureRequest { reference, ..crate::kakaopay_common::capture() };
    let answered = stage.client().capture(&request).await;
    assert!(matches!(&answered, Answered::WrongProof(text) if text.contains("-701")), "{answered:?}");
    assert_eq!(stage.standing(&request.reference).await, Standing::Pending);
    assert_eq!(stage.settled().await, (0, 0));
}

async fn the_wrong_proof_takes_nothing_and_the_right_one_still_does(stage: Stage) {
    let request = stage.authorised().await;
    let forged = CaptureRequest { proof: another_proof(), ..request.clone() };
    let answered = stage.client().capture(&forged).await;
    assert!(matches!(&answered, Answered::WrongProof(text) if text.contains("-708")), "{answered:?}");
    assert_eq!(stage.standing(&request.reference).await, Standing::Pending);
    assert!(matches!(stage.client().capture(&request).await, Answered::Captured(_)));
    assert_eq!(stage.settled().await, (AMOUNT, 0));
}

async fn money_is_taken_once(stage: Stage) {
    let request = stage.authorised().await;
    let client = stage.client();
    assert!(matches!(client.capture(&request).await, Answered::Captured(_)));
    unknown(&client.capture(&request).await, "-702");
    assert_eq!(refunded_of(&stage, &request.reference).await, 0);
    assert_eq!(stage.settled().await, (AMOUNT, 0));
}

async fn a_capture_for_somebody_else_takes_nothing(stage: Stage) {
    let request = stage.authorised().await;
    let client = stage.client();
    let other = CaptureRequest { order: another_order(), ..request.clone() };
    unknown(&client.capture(&other).await, "-706");
    let other = CaptureRequest { customer: another_customer(), ..request.clone() };
    unknown(&client.capture(&other).await, "-707");
    let other = CaptureRequest { amount: Won(AMOUNT - 1), ..request.clone() };
    unknown(&client.capture(&other).await, "-725");
    let other = LookUpRequest { reference: request.reference.clone(), order: another_order(), ..look_up() };
    unknown(&client.look_up(&other).await, "partner_order_id differs");
    assert_eq!(stage.standing(&request.reference).await, Standing::Pending);
    assert_eq!(stage.settled().await, (0, 0));
}

async fn a_payment_that_nobody_made_is_unknown(stage: Stage) {
    let tid = GatewayRef::parse("T0000000000000000000").unwrap();
    assert_eq!(stage.standing(&tid).await, Standing::Unknown);
    unknown(&stage.client().refund(&refund_of(&tid, 1, 1)).await, "-721");
    let nobody = CaptureRequest { reference: tid, ..crate::kakaopay_common::capture() };
    unknown(&stage.client().capture(&nobody).await, "-721");
    assert_eq!(stage.settled().await, (0, 0));
}

async fn no_more_is_given_back_than_remains(stage: Stage) {
    let (tid, _) = stage.captured().await;
    unknown(&stage.client().refund(&refund_of(&tid, AMOUNT + 1, AMOUNT + 1)).await, "-710");
    assert_eq!(refunded_of(&stage, &tid).await, 0);
    assert_eq!(stage.settled().await, (AMOUNT, 0));
}

async fn a_refund_that_counts_wrong_gives_nothing_back(stage: Stage) {
    let (tid, _) = stage.captured().await;
    unknown(&stage.client().refund(&refund_of(&tid, 1_100, AMOUNT - 1)).await, "-722");
    assert_eq!(refunded_of(&stage, &tid).await, 0);
    assert_eq!(stage.settled().await, (AMOUNT, 0));
}

async fn after_its_time_nothing_is_taken(stage: Stage) {
    let request = stage.authorised().await;
    stage.advance(stage.client().caps().expiry_millis + 1_000).await;
    unknown(&stage.client().capture(&request).await, "-723");
    assert_eq!(stage.settled().await, (0, 0));
}

async fn a_wrong_key_does_nothing(stage: Stage) {
    let request = stage.authorised().await;
    let settings = Settings::new(&stage.base, Key::new("another_key"), CID, Profile::Test);
    let stranger = KakaoPay::new(&settings).unwrap();
    let refused = PaymentGateway::begin(&stranger, &begin()).await;
    assert!(matches!(&refused, Answered::Refused(text) if text.contains("-401")), "{refused:?}");
    unknown(&stranger.capture(&request).await, "-401");
    unknown(&stranger.refund(&refund_of(&request.reference, 1, 1)).await, "-401");
    let look = LookUpRequest { reference: request.reference.clone(), ..look_up() };
    unknown(&stranger.look_up(&look).await, "-401");
    assert_eq!(stage.standing(&request.reference).await, Standing::Pending);
    assert_eq!(stage.settled().await, (0, 0));
}
