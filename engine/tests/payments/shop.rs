//! One order of 200 won for two units of `air`, and whoever pays it: commands in, short texts out. Every command
//! is given to a partition that lives on and to one that is pictured and restored after each; both must agree.

use son7shop_engine::payment::{Answered, Begun, Captured, GatewayRef, GivenBack, Nonce, Pages, PaymentMethod, Proof};
use son7shop_engine::payment::{Standing, Why};
use son7shop_engine::{
    Act, Answer, Call, Command, CustomerId, Event, LineRequest, Lines, Lsn, OrderId, OrderStatus, OrderView, Outcome,
    PartRequest, Partition, PartitionId, PartitionImage, PlaceOrder, PricedLine, Record, RefundRequest, Report,
    RequestKey, Requester, Sku, Step, StepRef, Stock, Time, Won, invariants, saga,
};

pub(crate) const HOLD: i64 = 600_000;
pub(crate) const LIFE: i64 = 900_000;

pub(crate) fn sku(name: &str) -> Sku {
    Sku::parse(name).expect("a sku")
}

pub(crate) fn order() -> OrderId {
    OrderId::new(Time(0), 1, PartitionId(0))
}

pub(crate) fn ann() -> CustomerId {
    CustomerId::parse("ann").expect("a customer")
}

pub(crate) fn key(n: u8) -> RequestKey {
    RequestKey { key: [n; 16], request: [0; 16] }
}

pub(crate) fn proof(text: &str) -> Proof {
    Proof::parse(text).expect("a proof")
}

pub(crate) fn captured(amount: i64) -> Captured {
    Captured { amount: Won(amount), receipt: "A1".into(), means: "CARD".into(), at: Time(5) }
}

pub(crate) fn paid(amount: i64, refunded: i64) -> Answered {
    Answered::Stands(Standing::Paid { captured: captured(amount), refunded: Won(refunded) })
}

pub(crate) fn not_paid(why: Why) -> Answered {
    Answered::Stands(Standing::NotPaid(why))
}

pub(crate) fn pending() -> Answered {
    Answered::Stands(Standing::Pending)
}

pub(crate) fn unknown() -> Answered {
    Answered::Unknown("no answer".into())
}

pub(crate) fn gave_back(amount: i64) -> Answered {
    Answered::GaveBack(GivenBack { amount: Won(amount), receipt: "R1".into() })
}

pub(crate) fn line(name: &str, quantity: u32) -> LineRequest {
    LineRequest { sku: sku(name), quantity }
}

pub(crate) fn picture(partition: &Partition) -> Vec<u8> {
    postcard::to_allocvec(&partition.image()).expect("a picture is written")
}

pub(crate) struct Shop {
    pub(crate) partition: Partition,
    restarted: Partition,
    pub(crate) now: Time,
    pub(crate) records: Vec<Record>,
}

impl Shop {
    pub(crate) fn empty() -> Self {
        let new = |seed| Partition::new(PartitionId(0), seed);
        let mut shop = Self { partition: new(1), restarted: new(2), now: Time(1_000), records: Vec::new() };
        shop.run(&Command::CreateProduct {
            sku: sku("air"),
            name: "Air".into(),
            price: Won(100),
            on_hand: 5,
            key: None,
        });
        shop
    }

    /// An order that holds its units until [`HOLD`] from now.
    pub(crate) fn held() -> Self {
        let mut shop = Self::empty();
        shop.place(vec![]);
        shop
    }

    /// The same with one unit of `bee` for 50 won, held by the partition 1.
    pub(crate) fn basket() -> Self {
        let mut shop = Self::empty();
        shop.place(vec![PartRequest { partition: PartitionId(1), lines: vec![line("bee", 1)] }]);
        let bee = PricedLine { sku: sku("bee"), quantity: 1, unit_price: Won(50), sale: 0 };
        shop.run(&Command::AcceptParts { order: order(), parts: vec![(PartitionId(1), vec![bee])] });
        shop
    }

    fn place(&mut self, parts: Vec<PartRequest>) {
        self.run(&Command::PlaceOrder(PlaceOrder {
            id: order(),
            customer: ann(),
            key: key(1),
            lines: std::iter::once(line("air", 2)).collect(),
            parts,
            hold_millis: HOLD,
        }));
    }

