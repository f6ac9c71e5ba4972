//! Faults: what the sandbox does wrong when told to. A rule says where, to which calls, what and
//! how often; here it is decided which rules meet a call. It must never forget a rule that was not
//! used, nor use one more often than it says.

use super::ids::Tid;
use super::words::Endpoint;
use serde::{Deserialize, Serialize};
use son7shop_engine::Won;

/// Where a fault happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// A call to prepare.
    Ready,
    /// A call to capture.
    Approve,
    /// A query.
    Order,
    /// A call to give back.
    Cancel,
    /// The browser on its way back to the shop.
    Callback,
}

impl From<Endpoint> for Place {
    fn from(endpoint: Endpoint) -> Self {
        match endpoint {
            Endpoint::Ready => Self::Ready,
            Endpoint::Approve => Self::Approve,
            Endpoint::Order => Self::Order,
            Endpoint::Cancel => Self::Cancel,
        }
    }
}

/// Which calls a rule means: those that all of this is true of. Nothing given: all.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Match {
    /// Only this payment; `ready` has none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tid: Option<Tid>,
    /// Only this `partner_order_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<String>,
    /// From the nth of those calls on, counted from 1 and from when the rule was added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nth: Option<u32>,
}

/// On which side of what a call does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// The call does nothing.
    #[default]
    Before,
    /// The call did what it should.
    After,
}

/// How the bank's outcome turns out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Captured.
    Paid,
    /// Not captured, for good.
    Failed,
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// Waits before it does anything; several add up.
    DelayBefore {
        /// Milliseconds.
        ms: u32,
    },
    /// Waits after it did what it should; several add up.
    DelayAfterCommit {
        /// Milliseconds.
        ms: u32,
    },
    /// Closes the connection and does nothing.
    DropBeforeCommit,
    /// Does what it should and closes the connection.
    DropAfterCommit,
    /// Answers 429.
    #[serde(rename = "http_429")]
    Http429 {
        /// Before it does anything, or after.
        #[serde(default)]
        when: When,
    },
    /// Answers 500.
    #[serde(rename = "http_500")]
    Http500 {
        /// Before it does anything, or after.
        #[serde(default)]
        when: When,
    },
    /// Answers 503.
    #[serde(rename = "http_503")]
    Http503 {
        /// Before it does anything, or after.
        #[serde(default)]
        when: When,
    },
    /// Does what it should and answers 200 with what is no JSON.
    BadJson,
    /// Does what it should and sends half of the answer.
    Truncated,
    /// A good answer lacks this field.
    MissingField {
        /// Its name, at the top of the answer.
        field: String,
    },
    /// A good answer has a field that nobody knows.
    ExtraField,
    /// A good answer has a status that nobody knows.
    UnknownStatus {
        /// The word.
        #[serde(default = "unknown_status")]
        status: String,
    },
    /// -780 with this word of the bank; the payment has failed.
    Decline {
        /// The bank's word.
        code: String,
        /// The payment has not failed: it may be approved again.
        #[serde(default)]
        soft: bool,
    },
    /// -780 `USER_LOCKED`; nothing changes.
    UserLocked,
    /// -780 `BANK_FIRM_UNKNOWN`; what happened turns out later.
    BankUnknown {
        /// How it turns out.
        then: Outcome,
        /// When, in milliseconds from the call.
        after: u32,
    },
    /// The answer tells this total; the money that moves is the right one.
    AmountOverride {
        /// Won.
        total: Won,
    },
    /// -781; nothing changes.
    RefundRefused {
        /// The bank's word.
        #[serde(default = "refund_refused")]
        code: String,
    },
    /// -785; nothing changes.
    RefundDup,
    /// The answer tells how the payment stood some time ago.
    StaleOrder {
        /// Milliseconds.
        ms: u32,
    },
    /// The browser never arrives.
    Lost,
    /// The browser arrives twice, one time after the other.
    Twice,
    /// The browser arrives twice at the same time.
    Concurrent,
    /// Before the browser somebody arrives at `approval_url` with a token that nobody gave out.
    ForgedToken,
    /// Before the browser somebody arrives at `cancel_url`, and nobody has quit.
    ForgedCancel,
    /// The browser arrives when the payment's time is over.
    AfterExpiry,
    /// The browser arrives at the address of another order, with the token of this one.
    SwappedOrder,
}

fn unknown_status() -> String {
    "ARS_WAITING_ARS".to_owned()
}

fn refund_refused() -> String {
    "REFUND_REFUSED".to_owned()
}

impl Action {
    /// Whether it can happen there.
    #[must_use]
    pub const fn fits(&self, place: Place) -> bool {
        let is_callback = matches!(place, Place::Callback);
        match self {
            Self::Decline { .. } | Self::UserLocked | Self::BankUnknown { .. } => matches!(place, Place::Approve),
            Self::AmountOverride { .. } => matches!(place, Place::Approve | Place::Order),
            Self::RefundRefused { .. } | Self::RefundDup => matches!(place, Place::Cancel),
            Self::StaleOrder { .. } => matches!(place, Place::Order),
            Self::UnknownStatus { .. } => matches!(place, Place::Order | Place::Cancel),
            Self::Lost
            | Self::Twice
            | Self::Concurrent
            | Self::ForgedToken
            | Self::ForgedCancel
            | Self::AfterExpiry
            | Self::SwappedOrder => is_callback,
            _ => !is_callback,
        }
    }

