//! The invariants, computed from the partition's own state.

use super::decide::holder;
use super::{KeyUse, Partition};
use crate::invariants::Violation;
use crate::order::{Line, Order, OrderStatus, PartStatus};
use std::cmp::Reverse;
use std::collections::BTreeSet;

/// What the remembered orders and parts took of one product.
#[derive(Clone, Copy, Default)]
struct Ordered {
    held: u64,
    sold: u64,
    in_sale: u64,
}

impl Partition {
    pub(crate) fn check_stock(&self) -> Result<(), Violation> {
        let ordered = self.ordered();
        for (product, ordered) in self.products.iter().zip(ordered) {
            let (sku, stock) = (product.sku.clone(), product.stock);
            if stock.held.checked_add(stock.sold).is_none_or(|taken| taken > stock.supplied) {
                let (supplied, held, sold) = (stock.supplied, stock.held, stock.sold);
                return Err(Violation::Conservation { sku, supplied, held, sold });
            }
            if stock.held != ordered.held {
                return Err(Violation::Holds { sku, held: stock.held, ordered: ordered.held });
            }
            if stock.sold < ordered.sold {
                return Err(Violation::Sold { sku, sold: stock.sold, ordered: ordered.sold });
            }
            let counted =
                product.sale.as_ref().map_or(0, |sale| sale.taken.iter().map(|(_, units)| u64::from(*units)).sum());
            if counted < ordered.in_sale {
                return Err(Violation::Limits { sku, counted, ordered: ordered.in_sale });
            }
        }
        Ok(())
    }

    fn ordered(&self) -> Vec<Ordered> {
        let mut sums = vec![Ordered::default(); self.products.len()];
        let mut add = |line: &Line, held: bool| {
            let sum = &mut sums[line.product as usize];
            let units = u64::from(line.quantity);
            *(if held { &mut sum.held } else { &mut sum.sold }) += units;
            let sale = self.products[line.product as usize].sale.as_ref();
            if sale.is_some_and(|sale| sale.number == line.sale) {
                sum.in_sale += units;
            }
        };
        for order in self.orders.iter() {
            match order.status {
                OrderStatus::Opening | OrderStatus::Held | OrderStatus::Paying | OrderStatus::Approving => {
                    order.lines.iter().for_each(|line| add(line, true));
                }
                OrderStatus::Confirmed | OrderStatus::Refunded => {
                    self.sold_lines(order).for_each(|line| add(&line, false));
                }
                OrderStatus::Cancelled | OrderStatus::Expired => {}
            }
        }
        for part in self.parts.values() {
            match part.status {
                PartStatus::Held => part.lines.iter().for_each(|line| add(line, true)),
                PartStatus::Confirmed => part.lines.iter().for_each(|line| add(line, false)),
                PartStatus::Released => {}
            }
        }
        sums
    }

    /// Everything about orders, keys and deadlines.
    pub(crate) fn check_orders(&self) -> Result<(), Violation> {
        let ahead: BTreeSet<_> = self.deadlines.iter().map(|Reverse(hold)| (hold.0, hold.1)).collect();
        for order in self.orders.iter() {
            let led_to = match self.find_key(&order.key.key) {
                Some(KeyUse::Order(at)) => self.orders.get(at).map(|found| found.id),
                _ => None,
            };
            let found = self.find_order(order.id).is_some_and(|found| std::ptr::eq(found, order));
            if !found || led_to != Some(order.id) {
                return Err(Violation::ExactlyOnce { order: order.id });
            }
            if order.status.has_deadline() && !ahead.contains(&(order.deadline, order.id)) {
                return Err(Violation::Deadlines { order: order.id });
            }
        }
        match self.deadlines.peek() {
            Some(Reverse(hold)) if holder(&self.orders, hold).is_none() => Err(Violation::Deadlines { order: hold.1 }),
            _ => self.check_open_holds(),
        }
    }

    fn check_open_holds(&self) -> Result<(), Violation> {
        let orders = self.orders.iter().filter(|order| order.status.holds_units()).map(Order::open_lines);
        let parts = self.parts.values().filter(|part| part.status == PartStatus::Held).map(|part| part.lines.len());
        let (open, open_lines) = orders.chain(parts).fold((0, 0), |(holds, all), lines| (holds + 1, all + lines));
        let (counted, counted_lines) = (self.open_holds, self.open_lines);
        if (counted, counted_lines) == (open, open_lines) {
            return Ok(());
        }
        Err(Violation::OpenHolds { counted, open, counted_lines, open_lines })
    }

    /// Whether every event fitted.
    pub(crate) fn check_history(&self) -> Result<(), Violation> {
        self.misfit.map_or(Ok(()), |lsn| Err(Violation::History { lsn }))
    }
}
