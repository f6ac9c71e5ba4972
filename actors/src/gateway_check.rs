//! The gateway's records against the shop's: `son7shop verify --gateway`.
//!
//! Every payment that a gateway has a name for is asked for there. What the gateway took and the shop
//! does not know of cannot be found where a gateway has no list of payments (Kakao Pay has none): each
//! begun payment is in the journal before its page is known to anybody, so there is none.
//!
//! Must never move money, and never call a question that was not answered a match.

use crate::{Payments, clock};
use futures_util::StreamExt as _;
use son7shop_engine::payment::{Answered, Standing};
use son7shop_engine::{AttemptStatus, AttemptView, OrderView, RefundStatus, Won};
use son7shop_payments::gateway::LookUpRequest;

/// Payments that are asked for side by side.
const AT_ONCE: usize = 32;
/// How often one is asked for before it is told as not answered.
const TRIES: usize = 3;

/// A payment to ask for.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    order: OrderView,
    attempt: AttemptView,
}

/// The payments of `order` that a gateway knows.
pub(crate) fn asks_of(order: &OrderView) -> impl Iterator<Item = Ask> {
    let attempts = order.payment.as_deref().map_or(&[][..], |payment| &payment.attempts);
    let known = attempts.iter().filter(|attempt| attempt.reference.is_some());
    known.map(|attempt| Ask { order: order.clone(), attempt: attempt.clone() })
}

/// Asks for all of `asks`; how many were asked for, and where the gateway differs.
pub(crate) async fn compare(payments: &Payments, asks: Vec<Ask>) -> (usize, Vec<String>) {
    let asked = asks.len();
    let answers = futures_util::stream::iter(asks).map(|ask| async move {
        let answered = answer(payments, &ask).await;
        difference(&ask, &answered)
    });
    let found = answers.buffered(AT_ONCE).filter_map(|difference| async move { difference }).collect().await;
    (asked, found)
}

async fn answer(payments: &Payments, ask: &Ask) -> Answered {
    let nothing = || Answered::Unknown("the shop has no such gateway".into());
    let Some(gateway) = payments.gateway(ask.attempt.method) else { return nothing() };
    let Some(reference) = ask.attempt.reference.clone() else { return nothing() };
    let (order, attempt, customer) = (ask.order.id, ask.attempt.number, ask.order.customer.clone());
    let request = LookUpRequest { reference, order, attempt, customer, now: clock::now() };
    let mut answered = gateway.look_up(&request).await;
    for _ in 1..TRIES {
        if matches!(answered, Answered::Stands(_)) {
            break;
        }
        answered = gateway.look_up(&request).await;
    }
    answered
}

