//! What the API is asked, read from JSON field by field, within the limits of the protocol's
//! tables. Fields that the protocol does not have are tolerated, and named.

use super::assumed::{self, BAD_FIELD, PARTS_DIFFER, TOTAL_MAX, length};
use super::reply::Refusal;
use super::words::{Endpoint, Means};
use serde_json::{Map, Value};
use son7shop_engine::Won;

/// What a payment is prepared with.
#[derive(Debug, Clone)]
pub(super) struct Ready {
    pub(super) cid: String,
    pub(super) order: String,
    pub(super) user: String,
    pub(super) item_name: String,
    pub(super) item_code: Option<String>,
    pub(super) quantity: i64,
    pub(super) total: Won,
    pub(super) tax_free: Won,
    pub(super) vat: Option<Won>,
    pub(super) green_deposit: Won,
    pub(super) approval_url: String,
    pub(super) cancel_url: String,
    pub(super) fail_url: String,
    pub(super) means: Option<Means>,
    pub(super) install_month: i64,
}

/// What a capture is asked with. (Its `tid` is looked up before the rest is read: so below.)
#[derive(Debug, Clone)]
pub(super) struct Approve {
    pub(super) cid: String,
    pub(super) order: String,
    pub(super) user: String,
    pub(super) pg_token: String,
    pub(super) payload: Option<String>,
    pub(super) total: Option<Won>,
}

/// What a payment is asked after with.
#[derive(Debug, Clone)]
pub(super) struct Order {
    pub(super) cid: String,
}

/// What money is asked back with.
#[derive(Debug, Clone)]
pub(super) struct Cancel {
    pub(super) cid: String,
    pub(super) amount: Won,
    pub(super) tax_free: Won,
    pub(super) vat: Option<Won>,
    pub(super) available: Option<Won>,
    pub(super) payload: Option<String>,
}

/// Any of them.
#[derive(Debug, Clone)]
pub(super) enum Asked {
    Ready(Box<Ready>),
    Approve(Approve),
    Order(Order),
    Cancel(Cancel),
}

const READY: [&str; 19] = [
    "cid",
    "cid_secret",
    "partner_order_id",
    "partner_user_id",
    "item_name",
    "item_code",
    "quantity",
    "total_amount",
    "tax_free_amount",
    "vat_amount",
    "green_deposit",
    "approval_url",
    "cancel_url",
    "fail_url",
    "payment_method_type",
    "install_month",
    "available_cards",
    "use_share_installment",
    "custom_json",
];
const APPROVE: [&str; 8] =
    ["cid", "cid_secret", "tid", "partner_order_id", "partner_user_id", "pg_token", "payload", "total_amount"];
const ORDER: [&str; 3] = ["cid", "cid_secret", "tid"];
const CANCEL: [&str; 8] = [
    "cid",
    "cid_secret",
    "tid",
    "cancel_amount",
    "cancel_tax_free_amount",
    "cancel_vat_amount",
    "cancel_available_amount",
    "payload",
];

/// The body's fields, `None` where it is no JSON object.
pub(super) fn object(body: &[u8]) -> Option<Map<String, Value>> {
    serde_json::from_slice(body).ok()
}

/// The fields that the protocol does not have.
pub(super) fn unknown(endpoint: Endpoint, body: &Map<String, Value>) -> Vec<String> {
    let known: &[&str] = match endpoint {
        Endpoint::Ready => &READY,
        Endpoint::Approve => &APPROVE,
        Endpoint::Order => &ORDER,
        Endpoint::Cancel => &CANCEL,
    };
    body.keys().filter(|key| !known.contains(&key.as_str())).cloned().collect()
}

/// Reads what is asked.
pub(super) fn read(endpoint: Endpoint, body: Option<&Map<String, Value>>) -> Result<Asked, Refusal> {
    let fields = Fields(body.ok_or(Refusal::field(BAD_FIELD, "the body is no JSON object"))?);
    match endpoint {
        Endpoint::Ready => ready(&fields).map(Box::new).map(Asked::Ready),
        Endpoint::Approve => approve(&fields).map(Asked::Approve),
        Endpoint::Order => order(&fields).map(Asked::Order),
        Endpoint::Cancel => cancel(&fields).map(Asked::Cancel),
    }
}

