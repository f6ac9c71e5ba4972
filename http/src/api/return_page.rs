//! The page that a shopper sees when they come back from the gateway: what became of the order and of the
//! money of each payment, in two languages, with nothing that needs a script.
//!
//! Must never say of money what the shop does not know: that it was taken, or that it went back.

use super::answer::Answer;
use super::clock;
use serde_json::{Value, json};
use son7shop_engine::{AttemptStatus, AttemptView, OrderStatus, OrderView, PaymentView, RefundStatus, RefundView};
use std::fmt::Write as _;

/// Where the money of an attempt is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Money {
    NotTaken,
    Paid,
    /// Some of it, or all, is on its way back.
    BeingGivenBack,
    PartlyGivenBack,
    GivenBack,
    /// The order has no use for it, and it does not go back by itself.
    ToBeSettled,
}

impl Money {
    fn of(attempt: &AttemptView, refunds: &[RefundView]) -> Self {
        let Some(captured) = &attempt.captured else { return Self::NotTaken };
        let under_way =
            |refund: &RefundView| refund.attempt == attempt.number && refund.status == RefundStatus::UnderWay;
        if attempt.refunded >= captured.amount {
            Self::GivenBack
        } else if refunds.iter().any(under_way) {
            Self::BeingGivenBack
        } else if attempt.status == AttemptStatus::CapturedLate {
            Self::ToBeSettled
        } else if attempt.refunded.0 > 0 {
            Self::PartlyGivenBack
        } else {
            Self::Paid
        }
    }

    /// The word as it stands in the API.
    const fn as_str(self) -> &'static str {
        match self {
            Self::NotTaken => "not_taken",
            Self::Paid => "paid",
            Self::BeingGivenBack => "being_given_back",
            Self::PartlyGivenBack => "partly_given_back",
            Self::GivenBack => "given_back",
            Self::ToBeSettled => "to_be_settled",
        }
    }

    /// In a few words, for people.
    const fn words(self) -> &'static str {
        match self {
            Self::NotTaken => "받은 금액 없음 / nothing was taken",
            Self::Paid => "결제됨 / paid",
            Self::BeingGivenBack => "환불 중 / being given back",
            Self::PartlyGivenBack => "일부 환불됨 / partly given back",
            Self::GivenBack => "환불됨 / given back",
            Self::ToBeSettled => "상점에서 확인 중 / the shop looks into it",
        }
    }
}

/// The order as it stands now, for the shopper of `attempt`; as JSON if `as_json`.
pub(super) fn of(view: &OrderView, attempt: u32, as_json: bool) -> Answer {
    let PaymentView { attempts, refunds, .. } = view.payment.as_deref().unwrap_or(&NO_PAYMENT);
    let all: Vec<_> = attempts.iter().map(|attempt| (attempt, Money::of(attempt, refunds))).collect();
    let this = all.iter().find(|(known, _)| known.number == attempt).copied();
    if as_json {
        return Answer::ok(shown(view, attempt, this, &all)).private();
    }
    let (title, words) = said(view.status, this.map_or(Money::NotTaken, |(_, money)| money));
    let others = all.iter().filter(|(known, _)| known.number != attempt);
    let goes_back = others.into_iter().any(|(_, money)| *money == Money::BeingGivenBack);
    let more = if goes_back {
        " 다른 결제로 받은 금액은 환불됩니다. What another payment took goes back."
    } else {
        ""
    };
    let deadline: String = clock::text(view.deadline).into_iter().map(char::from).collect();
    let (id, state, total, money) = (view.id, view.status.as_str(), view.total.0, money_taken(&all));
    // Nothing in it comes from a browser; ids and numbers need no escaping.
    let page = format!(
        "<!doctype html><html lang=\"ko\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>{title}</title>\
         <style>body{{font:1.1rem/1.5 system-ui,sans-serif;max-width:34rem;margin:3rem auto;padding:0 1rem}}\
         dt{{color:#555}}dd{{margin:0 0 .5rem}}</style>\
         <main><h1>{title}</h1><p>{words}{more}</p>\
         <dl><dt>주문 / Order</dt><dd><code>{id}</code></dd>\
         <dt>상태 / Status</dt><dd id=\"status\">{state}</dd>\
         <dt>금액 / Total</dt><dd>{total} KRW</dd>{money}\
         <dt>결제 기한 / Pay by</dt><dd><time>{deadline}</time></dd></dl></main></html>"
    );
    Answer::text("text/html; charset=utf-8", page).private()
}

static NO_PAYMENT: PaymentView = PaymentView { attempts: Vec::new(), refunds: Vec::new() };

type Known<'a> = (&'a AttemptView, Money);

fn shown(view: &OrderView, attempt: u32, this: Option<Known<'_>>, all: &[Known<'_>]) -> Vec<u8> {
    let attempts = all.iter().map(|(attempt, money)| {
        let captured = attempt.captured.as_ref().map_or(0, |captured| captured.amount.0);
        json!({
            "attempt": attempt.number, "status": attempt.status.as_str(), "money": money.as_str(),
            "captured": captured, "refunded": attempt.refunded.0,
        })
    });
    let shown = json!({
        "order": view.id.to_string(), "order_status": view.status.as_str(), "attempt": attempt,
        "status": this.map_or("", |(attempt, _)| attempt.status.as_str()),
        "money": this.map_or(Money::NotTaken, |(_, money)| money).as_str(),
        "attempts": attempts.collect::<Vec<Value>>(),
    });
    shown.to_string().into_bytes()
}

