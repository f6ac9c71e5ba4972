//! Verifying: what the journal says, replayed, against what the database says.
//!
//! Reads only, and needs no lock: it may run beside a serving shop, once write-behind has
//! nothing left to carry. It must never repair anything.

use crate::differences;
use crate::gateway_check::{self, Ask};
use crate::upkeep::REMEMBER_MILLIS;
use crate::{OpenError, Settings};
use son7shop_engine::{OrderId, OrderStatus, OrderView, Partition, PartitionId, ProductView, Sku, Time, invariants};
use son7shop_persistence::journal::{DataFolder, Position, Storage, inspect};
use son7shop_persistence::store::{self, AuditRow, ProductRow, as_stored, order_as_stored};
use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;

/// The most differences that are kept; the rest is counted.
const DIFFERENCES_MAX: usize = 1000;

/// What verifying found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// Partitions replayed.
    pub partitions: usize,
    /// Products compared.
    pub products: usize,
    /// Orders compared.
    pub orders: usize,
    /// Attempts at paying them.
    pub attempts: usize,
    /// Refunds of them.
    pub refunds: usize,
    /// Payments that the gateway was asked for.
    pub asked: usize,
    /// Those of them where the gateway is ahead of the shop, with a step open that will find out.
    pub under_way: usize,
    /// Those of them of which the gateway did not say where they stand, for people.
    pub unanswered: Vec<String>,
    /// Where journal and database differ, for people; at most a thousand.
    pub differences: Vec<String>,
    /// Differences over those that are kept.
    pub more: usize,
}

/// Replays every partition's journal and compares it with the database; with the gateway's records, too, if
/// `gateway` says so.
pub async fn verify(settings: &Settings, storage: Arc<dyn Storage>, gateway: bool) -> Result<Verified, OpenError> {
    let path = settings.data_dir.clone();
    let replayed = tokio::task::spawn_blocking(move || replay_all(storage, &path))
        .await
        .map_err(|error| OpenError::new("replaying the journal", error))??;
    let store = store::connect(&settings.database_url);
    let store = store.await.map_err(|error| OpenError::new("opening the database", error))?;
    let mut comparison = Comparison { gateway, ..Comparison::new(replayed) };
    let audited = store
        .audit(&mut |row| {
            comparison.row(row);
            ControlFlow::Continue(())
        })
        .await;
    audited.map_err(|error| OpenError::new("reading the database", error))?;
    store.close().await;
    comparison.end();
    let compared = gateway_check::compare(&settings.payments, std::mem::take(&mut comparison.asks)).await;
    for difference in compared.differences {
        comparison.differ(difference);
    }
    let (asked, under_way, unanswered) = (compared.asked, compared.under_way, compared.unanswered);
    Ok(Verified { asked, under_way, unanswered, ..comparison.found })
}

fn replay_all(storage: Arc<dyn Storage>, path: &std::path::Path) -> Result<Vec<(Partition, Position)>, OpenError> {
    let context = || format!("replaying the journal in {}", path.display());
    let folder = DataFolder::look(storage, path).map_err(|error| OpenError::new(context(), error))?;
    folder
        .all()
        .map(|folder| {
            let replayed = inspect::replay(&folder, 0, &mut |_| {});
            let (partition, position, _) = replayed.map_err(|error| OpenError::new(context(), error))?;
            Ok((partition, position))
        })
        .collect()
}

/// What the journal says, and what of it the database has shown.
struct Comparison {
    partitions: Vec<(Partition, Position)>,
    positions: HashMap<PartitionId, Position>,
    products: HashSet<Sku>,
    orders: HashSet<OrderId>,
    /// Whether the gateway is asked.
    gateway: bool,
    asks: Vec<Ask>,
    found: Verified,
}

impl Comparison {
    fn new(partitions: Vec<(Partition, Position)>) -> Self {
        let found = Verified { partitions: partitions.len(), ..Verified::default() };
        let (positions, products, orders) = (HashMap::new(), HashSet::new(), HashSet::new());
        Self { partitions, positions, products, orders, gateway: false, asks: Vec::new(), found }
    }

