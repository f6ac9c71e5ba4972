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

/// What asking came to.
#[derive(Debug, Default)]
pub(crate) struct Compared {
    pub(crate) asked: usize,
    /// Payments that a step which is open may explain.
    pub(crate) under_way: usize,
    pub(crate) differences: Vec<String>,
    /// Payments of which the gateway did not say where they stand.
    pub(crate) unanswered: Vec<String>,
}

/// What the gateway's word on one payment is to the shop's books.
#[derive(Debug, PartialEq, Eq)]
enum Judged {
    Same,
    UnderWay,
    Differs(String),
    Unanswered(String),
}

/// Asks for all of `asks`.
pub(crate) async fn compare(payments: &Payments, asks: Vec<Ask>) -> Compared {
    let mut compared = Compared { asked: asks.len(), ..Compared::default() };
    let answers = futures_util::stream::iter(asks).map(|ask| async move {
        let answered = answer(payments, &ask).await;
        judge(&ask, &answered)
    });
    let mut answers = std::pin::pin!(answers.buffered(AT_ONCE));
    while let Some(judged) = answers.next().await {
        match judged {
            Judged::Same => {}
            Judged::UnderWay => compared.under_way += 1,
            Judged::Differs(difference) => compared.differences.push(difference),
            Judged::Unanswered(why) => compared.unanswered.push(why),
        }
    }
    compared
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

/// Where the gateway's word and the shop's books differ, unless what differs is under way.
fn judge(ask: &Ask, answered: &Answered) -> Judged {
    let Ask { order, attempt } = ask;
    let ours = attempt.captured.as_ref().map(|captured| captured.amount);
    let said = match answered {
        Answered::Stands(Standing::Paid { captured, refunded }) => Some((captured.amount, *refunded)),
        Answered::Stands(Standing::Refunded { captured }) => Some((captured.amount, captured.amount)),
        Answered::Stands(Standing::Pending | Standing::NotPaid(_) | Standing::Unknown) => None,
        Answered::Stands(Standing::Unrecognised(word)) => return differs(ask, &format!("the gateway says '{word}'")),
        Answered::Unknown(why) => return unanswered(ask, why),
        _ => return unanswered(ask, "it answered something else"),
    };
    match (ours, said) {
        (None, None) => Judged::Same,
        // The answer is on its way.
        (None, Some((taken, _))) if attempt.status == AttemptStatus::Approving && taken == attempt.amount => {
            Judged::UnderWay
        }
        (None, Some((Won(taken), Won(back)))) if taken == back => Judged::Same,
        (None, Some((Won(taken), _))) => {
            differs(ask, &format!("the gateway took {taken} won that the shop knows nothing of"))
        }
        (Some(Won(ours)), None) => differs(ask, &format!("the shop has {ours} won, the gateway took nothing")),
        (Some(Won(ours)), Some((Won(taken), _))) if ours != taken => {
            differs(ask, &format!("the shop has {ours} won, the gateway took {taken}"))
        }
        (Some(_), Some((_, back))) if back == attempt.refunded => Judged::Same,
        (Some(_), Some((_, back))) if may_have_gone_back(order, attempt, back) => Judged::UnderWay,
        (Some(_), Some((_, Won(back)))) => {
            differs(ask, &format!("the shop gave back {} won, the gateway {back}", attempt.refunded.0))
        }
    }
}

/// Whether a refund that is under way explains that `back` went back. How much one is of that was not sized
/// yet, only the gateway knows.
fn may_have_gone_back(order: &OrderView, attempt: &AttemptView, back: Won) -> bool {
    let refunds = order.payment.as_deref().map_or(&[][..], |payment| &payment.refunds);
    let own = refunds.iter().filter(|refund| refund.attempt == attempt.number);
    let mut under_way = own.filter(|refund| refund.status == RefundStatus::UnderWay);
    under_way.any(|refund| refund.amount.is_none_or(|amount| attempt.refunded.plus(amount) == Some(back)))
}

fn differs(Ask { order, attempt }: &Ask, what: &str) -> Judged {
    Judged::Differs(format!("order {} attempt {} ({}): {what}", order.id, attempt.number, attempt.status.as_str()))
}

fn unanswered(Ask { order, attempt }: &Ask, why: &str) -> Judged {
    let (id, number, status) = (order.id, attempt.number, attempt.status.as_str());
    let what = "the gateway did not say where it stands";
    Judged::Unanswered(format!("order {id} attempt {number} ({status}): {what}: {why}"))
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
        let other = Answered::Stands(Standing::Paid { captured: captured(11), refunded: Won(0) });
        let odd = Answered::Stands(Standing::Unrecognised("ODD".into()));
        let differs = |words| ("differs", words);
        let rows = [
            (ask(captured_status, Some(10), 0, false), paid(0), ("same", "")),
            (ask(captured_status, Some(10), 4, false), paid(4), ("same", "")),
            (ask(captured_status, Some(10), 0, true), paid(0), ("same", "")),
            (ask(captured_status, Some(10), 0, true), paid(4), ("under way", "")),
            (ask(captured_status, Some(10), 0, true), paid(5), differs("the gateway 5")),
            (ask(AttemptStatus::Approving, None, 0, false), paid(0), ("under way", "")),
            (ask(AttemptStatus::Approving, None, 0, false), other, differs("took 11 won that the shop knows nothing")),
            (ask(ended, None, 0, false), not_paid(), ("same", "")),
            (ask(ended, None, 0, false), paid(10), ("same", "")),
            (ask(captured_status, Some(10), 0, false), paid(4), differs("the gateway 4")),
            (ask(captured_status, Some(9), 0, false), paid(0), differs("the gateway took 10")),
            (ask(captured_status, Some(10), 0, false), not_paid(), differs("took nothing")),
            (ask(ended, None, 0, false), paid(0), differs("knows nothing of")),
            (ask(ended, None, 0, false), odd, differs("says 'ODD'")),
            (
                ask(ended, None, 0, false),
                Answered::Unknown("busy".into()),
                ("unanswered", "did not say where it stands: busy"),
            ),
        ];
        for (at, (ask, answered, (kind, words))) in rows.into_iter().enumerate() {
            let (found, said) = match judge(&ask, &answered) {
                Judged::Same => ("same", String::new()),
                Judged::UnderWay => ("under way", String::new()),
                Judged::Differs(said) => ("differs", said),
                Judged::Unanswered(said) => ("unanswered", said),
            };
            assert!(found == kind && said.contains(words), "row {at}: {found} {said}");
        }
    }
}
