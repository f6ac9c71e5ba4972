//! The race matrix: every interleaving of {deadline, the shopper approves, the shopper quits, the customer cancels,
//! an admin cancels, the shopper begins to pay again, the gateway declines, the gateway's answer is lost after it
//! took the money, an operator gives it up, a forged proof, restart}, at every point at which they can come. Enumerated, not sampled:
//! between any two beats of the saga each event is tried, and after it the rest.
//!
//! A history is named by its events and the beat before which each came: `SON7_HISTORY="approve1@5 restart@8"`
//! plays one again and prints it.

#![allow(clippy::expect_used, missing_docs, reason = "a test says what went wrong by panicking")]

#[path = "../matrix_world/mod.rs"]
mod matrix_world;

use matrix_world::{Ahead, Bug, Came, FIRST, Flight, World, customer};
use son7shop_engine::{Act, OrderStatus, Outcome, Requester};
use son7shop_payments::sandbox::machine::{Action, Callback, Place, Rule};
use std::collections::BTreeMap;
use std::fmt;

/// What comes in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Happens {
    Deadline,
    Approve(u32),
    Quit(u32),
    /// Somebody comes back with a proof that nobody gave out.
    Forged,
    CustomerCancels,
    AdminCancels,
    PayAgain,
    Declined,
    Lost,
    OperatorCompensates,
    Restart,
}

impl Happens {
    const ALL: [Self; 13] = [
        Self::Deadline,
        Self::Approve(1),
        Self::Approve(2),
        Self::Quit(1),
        Self::Quit(2),
        Self::Forged,
        Self::CustomerCancels,
        Self::AdminCancels,
        Self::PayAgain,
        Self::Declined,
        Self::Lost,
        Self::OperatorCompensates,
        Self::Restart,
    ];

    /// Whether it can come once more after it came: a process can be ended twice, and an approve be lost or
    /// declined again; an order is cancelled by each once.
    const fn repeats(self) -> bool {
        matches!(self, Self::Declined | Self::Lost | Self::Restart)
    }

    /// Happens; false if it cannot, here.
    fn happen(self, world: &mut World) -> bool {
        world.tell(format!("*** {self}"));
        match self {
            Self::Deadline => world.jump_to_deadline(),
            Self::Approve(attempt) => world.approve(FIRST, attempt),
            Self::Quit(attempt) => world.quit(FIRST, attempt),
            Self::Forged => world.forge(FIRST, 1, Callback::Approval, Some("f0f0f0f0f0f0f0f0f0f0")),
            Self::CustomerCancels => {
                world.cancel(Requester::Customer(customer()));
                true
            }
            Self::AdminCancels => {
                world.cancel(Requester::Admin);
                true
            }
            Self::PayAgain => {
                let payable = matches!(world.status(), Some(OrderStatus::Held | OrderStatus::Paying));
                if payable {
                    world.start_payment(FIRST, 2);
                }
                payable
            }
            Self::Declined => {
                let on_its_way = world.ahead.iter().any(Ahead::is_approve);
                if on_its_way && world.machine.faults().is_empty() {
                    let declined = Action::Decline { code: "NO_MONEY".to_owned(), soft: false };
                    world.machine.add_fault(Rule::once(Place::Approve, declined)).expect("a fault of approve");
                    return true;
                }
                false
            }
            Self::Lost => {
                let answered = |flight: &&mut Flight| flight.is_approve() && matches!(flight.reply, Came::Answer(_));
                let flight = world.flights.iter_mut().find(answered);
                flight.map(|flight| flight.reply = Came::End).is_some()
            }
            Self::OperatorCompensates => matches!(world.operate(&Act::Compensate), Outcome::Accepted(_)),
            Self::Restart => {
                world.restart();
                true
            }
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|happens| happens.to_string() == text)
    }
}

impl fmt::Display for Happens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deadline => f.write_str("deadline"),
            Self::Approve(attempt) => write!(f, "approve{attempt}"),
            Self::Quit(attempt) => write!(f, "quit{attempt}"),
            Self::Forged => f.write_str("forged"),
            Self::CustomerCancels => f.write_str("customer-cancels"),
            Self::AdminCancels => f.write_str("admin-cancels"),
            Self::PayAgain => f.write_str("pay-again"),
            Self::Declined => f.write_str("declined"),
            Self::Lost => f.write_str("lost"),
            Self::OperatorCompensates => f.write_str("operator-compensates"),
            Self::Restart => f.write_str("restart"),
        }
    }
}

