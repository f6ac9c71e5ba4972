//! Customers who come when everything else is quiet: they order, pay at the first try and get money back, so that
//! a fault that was planted meets somebody.

use crate::clients::{regular, skus};
use crate::node::{Ask, Sender};
use crate::oracle::Checked;
use crate::world::World;
use rand::Rng;
use son7shop_engine::payment::{Nonce, PaymentMethod};
use son7shop_engine::{
    Command, LineRequest, OrderId, OrderStatus, OrderView, RefundRequest, RequestKey, Requester, Time, Won,
    partition_of,
};

/// How long somebody waits for their page, and for their money: longer than any planted fault.
const WAIT_MILLIS: i64 = 70_000;
const HOLD_MILLIS: i64 = 600_000;

impl World {
    pub(crate) fn serve_regulars(&mut self) -> Checked {
        for round in 0..2 {
            let orders = self.place_one_each()?;
            // Whoever's page did not come begins again.
            for _ in 0..2 {
                self.begin_all(&orders)?;
                self.run_until(self.latest + WAIT_MILLIS)?;
            }
            for at in 0..self.nodes.len() {
                self.shoppers.look(at, &self.nodes[at]);
            }
            self.shoppers.pay_all(&mut self.gateway, self.latest, &orders, round == 1);
            self.run_until(self.latest + WAIT_MILLIS)?;
            for all in [false, true] {
                self.give_back(&orders, all)?;
                self.run_until(self.latest + WAIT_MILLIS)?;
            }
        }
        Ok(())
    }

    fn at_home(&mut self, order: OrderId, command: Command) -> Checked {
        self.ask(usize::from(order.home().0), Sender::Nobody, &Ask::Decide(command))
    }

    fn order(&self, order: OrderId) -> Option<OrderView> {
        self.nodes[usize::from(order.home().0)].owner.as_ref()?.partition.order(order)
    }

    /// Every product's units are few: some are supplied before they are bought.
    fn place_one_each(&mut self) -> Result<Vec<OrderId>, crate::oracle::Broken> {
        let mut orders = Vec::new();
        for sku in skus().take(2) {
            let home = partition_of(&sku, self.clients.partitions);
            let id = OrderId::new(Time(self.latest), self.rng.random(), home);
            let (delta, reason) = (2, "counted".into());
            let (key, place) = (self.key(), regular(id, &sku, 2, HOLD_MILLIS, &mut self.rng));
            self.at_home(id, Command::AdjustStock { sku, delta, reason, key })?;
            self.at_home(id, place)?;
            orders.push(id);
        }
        Ok(orders)
    }

    fn key(&mut self) -> RequestKey {
        RequestKey { key: self.rng.random(), request: self.rng.random() }
    }

    fn begin_all(&mut self, orders: &[OrderId]) -> Checked {
        for &order in orders {
            if self.order(order).is_some_and(|view| view.status == OrderStatus::Held) {
                let (by, method, nonce) = (Requester::Admin, PaymentMethod::KakaoPay, Nonce(self.rng.random()));
                let key = self.key();
                self.at_home(order, Command::StartPayment { order, by, method, key, nonce })?;
            }
        }
        Ok(())
    }

    /// One unit's price, with the unit; then all that is left.
    fn give_back(&mut self, orders: &[OrderId], all: bool) -> Checked {
        for &order in orders {
            let Some(view) = self.order(order).filter(|view| view.status == OrderStatus::Confirmed) else { continue };
            let line = view.lines.first().filter(|_| !all);
            let lines = line.map(|line| LineRequest { sku: line.sku.clone(), quantity: 1 }).into_iter().collect();
            let (key, amount, restock) = (self.key(), None::<Won>, true);
            let refund = Box::new(RefundRequest { key, amount, lines, restock, reason: "broken".into() });
            self.at_home(order, Command::RequestRefund { order, refund })?;
        }
        Ok(())
    }
}
