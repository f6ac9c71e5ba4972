//! The paths of the saga: what shoppers and operators do, one thing after the other, each when nothing else is left
//! to do at its time.

use crate::matrix_world::{FIRST, World, customer};
use son7shop_engine::payment::{Captured, GivenBack};
use son7shop_engine::{Act, OrderStatus, Requester, Time, Won};
use son7shop_payments::sandbox::machine::{Action, Callback, Outcome, Place, Rule};

/// What somebody does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Do {
    /// The shopper begins to pay, where nothing is begun.
    Start,
    /// The shopper begins once more, whatever is begun.
    StartAgain,
    /// The shopper pays at the page of this attempt; 0: of the newest.
    Approve(u32),
    Quit(u32),
    Mistype(u32),
    Forge,
    CustomerCancels,
    Deadline,
    /// Gives back so many won; 0: all that is left, and restocks it.
    Refund(i64),
    Operator(Operator),
    Fault(Fault),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    Retries,
    Compensates,
    SaysPaid,
    SaysNotPaid,
    SaysRefunded,
    SaysNotRefunded,
}

/// What the gateway will do wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Lost(Place),
    Declines,
    DeclinesSoftly,
    UserLocked,
    BankPaysLater,
    BankFailsLater,
    RefundRefused,
    Slow(Place),
}

/// A path, and where its order ends without a crash.
pub(crate) struct Path {
    pub(crate) name: &'static str,
    pub(crate) acts: &'static [Do],
    pub(crate) ends: OrderStatus,
    /// Whether the gateway's answer comes after the order's deadline.
    pub(crate) late: bool,
}

impl Do {
    pub(crate) fn happen(self, world: &mut World) {
        let begun = world.view(FIRST).and_then(|view| view.payment).map_or(0, |payment| payment.attempts.len());
        let begun = u32::try_from(begun).expect("few attempts");
        let next = u8::try_from(begun + 1).expect("few attempts");
        let newest = |attempt| if attempt == 0 { begun } else { attempt };
        match self {
            Self::Start if world.status() == Some(OrderStatus::Held) => drop(world.start_payment(FIRST, next)),
            Self::StartAgain => drop(world.start_payment(FIRST, next)),
            Self::Approve(attempt) => drop(world.approve(FIRST, newest(attempt))),
            Self::Quit(attempt) => drop(world.quit(FIRST, newest(attempt))),
            Self::Mistype(attempt) => drop(world.mistype(FIRST, newest(attempt))),
            Self::Forge => drop(world.forge(FIRST, 1, Callback::Approval, Some("f0f0f0f0f0f0f0f0f0f0"))),
            Self::CustomerCancels => drop(world.cancel(Requester::Customer(customer()))),
            Self::Deadline => drop(world.jump_to_deadline()),
            Self::Refund(amount) => {
                let paid = world.status() == Some(OrderStatus::Confirmed);
                let refunds = world.view(FIRST).and_then(|view| view.payment).map_or(0, |paid| paid.refunds.len());
                let number = u8::try_from(refunds + 1).expect("few refunds");
                if paid {
                    world.refund(number, (amount > 0).then_some(amount), amount == 0);
                }
            }
            Self::Operator(operator) => {
                let act = operator.act(world);
                world.operate(&act);
            }
            Self::Fault(fault) => {
                let (place, action) = fault.rule();
                world.machine.add_fault(Rule::once(place, action)).expect("a fault of that place");
            }
            Self::Start => {}
        }
    }
}

impl Operator {
    /// What they do; who says what the gateway did has looked there, and waited for its bank.
    fn act(self, world: &World) -> Act {
        let (receipt, at) = ("A1".into(), Time(1));
        let (captured, refunded) = world.gateway_says();
        match self {
            Self::Retries => Act::Retry,
            Self::Compensates => Act::Compensate,
            Self::SaysPaid if captured > Won(0) => {
                Act::ResolvePaid(Box::new(Captured { amount: captured, receipt, means: "CARD".into(), at }))
            }
            Self::SaysPaid | Self::SaysNotPaid => Act::ResolveNotPaid,
            Self::SaysRefunded if refunded > Won(0) => Act::ResolveRefunded(GivenBack { amount: refunded, receipt }),
            Self::SaysRefunded | Self::SaysNotRefunded => Act::ResolveNotRefunded,
        }
    }
}

impl Fault {
    fn rule(self) -> (Place, Action) {
        let declined = |soft| Action::Decline { code: "NO_MONEY".to_owned(), soft };
        match self {
            Self::Lost(place) => (place, Action::DropAfterCommit),
            Self::Declines => (Place::Approve, declined(false)),
            Self::DeclinesSoftly => (Place::Approve, declined(true)),
            Self::UserLocked => (Place::Approve, Action::UserLocked),
            Self::BankPaysLater => (Place::Approve, Action::BankUnknown { then: Outcome::Paid, after: 30_000 }),
            Self::BankFailsLater => (Place::Approve, Action::BankUnknown { then: Outcome::Failed, after: 30_000 }),
            Self::RefundRefused => (Place::Cancel, Action::RefundRefused { code: "NO".to_owned() }),
            Self::Slow(place) => (place, Action::DelayBefore { ms: 20_000 }),
        }
    }
}

use Do::{Approve, CustomerCancels, Deadline, Forge, Mistype, Quit, Refund, Start, StartAgain};
use OrderStatus::{Cancelled, Confirmed, Expired, Refunded};

const fn path(name: &'static str, ends: OrderStatus, acts: &'static [Do]) -> Path {
    Path { name, acts, ends, late: false }
}