    fn differ(&mut self, difference: String) {
        if self.found.differences.len() < DIFFERENCES_MAX {
            self.found.differences.push(difference);
        } else {
            self.found.more += 1;
        }
    }

    fn partition(&self, id: PartitionId) -> Option<&Partition> {
        self.partitions.get(usize::from(id.0)).map(|(partition, _)| partition)
    }

    fn row(&mut self, row: AuditRow) {
        match row {
            AuditRow::Position(partition, position) => drop(self.positions.insert(partition, position)),
            AuditRow::Product(row) => self.product(&row),
            AuditRow::Order(row) => self.order(&row),
        }
    }

    fn product(&mut self, row: &ProductRow) {
        self.found.products += 1;
        self.products.insert(row.sku.clone());
        let in_database = ProductView {
            sku: row.sku.clone(),
            name: row.name.as_str().into(),
            price: row.price,
            stock: row.stock,
            sale: row.sale.map(|sale| sale.terms),
        };
        let mut in_journal = self.partition(row.partition).and_then(|partition| partition.product(&row.sku));
        if let Some(terms) = in_journal.as_mut().and_then(|product| product.sale.as_mut()) {
            terms.opens_at = as_stored(terms.opens_at);
            terms.closes_at = as_stored(terms.closes_at);
        }
        if in_journal.as_ref() != Some(&in_database) {
            self.differ(format!("product {}: journal {in_journal:?}, database {in_database:?}", row.sku));
        }
    }

    /// The gateway is to be asked for the order's payments, as the journal has them where it still has them.
    fn ask(&mut self, order: &OrderView) {
        if self.gateway {
            self.asks.extend(gateway_check::asks_of(order));
        }
    }

    fn order(&mut self, in_database: &OrderView) {
        self.found.orders += 1;
        if let Some(payment) = &in_database.payment {
            self.found.attempts += payment.attempts.len();
            self.found.refunds += payment.refunds.len();
        }
        let id = in_database.id;
        let in_journal = self.partition(id.home()).and_then(|partition| partition.order(id));
        self.ask(in_journal.as_ref().unwrap_or(in_database));
        self.orders.insert(id);
        for difference in differences::of_sums(in_database) {
            self.differ(difference);
        }
        let Some(partition) = self.partition(id.home()) else {
            return self.differ(format!("order {id}: its home is no partition of this shop"));
        };
        if in_database.status == OrderStatus::Opening {
            if !partition.is_opening(id) {
                self.differ(format!("order {id}: opening in the database, not in the journal"));
            }
            return;
        }
        match in_journal {
            Some(in_journal) => {
                for difference in differences::of_order(&order_as_stored(in_journal), in_database) {
                    self.differ(difference);
                }
            }
            None if may_be_forgotten(in_database, partition.time()) => {}
            None => self.differ(format!("order {id}: in the database, not in the journal")),
        }
    }

    /// What the database has not shown.
    fn end(&mut self) {
        for (partition, position) in std::mem::take(&mut self.partitions) {
            let id = partition.id();
            match self.positions.get(&id).copied() {
                Some(database) if database == position => {}
                None if position.lsn.0 == 0 => {}
                database => self.differ(format!("partition {id}: journal at {position:?}, database at {database:?}")),
            }
            if let Err(violation) = invariants::check(&partition) {
                self.differ(format!("partition {id}: invariant {violation}"));
            }
            let mut missing: Vec<String> = Vec::new();
            let products = partition.products_after(None, usize::MAX);
            missing.extend(
                products
                    .iter()
                    .filter(|product| !self.products.contains(&product.sku))
                    .map(|product| format!("product {}: in the journal, not in the database", product.sku)),
            );
            let orders: Vec<OrderView> = partition.orders().filter(|order| !self.orders.contains(&order.id)).collect();
            for order in &orders {
                missing.push(format!("order {}: in the journal, not in the database", order.id));
                self.ask(order);
            }
            for difference in missing {
                self.differ(difference);
            }
        }
    }
}

/// Whether the journal may have forgotten the order.
fn may_be_forgotten(order: &OrderView, now: Time) -> bool {
    order.ended_at.is_some_and(|ended| ended.plus_millis(REMEMBER_MILLIS) <= now)
}
