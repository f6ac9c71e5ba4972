//! Requests as JSON. A value is checked while it is read: what comes out of here is within
//! every limit that the API documents, and these types never enter the engine.
//!
//! Every struct takes exactly its own fields: there is no way to send a price with an order.

mod payments;

pub(super) use payments::{Operate, RequestRefund, Resolve, ResolvedAs, StartPayment};

use super::clock;
use super::problem::Problem;
use super::status::Code;
use compact_str::CompactString;
use serde::de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use son7shop_actors::webhooks::ReplayFrom;
use son7shop_engine::{LineRequest, Lsn, MAX_NAME_BYTES, MAX_QUANTITY, MAX_UNITS, SaleTerms, Sku, Time, Won};
use std::fmt;
use utoipa::ToSchema;

/// The most lines in one order.
pub(super) const LINES_MAX: usize = 50;
/// The longest reason for a stock change, in bytes of UTF-8.
pub(super) const REASON_MAX: usize = 200;
/// The most types of message that a webhook can name.
const EVENTS_MAX: usize = 50;

/// An order to place. A price is not part of it: the shop knows its prices.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PlaceOrder {
    /// What is wanted. Lines of one product are summed.
    #[schema(value_type = Vec<OrderLine>, min_items = 1, max_items = 50, example = json!([{"sku": "air-90", "quantity": 1}]))]
    lines: Lines,
}

/// Units of one product.
#[derive(ToSchema)]
#[schema(as = LineRequest)]
#[allow(dead_code, reason = "describes `Line` to the OpenAPI")]
pub(super) struct OrderLine {
    /// The product.
    #[schema(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9._-]+$", example = "air-90")]
    sku: String,
    /// Units; at most 100,000 of one product in an order.
    #[schema(minimum = 1, maximum = 100_000, example = 1)]
    quantity: u32,
}

/// A product to sell.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateProduct {
    /// Its name in every call; never changed.
    #[serde(deserialize_with = "sku")]
    #[schema(value_type = String, min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9._-]+$", example = "air-90")]
    pub(super) sku: Sku,
    /// Its name for people: 1 to 200 bytes of UTF-8, not blank, no control characters.
    #[serde(deserialize_with = "name")]
    #[schema(value_type = String, min_length = 1, max_length = 200, example = "Air 90, black")]
    pub(super) name: CompactString,
    /// The unit price, in won.
    #[serde(deserialize_with = "price")]
    #[schema(value_type = i64, minimum = 1, maximum = 10_000_000_000_u64, example = 129_000)]
    pub(super) price: Won,
    /// Units in the shop.
    #[serde(deserialize_with = "on_hand")]
    #[schema(minimum = 0, maximum = 1_000_000_000_000_u64, example = 1000)]
    pub(super) on_hand: u64,
}

/// A change of a product's stock.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AdjustStock {
    /// Units to add; negative takes out. Not zero.
    #[serde(deserialize_with = "delta")]
    #[schema(minimum = -1_000_000_000_000_i64, maximum = 1_000_000_000_000_i64, example = 50)]
    pub(super) delta: i64,
    /// Why, for the books: 1 to 200 bytes of UTF-8, not blank, no control characters.
    #[serde(deserialize_with = "reason")]
    #[schema(value_type = String, min_length = 1, max_length = 200, example = "a delivery")]
    pub(super) reason: CompactString,
}

/// A flash sale.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SetSale {
    /// The first instant at which the product sells; RFC 3339.
    #[serde(deserialize_with = "opens_at")]
    #[schema(value_type = String, format = DateTime, example = "2026-12-01T01:00:00Z")]
    opens_at: Time,
    /// The first instant at which it no longer does; after `opens_at`.
    #[serde(deserialize_with = "closes_at")]
    #[schema(value_type = String, format = DateTime, example = "2026-12-01T02:00:00Z")]
    closes_at: Time,
    /// The unit price inside the window, in won.
    #[serde(deserialize_with = "price")]
    #[schema(value_type = i64, minimum = 1, maximum = 10_000_000_000_u64, example = 99_000)]
    price: Won,
    /// The most units that one customer may hold or have bought in this sale.
    #[serde(deserialize_with = "per_customer_limit")]
    #[schema(minimum = 1, maximum = 100_000, example = 2)]
    per_customer_limit: u32,
}

