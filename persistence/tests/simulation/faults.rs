//! Every fault rule of the sandbox: what the gateway, and the browsers on their way back, do wrong.

use son7shop_engine::Won;
use son7shop_payments::sandbox::machine::{Action, Outcome, Place, When};

pub(crate) fn rules() -> Vec<(Place, Action)> {
    let mut rules = Vec::new();
    for place in [Place::Ready, Place::Approve, Place::Order, Place::Cancel] {
        let mut any = vec![
            Action::DelayBefore { ms: 5_000 },
            Action::DelayBefore { ms: 20_000 },
            Action::DelayAfterCommit { ms: 20_000 },
            Action::DropBeforeCommit,
            Action::DropAfterCommit,
            Action::BadJson,
            Action::Truncated,
            Action::ExtraField,
        ];
        for when in [When::Before, When::After] {
            any.extend([Action::Http429 { when }, Action::Http500 { when }, Action::Http503 { when }]);
        }
        let fields: &[&str] = match place {
            Place::Ready => &["tid", "next_redirect_pc_url", "created_at"],
            Place::Approve => &["tid", "amount", "aid", "approved_at"],
            Place::Order => {
                &["status", "amount", "canceled_amount", "cancel_available_amount", "payment_action_details"]
            }
            _ => &["tid", "aid", "approved_cancel_amount", "status"],
        };
        any.extend(fields.iter().map(|field| Action::MissingField { field: (*field).to_owned() }));
        rules.extend(any.into_iter().map(|action| (place, action)));
    }
    let declined = |soft| Action::Decline { code: "NO_MONEY".to_owned(), soft };
    let mut at_approve = vec![declined(false), declined(true), Action::UserLocked];
    for then in [Outcome::Paid, Outcome::Failed] {
        at_approve.extend([0, 5_000, 60_000, 900_000].map(|after| Action::BankUnknown { then, after }));
    }
    at_approve.push(Action::AmountOverride { total: Won(1) });
    rules.extend(at_approve.into_iter().map(|action| (Place::Approve, action)));
    let status = "ARS_WAITING_ARS".to_owned();
    let at_order = [
        Action::AmountOverride { total: Won(1) },
        Action::StaleOrder { ms: 1_000 },
        Action::StaleOrder { ms: 60_000 },
        Action::UnknownStatus { status: status.clone() },
    ];
    rules.extend(at_order.into_iter().map(|action| (Place::Order, action)));
    let at_cancel =
        [Action::RefundRefused { code: "NO".to_owned() }, Action::RefundDup, Action::UnknownStatus { status }];
    rules.extend(at_cancel.into_iter().map(|action| (Place::Cancel, action)));
    let astray = [
        Action::Lost,
        Action::Twice,
        Action::Concurrent,
        Action::ForgedToken,
        Action::ForgedCancel,
        Action::AfterExpiry,
        Action::SwappedOrder,
    ];
    rules.extend(astray.into_iter().map(|action| (Place::Callback, action)));
    rules
}
