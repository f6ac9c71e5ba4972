//! The end of a history: everything is healed and runs dry, and every promise is counted.

use crate::clients::{buy, skus};
use crate::node::{Ask, Sender};
use crate::oracle::{Checked, broken};
use crate::participant::Participant;
use crate::payers::Payer;
use crate::world::World;
use rand::Rng;
use son7shop_engine::{Command, OrderId, PartStatus, Sku, Time, partition_of};

/// Times at which something is due, until everything has come to its end.
const MOMENTS_MAX: usize = 5_000;

impl World {
    pub(crate) fn finish(&mut self) -> Checked {
        self.end_process(false);
        self.calm = true;
        for at in 0..self.nodes.len() {
            while !self.recover(at)? {}
        }
        if self.pace.wild {
            self.gateway.machine.clear_faults();
        }
        self.clock = self.latest;
        if !self.pace.wild {
            self.serve_regulars()?;
        }
        self.run_until(i64::MAX)?;
        self.check_money()?;
        self.check_baskets()?;
        self.check_closed()?;
        self.sell_out()?;
        self.run_dry()?;
        self.converge()?;
        self.counts.faults += self.planted.saturating_sub(self.gateway.machine.faults().len()) as u64;
        self.count();
        Ok(())
    }

    /// Time goes on to whatever is due next, until nothing is: holds come to their deadlines, attempts to
    /// their ends, and operators see to what is parked.
    pub(crate) fn run_until(&mut self, until: i64) -> Checked {
        let mut moments = 0;
        loop {
            self.run_dry()?;
            let mut operated = false;
            for at in 0..self.nodes.len() {
                operated |= self.operate(at)?;
            }
            if operated {
                continue;
            }
            let deadlines = self.nodes.iter().filter_map(|node| node.owner.as_ref()?.partition.next_deadline());
            let dues = self.payers.iter().flatten().filter_map(Payer::next_due);
            let next =
                deadlines.map(|at| at.0).chain(dues).chain(self.shoppers.next()).chain(self.gateway.next()).min();
            let Some(next) = next.filter(|next| *next <= until) else { break };
            self.latest = next.max(self.latest + 1);
            self.clock = self.latest;
            moments += 1;
            if moments > MOMENTS_MAX {
                return Err(broken("every saga is closed", "it does not come to an end"));
            }
        }
        Ok(())
    }

    fn run_dry(&mut self) -> Checked {
        for _ in 0..200 {
            for at in 0..self.nodes.len() {
                self.ask(at, Sender::Nobody, &Ask::Decide(Command::Tick))?;
                self.flush(at);
                self.participate(at)?;
                self.pay(at);
            }
            while !self.gateway.is_idle(self.latest) {
                self.arrive()?;
                self.answer();
            }
            while self.shoppers.next().is_some_and(|at| at <= self.latest) {
                self.visit();
            }
            let idle = self.participants.iter().flatten().all(Participant::is_idle);
            if self.net.is_empty() && idle && self.nobody_pays() {
                return Ok(());
            }
            while !self.net.is_empty() {
                self.deliver()?;
            }
        }
        Err(broken("every saga is closed", "something goes round and round"))
    }

    fn check_closed(&self) -> Checked {
        for node in &self.nodes {
            let Some(owner) = &node.owner else { return Err(broken("every saga is closed", "an owner is missing")) };
            if let Some(order) = owner.partition.opening_orders().next() {
                return Err(broken("every saga is closed", format!("order {order} is still opening")));
            }
            if let Some((order, _)) = owner.partition.parts().find(|(_, status)| *status == PartStatus::Held) {
                return Err(broken("every saga is closed", format!("the part of {order} is held for ever")));
            }
            if owner.partition.open_holds() != 0 {
                return Err(broken("every saga is closed", "units are held for ever"));
            }
        }
        Ok(())
    }

    /// No undersell: with enough buyers exactly as many units are sold as there are.
    fn sell_out(&mut self) -> Checked {
        for sku in skus() {
            let at = usize::from(partition_of(&sku, self.clients.partitions).0);
            self.ask(at, Sender::Nobody, &Ask::Decide(Command::DeleteSale { sku: sku.clone() }))?;
            while let Some(units) = self.available(at, &sku) {
                let id = OrderId::new(Time(self.latest), self.rng.random(), self.nodes[at].id);
                let quantity = units.min(self.rng.random_range(1..6.max(units / 2)));
                let place = buy(id, &sku, u32::try_from(quantity).expect("few"), &mut self.rng);
                self.ask(at, Sender::Nobody, &Ask::Decide(place))?;
                self.ask(at, Sender::Nobody, &Ask::Decide(Command::ConfirmOrder { order: id }))?;
                if self.available(at, &sku) == Some(units) {
                    return Err(broken("no undersell", format!("{units} of {sku} are there and cannot be bought")));
                }
            }
            let stock = self.nodes[at].oracle.stock.get(&sku).copied().unwrap_or_default();
            if stock.sold != stock.supplied {
                return Err(broken("no undersell", format!("{sku}: {stock:?}")));
            }
        }
        Ok(())
    }

    fn available(&self, at: usize, sku: &Sku) -> Option<u64> {
        let product = self.nodes[at].owner.as_ref()?.partition.product(sku)?;
        Some(product.stock.available()).filter(|units| *units > 0)
    }

    /// The database, which followed the journal through everything, says the same.
    fn converge(&mut self) -> Checked {
        for at in 0..self.nodes.len() {
            let Some(folder) = self.folder(at) else { return Err(broken("convergence", "a folder is missing")) };
            self.nodes[at].store(&folder)?;
            if self.nodes[at].stored != self.nodes[at].oracle {
                return Err(broken("convergence", format!("the database of partition {at} differs")));
            }
        }
        Ok(())
    }
}
