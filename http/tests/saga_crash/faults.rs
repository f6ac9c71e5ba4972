//! What the sandbox does wrong during a run: pairs of rules, drawn from the seed. Every rule comes before
//! one comes again, in another company each time.

use crate::sandbox::Sandbox;
use crate::support::Chance;
use serde_json::{Value, json};

/// How often a rule of a pair happens at most.
const TIMES: std::ops::Range<u64> = 3..40;

/// A rule: where, and what.
pub(crate) type Rule = (&'static str, Value);

/// Every action of the sandbox at every place where it can happen.
pub(crate) fn rules() -> Vec<Rule> {
    let mut rules = Vec::new();
    for place in ["ready", "approve", "order", "cancel"] {
        let mut any = vec![
            json!({"kind": "delay_before", "ms": 400}),
            json!({"kind": "delay_after_commit", "ms": 700}),
            json!({"kind": "drop_before_commit"}),
            json!({"kind": "drop_after_commit"}),
            json!({"kind": "bad_json"}),
            json!({"kind": "truncated"}),
            json!({"kind": "extra_field"}),
        ];
        for when in ["before", "after"] {
            any.extend(["http_429", "http_500", "http_503"].map(|kind| json!({"kind": kind, "when": when})));
        }
        let fields: &[&str] = match place {
            "ready" => &["tid", "next_redirect_pc_url"],
            "approve" => &["tid", "amount", "aid"],
            "order" => &["status", "amount", "canceled_amount", "payment_action_details"],
            _ => &["tid", "aid", "approved_cancel_amount"],
        };
        any.extend(fields.iter().map(|field| json!({"kind": "missing_field", "field": field})));
        rules.extend(any.into_iter().map(|action| (place, action)));
    }
    let approve = [
        json!({"kind": "decline", "code": "NO_MONEY"}),
        json!({"kind": "decline", "code": "NO_MONEY", "soft": true}),
        json!({"kind": "user_locked"}),
        json!({"kind": "bank_unknown", "then": "paid", "after": 1500}),
        json!({"kind": "bank_unknown", "then": "failed", "after": 1500}),
        json!({"kind": "amount_override", "total": 1}),
    ];
    rules.extend(approve.map(|action| ("approve", action)));
    let order = [
        json!({"kind": "amount_override", "total": 1}),
        json!({"kind": "stale_order", "ms": 2000}),
        json!({"kind": "unknown_status"}),
    ];
    rules.extend(order.map(|action| ("order", action)));
    let cancel = [
        json!({"kind": "refund_refused"}),
        json!({"kind": "refund_dup"}),
        json!({"kind": "unknown_status", "status": "WAITING"}),
    ];
    rules.extend(cancel.map(|action| ("cancel", action)));
    let astray = ["lost", "twice", "concurrent", "forged_token", "forged_cancel", "after_expiry", "swapped_order"];
    rules.extend(astray.map(|kind| ("callback", json!({"kind": kind}))));
    rules
}

/// Pairs without end.
pub(crate) struct Pairs {
    chance: Chance,
    /// Rules that have not come yet in this round.
    left: Vec<Rule>,
    /// How many pairs were there.
    pub(crate) drawn: u64,
}

impl Pairs {
    pub(crate) fn new(seed: u64) -> Self {
        Self { chance: Chance::new(seed, &[0xfa17]), left: Vec::new(), drawn: 0 }
    }

    /// Another pair instead of the last one. Two rules of one place may meet in one call.
    pub(crate) fn install(&mut self, sandbox: &Sandbox) {
        sandbox.clear_faults();
        let mut told = Vec::new();
        for _ in 0..2 {
            let (at, action) = self.draw();
            // A gateway that tells a wrong sum twice is believed: its own statement would be the liar then.
            let times =
                if action["kind"] == "amount_override" { 1 } else { self.chance.within(TIMES.start, TIMES.end) };
            sandbox.fault(at, &action, u32::try_from(times).unwrap());
            told.push(format!("{times} × {at} {action}"));
        }
        self.drawn += 1;
        println!("pair {}: {}", self.drawn, told.join(" and "));
    }

    fn draw(&mut self) -> Rule {
        if self.left.is_empty() {
            self.left = rules();
        }
        let at = self.chance.within(0, self.left.len() as u64);
        self.left.swap_remove(usize::try_from(at).unwrap())
    }
}
