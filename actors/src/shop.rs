//! The face of this crate: verbs for callers, never a mailbox.

use crate::{OpenError, Settings, ShopError};
use actix::ArbiterHandle;
use compact_str::CompactString;
use son7shop_engine::{
    CustomerId, LineRequest, OrderId, OrderView, ProductView, RequestKey, Requester, SaleTerms, Sku, Time, Won,
};
use std::sync::Arc;

/// An accepted call, or one that had been accepted before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done<T> {
    /// What it led to.
    pub value: T,
    /// Whether an earlier call under the same key had done it.
    pub repeated: bool,
}

/// A product to sell.
#[derive(Debug, Clone)]
pub struct NewProduct {
    /// Its name in every call.
    pub sku: Sku,
    /// Its name for people.
    pub name: CompactString,
    /// The unit price.
    pub price: Won,
    /// Units in the shop.
    pub on_hand: u64,
    /// The idempotency key, where one was sent.
    pub key: Option<RequestKey>,
}

/// One page of orders, newest first.
#[derive(Debug, Clone)]
pub struct OrdersPage {
    /// The orders.
    pub orders: Vec<OrderView>,
    /// Where the next page begins, if there is one: the last order's (placed_at, id).
    pub next: Option<(Time, OrderId)>,
}

/// Whether the shop serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// Every partition serves.
    Ready,
    /// Not now, and why.
    NotReady(String),
}

/// The shop: every partition's owner, and what stands behind them. Cheap to clone.
#[derive(Clone)]
pub struct Shop(Arc<()>);

#[allow(unused_variables, clippy::unused_async, clippy::todo)]
impl Shop {
    /// Recovers every partition and opens the database; serves when it returns. Blocks
    /// the calling thread for as long as the journals are; logs its progress.
    pub async fn open(settings: Settings) -> Result<Self, OpenError> {
        todo!()
    }

    /// The data plane: one handle for each arbiter, on which accept loops are spawned
    /// (`handle.spawn_fn(|| { tokio::task::spawn_local(..); })`).
    pub fn arbiters(&self) -> &[ArbiterHandle] {
        todo!()
    }

    /// Sets units aside for a customer.
    pub async fn place_order(
        &self,
        customer: CustomerId,
        key: RequestKey,
        lines: Vec<LineRequest>,
    ) -> Result<Done<OrderView>, ShopError> {
        todo!()
    }

    /// Ends a held order and gives its units back.
    pub async fn cancel_order(&self, order: OrderId, by: Requester) -> Result<OrderView, ShopError> {
        todo!()
    }

    /// Sells a held order's units: it was paid by other means.
    pub async fn confirm_order(&self, order: OrderId) -> Result<OrderView, ShopError> {
        todo!()
    }

    /// An order: from its owner until the database has it.
    pub async fn order(&self, order: OrderId, by: Requester) -> Result<OrderView, ShopError> {
        todo!()
    }

    /// Orders, newest first by (placed_at, id), below `after`; `of`: only this customer's.
    pub async fn orders(
        &self,
        of: Option<CustomerId>,
        after: Option<(Time, OrderId)>,
        limit: u32,
    ) -> Result<OrdersPage, ShopError> {
        todo!()
    }

    /// Starts selling a product.
    pub async fn create_product(&self, product: NewProduct) -> Result<Done<ProductView>, ShopError> {
        todo!()
    }

    /// Adds units (or takes out: a negative delta).
    pub async fn adjust_stock(
        &self,
        sku: Sku,
        delta: i64,
        reason: CompactString,
        key: RequestKey,
    ) -> Result<Done<ProductView>, ShopError> {
        todo!()
    }

    /// Puts a product on sale or changes its sale; `only_if` sees the product first
    /// (`If-Match`): refusing there changes nothing.
    pub async fn set_sale(&self, sku: Sku, terms: SaleTerms) -> Result<ProductView, ShopError> {
        todo!()
    }

    /// Ends a product's sale.
    pub async fn delete_sale(&self, sku: Sku) -> Result<ProductView, ShopError> {
        todo!()
    }

    /// A product with its stock.
    pub async fn product(&self, sku: Sku) -> Result<ProductView, ShopError> {
        todo!()
    }

    /// Up to `limit` products after `after`, by sku, over all partitions.
    pub async fn products(&self, after: Option<Sku>, limit: u32) -> Result<Vec<ProductView>, ShopError> {
        todo!()
    }

    /// Whether every partition serves and nothing drains.
    pub fn readiness(&self) -> Readiness {
        todo!()
    }

    /// Stops taking orders, answers what was accepted, flushes, lets write-behind finish
    /// within `deadline`, and ends the arbiters.
    pub async fn close(&self, deadline: std::time::Duration) {
        todo!()
    }
}
