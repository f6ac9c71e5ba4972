//! What must be true of money once a history has come to rest: the gateway's ledger and the shop's books say the
//! same, of each order and in sum, and nobody was charged without an order.

use crate::oracle::{Checked, broken};
use crate::world::World;
use son7shop_engine::{Lsn, OrderStatus, StepState, Time};

impl World {
    /// The gateway's own books, whenever it has done something.
    pub(crate) fn check_ledger(&mut self) -> Checked {
        let breaches = self.gateway.machine.ledger(Time(self.latest)).check();
        if breaches.is_empty() { Ok(()) } else { Err(broken("the gateway's ledger", format!("{breaches:?}"))) }
    }

    pub(crate) fn check_money(&mut self) -> Checked {
        self.check_steps()?;
        // An hour later: what a bank has still to tell is told by then.
        let ledger = self.gateway.machine.ledger(Time(self.latest + 3_600_000));
        let breaches = ledger.check();
        if !breaches.is_empty() {
            return Err(broken("the gateway's ledger", format!("{breaches:?}")));
        }
        let mut nets = ledger.net_by_order();
        let (mut theirs, mut ours) = (nets.values().map(|won| won.0).sum::<i64>(), 0);
        for node in &self.nodes {
            for (id, books) in &node.oracle.books {
                let net = nets.remove(id.to_string().as_str()).map_or(0, |won| won.0);
                let now = node.oracle.orders.get(id).map(|known| known.status);
                let status = now.or_else(|| node.oracle.forgotten.get(id).copied());
                let paid = books.paid_by.is_some() && status == Some(OrderStatus::Confirmed);
                if paid != (net > 0) || net < 0 {
                    let what = format!("order {id} is {status:?}, with {net} won at the gateway");
                    return Err(broken("no charge without an order", what));
                }
                if books.net() != net {
                    let what = format!("order {id}: {net} won by the gateway's books, by ours {books:?}");
                    return Err(broken("both ledgers", what));
                }
                ours += net;
            }
        }
        theirs -= ours;
        if theirs != 0 || nets.values().any(|won| won.0 != 0) {
            return Err(broken("no charge without an order", format!("{theirs} won are of no order: {nets:?}")));
        }
        Ok(())
    }

    fn check_steps(&self) -> Checked {
        for node in &self.nodes {
            let Some(owner) = &node.owner else { return Err(broken("every saga is closed", "an owner is missing")) };
            if let Some(step) = owner.partition.open_step_views(Lsn(0)).next() {
                let how = if step.state == StepState::Parked { "parked" } else { "forgotten" };
                let what =
                    format!("order {}: {:?} is {how}: {:?}, '{}'", step.order, step.step, step.call, step.answer);
                return Err(broken("every saga is closed", what));
            }
        }
        Ok(())
    }
}
