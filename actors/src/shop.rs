//! The face of this crate: verbs for callers, never a mailbox.

use crate::calls::{self, Gates, decide, decide_for, read};
use crate::database::Database;
use crate::gate::Gate;
use crate::keys::KeyIndex;
use crate::owner::{Caller, Reply};
use crate::webhooks::Hooks;
use crate::{Payments, ShopError, clock};
use actix::ArbiterHandle;
use compact_str::CompactString;
use son7shop_engine::{
    Answer, Basket, Command, CustomerId, LineRequest, OrderId, OrderStatus, OrderView, Outcome, PartitionId,
    PlaceOrder, ProductView, Refusal, RequestKey, Requester, SaleTerms, Sku, Won, partition_of,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// How often an order id is drawn anew when it is taken.
const DRAWS_MAX: u32 = 3;

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

/// Whether the shop serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// Every partition serves.
    Ready,
    /// The shop ends: it answers what was accepted.
    Draining,
    /// Not now, and why.
    NotReady(String),
}

/// The shop: every partition's owner, and what stands behind them. Cheap to clone.
#[derive(Clone)]
pub struct Shop {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) gates: Gates,
    pub(crate) keys: Arc<KeyIndex>,
    pub(crate) database: Arc<Database>,
    pub(crate) payments: Arc<Payments>,
    pub(crate) arbiters: Vec<ArbiterHandle>,
    pub(crate) hold_millis: i64,
    /// Order ids drawn, from a random start.
    pub(crate) drawn: AtomicU64,
    pub(crate) draining: AtomicBool,
    pub(crate) hooks: Arc<Hooks>,
    pub(crate) running: crate::open::Running,
}

impl Shop {
    /// How many partitions the data folder was made with.
    #[must_use]
    pub fn partitions(&self) -> u16 {
        u16::try_from(self.inner.gates.len()).unwrap_or(u16::MAX)
    }

    /// The data plane: one handle for each arbiter, on which accept loops are spawned
    /// (`handle.spawn_fn(|| { tokio::task::spawn_local(..); })`).
    #[must_use]
    pub fn arbiters(&self) -> &[ArbiterHandle] {
        &self.inner.arbiters
    }

    /// Sets units aside for a customer.
    pub async fn place_order(
        &self,
        customer: CustomerId,
        key: RequestKey,
        lines: Vec<LineRequest>,
    ) -> Result<Done<OrderView>, ShopError> {
        let basket = Basket::new(lines, self.partitions()).ok_or(ShopError::EmptyOrder)?;
        let mut place = PlaceOrder {
            id: self.inner.draw_order_id(basket.home),
            customer,
            key,
            lines: basket.lines,
            parts: basket.parts,
            hold_millis: self.inner.hold_millis,
        };
        for _ in 0..DRAWS_MAX {
            match self.try_place(basket.home, place.clone()).await {
                Ok(Outcome::Refused(Refusal::OrderIdTaken)) => place.id = self.inner.draw_order_id(basket.home),
                reply => return done(reply, order_view),
            }
        }
        Err(ShopError::Refused(Refusal::OrderIdTaken))
    }

    async fn try_place(&self, home: PartitionId, place: PlaceOrder) -> Reply {
        let home = self.gate(home)?;
        if self.inner.draining.load(Ordering::Relaxed) {
            return Err(home.closed());
        }
        let (partition, running) = self.inner.keys.begin(place.key, home.id())?;
        let gate = self.gate(partition)?;
        let credit = match gate.credit() {
            Ok(credit) => credit,
            Err(error) => {
                if let Some(running) = running {
                    running.end(false);
                }
                return Err(error);
            }
        };
        let (caller, answer) = Caller::new(Some(credit), running);
        calls::place(&self.inner.gates, gate, place, caller, answer).await
    }

    /// Ends a held order and gives its units back.
    pub async fn cancel_order(&self, order: OrderId, by: Requester) -> Result<OrderView, ShopError> {
        let command = Command::CancelOrder { order, by: by.clone() };
        self.end_order(order, by, command, OrderStatus::Cancelled).await
    }

    /// Sells a held order's units: it was paid by other means.
    pub async fn confirm_order(&self, order: OrderId) -> Result<OrderView, ShopError> {
        self.end_order(order, Requester::Admin, Command::ConfirmOrder { order }, OrderStatus::Confirmed).await
    }

    async fn end_order(
        &self,
        order: OrderId,
        by: Requester,
        command: Command,
        wanted: OrderStatus,
    ) -> Result<OrderView, ShopError> {
        let home = self.home(order)?;
        match done(decide(home, command).await, order_view) {
            // The owner may have forgotten it: then it ended long ago, and the database knows how.
            Err(ShopError::Refused(Refusal::UnknownOrder { .. })) => {
                let view = self.forgotten_order(order, &by).await?;
                let status = view.status;
                if status == wanted { Ok(view) } else { Err(Refusal::WrongState { status }.into()) }
            }
            answer => answer.map(|done| done.value),
        }
    }

    /// An order: from its owner until the database has it.
    pub async fn order(&self, order: OrderId, by: Requester) -> Result<OrderView, ShopError> {
        match read(self.home(order)?, move |owner| owner.order(order)).await? {
            Some(view) if by.may_see(&view.customer) => Ok(view),
            Some(_) => Err(Refusal::UnknownOrder { order }.into()),
            None => self.forgotten_order(order, &by).await,
        }
    }