fn ready(fields: &Fields<'_>) -> Result<Ready, Refusal> {
    fields.cid_secret()?;
    let ready = Ready {
        cid: fields.text("cid", CID_MAX)?,
        order: fields.text("partner_order_id", 100)?,
        user: fields.text("partner_user_id", 100)?,
        item_name: fields.text("item_name", 100)?,
        item_code: fields.text_if("item_code", 100)?,
        quantity: fields.number("quantity", 1)?,
        total: Won(fields.number("total_amount", 1)?),
        tax_free: Won(fields.number("tax_free_amount", 0)?),
        vat: fields.number_if("vat_amount", 0)?.map(Won),
        green_deposit: Won(fields.number_if("green_deposit", 0)?.unwrap_or(0)),
        approval_url: fields.address("approval_url")?,
        cancel_url: fields.address("cancel_url")?,
        fail_url: fields.address("fail_url")?,
        means: fields.means()?,
        install_month: fields.number_if("install_month", 0)?.unwrap_or(0),
    };
    if ready.install_month > 12 {
        return Err(Refusal::field(BAD_FIELD, "install_month"));
    }
    if ready.total > TOTAL_MAX {
        return Err(Refusal::field(BAD_FIELD, "total_amount"));
    }
    // Parts of at most a whole that is bounded: no sum overflows.
    let fits = ready.tax_free <= ready.total
        && ready.vat.is_none_or(|vat| vat.0 <= ready.total.0 - ready.tax_free.0)
        && ready.green_deposit <= ready.total;
    if fits { Ok(ready) } else { Err(Refusal::code(PARTS_DIFFER)) }
}

fn approve(fields: &Fields<'_>) -> Result<Approve, Refusal> {
    fields.cid_secret()?;
    fields.text("tid", TID_MAX)?;
    Ok(Approve {
        cid: fields.text("cid", CID_MAX)?,
        order: fields.text("partner_order_id", 100)?,
        user: fields.text("partner_user_id", 100)?,
        pg_token: fields.text("pg_token", 255)?,
        payload: fields.text_if("payload", 200)?,
        total: fields.number_if("total_amount", 1)?.map(Won),
    })
}

fn order(fields: &Fields<'_>) -> Result<Order, Refusal> {
    fields.cid_secret()?;
    fields.text("tid", TID_MAX)?;
    Ok(Order { cid: fields.text("cid", CID_MAX)? })
}

fn cancel(fields: &Fields<'_>) -> Result<Cancel, Refusal> {
    fields.cid_secret()?;
    fields.text("tid", TID_MAX)?;
    Ok(Cancel {
        cid: fields.text("cid", CID_MAX)?,
        amount: Won(fields.number("cancel_amount", 1)?),
        tax_free: Won(fields.number("cancel_tax_free_amount", 0)?),
        vat: fields.number_if("cancel_vat_amount", 0)?.map(Won),
        available: fields.number_if("cancel_available_amount", 0)?.map(Won),
        payload: fields.text_if("payload", 200)?,
    })
}

const CID_MAX: usize = 10;
const TID_MAX: usize = 20;

struct Fields<'a>(&'a Map<String, Value>);

impl Fields<'_> {
    /// `null` is a field that is not there.
    fn value(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    fn text_if(&self, name: &'static str, max: usize) -> Result<Option<String>, Refusal> {
        let Some(value) = self.value(name) else { return Ok(None) };
        let text = value.as_str().filter(|text| length(text) <= max);
        text.map(|text| Some(text.to_owned())).ok_or(Refusal::field(BAD_FIELD, name))
    }

    fn text(&self, name: &'static str, max: usize) -> Result<String, Refusal> {
        self.text_if(name, max)?.filter(|text| !text.is_empty()).ok_or(Refusal::field(BAD_FIELD, name))
    }

    fn number_if(&self, name: &'static str, min: i64) -> Result<Option<i64>, Refusal> {
        let Some(value) = self.value(name) else { return Ok(None) };
        value.as_i64().filter(|number| *number >= min).map(Some).ok_or(Refusal::field(BAD_FIELD, name))
    }

    fn number(&self, name: &'static str, min: i64) -> Result<i64, Refusal> {
        self.number_if(name, min)?.ok_or(Refusal::field(BAD_FIELD, name))
    }

    fn address(&self, name: &'static str) -> Result<String, Refusal> {
        let address = self.text(name, 255)?;
        let host = address.strip_prefix("https://").or_else(|| address.strip_prefix("http://"));
        // It goes into a header as it is: nothing but what may stand in an address.
        let is_address =
            host.is_some_and(|host| !host.is_empty()) && address.bytes().all(|byte| byte.is_ascii_graphic());
        if is_address { Ok(address) } else { Err(Refusal::field(BAD_FIELD, name)) }
    }

    fn means(&self) -> Result<Option<Means>, Refusal> {
        let Some(value) = self.value("payment_method_type") else { return Ok(None) };
        value.as_str().and_then(Means::parse).map(Some).ok_or(Refusal::code(-705))
    }

    fn cid_secret(&self) -> Result<(), Refusal> {
        let Some(value) = self.value("cid_secret") else { return Ok(()) };
        let allowed =
            |text: &str| text.len() == 24 && text.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase());
        if value.as_str().is_some_and(allowed) { Ok(()) } else { Err(Refusal::field(assumed::BAD_FIELD, "cid_secret")) }
    }
}