/// An order whose shopper has begun to pay it.
fn begun(basket: bool, bug: Option<Bug>) -> World {
    let mut world = World::placed(basket);
    world.bug = bug;
    world.start_payment(FIRST, 1);
    world
}

/// What was seen.
#[derive(Default)]
struct Seen {
    histories: usize,
    /// By how they ended.
    ends: BTreeMap<String, usize>,
    /// Histories that must not be: the first few, with their names.
    broken: Vec<(String, World)>,
    found: usize,
}

impl Seen {
    /// Explores everything that can come from here, with up to `left` more events.
    fn explore(&mut self, mut world: World, left: usize, came: &mut Vec<(Happens, usize)>) {
        loop {
            if left > 0 {
                for happens in Happens::ALL {
                    let again = came.iter().any(|(before, _)| *before == happens);
                    if again && !happens.repeats() {
                        continue;
                    }
                    let mut other = world.clone();
                    if happens.happen(&mut other) {
                        came.push((happens, other.beats));
                        self.explore(other, left - 1, came);
                        came.pop();
                    }
                }
            }
            if !world.beat() {
                break;
            }
        }
        world.check_rest();
        self.histories += 1;
        let end = world.status().map_or("none", OrderStatus::as_str);
        let refunds = world.view(FIRST).and_then(|view| view.payment).map_or(0, |payment| payment.refunds.len());
        *self.ends.entry(format!("{end}, {refunds} refunds")).or_default() += 1;
        if world.broken.is_some() {
            self.found += 1;
            if self.broken.len() < 5 {
                self.broken.push((name(came), world));
            }
        }
    }
}

fn name(came: &[(Happens, usize)]) -> String {
    came.iter().map(|(happens, beat)| format!("{happens}@{beat}")).collect::<Vec<_>>().join(" ")
}

fn explored(basket: bool, bug: Option<Bug>, most: usize) -> Seen {
    let mut seen = Seen::default();
    seen.explore(begun(basket, bug), most, &mut Vec::new());
    println!("basket {basket}, up to {most} events: {} interleavings; {:?}", seen.histories, seen.ends);
    seen
}

fn assert_sound(seen: &Seen) {
    for (name, world) in &seen.broken {
        println!("SON7_HISTORY=\"{name}\"\n{}", world.script.join("\n"));
        println!("{}\n", world.broken.as_deref().unwrap_or_default());
    }
    assert_eq!(seen.found, 0, "histories of {} that must not be", seen.histories);
}

/// Plays the history of this name: each event before its beat.
fn play(world: &mut World, history: &str) {
    let events = history.split_whitespace().map(|event| {
        let (what, beat) = event.split_once('@').expect("EVENT@BEAT");
        (Happens::parse(what).expect("an event"), beat.parse::<usize>().expect("a beat"))
    });
    let mut events = events.peekable();
    loop {
        while let Some((happens, _)) = events.next_if(|(_, beat)| *beat == world.beats) {
            assert!(happens.happen(world), "{happens} cannot come at beat {}", world.beats);
        }
        if !world.beat() {
            break;
        }
    }
    assert!(events.next().is_none(), "an event is named for a beat that does not come");
    world.check_rest();
}

#[test]
fn one_history_again() {
    let history = std::env::var("SON7_HISTORY").unwrap_or_default();
    for basket in [false, true] {
        let mut world = begun(basket, None);
        play(&mut world, &history);
        println!("{}", world.script.join("\n"));
        assert_eq!(world.broken, None, "basket {basket}");
    }
}

/// Three at a time are asked for; four are as cheap, and a late capture needs them.
#[test]
fn every_interleaving_of_up_to_four() {
    assert_sound(&explored(false, None, 4));
}

#[test]
fn every_interleaving_of_up_to_three_over_two_partitions() {
    assert_sound(&explored(true, None, 3));
}

#[test]
fn planted_mistakes_are_found() {
    for (bug, most) in [(Bug::RetriesApprove, 2), (Bug::ReleasesOnCallback, 3)] {
        let seen = explored(false, Some(bug), most);
        assert!(seen.found > 0, "{bug:?} is not found");
        println!("{bug:?}: {} histories, the first: {}", seen.found, seen.broken[0].0);
    }
}
