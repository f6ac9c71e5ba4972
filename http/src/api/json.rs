//! Answers as JSON, written straight into one buffer. What is written here is described
//! for readers by the schemas in `schema.rs`; the fuzzer holds live answers against them.

use super::{clock, shown};
use son7shop_actors::webhooks::{Delivery, ReplayPart, Webhook};
use son7shop_engine::{CURRENCY, OrderId, OrderView, ProductView, SaleTerms, Time};
use std::fmt;
use std::io::Write;

/// Room for an order of one line.
const ORDER_BYTES: usize = 384;

/// An order.
pub(super) fn order(order: &OrderView) -> Vec<u8> {
    let mut json = Json(Vec::with_capacity(ORDER_BYTES));
    json.order(order);
    json.0
}

/// A product, and which of its bytes are the sale.
pub(super) fn product(product: &ProductView) -> (Vec<u8>, std::ops::Range<usize>) {
    let mut json = Json(Vec::with_capacity(ORDER_BYTES));
    let sale = json.product(product);
    (json.0, sale)
}

/// A page of orders.
pub(super) fn orders(orders: &[OrderView], next_cursor: Option<&str>) -> Vec<u8> {
    page("orders", orders, next_cursor, Json::order)
}

/// A page of products.
pub(super) fn products(products: &[ProductView], next_cursor: Option<&str>) -> Vec<u8> {
    page("products", products, next_cursor, |json, product| {
        json.product(product);
    })
}

/// A webhook, with its secret where it is to be shown.
pub(super) fn webhook(webhook: &Webhook, secret: Option<&str>) -> Vec<u8> {
    let mut json = Json(Vec::with_capacity(ORDER_BYTES));
    json.webhook(webhook, secret);
    json.0
}

/// All webhooks.
pub(super) fn webhooks(webhooks: &[Webhook]) -> Vec<u8> {
    let mut json = Json(Vec::with_capacity(64 + webhooks.len() * ORDER_BYTES));
    json.raw("{\"webhooks\":[");
    for (at, webhook) in webhooks.iter().enumerate() {
        json.raw(if at == 0 { "" } else { "," }).webhook(webhook, None);
    }
    json.raw("]}");
    json.0
}

/// A page of a delivery log.
pub(super) fn deliveries(deliveries: &[Delivery], next_cursor: Option<&str>) -> Vec<u8> {
    page("deliveries", deliveries, next_cursor, Json::delivery)
}

/// What a replay reads again.
pub(super) fn replay(parts: &[ReplayPart]) -> Vec<u8> {
    let mut json = Json(Vec::new());
    json.raw("{\"partitions\":[");
    for (at, part) in parts.iter().enumerate() {
        json.raw(if at == 0 { "{\"partition\":" } else { ",{\"partition\":" }).units(part.partition.into());
        json.raw(",\"until_lsn\":").units(part.until.0).raw("}");
    }
    json.raw("]}");
    json.0
}

/// A message that only tries a webhook.
pub(super) fn ping(message: &str) -> Vec<u8> {
    let mut json = Json(Vec::new());
    json.raw("{\"message\":").text(message).raw("}");
    json.0
}

fn page<T>(name: &str, items: &[T], next_cursor: Option<&str>, write: impl Fn(&mut Json, &T)) -> Vec<u8> {
    let mut json = Json(Vec::with_capacity(64 + items.len() * ORDER_BYTES));
    json.raw("{\"").raw(name).raw("\":[");
    for (at, item) in items.iter().enumerate() {
        json.raw(if at == 0 { "" } else { "," });
        write(&mut json, item);
    }
    json.raw("],\"next_cursor\":");
    match next_cursor {
        // A cursor is base64url: nothing to escape.
        Some(cursor) => json.raw("\"").raw(cursor).raw("\"}"),
        None => json.raw("null}"),
    };
    json.0
}

/// JSON in the making.
struct Json(Vec<u8>);

impl Json {
    fn order(&mut self, order: &OrderView) {
        self.raw("{\"id\":\"").id(order.id);
        // Ids hold letters, digits and a few signs: nothing to escape.
        self.raw("\",\"customer\":\"").raw(order.customer.as_str());
        self.raw("\",\"status\":\"").raw(order.status.as_str()).raw("\",\"lines\":[");
        for (at, line) in order.lines.iter().enumerate() {
            self.raw(if at == 0 { "{\"sku\":\"" } else { ",{\"sku\":\"" }).raw(line.sku.as_str());
            self.raw("\",\"quantity\":").number(line.quantity.into());
            self.raw(",\"unit_price\":").number(line.unit_price.0).raw("}");
        }
        self.raw("],\"total\":").number(order.total.0);
        self.raw(",\"currency\":\"").raw(CURRENCY);
        self.raw("\",\"placed_at\":").time(order.placed_at);
        self.raw(",\"expires_at\":").time(order.deadline);
        if let Some(ended_at) = order.ended_at {
            self.raw(",\"ended_at\":").time(ended_at);
        }
        if let Some(payment) = &order.payment {
            // Writing a value into memory cannot fail.
            _ = write!(self.raw(",\"payment\":").0, "{}", shown::payment(payment));
        }
        self.raw("}");
    }

