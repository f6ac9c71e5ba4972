//! Answers as JSON, written straight into one buffer. What is written here is described
//! for readers by the schemas in `schema.rs`; the fuzzer holds live answers against them.

use super::clock;
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
