//! Kakao Pay's current API as bytes: the bodies of its four calls, and what an answer says.
//!
//! Pure: no socket, no clock. It must never send a field that stands in no table of the API, an id of
//! a customer, or an amount that a browser brought; never read an answer as certain that is about another
//! payment; and never pass on a secret that the gateway repeats in its words.

use super::answer::{Failure, Fields, line};
use super::codes::{Class, Says, status};
use super::settings::Key;
use crate::gateway::{BeginRequest, CaptureRequest, LookUpRequest, RefundRequest};
use compact_str::{CompactString, format_compact};
use serde::Serialize;
use son7shop_engine::payment::{Answered, Begun, Captured, GatewayRef, GivenBack, MAX_PAGE_BYTES, Pages, Standing};
use son7shop_engine::{CustomerId, OrderId, Time, Won};

/// How long a `tid` and its pages live, in milliseconds.
pub const EXPIRY_MILLIS: i64 = 15 * 60 * 1000;
/// After this, in milliseconds, a call without an answer is over at the platform, which ends its own after 11 s.
pub const SETTLE_MILLIS: i64 = 12_000;

const ITEM_NAME_MAX: usize = 100; // characters
const URL_MAX: usize = 255; // bytes, each
const PAYLOAD_MAX: usize = 200; // characters

/// The four calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// Prepares a payment.
    Ready,
    /// Takes the money.
    Approve,
    /// Tells where a payment stands.
    Order,
    /// Gives money back.
    Cancel,
}

impl Endpoint {
    /// Its name: the last part of its address.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Approve => "approve",
            Self::Order => "order",
            Self::Cancel => "cancel",
        }
    }
}

/// What an answer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// In the rules' words.
    pub answered: Answered,
    /// The error code of which an operator has to hear.
    pub alert: Option<i64>,
}

impl From<Answered> for Read {
    fn from(answered: Answered) -> Self {
        Self { answered, alert: None }
    }
}

/// Why a request is not one that Kakao Pay takes: it was not sent.
pub type Unfit = CompactString;

/// The protocol, as one shop speaks it.
#[derive(Debug, Clone)]
pub struct Wire {
    cid: String,
    plain_pages: bool,
    key: Key,
}

impl Wire {
    /// The protocol for the shop `cid`. `plain_pages`: payment pages may be plain HTTP, with a sandbox only.
    /// The key is here to be cut out of what the gateway says.
    #[must_use]
    pub fn new(cid: &str, plain_pages: bool, key: Key) -> Self {
        Self { cid: cid.to_owned(), plain_pages, key }
    }
}

#[derive(Serialize)]
struct ReadyBody<'a> {
    cid: &'a str,
    partner_order_id: String,
    partner_user_id: String,
    item_name: String,
    quantity: u32,
    total_amount: i64,
    tax_free_amount: i64,
    approval_url: &'a str,
    cancel_url: &'a str,
    fail_url: &'a str,
}

#[derive(Serialize)]
struct ApproveBody<'a> {
    cid: &'a str,
    tid: &'a str,
    partner_order_id: String,
    partner_user_id: String,
    pg_token: &'a str,
    total_amount: i64,
}

#[derive(Serialize)]
struct OrderBody<'a> {
    cid: &'a str,
    tid: &'a str,
}

#[derive(Serialize)]
struct CancelBody<'a> {
    cid: &'a str,
    tid: &'a str,
    cancel_amount: i64,
    cancel_tax_free_amount: i64,
    cancel_available_amount: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<String>,
}

/// The bodies. `vat_amount` and `cancel_vat_amount` are left to the platform's own formula.
impl Wire {
    /// The body of `ready`.
    pub fn ready(&self, request: &BeginRequest) -> Result<Vec<u8>, Unfit> {
        let item_name = first(request.item_name.trim(), ITEM_NAME_MAX);
        if item_name.is_empty() {
            return Err("the item has no name".into());
        }
        if request.quantity == 0 {
            return Err("the quantity is not positive".into());
        }
        positive(request.amount)?;
        let returns = &request.returns;
        for (name, url) in [("approval", &returns.approval), ("cancel", &returns.cancel), ("fail", &returns.fail)] {
            if url.is_empty() || url.len() > URL_MAX {
                return Err(format_compact!("the {name} address is not 1 to {URL_MAX} bytes long"));
            }
        }
        json(&ReadyBody {
            cid: &self.cid,
            partner_order_id: request.order.to_string(),
            partner_user_id: partner_user_id(&request.customer),
            item_name,
            quantity: request.quantity,
            total_amount: request.amount.0,
            tax_free_amount: 0,
            approval_url: &returns.approval,
            cancel_url: &returns.cancel,
            fail_url: &returns.fail,
        })
    }