    pub(crate) fn run(&mut self, command: &Command) -> Outcome {
        let (mut happened, mut again) = (Vec::new(), Vec::new());
        let outcome = self.partition.step(self.now, command, |record| happened.push(record.clone()));
        let restarted = self.restarted.step(self.now, command, |record| again.push(record.clone()));
        assert_eq!((&outcome, &happened), (&restarted, &again), "a restart changed the outcome of {command:?}");
        self.records.append(&mut happened);
        self.prove(command);
        outcome
    }

    fn prove(&mut self, command: &Command) {
        if let Err(violation) = invariants::check(&self.partition) {
            panic!("{violation}, after {command:?}");
        }
        let bytes = picture(&self.partition);
        let image: PartitionImage = postcard::from_bytes(&bytes).expect("a picture reads back");
        self.restarted = image.restore(u64::try_from(self.records.len()).expect("few"));
        assert_eq!(bytes, picture(&self.restarted), "a restored picture differs, after {command:?}");
        let steps = |partition: &Partition| partition.steps_after(Lsn(0), usize::MAX);
        assert_eq!(steps(&self.partition), steps(&self.restarted), "after {command:?}");
        if let Err(violation) = invariants::check(&self.restarted) {
            panic!("restored: {violation}, after {command:?}");
        }
    }

    /// What the command leads to, in short: the events' names and where the order stands then.
    pub(crate) fn told(&mut self, command: &Command) -> String {
        let before = self.records.len();
        let outcome = self.run(command);
        let names: Vec<&str> = self.records[before..].iter().map(|record| name(&record.event)).collect();
        let status = self.partition.order(order()).map_or("gone", |view| view.status.as_str());
        match outcome {
            Outcome::Refused(refusal) => format!("no: {refusal}"),
            Outcome::Repeated(Answer::Number(number)) => format!("again {number}"),
            Outcome::Repeated(_) if names.is_empty() => "nothing".to_owned(),
            _ => format!("{} = {status}", names.join("+")),
        }
    }

    pub(crate) fn pass(&mut self, millis: i64) {
        self.now = self.now.plus_millis(millis);
    }

    pub(crate) fn start_command(n: u8) -> Command {
        let (by, method) = (Requester::Customer(ann()), PaymentMethod::KakaoPay);
        Command::StartPayment { order: order(), by, method, key: key(10 + n), nonce: Nonce([n; 16]) }
    }

    pub(crate) fn start(&mut self, n: u8) -> String {
        self.told(&Self::start_command(n))
    }

    pub(crate) fn back_command(attempt: u8, token: Option<&str>) -> Command {
        let (nonce, proof) = (Nonce([attempt; 16]), token.map(proof));
        Command::ReportReturn { order: order(), attempt: u32::from(attempt), nonce, proof }
    }

    pub(crate) fn back(&mut self, attempt: u8, token: Option<&str>) -> String {
        self.told(&Self::back_command(attempt, token))
    }

    pub(crate) fn step(&self, step: StepRef) -> Step {
        self.partition.step_view(order(), step).unwrap_or_else(|| panic!("{step:?} is not open"))
    }

    /// The due call of the step is made and answered so; the clock goes on to when it is due.
    pub(crate) fn answered(&mut self, of: StepRef, answered: Answered) -> String {
        let step = self.step(of);
        self.now = self.now.max(step.due_at);
        let report = saga::report(&step, step.call, answered, self.now);
        self.report(of, step.lsn, report)
    }

    pub(crate) fn report(&mut self, step: StepRef, seen: Lsn, report: Report) -> String {
        self.told(&Command::Report { order: order(), step, seen, report })
    }

    pub(crate) fn begun(&mut self, attempt: u32) -> String {
        let page = || "http://page".into();
        let pages = Pages { desktop: page(), mobile: page(), app: page(), android: None, ios: None };
        let reference = GatewayRef::parse(&format!("T{attempt}")).expect("a reference");
        let begun = Begun { reference, pages, expires_at: self.now.plus_millis(LIFE) };
        self.answered(StepRef::Attempt(attempt), Answered::Begun(begun))
    }

    pub(crate) fn ready() -> Self {
        let mut shop = Self::held();
        shop.pay_again(1);
        shop
    }

