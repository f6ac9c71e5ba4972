//! Paying in a [`World`]: shoppers, a gateway that answers anything, operators and refunds, drawn.

use super::history::World;
use compact_str::CompactString;
use rand::Rng;
use rand::seq::IndexedRandom;
use son7shop_engine::payment::{
    Answered, Begun, Captured, GatewayRef, GivenBack, Nonce, Pages, PaymentMethod, Proof, Standing, Why,
};
use son7shop_engine::{
    Act, Call, Command, CustomerId, Ended, Event, LineRequest, Lines, Lsn, MAX_QUANTITY, MAX_UNITS, OrderId,
    OrderStatus, Partition, PricedLine, RefundRequest, Report, RequestKey, Requester, Sku, Step, StepRef, Time, Won,
    saga,
};

/// What must be in no table, as bytes.
#[derive(Default)]
pub struct Secrets(pub Vec<Vec<u8>>);

impl World {
    /// One thing about paying.
    pub fn pay(&mut self) {
        match self.rng.random_range(0..100) {
            0..25 => self.start_payment(),
            25..85 => self.advance(),
            85..93 => self.refund(),
            _ => self.capture_late(),
        }
    }

    fn nonce(&mut self) -> Nonce {
        let bytes: [u8; 16] = self.rng.random();
        self.secrets.0.push(bytes.to_vec());
        Nonce(bytes)
    }

    fn secret(&mut self, kind: &str) -> String {
        let secret = format!("{kind}-{:032x}", self.rng.random::<u128>());
        self.secrets.0.push(secret.clone().into_bytes());
        secret
    }

    fn some_order(&mut self) -> Option<OrderId> {
        // The latest are the ones that can still be paid.
        let from = self.orders.len().saturating_sub(60);
        self.orders[from..].choose(&mut self.rng).copied()
    }

    fn start_payment(&mut self) {
        let Some(order) = self.some_order() else { return };
        let (key, nonce) = (self.key(), self.nonce());
        let by = Requester::Admin;
        let start = Command::StartPayment { order, by, method: PaymentMethod::KakaoPay, key, nonce };
        self.at(order.home(), &start);
    }

    /// One open step gets some answer, or its shopper comes back, or an operator acts.
    fn advance(&mut self) {
        let at = self.rng.random_range(0..self.partitions.len());
        let steps = self.partitions[at].steps_after(Lsn(0), usize::MAX);
        // Mostly the latest: a life in which nobody waits.
        let from = if self.rng.random_bool(0.8) { steps.len().saturating_sub(8) } else { 0 };
        let Some(step) = steps[from..].choose(&mut self.rng).cloned() else { return };
        let order = step.order;
        if self.rng.random_bool(0.15) {
            return self.operate(&step);
        }
        if step.call == Call::Lapse && self.rng.random_bool(0.8) || self.rng.random_bool(0.05) {
            let proof = self.rng.random_bool(0.8).then(|| Proof::parse(&self.secret("proof")).unwrap());
            let attempt = step.work.attempt;
            let back = Command::ReportReturn { order, attempt, nonce: step.work.nonce, proof };
            self.at(order.home(), &back);
            return;
        }
        let answered = self.answer(&step);
        let report = saga::report(&step, step.call, answered, self.now);
        self.at(order.home(), &Command::Report { order, step: step.step, seen: step.lsn, report });
    }

    fn captured(&mut self, amount: Won) -> Captured {
        let receipt = format!("A{}", self.rng.random::<u32>()).as_str().into();
        Captured { amount, receipt, means: if self.rng.random() { "CARD".into() } else { "".into() }, at: self.now }
    }

    fn answer(&mut self, step: &Step) -> Answered {
        let amount = if self.rng.random_bool(0.9) { step.work.amount } else { Won(step.work.amount.0 + 1) };
        match (step.step, step.call, self.rng.random_range(0..10)) {
            (_, Call::Begin, 0..9) => Answered::Begun(Begun {
                reference: GatewayRef::parse(&format!("T{:016x}", self.rng.random::<u64>())).unwrap(),
                pages: Pages {
                    desktop: self.secret("desktop").as_str().into(),
                    mobile: self.secret("mobile").as_str().into(),
                    app: self.secret("app").as_str().into(),
                    android: Some(self.secret("android").as_str().into()),
                    ios: None,
                },
                expires_at: self.now.plus_millis(900_000),
            }),
            (_, Call::Capture, 0..5) => Answered::Captured(self.captured(amount)),
            (_, Call::Capture, 5..=6) => Answered::WrongProof("-702".into()),
            (StepRef::Attempt(_), Call::LookUp { .. }, 0..3) => {
                Answered::Stands(Standing::Paid { captured: self.captured(amount), refunded: Won(0) })
            }
            (StepRef::Attempt(_), Call::LookUp { .. }, 3..5) => {
                let whys = [Why::Quit, Why::AuthenticationFailed, Why::Declined, Why::Lapsed];
                Answered::Stands(Standing::NotPaid(*whys.choose(&mut self.rng).unwrap()))
            }
            (StepRef::Attempt(_), Call::LookUp { .. }, 5..8) => Answered::Stands(Standing::Pending),
            (StepRef::Refund(_), Call::GiveBack, 0..6) => {
                let amount = step.work.refund.as_ref().and_then(|refund| refund.sized).map_or(Won(1), |sized| sized.0);
                Answered::GaveBack(GivenBack { amount, receipt: "R".into() })
            }
            (StepRef::Refund(_), Call::LookUp { .. }, 0..8) => {
                let left = step.work.refund.as_ref().and_then(|refund| refund.sized).map_or(step.work.amount, |s| s.1);
                let refunded = Won(step.work.amount.0.saturating_sub(left.0));
                Answered::Stands(Standing::Paid { captured: self.captured(step.work.amount), refunded })
            }
            (.., 8) => Answered::Refused("-780".into()),
            _ => Answered::Unknown("no answer".into()),
        }
    }

