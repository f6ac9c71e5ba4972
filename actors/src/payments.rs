//! The gateways that a shop is paid through, and the calls that steps ask of them.
//!
//! What follows from an answer is decided in the engine; this only puts a step into a gateway's words.
//! Must never log an answer's secrets, and never make a call that a step does not name.

use crate::clock;
use son7shop_engine::payment::{Answered, Nonce, PaymentMethod, cut};
use son7shop_engine::{Call, OrderId, Step, StepRef};
use son7shop_payments::gateway::{
    BeginRequest, CaptureRequest, IdemKey, LookUpRequest, PaymentGateway, RefundRequest, ReturnUrls, ReturnedTo,
};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// The gateways of a shop, and where their pages send shoppers back to.
#[derive(Clone, Default)]
pub struct Payments {
    gateways: HashMap<PaymentMethod, Arc<dyn PaymentGateway>>,
    public_url: String,
}

impl fmt::Debug for Payments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let methods = self.gateways.keys().map(|method| method.as_str());
        f.debug_struct("Payments")
            .field("public_url", &self.public_url)
            .field("methods", &methods.collect::<Vec<_>>())
            .finish()
    }
}

impl Payments {
    /// No gateway yet. `public_url`: where browsers reach this shop, without a slash at the end.
    #[must_use]
    pub fn new(public_url: impl Into<String>) -> Self {
        let public_url = public_url.into().trim_end_matches('/').to_owned();
        Self { gateways: HashMap::new(), public_url }
    }

    /// With one more gateway.
    #[must_use]
    pub fn with(mut self, method: PaymentMethod, gateway: Arc<dyn PaymentGateway>) -> Self {
        self.gateways.insert(method, gateway);
        self
    }

    /// The gateway for `method`, if the shop has one.
    #[must_use]
    pub fn gateway(&self, method: PaymentMethod) -> Option<&Arc<dyn PaymentGateway>> {
        self.gateways.get(&method)
    }

    pub(crate) async fn call(&self, step: &Step, call: Call) -> Answered {
        let Some(gateway) = self.gateways.get(&step.work.method) else {
            return Answered::Unknown(cut("the shop has no such gateway at the moment"));
        };
        let (order, customer, attempt, now) = (step.order, step.customer.clone(), step.work.attempt, clock::now());
        if call == Call::Begin {
            let request = BeginRequest {
                order,
                attempt,
                customer,
                item_name: item_name(step),
                quantity: u32::try_from(step.work.units).unwrap_or(u32::MAX),
                amount: step.work.amount,
                returns: self.return_urls(order, attempt, step.work.nonce),
                pay_by: step.work.deadline,
                now,
            };
            return gateway.begin(&request).await;
        }
        let Some(reference) = step.work.reference.clone() else {
            return Answered::Unknown(cut("the attempt has no name at the gateway"));
        };
        match (call, step.step, &step.work.proof, &step.work.refund) {
            (Call::Capture, _, Some(proof), _) => {
                let (proof, amount, idem) = (proof.clone(), step.work.amount, IdemKey::capture(order, attempt));
                gateway.capture(&CaptureRequest { reference, order, attempt, customer, proof, amount, idem, now }).await
            }
            (Call::GiveBack, StepRef::Refund(refund), _, Some(work)) => {
                let Some((amount, remaining_before)) = work.sized else {
                    return Answered::Unknown(cut("how much is to be given back is not known yet"));
                };
                let request = RefundRequest {
                    reference,
                    receipt: step.work.receipt.to_string(),
                    order,
                    customer,
                    refund,
                    amount,
                    remaining_before,
                    reason: work.reason.to_string(),
                    idem: IdemKey::refund(order, refund),
                };
                gateway.refund(&request).await
            }
            _ => gateway.look_up(&LookUpRequest { reference, order, attempt, customer, now }).await,
        }
    }

    fn return_urls(&self, order: OrderId, attempt: u32, nonce: Nonce) -> ReturnUrls {
        let handle = ReturnHandle { order, attempt, nonce };
        let to = |word| format!("{}/v1/payments/{}/{word}", self.public_url, handle.text());
        ReturnUrls { approval: to("approved"), cancel: to("cancelled"), fail: to("failed") }
    }
}

/// What a return address names: an attempt, and that its bearer got it from the gateway's page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReturnHandle {
    /// The order.
    pub order: OrderId,
    /// The attempt.
    pub attempt: u32,
    /// What nobody else knows.
    pub nonce: Nonce,
}

impl ReturnHandle {
    /// `ORDER.ATTEMPT.NONCE`, the nonce in hexadecimal digits. It lets its bearer report a return, so
    /// it is not printed.
    #[must_use]
    pub fn text(&self) -> String {
        let nonce = u128::from_be_bytes(self.nonce.0);
        format!("{}.{}.{nonce:032x}", self.order, self.attempt)
    }

    /// Reads [`ReturnHandle::text`] back.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let (order, attempt, nonce) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() || nonce.len() != 32 || !nonce.is_ascii() {
            return None;
        }
        let mut bytes = [0; 16];
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&nonce[2 * at..2 * at + 2], 16).ok()?;
        }
        let order = OrderId::parse(order).ok()?;
        Some(Self { order, attempt: attempt.parse().ok()?, nonce: Nonce(bytes) })
    }

    /// Which address `word` is the end of.
    #[must_use]
    pub fn returned_to(word: &str) -> Option<ReturnedTo> {
        match word {
            "approved" => Some(ReturnedTo::Approval),
            "cancelled" => Some(ReturnedTo::Cancel),
            "failed" => Some(ReturnedTo::Fail),
            _ => None,
        }
    }
}

/// What the shopper reads on the gateway's page: the first product, and that there is more.
fn item_name(step: &Step) -> String {
    step.work.item.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use son7shop_engine::{PartitionId, Time};

    #[test]
    fn a_handle_reads_back_and_nothing_else_does() {
        let order = OrderId::new(Time(1_700_000_000_000), 7, PartitionId(1));
        let handle = ReturnHandle { order, attempt: 3, nonce: Nonce([0xab; 16]) };
        let text = handle.text();
        assert_eq!(ReturnHandle::parse(&text), Some(handle));
        for wrong in [&text[1..], &text[..text.len() - 1], &format!("{text}.1"), &format!("{text}é"), "", "a.b.c"] {
            assert_eq!(ReturnHandle::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn no_address_is_longer_than_a_gateway_takes() {
        let order = OrderId::new(Time(1), 7, PartitionId(1));
        let urls = Payments::new("https://shop.example/").return_urls(order, u32::MAX, Nonce([1; 16]));
        assert!(urls.approval.starts_with("https://shop.example/v1/payments/"));
        assert!(urls.cancel.len() < 255 - 128, "leaves room for a long address of the shop");
    }
}