    /// Its name, as it stands in JSON.
    #[must_use]
    pub fn kind(&self) -> String {
        let value = serde_json::to_value(self).unwrap_or_default();
        value["kind"].as_str().unwrap_or_default().to_owned()
    }
}

/// A fault to come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Where.
    pub endpoint: Place,
    /// To which calls.
    #[serde(default, rename = "match")]
    pub of: Match,
    /// What.
    pub action: Action,
    /// How often; [`Rule::ALWAYS`] is without end.
    #[serde(default = "once")]
    pub times: u32,
}

const fn once() -> u32 {
    1
}

impl Rule {
    /// `times` of a rule that is never used up.
    pub const ALWAYS: u32 = u32::MAX;

    /// `action` at the next call to `endpoint`, once.
    #[must_use]
    pub fn once(endpoint: Place, action: Action) -> Self {
        Self { endpoint, of: Match::default(), action, times: 1 }
    }
}

/// Why a rule is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRule {
    /// The action is of another endpoint.
    #[error("'{kind}' cannot happen at {place:?}")]
    DoesNotFit {
        /// The action.
        kind: String,
        /// The endpoint.
        place: Place,
    },
    /// `times` or `nth` is 0.
    #[error("'times' and 'nth' count from 1")]
    Never,
    /// A call to prepare has no tid.
    #[error("'ready' has no tid yet: match by order or nth")]
    NoTidYet,
}

/// A rule that was added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Added {
    /// Its number, by which it can be taken away.
    pub id: u64,
    /// The rule, with the times that are left.
    pub rule: Rule,
    /// Calls that it could have meant.
    pub seen: u32,
}

/// The rules that are left.
#[derive(Debug, Clone, Default)]
pub(super) struct Faults {
    rules: Vec<Added>,
    last: u64,
}

/// A rule that was used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Used {
    /// Its number.
    pub id: u64,
    /// What it did.
    pub action: Action,
}

impl Faults {
    pub(super) fn add(&mut self, rule: Rule) -> Result<u64, BadRule> {
        if !rule.action.fits(rule.endpoint) {
            return Err(BadRule::DoesNotFit { kind: rule.action.kind(), place: rule.endpoint });
        }
        if rule.times == 0 || rule.of.nth == Some(0) {
            return Err(BadRule::Never);
        }
        if rule.endpoint == Place::Ready && rule.of.tid.is_some() {
            return Err(BadRule::NoTidYet);
        }
        self.last += 1;
        self.rules.push(Added { id: self.last, rule, seen: 0 });
        Ok(self.last)
    }

    pub(super) fn remove(&mut self, id: u64) -> bool {
        let before = self.rules.len();
        self.rules.retain(|added| added.id != id);
        self.rules.len() < before
    }

    pub(super) fn clear(&mut self) {
        self.rules.clear();
    }

    pub(super) fn left(&self) -> &[Added] {
        &self.rules
    }

    /// The rules that mean this call, by number.
    pub(super) fn meet(&mut self, place: Place, tid: Option<&str>, order: Option<&str>) -> Vec<u64> {
        let mut met = Vec::new();
        for added in self.rules.iter_mut().filter(|added| added.rule.endpoint == place) {
            let of = &added.rule.of;
            let is_meant = of.tid.as_ref().is_none_or(|wanted| Some(wanted.as_str()) == tid)
                && of.order.as_ref().is_none_or(|wanted| Some(wanted.as_str()) == order);
            if is_meant {
                added.seen = added.seen.saturating_add(1);
                if of.nth.is_none_or(|nth| added.seen >= nth) {
                    met.push(added.id);
                }
            }
        }
        met
    }

    /// Uses the first of the rules `met` whose action is wanted.
    pub(super) fn take(&mut self, met: &[u64], wanted: impl Fn(&Action) -> bool) -> Option<Used> {
        let at = self.rules.iter().position(|added| met.contains(&added.id) && wanted(&added.rule.action))?;
        let added = &mut self.rules[at];
        let used = Used { id: added.id, action: added.rule.action.clone() };
        if added.rule.times != Rule::ALWAYS {
            added.rule.times -= 1;
        }
        if added.rule.times == 0 {
            self.rules.remove(at);
        }
        Some(used)
    }

    /// Uses every one of them, each once.
    pub(super) fn take_all(&mut self, met: &[u64], wanted: impl Fn(&Action) -> bool) -> Vec<Used> {
        met.iter().filter_map(|id| self.take(std::slice::from_ref(id), &wanted)).collect()
    }
}