const fn late(name: &'static str, ends: OrderStatus, acts: &'static [Do]) -> Path {
    Path { late: true, ..path(name, ends, acts) }
}

const fn fault(fault: Fault) -> Do {
    Do::Fault(fault)
}

const fn operator(operator: Operator) -> Do {
    Do::Operator(operator)
}

pub(crate) const PATHS: &[Path] = &[
    path("nobody pays", Expired, &[]),
    path("nobody comes to the page", Expired, &[Start]),
    path("cancelled while it is paid", Cancelled, &[Start, CustomerCancels]),
    path("paid", Confirmed, &[Start, Approve(1)]),
    path("quit", Expired, &[Start, Quit(1)]),
    path("quit, and paid at the second try", Confirmed, &[Start, Quit(1), Start, Approve(2)]),
    path("a wrong password", Cancelled, &[Start, Mistype(1), CustomerCancels]),
    path("declined", Expired, &[Start, fault(Fault::Declines), Approve(1)]),
    late("declined at the deadline", Expired, &[Start, fault(Fault::Declines), Approve(1), Deadline]),
    path("declined softly", Confirmed, &[Start, fault(Fault::DeclinesSoftly), Approve(1)]),
    path("locked", Confirmed, &[Start, fault(Fault::UserLocked), Approve(1)]),
    path("begin lost", Confirmed, &[fault(Fault::Lost(Place::Ready)), Start, Start, Approve(2)]),
    path("approve lost", Confirmed, &[Start, fault(Fault::Lost(Place::Approve)), Approve(1)]),
    path(
        "approve and look lost",
        Confirmed,
        &[Start, fault(Fault::Lost(Place::Approve)), fault(Fault::Lost(Place::Order)), Approve(1)],
    ),
    path("approve slow", Confirmed, &[Start, fault(Fault::Slow(Place::Approve)), Approve(1)]),
    late(
        "approve slow, over the deadline",
        Confirmed,
        &[Start, fault(Fault::Slow(Place::Approve)), Approve(1), Deadline],
    ),
    path("the bank pays later", Confirmed, &[Start, fault(Fault::BankPaysLater), Approve(1)]),
    path("the bank fails later", Expired, &[Start, fault(Fault::BankFailsLater), Approve(1)]),
    path(
        "captured late",
        Cancelled,
        &[Start, fault(Fault::BankPaysLater), Approve(1), operator(Operator::Compensates)],
    ),
    path(
        "captured late, its refund lost",
        Cancelled,
        &[
            Start,
            fault(Fault::BankPaysLater),
            Approve(1),
            operator(Operator::Compensates),
            fault(Fault::Lost(Place::Cancel)),
        ],
    ),
    path(
        "an operator has it tried again",
        Confirmed,
        &[Start, fault(Fault::BankPaysLater), Approve(1), operator(Operator::Retries)],
    ),
    path(
        "an operator says that it is paid",
        Confirmed,
        &[Start, fault(Fault::BankPaysLater), Approve(1), operator(Operator::SaysPaid)],
    ),
    path(
        "an operator says that it is not paid, and is wrong",
        Confirmed,
        &[Start, fault(Fault::BankPaysLater), Approve(1), operator(Operator::SaysNotPaid), Start, Approve(2)],
    ),
    path("all given back", Refunded, &[Start, Approve(1), Refund(0)]),
    path("part given back", Confirmed, &[Start, Approve(1), Refund(4_000)]),
    path("part given back, and the rest", Refunded, &[Start, Approve(1), Refund(4_000), Refund(0)]),
    path("refund lost", Confirmed, &[Start, Approve(1), fault(Fault::Lost(Place::Cancel)), Refund(4_000)]),
    path(
        "refund lost, and the rest",
        Refunded,
        &[Start, Approve(1), fault(Fault::Lost(Place::Cancel)), Refund(4_000), Refund(0)],
    ),
    path("refund slow", Refunded, &[Start, Approve(1), fault(Fault::Slow(Place::Cancel)), Refund(0)]),
    path("refund refused once", Refunded, &[Start, Approve(1), fault(Fault::RefundRefused), Refund(0)]),
    path(
        "refund refused, an operator has it tried again",
        Refunded,
        &[
            Start,
            Approve(1),
            fault(Fault::RefundRefused),
            fault(Fault::RefundRefused),
            fault(Fault::RefundRefused),
            Refund(0),
            operator(Operator::Retries),
        ],
    ),
    path(
        "refund refused for good",
        Confirmed,
        &[
            Start,
            Approve(1),
            fault(Fault::RefundRefused),
            fault(Fault::RefundRefused),
            fault(Fault::RefundRefused),
            Refund(4_000),
            operator(Operator::SaysNotRefunded),
        ],
    ),
    path(
        "refund lost, an operator says that it was done",
        Confirmed,
        &[
            Start,
            Approve(1),
            fault(Fault::Lost(Place::Cancel)),
            fault(Fault::Lost(Place::Order)),
            Refund(4_000),
            operator(Operator::SaysRefunded),
        ],
    ),
    path("superseded, and its old page paid", Confirmed, &[Start, StartAgain, Approve(1), Approve(2)]),
    path("superseded, and nobody pays", Expired, &[Start, StartAgain, Approve(1)]),
    path("a forged proof, then the right one", Confirmed, &[Start, Forge, Approve(1)]),
    path("the right proof, then a forged one", Confirmed, &[Start, fault(Fault::BankPaysLater), Approve(1), Forge]),
    path("a forged proof alone", Expired, &[Start, Forge]),
    path("paid when the order has ended", Expired, &[Start, Deadline, Approve(1)]),
    path("paid when it was cancelled", Cancelled, &[Start, CustomerCancels, Approve(1)]),
];
