//! What the shop asks of a payment gateway, and in which words it is answered.
//!
//! A gateway makes calls and reads answers; it decides nothing, keeps nothing of a payment, and never
//! makes a call a second time by itself: what follows from an answer is the rules' (`son7shop_engine::saga`).
//! It must never guess: whatever is not certain is [`Answered::Unknown`], and the rules look the payment up.
//!
//! **Kakao Pay** fits as it is: begin, capture, look up and refund are `ready`, `approve`, `order` and
//! `cancel`; the reference is the `tid`, the proof the `pg_token`, the receipt the `aid`. It has no idempotency
//! key: a look-up and [`RefundRequest::remaining_before`] stand in for one.
//!
//! **Toss Payments** fits so. *Begin* calls nobody: the reference is the `orderId` that we make of order
//! and attempt (6 to 64 characters, and the gateway looks a payment up by it), the pages are our own page that
//! starts its widget with that `orderId` and the amount. *The return* to `successUrl` brings `paymentKey`,
//! `orderId` and `amount` through the shopper's browser: both of the latter are compared with [`Expected`],
//! and the `paymentKey` is the proof; `failUrl` brings `code`, of which `PAY_PROCESS_CANCELED` is
//! [`Return::Quit`]. *Capture* is `POST /v1/payments/confirm {paymentKey, orderId, amount}` under the header
//! `Idempotency-Key: `[`IdemKey`]; 409 `IDEMPOTENT_REQUEST_PROCESSING` is unknown; the receipt is the
//! `paymentKey`. *Look up* is `GET /v1/payments/orders/{orderId}`; `NOT_FOUND_PAYMENT` is
//! `Standing::Unknown`. *Refund* is `POST /v1/payments/{paymentKey}/cancel {cancelReason, cancelAmount}`, the
//! `paymentKey` being [`RefundRequest::receipt`], under the refund's own key. `payments/tests/gateway.rs` has
//! these shapes behind this trait.

use son7shop_engine::payment::{Answered, GatewayRef, Proof};
use son7shop_engine::{CustomerId, IdError, OrderId, Time, Won};
use std::fmt;
use std::pin::Pin;

/// A call under way. Dropped before its end, it may or may not have reached the gateway: that is an unknown
/// answer too.
pub type Call<'a> = Pin<Box<dyn Future<Output = Answered> + Send + 'a>>;

/// A gateway through which orders are paid. Every call ends within the gateway's own time limits; each may be
/// made from several tasks at once, but for one payment one after the other.
pub trait PaymentGateway: Send + Sync {
    /// Has the gateway prepare a payment: `Begun`, `Refused` or `Unknown`. No money moves, and after `Unknown` no
    /// shopper knows a page of it: a new attempt may be made.
    fn begin<'a>(&'a self, request: &'a BeginRequest) -> Call<'a>;

    /// Reads what the shopper's browser brought to one of the [`ReturnUrls`]. A hint and no more: anyone can
    /// make a browser say it.
    fn parse_return(&self, to: ReturnedTo, query: &str, expected: &Expected) -> Result<Return, BadReturn>;

    /// Takes the money: `Captured`, `WrongProof`, `Refused` (nothing was sent) or `Unknown`.
    fn capture<'a>(&'a self, request: &'a CaptureRequest) -> Call<'a>;

    /// Asks where the payment stands: `Stands` or `Unknown`. Moves nothing; what it says of amounts is passed
    /// on as it came, to be compared by the rules.
    fn look_up<'a>(&'a self, request: &'a LookUpRequest) -> Call<'a>;

    /// Gives money back: `GaveBack`, `Refused` (nothing was sent) or `Unknown`.
    fn refund<'a>(&'a self, request: &'a RefundRequest) -> Call<'a>;

    /// What the gateway can do, and its times.
    fn caps(&self) -> Caps;
}

/// What a gateway can do, and its times in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caps {
    /// It answers a repeated [`IdemKey`] with what it answered first.
    pub native_idempotency: bool,
    /// It finds a payment by our order and attempt, even if its answer to begin was lost.
    pub lookup_by_order: bool,
    /// It calls us when a payment changes.
    pub webhook: bool,
    /// How long a payment that was begun can be authorised.
    pub expiry_millis: i64,
    /// After this, a call that got no answer is certainly over at the gateway.
    pub settle_millis: i64,
}

/// Begin a payment.
#[derive(Debug, Clone)]
pub struct BeginRequest {
    /// The order.
    pub order: OrderId,
    /// Which attempt at paying it, from 1.
    pub attempt: u32,
    /// Whose order it is; a gateway is sent a digest of it, never the id.
    pub customer: CustomerId,
    /// What the shopper sees that they pay for; cut to the gateway's limit.
    pub item_name: String,
    /// How many pieces, over all lines.
    pub quantity: u32,
    /// What is to be paid.
    pub amount: Won,
    /// Where the browser comes back to.
    pub returns: ReturnUrls,
    /// The order's deadline: a gateway that can end its page by then does; others do not hear of it.
    pub pay_by: Time,
    /// The time at which it is asked.
    pub now: Time,
}

/// Where the gateway sends the browser back to. They hold the attempt's nonce, so they are not printed.
#[derive(Clone, PartialEq, Eq)]
pub struct ReturnUrls {
    /// After the shopper authorised.
    pub approval: String,
    /// After the shopper quit.
    pub cancel: String,
    /// After it failed, or its time ran out.
    pub fail: String,
}