    /// The nth attempt waits for its shopper.
    pub(crate) fn pay_again(&mut self, n: u8) {
        self.start(n);
        self.begun(u32::from(n));
    }

    pub(crate) fn approving() -> Self {
        let mut shop = Self::ready();
        shop.back(1, Some("right"));
        shop
    }

    pub(crate) fn confirmed() -> Self {
        let mut shop = Self::approving();
        shop.answered(StepRef::Attempt(1), Answered::Captured(captured(200)));
        assert_eq!(shop.status(), OrderStatus::Confirmed);
        shop
    }

    /// Given up by an operator while it was approved; what was taken comes to light.
    pub(crate) fn captured_late() -> Self {
        let mut shop = Self::approving();
        shop.operate(StepRef::Attempt(1), Act::Compensate);
        assert_eq!(shop.status(), OrderStatus::Cancelled);
        shop.answered(StepRef::Attempt(1), paid(200, 0));
        shop
    }

    pub(crate) fn refund_command(n: u8, amount: Option<i64>, lines: &[(&str, u32)], restock: bool) -> Command {
        let lines = lines.iter().map(|(name, quantity)| line(name, *quantity)).collect::<Lines>();
        let (amount, reason) = (amount.map(Won), "broken".into());
        let refund = Box::new(RefundRequest { key: key(50 + n), amount, lines, restock, reason });
        Command::RequestRefund { order: order(), refund }
    }

    pub(crate) fn refund(&mut self, n: u8, amount: Option<i64>, lines: &[(&str, u32)], restock: bool) -> String {
        self.told(&Self::refund_command(n, amount, lines, restock))
    }

    pub(crate) fn operate(&mut self, step: StepRef, act: Act) -> String {
        let by = CustomerId::parse("operator").expect("an operator");
        self.told(&Command::Operate { order: order(), step, act, by, reason: "looked".into() })
    }

    pub(crate) fn tick(&mut self) -> String {
        self.told(&Command::Tick)
    }

    pub(crate) fn view(&self) -> OrderView {
        self.partition.order(order()).expect("the order")
    }

    pub(crate) fn status(&self) -> OrderStatus {
        self.view().status
    }

    pub(crate) fn stock(&self) -> (u64, u64, u64) {
        let Stock { supplied, held, sold } = self.partition.product(&sku("air")).expect("air").stock;
        (supplied, held, sold)
    }

    pub(crate) fn forget(&mut self, stored: Lsn) -> bool {
        self.run(&Command::Forget { stored, ended_by: self.now });
        self.partition.order(order()).is_none()
    }

    /// The open steps with their calls.
    pub(crate) fn steps(&self) -> Vec<(StepRef, Call)> {
        self.partition.open_step_views(son7shop_engine::Lsn(0)).map(|step| (step.step, step.call)).collect()
    }
}

/// The event's name.
pub(crate) fn name(event: &Event) -> &'static str {
    match event {
        Event::OrderConfirmed(_) => "Confirmed",
        Event::OrderCancelled { .. } => "Cancelled",
        Event::OrderExpired(_) => "Expired",
        Event::PaymentStarted { .. } => "Started",
        Event::PaymentReady { .. } => "Ready",
        Event::PaymentAuthorised { .. } => "Authorised",
        Event::PaymentHinted { .. } => "Hinted",
        Event::ProofRejected { .. } => "ProofRejected",
        Event::PaymentCaptured { .. } => "Captured",
        Event::PaymentCapturedLate { .. } => "CapturedLate",
        Event::PaymentEnded { .. } => "Ended",
        Event::PaymentLooked { .. } => "Looked",
        Event::StepTried { next: None, .. } => "Parked",
        Event::StepTried { .. } => "Tried",
        Event::StepRetried { .. } => "Retried",
        Event::RefundRequested { .. } => "RefundRequested",
        Event::RefundSized { .. } => "RefundSized",
        Event::RefundDone { .. } => "RefundDone",
        Event::RefundRefused { .. } => "RefundRefused",
        Event::OperatorActed { effect, .. } => name(effect),
        Event::PartRestocked { .. } => "PartRestocked",
        Event::Forgotten { .. } => "Forgotten",
        Event::OrderRecalled(_) => "Recalled",
        _ => "other",
    }
}