/// Where the gateway's word and the shop's books differ; `None`: nowhere, or what differs is under way.
fn difference(ask: &Ask, answered: &Answered) -> Option<String> {
    let Ask { order, attempt } = ask;
    let ours = attempt.captured.as_ref().map(|captured| captured.amount);
    let said = match answered {
        Answered::Stands(Standing::Paid { captured, refunded }) => Some((captured.amount, *refunded)),
        Answered::Stands(Standing::Refunded { captured }) => Some((captured.amount, captured.amount)),
        Answered::Stands(Standing::Pending | Standing::NotPaid(_) | Standing::Unknown) => None,
        Answered::Stands(Standing::Unrecognised(word)) => return told(ask, &format!("the gateway says '{word}'")),
        Answered::Unknown(why) => return told(ask, &format!("the gateway did not say where it stands: {why}")),
        _ => return told(ask, "the gateway did not say where it stands"),
    };
    let refunds = order.payment.as_deref().map_or(&[][..], |payment| &payment.refunds);
    let refunding =
        refunds.iter().any(|refund| refund.attempt == attempt.number && refund.status == RefundStatus::UnderWay);
    match (ours, said) {
        (None, None) => None,
        // The answer is on its way.
        (None, Some(_)) if attempt.status == AttemptStatus::Approving => None,
        (None, Some((Won(taken), Won(back)))) if taken == back => None,
        (None, Some((Won(taken), _))) => {
            told(ask, &format!("the gateway took {taken} won that the shop knows nothing of"))
        }
        (Some(Won(ours)), None) => told(ask, &format!("the shop has {ours} won, the gateway took nothing")),
        (Some(Won(ours)), Some((Won(taken), _))) if ours != taken => {
            told(ask, &format!("the shop has {ours} won, the gateway took {taken}"))
        }
        (Some(_), Some((_, back))) if back == attempt.refunded || refunding => None,
        (Some(_), Some((_, Won(back)))) => {
            told(ask, &format!("the shop gave back {} won, the gateway {back}", attempt.refunded.0))
        }
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the end of every arm that tells")]
fn told(Ask { order, attempt }: &Ask, what: &str) -> Option<String> {
    Some(format!("order {} attempt {} ({}): {what}", order.id, attempt.number, attempt.status.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use son7shop_engine::payment::{Captured, GatewayRef, PaymentMethod, Why};
    use son7shop_engine::{CustomerId, Lines, Lsn, OrderId, OrderStatus, PaymentView, RefundView, Time};

    fn captured(amount: i64) -> Captured {
        Captured { amount: Won(amount), receipt: "A1".into(), means: "CARD".into(), at: Time(1) }
    }

    fn ask(status: AttemptStatus, taken: Option<i64>, refunded: i64, refunding: bool) -> Ask {
        let attempt = AttemptView {
            number: 1,
            method: PaymentMethod::KakaoPay,
            status,
            amount: Won(10),
            started_at: Time(0),
            expires_at: None,
            pages: None,
            reference: GatewayRef::parse("T1").ok(),
            captured: taken.map(|taken| Box::new(captured(taken))),
            refunded: Won(refunded),
        };
        let refund = RefundView {
            number: 1,
            attempt: 1,
            amount: Some(Won(4)),
            lines: Lines::new(),
            restock: false,
            reason: "r".into(),
            asked: true,
            requested_at: Time(0),
            status: if refunding { RefundStatus::UnderWay } else { RefundStatus::Done },
            receipt: "".into(),
        };
        let order = OrderView {
            id: OrderId::from_bytes([1; 16]),
            customer: CustomerId::parse("c").unwrap(),
            status: OrderStatus::Confirmed,
            lines: [].into_iter().collect(),
            total: Won(10),
            placed_at: Time(0),
            deadline: Time(1),
            ended_at: None,
            payment: Some(Box::new(PaymentView { attempts: vec![attempt.clone()], refunds: vec![refund] })),
            lsn: Lsn(1),
        };
        Ask { order, attempt }
    }

    #[test]
    fn every_difference_is_named_and_what_is_under_way_is_none() {
        let paid = |refunded| Answered::Stands(Standing::Paid { captured: captured(10), refunded: Won(refunded) });
        let (captured_status, ended) = (AttemptStatus::Captured, AttemptStatus::Ended(Why::Quit));
        let not_paid = || Answered::Stands(Standing::NotPaid(Why::Quit));
        let rows = [
            (ask(captured_status, Some(10), 0, false), paid(0), None),
            (ask(captured_status, Some(10), 4, false), paid(4), None),
            (ask(captured_status, Some(10), 0, true), paid(4), None),
            (ask(AttemptStatus::Approving, None, 0, false), paid(0), None),
            (ask(ended, None, 0, false), not_paid(), None),
            (ask(captured_status, Some(10), 0, false), paid(4), Some("the gateway 4")),
            (ask(captured_status, Some(9), 0, false), paid(0), Some("the gateway took 10")),
            (ask(captured_status, Some(10), 0, false), not_paid(), Some("took nothing")),
            (ask(ended, None, 0, false), paid(0), Some("knows nothing of")),
            (ask(ended, None, 0, false), Answered::Unknown("busy".into()), Some("did not say where it stands: busy")),
        ];
        for (at, (ask, answered, expected)) in rows.into_iter().enumerate() {
            let found = difference(&ask, &answered);
            match expected {
                None => assert_eq!(found, None, "row {at}"),
                Some(words) => assert!(found.is_some_and(|found| found.contains(words)), "row {at}: {words}"),
            }
        }
    }
}