    pub(crate) async fn forgotten_order(&self, order: OrderId, by: &Requester) -> Result<OrderView, ShopError> {
        let row = self
            .inner
            .database
            .read(move |store| async move { store.order(order).await })
            .await
            .map_err(ShopError::from_store)?;
        row.filter(|view| by.may_see(&view.customer)).ok_or_else(|| Refusal::UnknownOrder { order }.into())
    }

    /// Starts selling a product.
    pub async fn create_product(&self, product: NewProduct) -> Result<Done<ProductView>, ShopError> {
        let NewProduct { sku, name, price, on_hand, key } = product;
        let home = partition_of(&sku, self.partitions());
        self.keyed(home, key, Command::CreateProduct { sku, name, price, on_hand, key }).await
    }

    /// Adds units (or takes out: a negative delta).
    pub async fn adjust_stock(
        &self,
        sku: Sku,
        delta: i64,
        reason: CompactString,
        key: RequestKey,
    ) -> Result<Done<ProductView>, ShopError> {
        let home = partition_of(&sku, self.partitions());
        self.keyed(home, Some(key), Command::AdjustStock { sku, delta, reason, key }).await
    }

    async fn keyed(
        &self,
        home: PartitionId,
        key: Option<RequestKey>,
        command: Command,
    ) -> Result<Done<ProductView>, ShopError> {
        let (partition, running) = match key {
            Some(key) => self.inner.keys.begin(key, home)?,
            None => (home, None),
        };
        let (caller, answer) = Caller::new(None, running);
        done(decide_for(self.gate(partition)?, command, caller, answer).await, product_view)
    }

    /// Puts a product on sale or changes its sale.
    pub async fn set_sale(&self, sku: Sku, terms: SaleTerms) -> Result<ProductView, ShopError> {
        let gate = self.owner_of(&sku)?;
        done(decide(gate, Command::SetSale { sku, terms }).await, product_view).map(|done| done.value)
    }

    /// Ends a product's sale.
    pub async fn delete_sale(&self, sku: Sku) -> Result<ProductView, ShopError> {
        let gate = self.owner_of(&sku)?;
        done(decide(gate, Command::DeleteSale { sku }).await, product_view).map(|done| done.value)
    }

    /// A product with its stock.
    pub async fn product(&self, sku: Sku) -> Result<ProductView, ShopError> {
        let gate = self.owner_of(&sku)?;
        let wanted = sku.clone();
        let found = read(gate, move |owner| owner.product(&wanted)).await?;
        found.ok_or_else(|| Refusal::UnknownProduct { sku }.into())
    }

    /// Up to `limit` products after `after`, by sku, over all partitions.
    pub async fn products(&self, after: Option<Sku>, limit: u32) -> Result<Vec<ProductView>, ShopError> {
        let mut products = Vec::new();
        for gate in self.inner.gates.iter() {
            let after = after.clone();
            products.extend(read(gate, move |owner| owner.products_after(after.as_ref(), limit as usize)).await?);
        }
        products.sort_unstable_by(|a: &ProductView, b| a.sku.cmp(&b.sku));
        products.truncate(limit as usize);
        Ok(products)
    }

    /// Whether every partition serves and nothing drains.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        if self.inner.draining.load(Ordering::Relaxed) {
            return Readiness::Draining;
        }
        match self.inner.gates.iter().find(|gate| !gate.serves()) {
            Some(gate) => Readiness::NotReady(gate.closed().to_string()),
            None => Readiness::Ready,
        }
    }

    pub(crate) fn gate(&self, partition: PartitionId) -> Result<&Arc<Gate>, ShopError> {
        let unknown = || ShopError::PartitionClosed { partition, why: "not one of this shop's".to_owned() };
        calls::gate(&self.inner.gates, partition).ok_or_else(unknown)
    }

    fn owner_of(&self, sku: &Sku) -> Result<&Arc<Gate>, ShopError> {
        self.gate(partition_of(sku, self.partitions()))
    }

    /// The gate of an order's home; an id that names no partition names no order.
    pub(crate) fn home(&self, order: OrderId) -> Result<&Arc<Gate>, ShopError> {
        calls::gate(&self.inner.gates, order.home()).ok_or_else(|| Refusal::UnknownOrder { order }.into())
    }
}

impl Inner {
    /// A new id, distinct in this process but for the few bits that a UUID keeps for itself
    /// (the owner refuses an id that is taken): a counter that starts
    /// somewhere random, mixed by the finaliser of SplitMix64.
    fn draw_order_id(&self, home: PartitionId) -> OrderId {
        let mut drawn = self.drawn.fetch_add(1, Ordering::Relaxed);
        drawn = (drawn ^ (drawn >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        drawn = (drawn ^ (drawn >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        OrderId::new(clock::now(), drawn ^ (drawn >> 31), home)
    }
}

/// An outcome as its caller wants it.
fn done<T>(reply: Reply, view: impl Fn(Answer) -> Option<T>) -> Result<Done<T>, ShopError> {
    let (answer, repeated) = match reply? {
        Outcome::Accepted(answer) => (answer, false),
        Outcome::Repeated(answer) => (answer, true),
        Outcome::Refused(refusal) => return Err(refusal.into()),
    };
    // An answer of another kind would be an owner's defect: its outcome is not known here.
    view(answer).map(|value| Done { value, repeated }).ok_or(ShopError::OutcomeUnknown)
}

fn order_view(answer: Answer) -> Option<OrderView> {
    match answer {
        Answer::Order(order) => Some(order),
        _ => None,
    }
}

fn product_view(answer: Answer) -> Option<ProductView> {
    match answer {
        Answer::Product(product) => Some(product),
        _ => None,
    }
}