    /// The body of `approve`.
    pub fn approve(&self, request: &CaptureRequest) -> Result<Vec<u8>, Unfit> {
        positive(request.amount)?;
        json(&ApproveBody {
            cid: &self.cid,
            tid: request.reference.as_str(),
            partner_order_id: request.order.to_string(),
            partner_user_id: partner_user_id(&request.customer),
            pg_token: request.proof.expose(),
            total_amount: request.amount.0,
        })
    }

    /// The body of `order`.
    pub fn order(&self, request: &LookUpRequest) -> Result<Vec<u8>, Unfit> {
        json(&OrderBody { cid: &self.cid, tid: request.reference.as_str() })
    }

    /// The body of `cancel`.
    pub fn cancel(&self, request: &RefundRequest) -> Result<Vec<u8>, Unfit> {
        positive(request.amount)?;
        if request.amount > request.remaining_before {
            return Err("the refund is of more than remains".into());
        }
        let reason = first(request.reason.trim(), PAYLOAD_MAX);
        json(&CancelBody {
            cid: &self.cid,
            tid: request.reference.as_str(),
            cancel_amount: request.amount.0,
            cancel_tax_free_amount: 0,
            cancel_available_amount: request.remaining_before.0,
            payload: (!reason.is_empty()).then_some(reason),
        })
    }
}

/// The answers, each with its HTTP status.
impl Wire {
    /// What `ready` answered. No answer but a whole one begins anything, since nobody knows its page.
    #[must_use]
    pub fn read_ready(&self, request: &BeginRequest, status: u16, body: &[u8]) -> Read {
        if status != 200 {
            let returns = &request.returns;
            let hidden = [self.key.expose(), &returns.approval, &returns.cancel, &returns.fail];
            let failure = Failure::read(status, body, &hidden);
            let refused = (400..500).contains(&status);
            return failure.read_as(if refused { Answered::Refused } else { Answered::Unknown });
        }
        let Some(fields) = Fields::read(body) else { return unreadable() };
        let begun = self.begun(request, &fields);
        begun.map_or_else(|lacking| unknown(&format!("the answer has no usable {lacking}")), Answered::Begun).into()
    }

    fn begun(&self, request: &BeginRequest, fields: &Fields) -> Result<Begun, &'static str> {
        let page = |name| fields.text(name).filter(|url| self.is_page(url)).map(CompactString::new).ok_or(name);
        let scheme = |name| fields.text(name).filter(|url| fits(url)).map(CompactString::new);
        let reference = fields.text("tid").and_then(|tid| GatewayRef::parse(tid).ok()).ok_or("tid")?;
        let pages = Pages {
            desktop: page("next_redirect_pc_url")?,
            mobile: page("next_redirect_mobile_url")?,
            app: page("next_redirect_app_url")?,
            android: scheme("android_app_scheme"),
            ios: scheme("ios_app_scheme"),
        };
        // By our clock, and from before the call was made: rather too early than by a clock that we do not know.
        Ok(Begun { reference, pages, expires_at: request.now.plus_millis(EXPIRY_MILLIS) })
    }

    fn is_page(&self, url: &str) -> bool {
        fits(url) && (url.starts_with("https://") || (self.plain_pages && url.starts_with("http://")))
    }

    /// What `approve` answered. Only the wrong proof is believed without a look at the payment.
    #[must_use]
    pub fn read_approve(&self, request: &CaptureRequest, status: u16, body: &[u8]) -> Read {
        if status != 200 {
            let failure = Failure::read(status, body, &[self.key.expose(), request.proof.expose()]);
            let wrong_proof = (400..500).contains(&status) && failure.class == Class::WrongProof;
            return failure.read_as(if wrong_proof { Answered::WrongProof } else { Answered::Unknown });
        }
        let Some(fields) = Fields::read(body) else { return unreadable() };
        let payment = self.payment(&request.reference, request.order, &request.customer);
        if let Err(why) = payment.is_named_by(&fields) {
            return unknown(&why).into();
        }
        match fields.total("amount") {
            None => unknown("the answer has no amount.total").into(),
            Some(total) if total != request.amount => unknown("the answer's amount.total differs").into(),
            Some(total) => Answered::Captured(captured(&fields, total, fields.text("aid"), request.now)).into(),
        }
    }

    /// What `order` answered.
    #[must_use]
    pub fn read_order(&self, request: &LookUpRequest, status: u16, body: &[u8]) -> Read {
        if status != 200 {
            let failure = Failure::read(status, body, &[self.key.expose()]);
            if (400..500).contains(&status) && failure.class == Class::NoSuchPayment {
                return Answered::Stands(Standing::Unknown).into();
            }
            return failure.read_as(Answered::Unknown);
        }
        let Some(fields) = Fields::read(body) else { return unreadable() };
        let payment = self.payment(&request.reference, request.order, &request.customer);
        if let Err(why) = payment.is_not_contradicted_by(&fields) {
            return unknown(&why).into();
        }
        standing(&fields, request.now).map_or_else(unknown, Answered::Stands).into()
    }

    /// What `cancel` answered. How much it gave back is passed on as it says.
    #[must_use]
    pub fn read_cancel(&self, request: &RefundRequest, status: u16, body: &[u8]) -> Read {
        if status != 200 {
            return Failure::read(status, body, &[self.key.expose()]).read_as(Answered::Unknown);
        }
        let Some(fields) = Fields::read(body) else { return unreadable() };
        let payment = self.payment(&request.reference, request.order, &request.customer);
        if let Err(why) = payment.is_named_by(&fields) {
            return unknown(&why).into();
        }
        let Some(amount) = fields.total("approved_cancel_amount") else {
            return unknown("the answer has no approved_cancel_amount.total").into();
        };
        Answered::GaveBack(GivenBack { amount, receipt: kept(fields.text("aid")) }).into()
    }

    fn payment(&self, reference: &GatewayRef, order: OrderId, customer: &CustomerId) -> Payment {
        Payment([
            ("tid", reference.as_str().to_owned()),
            ("cid", self.cid.clone()),
            ("partner_order_id", order.to_string()),
            ("partner_user_id", partner_user_id(customer)),
        ])
    }
}

