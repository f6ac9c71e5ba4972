//! The page that a shopper sees when they come back from the gateway: what became of the order, in two
//! languages, with nothing that needs a script.

use super::answer::Answer;
use super::clock;
use serde_json::json;
use son7shop_engine::{AttemptStatus, OrderStatus, OrderView};

/// The order as it stands now, for the shopper of `attempt`; as JSON if `as_json`.
pub(super) fn of(view: &OrderView, attempt: u32, as_json: bool) -> Answer {
    let status = view.payment.as_ref().and_then(|payment| payment.attempts.get(attempt as usize - 1)?.status.into());
    if as_json {
        let attempt_status = status.map_or("", AttemptStatus::as_str);
        let shown = json!({
            "order": view.id.to_string(), "order_status": view.status.as_str(), "attempt": attempt,
            "status": attempt_status,
        });
        return Answer::ok(shown.to_string().into_bytes()).private();
    }
    let (title, words) = said(view, status);
    let deadline: String = clock::text(view.deadline).into_iter().map(char::from).collect();
    let (id, state, total) = (view.id, view.status.as_str(), view.total.0);
    // Nothing in it comes from a browser; ids and numbers need no escaping.
    let page = format!(
        "<!doctype html><html lang=\"ko\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>{title}</title>\
         <style>body{{font:1.1rem/1.5 system-ui,sans-serif;max-width:34rem;margin:3rem auto;padding:0 1rem}}\
         dt{{color:#555}}dd{{margin:0 0 .5rem}}</style>\
         <main><h1>{title}</h1><p>{words}</p>\
         <dl><dt>주문 / Order</dt><dd><code>{id}</code></dd>\
         <dt>상태 / Status</dt><dd id=\"status\">{state}</dd>\
         <dt>금액 / Total</dt><dd>{total} KRW</dd>\
         <dt>결제 기한 / Pay by</dt><dd><time>{deadline}</time></dd></dl></main></html>"
    );
    Answer::text("text/html; charset=utf-8", page).private()
}

fn said(view: &OrderView, attempt: Option<AttemptStatus>) -> (&'static str, &'static str) {
    match (view.status, attempt) {
        (OrderStatus::Confirmed, _) => {
            ("결제가 완료되었습니다 · Paid", "주문이 확정되었습니다. Your order is confirmed.")
        }
        (OrderStatus::Approving, _) => (
            "결제 확인 중입니다 · Being confirmed",
            "결제 결과를 확인하고 있습니다. 잠시 후 새로고침 해 주세요. The payment is being confirmed: reload this page in a moment.",
        ),
        (OrderStatus::Held | OrderStatus::Paying, _) => (
            "결제되지 않았습니다 · Not paid",
            "결제 기한까지 상품이 보관됩니다. 다시 결제할 수 있습니다. Nothing was taken. Your units are kept until the deadline, and you can pay again.",
        ),
        (OrderStatus::Refunded, _) | (_, Some(AttemptStatus::CapturedLate)) => {
            ("환불됩니다 · Refunded", "결제된 금액은 환불됩니다. What was taken goes back.")
        }
        _ => ("주문이 종료되었습니다 · The order has ended", "결제되지 않았습니다. Nothing was taken."),
    }
}