    fn product(&mut self, product: &ProductView) -> std::ops::Range<usize> {
        self.raw("{\"sku\":\"").raw(product.sku.as_str()).raw("\",\"name\":").text(&product.name);
        self.raw(",\"price\":").number(product.price.0).raw(",\"currency\":\"").raw(CURRENCY);
        let stock = &product.stock;
        self.raw("\",\"stock\":{\"on_hand\":").units(stock.on_hand()).raw(",\"held\":").units(stock.held);
        self.raw(",\"sold\":").units(stock.sold).raw(",\"available\":").units(stock.available()).raw("},\"sale\":");
        let from = self.0.len();
        match &product.sale {
            Some(sale) => self.sale(sale),
            None => _ = self.raw("null"),
        }
        let sale = from..self.0.len();
        self.raw("}");
        sale
    }

    fn sale(&mut self, sale: &SaleTerms) {
        self.raw("{\"opens_at\":").time(sale.opens_at).raw(",\"closes_at\":").time(sale.closes_at);
        self.raw(",\"price\":").number(sale.price.0);
        self.raw(",\"per_customer_limit\":").number(sale.per_customer_limit.into()).raw("}");
    }

    fn webhook(&mut self, webhook: &Webhook, secret: Option<&str>) {
        self.raw("{\"id\":").text(&webhook.id).raw(",\"url\":").text(&webhook.url).raw(",\"events\":[");
        for (at, event) in webhook.events.iter().enumerate() {
            self.raw(if at == 0 { "" } else { "," }).text(event);
        }
        self.raw("],\"description\":").text(&webhook.description);
        self.raw(",\"disabled\":").raw(if webhook.disabled.is_some() { "true" } else { "false" });
        if let Some(by) = webhook.disabled {
            self.raw(",\"disabled_by\":").text(by.as_str());
        }
        self.raw(",\"created_at\":").time(webhook.created_at).raw(",\"waiting\":").units(webhook.waiting);
        if let Some(since) = webhook.oldest_waiting_since {
            self.raw(",\"oldest_waiting_since\":").time(since);
        }
        if let Some(secret) = secret {
            self.raw(",\"secret\":").text(secret);
        }
        self.raw("}");
    }

    fn delivery(&mut self, delivery: &Delivery) {
        self.raw("{\"message\":").text(&delivery.message).raw(",\"event\":").text(&delivery.event);
        self.raw(",\"attempt\":").units(delivery.attempt.into()).raw(",\"at\":").time(Time(delivery.at));
        self.raw(",\"outcome\":").text(delivery.outcome.as_str());
        if let Some(status) = delivery.status {
            self.raw(",\"status\":").units(status.into());
        }
        if let Some(error) = &delivery.error {
            self.raw(",\"error\":").text(error);
        }
        self.raw(",\"duration_ms\":").units(delivery.millis);
        if let Some(next_try) = delivery.next_try {
            self.raw(",\"next_try\":").time(Time(next_try));
        }
        self.raw("}");
    }

    fn raw(&mut self, text: &str) -> &mut Self {
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    /// A text that may need escaping, with its quotes.
    fn text(&mut self, text: &str) -> &mut Self {
        // Writing a text into memory cannot fail.
        _ = serde_json::to_writer(&mut self.0, text);
        self
    }

    fn id(&mut self, id: OrderId) {
        self.shown(id);
    }

    fn number(&mut self, number: i64) -> &mut Self {
        // Writing a number into memory cannot fail.
        _ = serde_json::to_writer(&mut self.0, &number);
        self
    }

    fn units(&mut self, units: u64) -> &mut Self {
        _ = serde_json::to_writer(&mut self.0, &units);
        self
    }

    fn time(&mut self, time: Time) -> &mut Self {
        self.0.push(b'"');
        self.0.extend_from_slice(&clock::text(time));
        self.0.push(b'"');
        self
    }

    fn shown(&mut self, value: impl fmt::Display) {
        _ = write!(self.0, "{value}");
    }
}
