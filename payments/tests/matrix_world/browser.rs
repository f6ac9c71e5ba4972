//! The shopper at the gateway's pages, and the browser on its way back to the shop.

use super::{Bug, World, order};
use son7shop_engine::payment::{Nonce, Proof, Why};
use son7shop_engine::{Command, Event, OrderId, Report, StepRef, Time};
use son7shop_payments::sandbox::machine::{Act, Arrival, Callback, Means, Moved, Visit, Whose};

/// Where an address of ours leads.
struct Place {
    order: OrderId,
    attempt: u32,
    nonce: Nonce,
}

impl World {
    /// The gateway's name of an attempt, as soon as the shopper has seen its page; they keep it.
    pub(crate) fn page_of(&self, n: u64, attempt: u32) -> Option<String> {
        self.events().find_map(|event| match event {
            Event::PaymentReady { order: id, attempt: number, begun } if *id == order(n) && *number == attempt => {
                Some(begun.reference.to_string())
            }
            _ => None,
        })
    }

    /// The shopper enters the right password; false if they cannot.
    pub(crate) fn approve(&mut self, n: u64, attempt: u32) -> bool {
        let Some(tid) = self.page_of(n, attempt) else { return false };
        let moved = self.machine.pay(self.now, Whose::Tid(&tid), Means::Card);
        moved.map(|moved| self.leave(moved)).is_ok()
    }

    /// The shopper enters a wrong one.
    pub(crate) fn mistype(&mut self, n: u64, attempt: u32) -> bool {
        let Some(tid) = self.page_of(n, attempt) else { return false };
        let moved = self.machine.mistype(self.now, Whose::Tid(&tid), Means::Card);
        moved.map(|moved| self.leave(moved)).is_ok()
    }

    /// The shopper quits; where the gateway does not let them any more, they go to the shop's address all the
    /// same: a browser can be made to.
    pub(crate) fn quit(&mut self, n: u64, attempt: u32) -> bool {
        let Some(tid) = self.page_of(n, attempt) else { return false };
        if let Ok(moved) = self.machine.act(self.now, Whose::Tid(&tid), Act::Quit) {
            self.leave(moved);
            return true;
        }
        self.forge(n, attempt, Callback::Cancel, None)
    }

    /// Somebody goes to an address of an attempt, with a token of their own.
    pub(crate) fn forge(&mut self, n: u64, attempt: u32, to: Callback, token: Option<&str>) -> bool {
        let nonce = self.events().find_map(|event| match event {
            Event::PaymentStarted { order: id, attempt: number, nonce, .. }
                if *id == order(n) && *number == attempt =>
            {
                Some(*nonce)
            }
            _ => None,
        });
        let Some(nonce) = nonce else { return false };
        let place = Place { order: order(n), attempt, nonce };
        self.come_back(&place, to, token.and_then(|token| Proof::parse(token).ok()));
        true
    }

    fn leave(&mut self, moved: Moved) {
        for visit in moved.visits {
            let at = match visit.arrival {
                Arrival::Next | Arrival::Together => self.now,
                Arrival::At(time) => time,
            };
            self.visits.push((at, visit));
        }
    }

    /// The next browser arrives at the shop.
    pub(super) fn visit(&mut self) -> bool {
        let Some(at) = self.visits.iter().position(|(at, _)| *at <= self.now) else { return false };
        let (_, visit) = self.visits.remove(at);
        let proof = visit.pg_token().filter(|_| visit.to == Callback::Approval);
        let proof = proof.and_then(|token| Proof::parse(token).ok());
        self.come_back(&place_of(&visit), visit.to, proof);
        true
    }

    fn come_back(&mut self, place: &Place, to: Callback, proof: Option<Proof>) {
        self.tell(format!("a browser comes to {to:?} of attempt {}", place.attempt));
        let Place { order, attempt, nonce } = *place;
        if self.bug == Some(Bug::ReleasesOnCallback) && proof.is_none() {
            let step = StepRef::Attempt(attempt);
            if let Some(open) = self.home.partition.step_view(order, step) {
                let report = Report::NotPaid { why: Why::Quit, answer: "quit".into() };
                self.at_home(&Command::Report { order, step, seen: open.lsn, report });
            }
            return;
        }
        self.at_home(&Command::ReportReturn { order, attempt, nonce, proof });
    }

    pub(crate) fn visits_under_way(&self) -> bool {
        !self.visits.is_empty()
    }

    pub(crate) fn next_visit(&self) -> Option<Time> {
        self.visits.iter().map(|(at, _)| *at).min()
    }
}

fn place_of(visit: &Visit) -> Place {
    let address = visit.address.as_str().strip_prefix("http://shop.invalid/").expect("an address of the shop");
    let path = address.split('?').next().unwrap_or(address);
    let parts: Vec<&str> = path.split('/').collect();
    let nonce = u128::from_str_radix(parts[2], 16).expect("a nonce in hexadecimal");
    Place {
        order: OrderId::parse(parts[0]).expect("an order"),
        attempt: parts[1].parse().expect("an attempt"),
        nonce: Nonce(nonce.to_be_bytes()),
    }
}
