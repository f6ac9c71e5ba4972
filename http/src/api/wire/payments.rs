//! Requests about paying as JSON, checked while they are read.

use super::{Lines, invalid, number, reason, text};
use compact_str::CompactString;
use serde::{Deserialize, Deserializer};
use son7shop_engine::payment::PaymentMethod;
use son7shop_engine::{LineRequest, MAX_QUANTITY, Won};
use utoipa::ToSchema;

/// The highest sum in one refund, in won: no order's total is higher.
const AMOUNT_MAX: i64 = i64::MAX;
/// The longest name of a receipt.
const RECEIPT_MAX: usize = 64;

/// A payment to start. An amount is not part of it: it is the order's total.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct StartPayment {
    /// How it is paid.
    #[serde(deserialize_with = "method")]
    #[schema(value_type = super::super::schema::PaymentMethod)]
    pub(in super::super) method: PaymentMethod,
}

/// Money to give back.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct RequestRefund {
    /// How much, in won; left out: what the lines cost, or all that is left where there are none.
    #[serde(default, deserialize_with = "amount")]
    #[schema(value_type = Option<i64>, nullable = false, minimum = 1, example = 129_000)]
    pub(in super::super) amount: Option<Won>,
    /// The units that it is about, one line for each product; left out: all that are left, if no
    /// amount is given either.
    #[serde(default, deserialize_with = "lines")]
    #[schema(value_type = Option<Vec<super::OrderLine>>, nullable = false, min_items = 1, max_items = 50)]
    lines: Option<Lines>,
    /// Whether the units are for sale again once the money went back.
    #[serde(deserialize_with = "restock")]
    pub(in super::super) restock: bool,
    /// Why, for the books and the gateway: 1 to 200 bytes of UTF-8, not blank, no control characters.
    #[serde(deserialize_with = "reason")]
    #[schema(value_type = String, min_length = 1, max_length = 200, example = "too small")]
    pub(in super::super) reason: CompactString,
}

impl RequestRefund {
    /// The lines by sku, one for each product: those of one product are summed.
    pub(in super::super) fn lines(&self) -> Result<Vec<LineRequest>, super::Problem> {
        let mut lines = self.lines.as_ref().map_or_else(Vec::new, |lines| lines.0.clone());
        lines.sort_unstable_by(|a, b| a.sku.cmp(&b.sku));
        lines.dedup_by(|line, kept| {
            let same = line.sku == kept.sku;
            // Fifty lines of the largest quantity fit.
            kept.quantity += if same { line.quantity } else { 0 };
            same
        });
        let too_many = lines.iter().any(|line| line.quantity > MAX_QUANTITY);
        if too_many { Err(super::Problem::field("lines", "no order has as many units")) } else { Ok(lines) }
    }
}

/// Why an operator acts.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct Operate {
    /// Why, for the books: 1 to 200 bytes of UTF-8, not blank, no control characters.
    #[serde(deserialize_with = "reason")]
    #[schema(value_type = String, min_length = 1, max_length = 200, example = "the gateway is back")]
    pub(in super::super) reason: CompactString,
}

/// What an operator found at the gateway.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct Resolve {
    /// What the gateway did.
    #[serde(deserialize_with = "outcome")]
    #[schema(value_type = super::super::schema::ResolvedAs)]
    pub(in super::super) outcome: ResolvedAs,
    /// The gateway's name of the capture or the refund.
    #[serde(default, deserialize_with = "receipt")]
    #[schema(value_type = Option<String>, nullable = false, min_length = 1, max_length = 64, pattern = "^[!-~]+$")]
    pub(in super::super) receipt: CompactString,
    /// Why, for the books: 1 to 200 bytes of UTF-8, not blank, no control characters.
    #[serde(deserialize_with = "reason")]
    #[schema(value_type = String, min_length = 1, max_length = 200, example = "asked the gateway by telephone")]
    pub(in super::super) reason: CompactString,
}

/// What the gateway did, as an operator says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum ResolvedAs {
    Paid,
    NotPaid,
    Refunded,
    NotRefunded,
}

fn method<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PaymentMethod, D::Error> {
    text(deserializer, "method", |text| PaymentMethod::parse(text).ok_or_else(|| "must be kakaopay".to_owned()))
}

fn outcome<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ResolvedAs, D::Error> {
    text(deserializer, "outcome", |text| match text {
        "paid" => Ok(ResolvedAs::Paid),
        "not_paid" => Ok(ResolvedAs::NotPaid),
        "refunded" => Ok(ResolvedAs::Refunded),
        "not_refunded" => Ok(ResolvedAs::NotRefunded),
        _ => Err("must be paid, not_paid, refunded or not_refunded".to_owned()),
    })
}

fn receipt<'de, D: Deserializer<'de>>(deserializer: D) -> Result<CompactString, D::Error> {
    text(deserializer, "receipt", |text| {
        let fits = (1..=RECEIPT_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if fits { Ok(CompactString::from(text)) } else { Err("must be 1 to 64 visible ASCII characters".to_owned()) }
    })
}

fn lines<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Lines>, D::Error> {
    Lines::deserialize(deserializer).map(Some)
}

fn restock<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    bool::deserialize(deserializer).map_err(|_| invalid("restock", "must be true or false"))
}

fn amount<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Won>, D::Error> {
    number(deserializer, "amount", 1, AMOUNT_MAX).map(|amount| Some(Won(amount)))
}