/// The fields by which an answer names the payment that it is about.
struct Payment([(&'static str, String); 4]);

impl Payment {
    /// Each is there, and ours.
    fn is_named_by(&self, fields: &Fields) -> Result<(), String> {
        match self.0.iter().find(|(name, _)| fields.text(name).is_none()) {
            Some((name, _)) => Err(format!("the answer has no {name}")),
            None => self.is_not_contradicted_by(fields),
        }
    }

    /// The `tid` is ours, and so is each other that is there.
    fn is_not_contradicted_by(&self, fields: &Fields) -> Result<(), String> {
        if fields.text("tid").is_none() {
            return Err("the answer has no tid".to_owned());
        }
        match self.0.iter().find(|(name, ours)| fields.text(name).is_some_and(|theirs| theirs != ours)) {
            Some((name, _)) => Err(format!("the answer's {name} differs")),
            None => Ok(()),
        }
    }
}

fn standing(fields: &Fields, now: Time) -> Result<Standing, &'static str> {
    let word = fields.text("status").ok_or("the answer has no status")?;
    let taken = || {
        let total = fields.total("amount").ok_or("the answer has no amount.total");
        total.map(|total| captured(fields, total, fields.action("PAYMENT"), now))
    };
    Ok(match status(word) {
        Says::Pending => Standing::Pending,
        Says::NotPaid(why) => Standing::NotPaid(why),
        Says::Review => Standing::Unrecognised(son7shop_engine::payment::cut(word)),
        Says::Refunded => Standing::Refunded { captured: taken()? },
        Says::Paid => {
            let captured = taken()?;
            let left = fields.total("cancel_available_amount");
            let counted = left.and_then(|left| captured.amount.0.checked_sub(left.0)).filter(|won| *won >= 0);
            let whole = (word == "SUCCESS_PAYMENT").then_some(Won(0));
            let refunded = fields.total("canceled_amount").or(counted.map(Won)).or(whole);
            Standing::Paid { captured, refunded: refunded.ok_or("the answer does not say how much was cancelled")? }
        }
    })
}

fn captured(fields: &Fields, amount: Won, receipt: Option<&str>, now: Time) -> Captured {
    Captured {
        amount,
        receipt: kept(receipt),
        means: kept(fields.text("payment_method_type")),
        at: fields.time("approved_at").unwrap_or(now),
    }
}

impl Failure {
    fn read_as(self, answered: fn(CompactString) -> Answered) -> Read {
        let alert = self.code.filter(|_| self.class.alerts());
        Read { answered: answered(self.words), alert }
    }
}

/// The name under which Kakao Pay knows a customer: a digest, in 32 hexadecimal digits, since it may hold no
/// personal data. The same for each order, as approve has to repeat what ready said.
#[must_use]
pub fn partner_user_id(customer: &CustomerId) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("son7shop kakaopay partner_user_id");
    let digest = hasher.update(customer.as_str().as_bytes()).finalize();
    digest.to_hex()[..32].to_owned()
}

fn positive(amount: Won) -> Result<(), Unfit> {
    if amount.0 > 0 { Ok(()) } else { Err("the amount is not positive".into()) }
}

fn json(body: &impl Serialize) -> Result<Vec<u8>, Unfit> {
    serde_json::to_vec(body).map_err(|error| format_compact!("the request is no JSON: {error}"))
}

fn first(text: &str, characters: usize) -> String {
    text.chars().take(characters).collect()
}

fn fits(url: &str) -> bool {
    url.len() <= MAX_PAGE_BYTES && url.bytes().all(|byte| byte.is_ascii_graphic())
}

fn kept(text: Option<&str>) -> CompactString {
    text.map(line).unwrap_or_default()
}

fn unknown(why: &str) -> Answered {
    Answered::Unknown(line(why))
}

fn unreadable() -> Read {
    unknown("the answer is no JSON object").into()
}