/// A line for each payment that took money.
fn money_taken(all: &[Known<'_>]) -> String {
    let mut lines = String::new();
    for (attempt, money) in all {
        let Some(captured) = &attempt.captured else { continue };
        let (number, taken, words) = (attempt.number, captured.amount.0, money.words());
        // To write to a string does not fail.
        let _ = write!(lines, "<dt>결제 {number} / Payment {number}</dt><dd>{taken} KRW · {words}");
        if attempt.refunded.0 > 0 {
            let _ = write!(lines, " ({} KRW)", attempt.refunded.0);
        }
        lines.push_str("</dd>");
    }
    lines
}

/// A title and a sentence for the shopper of a payment whose money is there.
const fn said(order: OrderStatus, money: Money) -> (&'static str, &'static str) {
    match (money, order) {
        (Money::Paid, _) => ("결제가 완료되었습니다 · Paid", "주문이 확정되었습니다. Your order is confirmed."),
        (Money::PartlyGivenBack, _) => (
            "결제가 완료되었습니다 · Paid, and partly given back",
            "주문이 확정되었고 일부 금액이 환불되었습니다. Your order is confirmed, and some of the money went back.",
        ),
        (Money::BeingGivenBack, _) => (
            "환불 중입니다 · Being given back",
            "이 결제로 받은 금액의 전부 또는 일부를 돌려드리고 있습니다. What this payment took, or a part of it, is being given back.",
        ),
        (Money::GivenBack, _) => (
            "환불되었습니다 · Given back",
            "이 결제로 받은 금액이 모두 환불되었습니다. All that this payment took went back.",
        ),
        (Money::ToBeSettled, _) => (
            "상점에서 확인하고 있습니다 · The shop looks into it",
            "이 결제로 받은 금액은 주문에 쓰이지 않았습니다. 상점에 문의해 주세요. What this payment took was of no use to the order: ask the shop.",
        ),
        (Money::NotTaken, OrderStatus::Approving) => (
            "결제 확인 중입니다 · Being confirmed",
            "결제 결과를 확인하고 있습니다. 잠시 후 새로고침 해 주세요. The payment is being confirmed: reload this page in a moment.",
        ),
        (Money::NotTaken, OrderStatus::Held | OrderStatus::Paying) => (
            "결제되지 않았습니다 · Not paid",
            "결제 기한까지 상품이 보관됩니다. 다시 결제할 수 있습니다. Nothing was taken. Your units are kept until the deadline, and you can pay again.",
        ),
        (Money::NotTaken, OrderStatus::Confirmed | OrderStatus::Refunded) => (
            "다른 방법으로 결제되었습니다 · Paid in another way",
            "이 결제로 받은 금액은 없습니다. The order was paid in another way; nothing was taken by this payment.",
        ),
        (Money::NotTaken, _) => (
            "주문이 종료되었습니다 · The order has ended",
            "결제되지 않았습니다. 나중에 승인되는 금액은 환불됩니다. Nothing was taken; what should be taken later goes back.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use son7shop_engine::payment::{Captured, PaymentMethod};
    use son7shop_engine::{Lines, Time, Won};

    fn attempt(status: AttemptStatus, captured: Option<i64>, refunded: i64) -> AttemptView {
        let taken = |amount| Captured { amount: Won(amount), receipt: "A1".into(), means: "CARD".into(), at: Time(1) };
        AttemptView {
            number: 2,
            method: PaymentMethod::KakaoPay,
            status,
            amount: Won(1000),
            started_at: Time(1),
            expires_at: None,
            pages: None,
            reference: None,
            captured: captured.map(|amount| Box::new(taken(amount))),
            refunded: Won(refunded),
        }
    }

    fn refund(attempt: u32, status: RefundStatus) -> RefundView {
        RefundView {
            number: 1,
            attempt,
            amount: None,
            lines: Lines::new(),
            restock: false,
            reason: "late".into(),
            asked: false,
            requested_at: Time(1),
            status,
            receipt: "".into(),
        }
    }

    #[test]
    fn money_is_said_to_be_where_it_is_known_to_be() {
        use AttemptStatus::{Approving, CapturedLate};
        use RefundStatus::{Done, Refused, UnderWay};
        let taken = AttemptStatus::Captured;
        for (status, captured, refunded, refunds, money) in [
            (Approving, None, 0, vec![], Money::NotTaken),
            (Approving, None, 0, vec![(1, UnderWay)], Money::NotTaken),
            (taken, Some(1000), 0, vec![], Money::Paid),
            (taken, Some(1000), 0, vec![(1, UnderWay)], Money::Paid),
            (taken, Some(1000), 0, vec![(2, Refused)], Money::Paid),
            (taken, Some(1000), 0, vec![(2, UnderWay)], Money::BeingGivenBack),
            (taken, Some(1000), 300, vec![(2, Done)], Money::PartlyGivenBack),
            (taken, Some(1000), 300, vec![(2, Done), (2, UnderWay)], Money::BeingGivenBack),
            (taken, Some(1000), 1000, vec![(2, Done)], Money::GivenBack),
            (CapturedLate, Some(1000), 0, vec![(2, UnderWay)], Money::BeingGivenBack),
            (CapturedLate, Some(1000), 1000, vec![(2, Done)], Money::GivenBack),
            (CapturedLate, Some(1000), 0, vec![(2, Refused)], Money::ToBeSettled),
        ] {
            let refunds: Vec<_> = refunds.into_iter().map(|(attempt, status)| refund(attempt, status)).collect();
            let found = Money::of(&attempt(status, captured, refunded), &refunds);
            assert_eq!(found, money, "{status:?} {captured:?} {refunded} {refunds:?}");
        }
    }
}
