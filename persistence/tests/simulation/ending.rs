//! The end of a history: everything is healed and runs dry, and every promise is counted.

use crate::clients::{buy, skus};
use crate::node::{Ask, Sender};
use crate::oracle::{Checked, broken};
use crate::participant::Participant;
use crate::world::World;
use rand::Rng;
use son7shop_engine::{Command, Event, OrderId, PartStatus, Sku, Time, partition_of};

impl World {
    pub(crate) fn finish(&mut self) -> Checked {
        self.end_process(false);
        self.calm = true;
        for at in 0..self.nodes.len() {
            while !self.recover(at)? {}
        }
        self.run_dry()?;
        // Whatever is still held comes to its deadline.
        self.clock = self.latest + 60_000;
        self.latest = self.clock;
        self.run_dry()?;
        self.check_baskets()?;
        self.check_closed()?;
        self.sell_out()?;
        self.run_dry()?;
        self.converge()?;
        self.count();
        Ok(())
    }

    fn run_dry(&mut self) -> Checked {
        for _ in 0..200 {
            for at in 0..self.nodes.len() {
                self.ask(at, Sender::Nobody, &Ask::Decide(Command::Tick))?;
                self.flush(at);
                self.participate(at)?;
            }
            let idle = self.participants.iter().flatten().all(Participant::is_idle);
            if self.net.is_empty() && idle {
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
                let quantity = units.min(self.rng.random_range(1..6));
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

    fn count(&mut self) {
        for node in &self.nodes {
            self.counts.events += node.written.len() as u64;
            for record in &node.written {
                self.counts.baskets += u64::from(matches!(record.event, Event::BasketPlaced { .. }));
                self.counts.refused += u64::from(matches!(record.event, Event::OrderRefused(_)));
            }
        }
    }
}