/// Other software that is to be told what happens.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateWebhook {
    /// Where messages go: https; http for this machine's own addresses, while the shop itself
    /// listens on one. No user or password in it, no fragment.
    #[serde(deserialize_with = "url")]
    #[schema(value_type = String, min_length = 1, max_length = 500, example = "https://warehouse.example/son7shop")]
    pub(super) url: String,
    /// Which types of message; empty: all.
    #[serde(default, deserialize_with = "events")]
    #[schema(value_type = Vec<String>, max_items = 50, example = json!(["order.placed", "order.confirmed"]))]
    pub(super) events: Vec<String>,
    /// For people: up to 200 bytes of UTF-8, no control characters.
    #[serde(default, deserialize_with = "description")]
    #[schema(value_type = String, max_length = 200, example = "the warehouse")]
    pub(super) description: String,
}

/// An endpoint's terms, as a whole.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SetWebhook {
    /// As when it was registered.
    #[serde(deserialize_with = "url")]
    #[schema(value_type = String, min_length = 1, max_length = 500, example = "https://warehouse.example/son7shop")]
    pub(super) url: String,
    /// Which types of message; empty: all.
    #[serde(default, deserialize_with = "events")]
    #[schema(value_type = Vec<String>, max_items = 50, example = json!(["order.placed", "order.confirmed"]))]
    pub(super) events: Vec<String>,
    /// For people: up to 200 bytes of UTF-8, no control characters.
    #[serde(default, deserialize_with = "description")]
    #[schema(value_type = String, max_length = 200, example = "the warehouse")]
    pub(super) description: String,
    /// Whether it is not to be called.
    #[serde(default, deserialize_with = "disabled")]
    #[schema(value_type = bool, example = false)]
    pub(super) disabled: bool,
}

/// From where an endpoint is told again: `after_lsn` or `since`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReplayWebhook {
    /// Only what happened in this partition.
    #[serde(default, deserialize_with = "partition")]
    #[schema(value_type = u16, required = false, minimum = 0, maximum = 1023, example = 0)]
    partition: Option<u16>,
    /// What comes after this event: the number at the end of a message's id.
    #[serde(default, deserialize_with = "after_lsn")]
    #[schema(value_type = u64, required = false, minimum = 0, maximum = 9_007_199_254_740_991_u64, example = 0)]
    after_lsn: Option<u64>,
    /// What happened at or after this time; RFC 3339.
    #[serde(default, deserialize_with = "since")]
    #[schema(value_type = String, required = false, format = DateTime, example = "2026-12-01T01:00:00Z")]
    since: Option<Time>,
}

impl ReplayWebhook {
    /// Which partition, and from where.
    pub(super) fn into_place(self) -> Result<(Option<u16>, ReplayFrom), Problem> {
        let from = match (self.after_lsn, self.since) {
            (Some(after), None) => ReplayFrom::After(Lsn(after)),
            (None, Some(since)) => ReplayFrom::Since(since),
            (Some(_), Some(_)) => return Err(Problem::field("since", "send after_lsn or since, not both")),
            (None, None) => {
                return Err(Problem::named(Code::MissingField, "field", "since", "send after_lsn or since"));
            }
        };
        Ok((self.partition, from))
    }
}

impl PlaceOrder {
    /// The lines by sku, one for each product.
    pub(super) fn into_lines(self) -> Result<Vec<LineRequest>, Problem> {
        let mut lines = self.lines.0;
        if lines.len() > 1 {
            lines.sort_unstable_by(|a, b| a.sku.cmp(&b.sku));
            lines.dedup_by(|line, kept| {
                let same = line.sku == kept.sku;
                // Fifty lines of the largest quantity fit.
                kept.quantity += if same { line.quantity } else { 0 };
                same
            });
        }
        match lines.iter().find(|line| line.quantity > MAX_QUANTITY) {
            None => Ok(lines),
            Some(LineRequest { sku, quantity }) => Err(Problem::field(
                "lines",
                format!("the lines of '{sku}' sum to {quantity}; at most {MAX_QUANTITY} fit in one order"),
            )),
        }
    }
}

impl SetSale {
    /// The sale's terms.
    pub(super) fn into_terms(self) -> Result<SaleTerms, Problem> {
        let Self { opens_at, closes_at, price, per_customer_limit } = self;
        if closes_at <= opens_at {
            return Err(Problem::field("closes_at", "must be after opens_at"));
        }
        Ok(SaleTerms { opens_at, closes_at, price, per_customer_limit })
    }
}

