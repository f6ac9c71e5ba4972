//! What the world does about paying: the participants' turns, the gateway's, the browsers', and what goes wrong.

use crate::faults::rules;
use crate::gateway::Lost;
use crate::node::{Ask, Sender};
use crate::oracle::Checked;
use crate::payers::{PARTS, Payer};
use crate::world::{Letter, World};
use rand::Rng;
use rand::seq::IndexedRandom;
use son7shop_engine::{Command, Event, Record};
use son7shop_payments::sandbox::machine::{Action, Place, Rule};

impl World {
    /// The payment, deadline and refund participants of the home `at` have a turn.
    pub(crate) fn pay(&mut self, at: usize) {
        (at * PARTS.len()..(at + 1) * PARTS.len()).for_each(|place| self.turn(place));
    }

    fn turn(&mut self, place: usize) {
        let home = place / PARTS.len();
        let Some(owner) = &self.nodes[home].owner else { return };
        let started_at = owner.journal.committed().position.lsn;
        let bug = self.bug;
        if !self.calm && self.rng.random_ratio(1, 400) {
            self.forget_payer(place);
        }
        let payer = self.payers[place].get_or_insert_with(|| Payer::new(place, started_at, bug));
        let (times, rng) = ((self.clock, self.latest), Some(&mut self.rng).filter(|_| !self.calm));
        payer.turn(self.nodes[home].on_disk(), &mut self.gateway, times, &mut self.works, rng);
        for (to, from, ask) in payer.tells() {
            if self.asks() {
                self.post(Letter::Ask { to, from, ask });
            }
        }
    }

    /// A participant ends, and with it its calls.
    pub(crate) fn forget_payer(&mut self, place: usize) {
        if let Some(payer) = self.payers[place].take() {
            self.counts.unknown += payer.unknown;
        }
        let rng = &mut self.rng;
        self.gateway.forsake(|caller| caller.payer == place, || rng.random());
    }

    /// A call comes to the gateway or goes on there.
    pub(crate) fn arrive(&mut self) -> Checked {
        let lost = match self.rng.random_range(0..100) {
            _ if self.calm => None,
            0 => Some(Lost::Call),
            1..3 => Some(Lost::Answer),
            _ => None,
        };
        if self.gateway.arrive(self.latest, self.rng.random_range(0..1000), lost) {
            self.check_ledger()?;
        }
        Ok(())
    }

    /// An answer of the gateway comes to whoever waits for it.
    pub(crate) fn answer(&mut self) {
        let Some((caller, answered)) = self.gateway.answer(self.latest, self.rng.random_range(0..1000)) else { return };
        if let Some(payer) = &mut self.payers[caller.payer] {
            payer.answered(caller.work, answered, self.clock);
        }
    }

    /// Somebody does something at a page of the gateway.
    pub(crate) fn shop(&mut self, at: usize) {
        self.shoppers.look(at, &self.nodes[at]);
        if let Some(command) = self.shoppers.act(&mut self.gateway, self.latest, &mut self.rng) {
            self.come_back(command);
        }
    }

    /// A browser comes back to the shop.
    pub(crate) fn visit(&mut self) {
        if let Some(command) = self.shoppers.visit(self.latest, &mut self.rng) {
            self.come_back(command);
        }
    }

    fn come_back(&mut self, command: Command) {
        let Command::ReportReturn { order: id, attempt: number, nonce: brought, .. } = command else { return };
        self.counts.returns += 1;
        let gives = |record: &Record| match record.event {
            Event::PaymentStarted { order, attempt, nonce, .. } => (order, attempt, nonce) == (id, number, brought),
            _ => false,
        };
        let is_theirs = self.nodes[usize::from(id.home().0)].written.iter().any(gives);
        let from = if is_theirs { Sender::Nobody } else { Sender::Forger };
        self.post(Letter::Ask { to: id.home(), from, ask: Ask::Decide(command) });
    }

    /// The gateway will do something wrong, now and then two things.
    pub(crate) fn plant(&mut self) {
        let rules = rules();
        for _ in 0..self.rng.random_range(1..3) {
            let Some((place, action)) = rules.choose(&mut self.rng).cloned() else { return };
            let order = self.shoppers.some_order(&mut self.rng);
            let mut rule = Rule::once(place, action);
            if rule.action != Action::Lost && self.rng.random_ratio(1, 3) {
                rule.times = self.rng.random_range(2..4);
            }
            if let Action::AmountOverride { .. } = &rule.action
                && place == Place::Order
            {
                // What a gateway says twice in a row is believed: it says it once of an order.
                let Some(order) = order.filter(|order| self.lied_about.insert(*order)) else { continue };
                (rule.times, rule.of.order) = (1, Some(order.to_string()));
            } else if self.rng.random_ratio(1, 4) {
                rule.of.order = order.map(|order| order.to_string());
            }
            self.gateway.machine.add_fault(rule).expect("a fault of that place");
            self.counts.faults += 1;
        }
    }

    /// Whether nothing about paying is to be done now.
    pub(crate) fn nobody_pays(&self) -> bool {
        let payers = self.payers.iter().all(|payer| payer.as_ref().is_some_and(|payer| payer.is_idle(self.clock)));
        let visits = self.shoppers.next().is_none_or(|at| at > self.latest);
        payers && visits && self.gateway.is_idle(self.latest)
    }
}