impl fmt::Debug for ReturnUrls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReturnUrls(…)")
    }
}

/// Take the money of a payment that the shopper authorised.
#[derive(Debug, Clone)]
pub struct CaptureRequest {
    /// The gateway's name of the payment.
    pub reference: GatewayRef,
    /// The order.
    pub order: OrderId,
    /// Which attempt at paying it, from 1.
    pub attempt: u32,
    /// Whose order it is.
    pub customer: CustomerId,
    /// What the shopper brought back.
    pub proof: Proof,
    /// What is to be taken: the order's own sum, never one that a browser brought.
    pub amount: Won,
    /// The call's name: [`IdemKey::capture`].
    pub idem: IdemKey,
    /// The time at which it is asked; stands in for a time that the gateway does not tell.
    pub now: Time,
}

/// Ask where a payment stands.
#[derive(Debug, Clone)]
pub struct LookUpRequest {
    /// The gateway's name of the payment.
    pub reference: GatewayRef,
    /// The order.
    pub order: OrderId,
    /// Which attempt at paying it, from 1.
    pub attempt: u32,
    /// Whose order it is.
    pub customer: CustomerId,
    /// The time at which it is asked; stands in for a time that the gateway does not tell.
    pub now: Time,
}

/// Give money of a captured payment back.
#[derive(Debug, Clone)]
pub struct RefundRequest {
    /// The gateway's name of the payment.
    pub reference: GatewayRef,
    /// The gateway's name of the capture (`Captured::receipt`).
    pub receipt: String,
    /// The order.
    pub order: OrderId,
    /// Whose order it is.
    pub customer: CustomerId,
    /// Which refund of the order, from 1.
    pub refund: u32,
    /// How much.
    pub amount: Won,
    /// What could be given back before this refund, this refund included: a gateway that compares it cannot
    /// give the same money back twice.
    pub remaining_before: Won,
    /// Why, for the gateway's records; cut to its limit.
    pub reason: String,
    /// The call's name: [`IdemKey::refund`].
    pub idem: IdemKey,
}

/// The name of one call that moves money, the same however often and after whatever crash it is made again.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IdemKey(String);

impl IdemKey {
    /// The one capture of an attempt.
    #[must_use]
    pub fn capture(order: OrderId, attempt: u32) -> Self {
        Self(format!("{order}-capture-{attempt}"))
    }

    /// One refund of an order.
    #[must_use]
    pub fn refund(order: OrderId, refund: u32) -> Self {
        Self(format!("{order}-refund-{refund}"))
    }

    /// The key as text: at most 55 characters of `a–z 0–9 -`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Which of the [`ReturnUrls`] the browser came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReturnedTo {
    /// [`ReturnUrls::approval`].
    Approval,
    /// [`ReturnUrls::cancel`].
    Cancel,
    /// [`ReturnUrls::fail`].
    Fail,
}

/// The attempt to whose address the browser came: a gateway that has the browser carry these is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    /// The order.
    pub order: OrderId,
    /// Which attempt at paying it.
    pub attempt: u32,
    /// What was to be paid.
    pub amount: Won,
}

/// What the browser says happened: hints, each followed by a question to the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Return {
    /// The shopper authorised, and this proves it to the gateway.
    Authorised(Proof),
    /// The shopper quit.
    Quit,
    /// It failed, or its time ran out.
    Failed,
}

/// Why a return is none. Says nothing of what was in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadReturn {
    /// A parameter that has to be there is not.
    #[error("the parameter '{0}' is missing")]
    Missing(&'static str),
    /// A parameter is there more than once.
    #[error("the parameter '{0}' is there more than once")]
    Repeated(&'static str),
    /// The proof cannot be one.
    #[error("the proof {0}")]
    NoProof(IdError),
    /// A parameter is not what the attempt has.
    #[error("the parameter '{0}' is not this attempt's")]
    Differs(&'static str),
}

#[cfg(test)]
mod tests {
    use super::*;
    use son7shop_engine::PartitionId;

    #[test]
    fn a_call_has_the_same_name_each_time_and_no_other_call_has_it() {
        let (one, other) = (order(1), order(2));
        assert_eq!(IdemKey::capture(one, 1), IdemKey::capture(one, 1));
        let keys = [
            IdemKey::capture(one, 1),
            IdemKey::capture(one, 2),
            IdemKey::capture(other, 1),
            IdemKey::refund(one, 1),
            IdemKey::refund(one, 2),
            IdemKey::refund(one, u32::MAX),
        ];
        let distinct: std::collections::HashSet<_> = keys.iter().collect();
        assert_eq!(distinct.len(), keys.len());
        assert!(keys.iter().all(|key| key.as_str().len() <= 55));
    }

    #[test]
    fn the_nonce_in_return_addresses_is_not_printed() {
        let secret = || "https://shop/secret".to_owned();
        let urls = ReturnUrls { approval: secret(), cancel: secret(), fail: secret() };
        assert!(!format!("{urls:?}").contains("secret"));
    }

    fn order(entropy: u64) -> OrderId {
        OrderId::new(Time(1_700_000_000_000), entropy, PartitionId(0))
    }
}