/// Reads a request's body.
pub(super) fn read<'b, T: Deserialize<'b>>(body: &'b [u8]) -> Result<T, Problem> {
    // Derived structs would take a JSON array of their fields' values, too.
    let is_object = body.trim_ascii_start().first() == Some(&b'{');
    match serde_json::from_slice(body) {
        Ok(request) if is_object => Ok(request),
        Ok(_) => Err(Problem::new(Code::InvalidField, "the body must be a JSON object")),
        Err(error) => Err(explain(body, is_object, &error)),
    }
}

/// What is wrong with a body. Errors about a field say so in serde's manner: "unknown
/// field `price`, expected …", with "lines[3]: " before it for a line's field.
fn explain(body: &[u8], is_object: bool, error: &serde_json::Error) -> Problem {
    if std::str::from_utf8(body).is_err() {
        return Problem::new(Code::MalformedJson, "the body is not UTF-8");
    }
    if let Err(syntax) = serde_json::from_slice::<IgnoredAny>(body) {
        return Problem::new(Code::MalformedJson, syntax.to_string());
    }
    if !is_object {
        return Problem::new(Code::InvalidField, "the body must be a JSON object");
    }
    let said = error.to_string();
    let said = said.rsplit_once(" at line ").map_or(said.as_str(), |(said, _)| said);
    let (place, said) = match said.split_once("]: ") {
        Some((place, rest)) if place.starts_with("lines[") => (format!("{place}]."), rest),
        _ => (String::new(), said),
    };
    let known = [
        ("unknown field `", Code::UnknownField),
        ("missing field `", Code::MissingField),
        ("duplicate field `", Code::DuplicateField),
        ("invalid field `", Code::InvalidField),
    ];
    for (prefix, code) in known {
        if let Some((name, rest)) = said.strip_prefix(prefix).and_then(|rest| rest.split_once('`')) {
            let detail = rest.strip_prefix(": ").unwrap_or(said).to_owned();
            return Problem::named(code, "field", &format!("{place}{name}"), detail);
        }
    }
    Problem::new(Code::InvalidField, said.to_owned())
}

/// An order's lines as they were sent.
#[derive(Debug)]
struct Lines(Vec<LineRequest>);

impl<'de> Deserialize<'de> for Lines {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AllLines;

        impl<'de> Visitor<'de> for AllLines {
            type Value = Lines;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "1 to {LINES_MAX} lines")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Lines, A::Error> {
                let mut lines = Vec::with_capacity(1);
                let at = |at, error| A::Error::custom(format_args!("lines[{at}]: {error}"));
                while let Some(Line(line)) = items.next_element().map_err(|error| at(lines.len(), error))? {
                    if lines.len() == LINES_MAX {
                        return Err(A::Error::custom(format_args!(
                            "invalid field `lines`: must be 1 to {LINES_MAX} lines"
                        )));
                    }
                    lines.push(line);
                }
                if lines.is_empty() {
                    return Err(A::Error::custom(format_args!(
                        "invalid field `lines`: must be 1 to {LINES_MAX} lines"
                    )));
                }
                Ok(Lines(lines))
            }
        }

        deserializer.deserialize_seq(AllLines).map_err(|error| in_field(error, "lines", "must be a list of lines"))
    }
}

/// One line as it was sent. Read by hand, because a derived struct would take
/// `["sku", 1]` for a line, too.
struct Line(LineRequest);

impl<'de> Deserialize<'de> for Line {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(field_identifier, rename_all = "lowercase")]
        enum Field {
            Sku,
            Quantity,
        }
        struct SkuValue(Sku);
        struct QuantityValue(u32);
        struct OneLine;

        impl<'de> Deserialize<'de> for SkuValue {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                sku(deserializer).map(Self)
            }
        }

        impl<'de> Deserialize<'de> for QuantityValue {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                number(deserializer, "quantity", 1, MAX_QUANTITY).map(Self)
            }
        }

        impl<'de> Visitor<'de> for OneLine {
            type Value = Line;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with `sku` and `quantity`")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Line, A::Error> {
                let (mut sku, mut quantity) = (None, None);
                while let Some(field) = fields.next_key()? {
                    match field {
                        Field::Sku if sku.is_some() => return Err(A::Error::duplicate_field("sku")),
                        Field::Sku => sku = Some(fields.next_value::<SkuValue>()?.0),
                        Field::Quantity if quantity.is_some() => return Err(A::Error::duplicate_field("quantity")),
                        Field::Quantity => quantity = Some(fields.next_value::<QuantityValue>()?.0),
                    }
                }
                let sku = sku.ok_or_else(|| A::Error::missing_field("sku"))?;
                let quantity = quantity.ok_or_else(|| A::Error::missing_field("quantity"))?;
                Ok(Line(LineRequest { sku, quantity }))
            }
        }

        deserializer.deserialize_map(OneLine)
    }
}