    fn operate(&mut self, step: &Step) {
        let more = i64::from(self.rng.random_bool(0.3));
        let acts = match step.step {
            StepRef::Attempt(_) => vec![
                Act::Retry,
                Act::Compensate,
                Act::ResolvePaid(Box::new(self.captured(Won(step.work.amount.0 + more)))),
                Act::ResolveNotPaid,
            ],
            StepRef::Refund(_) => vec![
                Act::Retry,
                Act::ResolveRefunded(GivenBack { amount: Won(1), receipt: "by hand".into() }),
                Act::ResolveNotRefunded,
            ],
        };
        let act = acts.choose(&mut self.rng).unwrap().clone();
        let by = CustomerId::parse("operator-7").unwrap();
        let reason = "the gateway's desk said so".into();
        let operate = Command::Operate { order: step.order, step: step.step, act, by, reason };
        self.at(step.order.home(), &operate);
    }

    fn refund(&mut self) {
        let drawn: Vec<OrderId> = (0..10).filter_map(|_| self.orders.choose(&mut self.rng).copied()).collect();
        let views = drawn.iter().filter_map(|order| self.partitions[usize::from(order.home().0)].order(*order));
        // Mostly one that was paid.
        let Some(view) = views.max_by_key(|order| order.payment.is_some() && order.status == OrderStatus::Confirmed)
        else {
            return;
        };
        let order = view.id;
        let mut lines = Lines::new();
        for line in view.lines.iter().rev() {
            if self.rng.random_bool(0.4) {
                lines.push(LineRequest { sku: line.sku.clone(), quantity: self.rng.random_range(1..=line.quantity) });
            }
        }
        let amount = (lines.is_empty() && self.rng.random_bool(0.7)).then(|| Won(self.rng.random_range(1..900)));
        let restock = self.rng.random_bool(0.7);
        let refund = RefundRequest { key: self.key(), amount, lines, restock, reason: "찢어져 왔음".into() };
        self.at(order.home(), &Command::RequestRefund { order, refund: Box::new(refund) });
    }

    /// Money is taken of an attempt, whatever became of it.
    fn capture_late(&mut self) {
        let Some(order) = self.some_order() else { return };
        let Some(view) = self.partitions[usize::from(order.home().0)].order(order) else { return };
        let step = StepRef::Attempt(self.rng.random_range(1..3));
        let report = Report::Captured(Box::new(self.captured(view.total)));
        self.at(order.home(), &Command::Report { order, step, seen: Lsn(0), report });
    }

    /// How many attempts there are in each status, by its word.
    pub fn attempts(&self) -> std::collections::BTreeMap<&'static str, usize> {
        let mut found = std::collections::BTreeMap::new();
        let payments = self.partitions.iter().flat_map(Partition::orders).filter_map(|order| order.payment);
        for attempt in payments.flat_map(|payment| payment.attempts) {
            *found.entry(attempt.status.as_str()).or_default() += 1;
        }
        found
    }
}

const KEY: RequestKey = RequestKey { key: [9; 16], request: [9; 16] };

/// An order that was paid with its first attempt, and its first refund: the events from its product on.
pub fn paid_order(order: OrderId, sku: &Sku, customer: &CustomerId, text: &str) -> Vec<Event> {
    let line = PricedLine { sku: sku.clone(), quantity: MAX_QUANTITY, unit_price: Won(1), sale: 0 };
    let lines: Lines = [LineRequest { sku: sku.clone(), quantity: MAX_QUANTITY }].into_iter().collect();
    let page: CompactString = "https://page".into();
    let pages = Pages { desktop: page.clone(), mobile: page.clone(), app: page, android: None, ios: None };
    let reference = GatewayRef::parse(&"T".repeat(GatewayRef::MAX)).unwrap();
    let captured = Captured { amount: Won(i64::MAX), receipt: text.into(), means: text.into(), at: Time::NEVER };
    let all = Won(i64::MAX);
    vec![
        Event::ProductCreated { sku: sku.clone(), name: "n".into(), price: Won(1), on_hand: MAX_UNITS, key: None },
        Event::OrderPlaced {
            id: order,
            customer: customer.clone(),
            key: KEY,
            lines: [line].into_iter().collect(),
            total: all,
            deadline: Time::NEVER,
        },
        Event::PaymentStarted {
            order,
            attempt: 1,
            method: PaymentMethod::KakaoPay,
            amount: all,
            key: KEY,
            nonce: Nonce([9; 16]),
        },
        Event::PaymentReady { order, attempt: 1, begun: Box::new(Begun { reference, pages, expires_at: Time::NEVER }) },
        Event::PaymentStarted {
            order,
            attempt: 2,
            method: PaymentMethod::KakaoPay,
            amount: all,
            key: KEY,
            nonce: Nonce([9; 16]),
        },
        Event::PaymentEnded { order, attempt: 2, why: Why::AuthenticationFailed, answer: text.into(), look_at: None },
        Event::PaymentCaptured {
            ended: Ended { id: order, lines: lines.clone(), parts: Vec::new() },
            attempt: 1,
            captured: Box::new(captured),
        },
        Event::RefundRequested {
            order,
            refund: 1,
            attempt: 1,
            amount: all,
            before: all,
            lines,
            restock: true,
            reason: text.into(),
            key: KEY,
        },
    ]
}
