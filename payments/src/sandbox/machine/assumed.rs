//! What nobody but a live key can settle, in one table: all of it is **assumed**, none of it is
//! known. Where the live service shows something else, this file changes and nothing else does.
//!
//! Besides what stands below:
//!
//! | question | assumed |
//! |---|---|
//! | status of a payment that lapsed | the last one stands; only `approve` (-723) and the page tell |
//! | how long a `pg_token` lives | as long as its payment |
//! | trying again after a decline | not possible (-783), unless the fault says `soft` |
//! | pressing "pay" again after the first time | leads to the same address with the same token |
//! | a call while the bank's outcome is unknown | -785, as if another were under way |
//! | approving what was captured and given back | -702 |
//! | the daily quota | none; `http_429` plays it |
//! | fields of the answer to `cancel` | those of `order` but `payment_action_details` |
//! | times that have not come | `null` |
//! | a body that is not said to be JSON | -2, as if it were none |
//! | what is asked by another method than `POST` | -404, like a wrong address |

use super::words::Status;
use son7shop_engine::Won;

/// What is looked at before a call does anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// The key is there (-400) and right (-401).
    Key,
    /// The body has every required field, and each is within its limits (-2).
    Fields,
    /// The merchant's number (-731).
    Cid,
    /// The payment exists (-721).
    Tid,
    /// `partner_order_id` (-706) and `partner_user_id` (-707) are those of `ready`.
    Ids,
    /// Captured before (-702).
    Paid,
    /// Another approve or cancel of it is under way (-785).
    InFlight,
    /// Ended without a capture (-783).
    Terminal,
    /// Its time is over (-723).
    Expired,
    /// The shopper has not authorised it (-701).
    Unauthenticated,
    /// `pg_token` (-708).
    Token,
    /// `total_amount`, where it is given (-725).
    Total,
    /// Captured, and not all given back (-784).
    State,
    /// Part of a payment with a cup deposit ([`PART_WITH_DEPOSIT`]).
    Deposit,
    /// More than what is left (-710).
    Remaining,
    /// `cancel_available_amount`, where it is given ([`AVAILABLE_DIFFERS`]).
    Available,
    /// The tax-free part and the tax fit what is left of them ([`TAX_DIFFERS`]).
    Tax,
}

/// Before a payment is prepared.
pub const READY_CHECKS: [Check; 3] = [Check::Key, Check::Fields, Check::Cid];
/// Before a payment is captured.
pub const APPROVE_CHECKS: [Check; 12] = [
    Check::Key,
    Check::Fields,
    Check::Cid,
    Check::Tid,
    Check::Ids,
    Check::Paid,
    Check::InFlight,
    Check::Terminal,
    Check::Expired,
    Check::Unauthenticated,
    Check::Token,
    Check::Total,
];
/// Before it is said where a payment stands.
pub const ORDER_CHECKS: [Check; 4] = [Check::Key, Check::Fields, Check::Cid, Check::Tid];
/// Before money is given back.
pub const CANCEL_CHECKS: [Check; 10] = [
    Check::Key,
    Check::Fields,
    Check::Cid,
    Check::Tid,
    Check::InFlight,
    Check::State,
    Check::Deposit,
    Check::Remaining,
    Check::Available,
    Check::Tax,
];

/// A field is missing or outside its limits. Known of the old API only.
pub const BAD_FIELD: i32 = -2;
/// `cancel_available_amount` is not what is left.
pub const AVAILABLE_DIFFERS: i32 = -722;
/// More tax-free money, or more tax, is to be given back than is left of it.
pub const TAX_DIFFERS: i32 = -722;
/// The parts of `ready` do not add up to its total.
pub const PARTS_DIFFER: i32 = -722;
/// A part is to be given back of a payment that has a cup deposit.
pub const PART_WITH_DEPOSIT: i32 = -784;

/// The largest total that is taken. The real limit depends on the contract (-797).
pub const TOTAL_MAX: Won = Won(1_000_000_000_000);

/// Texts are counted in characters, not in bytes.
#[must_use]
pub fn length(text: &str) -> usize {
    text.chars().count()
}

/// The status of HTTP that an error comes with. Known for -7xx only.
#[must_use]
pub const fn http_status(code: i32) -> u16 {
    match code {
        -400 | -401 => 401,
        -403 => 403,
        -404 => 404,
        -429 => 429,
        -500 => 500,
        -503 => 503,
        _ => 400,
    }
}

/// The text of an error. Only that of -780 was seen.
#[must_use]
pub const fn message(code: i32) -> &'static str {
    match code {
        BAD_FIELD => "invalid parameter",
        -400 => "authorization header is missing",
        -401 => "secret key is not valid",
        -404 => "no such api",
        -429 => "quota exceeded",
        -500 => "internal error",
        -503 => "service under maintenance",
        -701 => "payment is not authenticated yet",
        -702 => "payment is already approved",
        -705 => "payment method is not valid",
        -706 => "partner_order_id does not match",
        -707 => "partner_user_id does not match",
        -708 => "pg_token is not valid",
        -710 => "cancel amount exceeds the remaining amount",
        -721 => "no such tid",
        -722 => "amount is not valid",
        -723 => "payment is expired",
        -725 => "total amount does not match",
        -731 => "cid is not valid",
        -780 => "approval failure!",
        -781 => "cancel failure!",
        -783 => "payment is not in a state to be approved",
        -784 => "payment is not in a state to be canceled",
        -785 => "duplicated request",
        _ => "error",
    }
}

/// Whether `payment_action_details` say the sum of each action. Real answers were seen with it and
/// without: here it depends on the payment, so that a client meets both.
#[must_use]
pub fn details_have_sums(tid: &str) -> bool {
    tid.bytes().last().is_none_or(|last| last % 2 == 0)
}

/// Whether the shopper may still leave: not once they have authorised.
#[must_use]
pub const fn may_quit(status: Status) -> bool {
    matches!(status, Status::Ready | Status::OpenPayment | Status::SelectMethod)
}

/// Whether an `Authorization` header of this scheme is taken; a development key was seen with both.
#[must_use]
pub fn is_scheme(scheme: &str) -> bool {
    matches!(scheme, "SECRET_KEY" | "DEV_SECRET_KEY")
}