/// An error that names its field already, or one that is about the whole of `field`.
fn in_field<E: Error>(error: E, field: &str, must: &str) -> E {
    let said = error.to_string();
    let named = ["lines[", "invalid field `", "missing field `"].iter().any(|start| said.starts_with(start));
    if named { error } else { invalid(field, must) }
}

fn invalid<E: Error>(field: &str, must: impl fmt::Display) -> E {
    E::custom(format_args!("invalid field `{field}`: {must}"))
}

/// A whole number from `min` to `max`.
fn number<'de, D, T>(deserializer: D, field: &str, min: T, max: T) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + PartialOrd + fmt::Display + Copy,
{
    match T::deserialize(deserializer) {
        Ok(number) if min <= number && number <= max => Ok(number),
        _ => Err(invalid(field, format_args!("must be a whole number from {min} to {max}"))),
    }
}

/// A text that `check` takes; it says what is wrong otherwise.
fn text<'de, D, T, C>(deserializer: D, field: &'static str, check: C) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    C: FnOnce(&str) -> Result<T, String>,
{
    struct Text<C>(&'static str, C);

    impl<T, C: FnOnce(&str) -> Result<T, String>> Visitor<'_> for Text<C> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a text")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
            (self.1)(text).map_err(|must| invalid(self.0, must))
        }
    }

    deserializer.deserialize_str(Text(field, check)).map_err(|error| in_field(error, field, "must be a text"))
}

fn sku<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Sku, D::Error> {
    text(deserializer, "sku", |text| Sku::parse(text).map_err(|error| error.to_string()))
}

/// A text for people: not blank, on one line.
fn prose(text: &str, max: usize) -> Result<CompactString, String> {
    if text.trim().is_empty() || text.len() > max || text.chars().any(char::is_control) {
        return Err(format!("must be 1 to {max} bytes of UTF-8, not blank, without control characters"));
    }
    Ok(CompactString::new(text))
}

fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<CompactString, D::Error> {
    text(deserializer, "name", |text| prose(text, MAX_NAME_BYTES))
}

fn reason<'de, D: Deserializer<'de>>(deserializer: D) -> Result<CompactString, D::Error> {
    text(deserializer, "reason", |text| prose(text, REASON_MAX))
}

fn price<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Won, D::Error> {
    number(deserializer, "price", 1, Won::MAX_PRICE.0).map(Won)
}

fn on_hand<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    number(deserializer, "on_hand", 0, MAX_UNITS)
}

fn delta<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let max = MAX_UNITS.cast_signed();
    match number(deserializer, "delta", -max, max)? {
        0 => Err(invalid("delta", "must not be 0")),
        delta => Ok(delta),
    }
}

fn per_customer_limit<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    number(deserializer, "per_customer_limit", 1, MAX_QUANTITY)
}

fn opens_at<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Time, D::Error> {
    instant(deserializer, "opens_at")
}

fn closes_at<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Time, D::Error> {
    instant(deserializer, "closes_at")
}

fn instant<'de, D: Deserializer<'de>>(deserializer: D, field: &'static str) -> Result<Time, D::Error> {
    let must = "must be an RFC 3339 time from 1970 to 9999";
    text(deserializer, field, |text| clock::parse(text).ok_or_else(|| must.to_owned()))
}

fn url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    // The shop looks closer: which addresses may be called depends on its settings.
    text(deserializer, "url", |text| Ok(text.to_owned()))
}

fn events<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let must = format!("must be a list of at most {EVENTS_MAX} event types");
    match Vec::<String>::deserialize(deserializer) {
        Ok(events) if events.len() <= EVENTS_MAX => Ok(events),
        _ => Err(invalid("events", must)),
    }
}

fn description<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    text(deserializer, "description", |text| {
        let fits = text.len() <= REASON_MAX && !text.chars().any(char::is_control);
        let must = format!("must be at most {REASON_MAX} bytes of UTF-8, without control characters");
        if fits { Ok(text.to_owned()) } else { Err(must) }
    })
}

fn disabled<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    bool::deserialize(deserializer).map_err(|_| invalid("disabled", "must be true or false"))
}

fn partition<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u16>, D::Error> {
    number(deserializer, "partition", 0, 1023).map(Some)
}

fn after_lsn<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    number(deserializer, "after_lsn", 0, (1 << 53) - 1).map(Some)
}

fn since<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Time>, D::Error> {
    instant(deserializer, "since").map(Some)
}
