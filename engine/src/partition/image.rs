//! A partition as a snapshot keeps it. Equal states give equal bytes, whatever the maps'
//! seeds were: everything is in a fixed order.

use super::{Gone, Partition, ProductKey};
use crate::Lsn;
use crate::attempt::Payment;
use crate::ids::{CustomerId, OrderId, PartitionId, Sku};
use crate::money::Won;
use crate::order::{Order, Part};
use crate::product::{Product, Sale, SaleTerms, Stock, Taken};
use crate::time::Time;
use compact_str::CompactString;
use serde::{Deserialize, Serialize};

/// A partition's whole state, ready to be written or just read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionImage {
    id: PartitionId,
    lsn: Lsn,
    time: Time,
    sales: u32,
    /// In the order in which they were created: lines name products by this index.
    products: Vec<ProductImage>,
    /// By id.
    orders: Vec<Order>,
    /// By order.
    parts: Vec<(OrderId, Part)>,
    /// Keys of products and adjustments, by key; an order has its own key.
    keys: Vec<ProductKey>,
    ended: Vec<(Time, Lsn, Gone)>,
    /// Carried on, so that a snapshot does not hide that its journal was wrong.
    misfit: Option<Lsn>,
    /// By order. Last: an image of format 1 ends before it.
    payments: Vec<(OrderId, Box<Payment>)>,
}

/// What a partition was pictured as before orders were paid: format 1 of snapshots.
#[derive(Debug, Deserialize)]
pub struct ImageBeforePayments {
    id: PartitionId,
    lsn: Lsn,
    time: Time,
    sales: u32,
    products: Vec<ProductImage>,
    orders: Vec<Order>,
    parts: Vec<(OrderId, Part)>,
    keys: Vec<ProductKey>,
    ended: Vec<(Time, Lsn, Gone)>,
    misfit: Option<Lsn>,
}

impl From<ImageBeforePayments> for PartitionImage {
    fn from(before: ImageBeforePayments) -> Self {
        let ImageBeforePayments { id, lsn, time, sales, products, orders, parts, keys, ended, misfit } = before;
        Self { id, lsn, time, sales, products, orders, parts, keys, ended, misfit, payments: Vec::new() }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct ProductImage {
    sku: Sku,
    name: CompactString,
    price: Won,
    stock: Stock,
    sale: Option<SaleImage>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct SaleImage {
    number: u32,
    terms: SaleTerms,
    /// By customer.
    taken: Vec<(CustomerId, u32)>,
}

impl PartitionImage {
    /// The partition that was pictured.
    #[must_use]
    pub const fn id(&self) -> PartitionId {
        self.id
    }

    /// The position of the last event in it.
    #[must_use]
    pub const fn lsn(&self) -> Lsn {
        self.lsn
    }

    /// The partition again; `seed` as in [`Partition::new`].
    #[must_use]
    pub fn restore(self, seed: u64) -> Partition {
        let mut partition = Partition::new(self.id, seed);
        partition.lsn = self.lsn;
        partition.time = self.time;
        partition.sales = self.sales;
        for product in self.products {
            partition.insert_product(product.restore(seed));
        }
        for order in self.orders {
            partition.insert_order(order);
        }
        for (id, part) in self.parts {
            partition.insert_part(id, part);
        }
        for (id, payment) in self.payments {
            payment.steps().for_each(|(step, open)| partition.index_step(id, step, open));
            partition.payments.insert(id, payment);
        }
        for used in self.keys {
            partition.insert_product_key(used);
        }
        let refused = self.ended.iter().filter_map(|(_, _, gone)| match gone {
            Gone::Refused(id) => Some((*id, ())),
            Gone::Order(_) | Gone::Part(_) | Gone::Key(_) | Gone::Restocked(..) => None,
        });
        partition.refused.extend(refused);
        let restocked = self.ended.iter().filter_map(|(_, _, gone)| match gone {
            Gone::Restocked(id, refund) => Some((*id, *refund)),
            _ => None,
        });
        partition.restocked.extend(restocked);
        partition.ended = self.ended.into();
        partition.misfit = self.misfit;
        partition
    }
}

impl ProductImage {
    fn restore(self, seed: u64) -> Product {
        let sale = self.sale.map(|sale| {
            let mut taken = Taken::new(seed);
            sale.taken.iter().for_each(|(customer, units)| taken.add(customer, *units));
            Box::new(Sale { number: sale.number, terms: sale.terms, taken })
        });
        Product { sku: self.sku, name: self.name, price: self.price, stock: self.stock, sale }
    }
}

impl Partition {
    /// The whole state, in a fixed order.
    #[must_use]
    pub fn image(&self) -> PartitionImage {
        let mut orders: Vec<Order> = self.orders.iter().cloned().collect();
        orders.sort_unstable_by_key(|order| order.id);
        let mut parts: Vec<(OrderId, Part)> = self.parts.iter().map(|(id, part)| (*id, part.clone())).collect();
        parts.sort_unstable_by_key(|(id, _)| *id);
        let mut keys: Vec<ProductKey> = self.product_keys.iter().cloned().collect();
        keys.sort_unstable_by_key(|used| used.key.key);
        PartitionImage {
            id: self.id,
            lsn: self.lsn,
            time: self.time,
            sales: self.sales,
            products: self.products.iter().map(product_image).collect(),
            orders,
            parts,
            keys,
            ended: self.ended.iter().copied().collect(),
            misfit: self.misfit,
            payments: self.payments.iter().map(|(id, payment)| (*id, payment.clone())).collect(),
        }
    }
}

fn product_image(product: &Product) -> ProductImage {
    let sale = product.sale.as_ref().map(|sale| {
        let mut taken: Vec<_> = sale.taken.iter().cloned().collect();
        taken.sort_unstable();
        SaleImage { number: sale.number, terms: sale.terms, taken }
    });
    ProductImage {
        sku: product.sku.clone(),
        name: product.name.clone(),
        price: product.price,
        stock: product.stock,
        sale,
    }
}
