//! What must be true of a history that has come to rest.

use super::{FIRST, World, order, sku};
use son7shop_engine::{Event, Lsn, OrderId, OrderStatus, OrderView, Partition, StepState, Won};
use son7shop_payments::sandbox::machine::Line;

impl World {
    /// Looks at everything; what is wrong is kept in `broken`.
    pub(crate) fn check_rest(&mut self) {
        if let Err(wrong) = self.rest() {
            self.breaks(wrong);
        }
    }

    fn rest(&mut self) -> Result<(), String> {
        if let Some(step) = self.home.partition.open_step_views(Lsn(0)).next() {
            let parked = if step.state == StepState::Parked { "parked" } else { "forgotten" };
            return Err(format!("{:?} is {parked}: {:?}, '{}'", step.step, step.call, step.answer));
        }
        let orders: Vec<OrderView> = self.home.partition.orders().collect();
        // An hour later: what a bank has still to tell is told by then.
        let ledger = self.machine.ledger(self.now.plus_millis(3_600_000));
        let breaches = ledger.check();
        if !breaches.is_empty() {
            return Err(format!("the gateway's ledger: {breaches:?}"));
        }
        let nets = ledger.net_by_order();
        for view in &orders {
            let net = nets.get(view.id.to_string().as_str()).copied().unwrap_or_default();
            check_order(view, net)?;
            self.check_ends(view)?;
        }
        self.check_stock(&orders)?;
        for owner in [&self.home, &self.other] {
            let mut again = Partition::new(owner.partition.id(), 9);
            owner.records.iter().for_each(|record| again.evolve(record));
            if again.image() != owner.partition.image() {
                return Err("a replay leads elsewhere".to_owned());
            }
        }
        Ok(())
    }

    /// Units moved once.
    fn check_ends(&self, view: &OrderView) -> Result<(), String> {
        let ended = |event: &&Event| ended(event).is_some_and(|id| id == view.id);
        let ends = self.events().filter(ended).count();
        let at_part = self.other.records.iter().filter(|record| match &record.event {
            Event::PartReleased { order, .. } | Event::PartConfirmed { order, .. } => *order == view.id,
            _ => false,
        });
        let (parts, asked) = (at_part.count(), usize::from(view.lines.len() > 1));
        if ends != 1 || parts != asked {
            return Err(format!("{ends} ends of the order, {parts} of its {asked} parts"));
        }
        Ok(())
    }

    fn check_stock(&self, orders: &[OrderView]) -> Result<(), String> {
        for (name, owner) in [("air", &self.home), ("bee", &self.other)] {
            let units = |view: &OrderView| {
                let line = view.lines.iter().find(|line| line.sku == sku(name));
                let sold = matches!(view.status, OrderStatus::Confirmed | OrderStatus::Refunded);
                line.filter(|_| sold).map_or(0, |line| line.quantity - restocked(view, name))
            };
            let sold: u32 = orders.iter().map(units).sum();
            let stock = owner.partition.product(&sku(name)).ok_or("no product")?.stock;
            if stock.held != 0 || stock.sold != u64::from(sold) {
                return Err(format!("'{name}' has {} held and {} sold, not {sold}", stock.held, stock.sold));
            }
        }
        Ok(())
    }

    /// What the gateway took for the first order, and gave back of it, once its bank has told.
    pub(crate) fn gateway_says(&self) -> (Won, Won) {
        // Of a copy: time passes for whoever waits, not for the shop.
        let ledger = self.machine.clone().ledger(self.now.plus_millis(3_600_000));
        let name = order(FIRST).to_string();
        let sum = |of: fn(&Line) -> Won| Won(ledger.of_order(&name).map(|line| of(line).0).sum());
        (sum(Line::captured), sum(Line::refunded))
    }
}

fn restocked(view: &OrderView, name: &str) -> u32 {
    let refunds = view.payment.iter().flat_map(|payment| &payment.refunds);
    let done = refunds.filter(|refund| refund.restock && refund.status == son7shop_engine::RefundStatus::Done);
    done.flat_map(|refund| &refund.lines).filter(|line| line.sku == sku(name)).map(|line| line.quantity).sum()
}

fn check_order(view: &OrderView, net: Won) -> Result<(), String> {
    let attempts = view.payment.iter().flat_map(|payment| &payment.attempts);
    let ours: i64 = attempts.map(|a| a.captured.as_ref().map_or(0, |captured| captured.amount.0) - a.refunded.0).sum();
    if ours != net.0 {
        return Err(format!("{ours} won by our books, {} by the gateway's", net.0));
    }
    let paid = match view.status {
        OrderStatus::Confirmed => true,
        OrderStatus::Cancelled | OrderStatus::Expired | OrderStatus::Refunded => false,
        status => return Err(format!("the order is {} at rest", status.as_str())),
    };
    if paid != (net > Won(0)) {
        return Err(format!("the order is {}, with {} won at the gateway", view.status.as_str(), net.0));
    }
    Ok(())
}

fn ended(event: &Event) -> Option<OrderId> {
    match event {
        Event::OrderConfirmed(ended)
        | Event::OrderExpired(ended)
        | Event::OrderCancelled { ended, .. }
        | Event::PaymentCaptured { ended, .. } => Some(ended.id),
        _ => None,
    }
}
