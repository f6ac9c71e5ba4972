//! Kakao Pay's side of a payment as a value: calls and shoppers come in with the time, answers and
//! addresses come out. The same seed and the same calls give the same answers, byte for byte.
//!
//! It must never do I/O, read a clock or draw a number that its seed does not give. Waiting and
//! closing connections are what the caller is told to do ([`Step`]): a server does them, a
//! simulation plays them.
//!
//! | file | what |
//! |---|---|
//! | `assumed.rs` | what is not known, in one table: the order of the checks, texts, codes |
//! | `calls.rs`, `checks.rs` | what each call does, and what is looked at before |
//! | `shopper.rs` | the page, and where the browser goes |
//! | `faults.rs` | what goes wrong when told to |
//! | `ledger.rs`, `journal.rs` | what money moved; every call that came |
//! | `request.rs`, `answers.rs`, `reply.rs` | the wire |

mod amount;
mod answers;
pub mod assumed;
mod calls;
mod checks;
mod faults;
mod ids;
mod journal;
mod kst;
mod ledger;
mod payment;
mod reply;
mod request;
mod shopper;
#[cfg(test)]
mod tests;
mod words;

pub use amount::{Amount, vat_of};
pub use assumed::Check;
pub use calls::{Delivery, Step, Ticket};
pub use faults::{Action, Added, BadRule, Match, Outcome, Place, Rule, Used, When};
pub use ids::{Address, Aid, PageHash, PgToken, Tid};
pub use journal::{Committed, End, Entry};
pub use kst::text as kst_text;
pub use ledger::{Booked, Breach, Ledger, Line};
pub use payment::LIFE_MS;
pub use reply::Reply;
pub use shopper::{Act, Arrival, Callback, Moved, Shown, Stuck, Visit, Whose};
pub use words::{Endpoint, Means, Status};

use calls::Open;
use faults::Faults;
use ids::Names;
use journal::Journal;
use payment::Payment;
use reply::Refusal;
use son7shop_engine::Time;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The key that the sandbox takes unless told otherwise. It opens nothing that is worth anything.
pub const SANDBOX_SECRET_KEY: &str = "DEV_SANDBOX_KEY_THAT_IS_NO_SECRET";
/// Kakao Pay's own merchant number for trials of single payments.
pub const SANDBOX_CID: &str = "TC0ONETIME";
/// How many calls the journal keeps unless told otherwise: some 50 MB of them.
pub const JOURNAL_ENTRIES_MAX: usize = 20_000;

/// What a sandbox is made with.
#[derive(Clone)]
pub struct MachineSettings {
    /// The key that calls must bring.
    pub secret_key: String,
    /// The merchant's number that calls must name.
    pub cid: String,
    /// What ids and tokens are drawn from.
    pub seed: u64,
    /// Where the payment pages are, `http://host:port`: not where the API is.
    pub pages_url: String,
    /// How many calls the journal keeps; older ones are forgotten.
    pub journal_entries_max: usize,
}

impl Default for MachineSettings {
    fn default() -> Self {
        Self {
            secret_key: SANDBOX_SECRET_KEY.to_owned(),
            cid: SANDBOX_CID.to_owned(),
            seed: 0,
            pages_url: "http://pages.sandbox.invalid".to_owned(),
            journal_entries_max: JOURNAL_ENTRIES_MAX,
        }
    }
}

impl fmt::Debug for MachineSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MachineSettings")
            .field("cid", &self.cid)
            .field("seed", &self.seed)
            .field("journal_entries_max", &self.journal_entries_max)
            .finish_non_exhaustive()
    }
}

/// All payments, the faults to come, and what came before.
#[derive(Clone)]
pub struct Machine {
    settings: MachineSettings,
    names: Names,
    /// In the order in which they were prepared.
    payments: Vec<Payment>,
    by_tid: BTreeMap<Tid, usize>,
    by_page: BTreeMap<PageHash, usize>,
    /// Payments whose outcome the bank will tell, by when.
    settling: BTreeSet<(Time, usize)>,
    booked: BTreeMap<usize, Books>,
    faults: Faults,
    journal: Journal,
    /// Calls that wait, by ticket.
    open: BTreeMap<u64, Open>,
}

#[derive(Debug, Clone, Default)]
struct Books {
    captures: Vec<Booked>,
    refunds: Vec<Booked>,
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine")
            .field("settings", &self.settings)
            .field("payments", &self.payments.len())
            .field("faults", &self.faults.left().len())
            .field("calls", &self.journal.count())
            .finish_non_exhaustive()
    }
}

impl Machine {
    /// A sandbox without payments.
    #[must_use]
    pub fn new(settings: MachineSettings) -> Self {
        Self {
            names: Names::new(settings.seed),
            payments: Vec::new(),
            by_tid: BTreeMap::new(),
            by_page: BTreeMap::new(),
            settling: BTreeSet::new(),
            booked: BTreeMap::new(),
            faults: Faults::default(),
            journal: Journal::new(settings.journal_entries_max),
            open: BTreeMap::new(),
            settings,
        }
    }

    /// What it was made with.
    #[must_use]
    pub fn settings(&self) -> &MachineSettings {
        &self.settings
    }

    /// Adds a fault to come and says its number.
    pub fn add_fault(&mut self, rule: Rule) -> Result<u64, BadRule> {
        self.faults.add(rule)
    }

    /// Takes a fault away; says whether it was there.
    pub fn remove_fault(&mut self, id: u64) -> bool {
        self.faults.remove(id)
    }

    /// Takes all faults away.
    pub fn clear_faults(&mut self) {
        self.faults.clear();
    }

    /// The faults that were not used up.
    #[must_use]
    pub fn faults(&self) -> &[Added] {
        self.faults.left()
    }

    /// The calls that came last, oldest first.
    pub fn requests(&self) -> impl DoubleEndedIterator<Item = &Entry> + ExactSizeIterator {
        self.journal.entries().iter()
    }

    /// How many calls came in all.
    #[must_use]
    pub fn requests_count(&self) -> u64 {
        self.journal.count()
    }

    /// What money moved until `now`.
    pub fn ledger(&mut self, now: Time) -> Ledger {
        self.settle(now);
        let line = |(at, payment): (usize, &Payment)| {
            let books = self.booked.get(&at).cloned().unwrap_or_default();
            Line {
                tid: payment.tid.clone(),
                order: payment.asked.order.clone(),
                user: payment.asked.user.clone(),
                status: payment.status(),
                total: payment.asked.total,
                created: payment.created,
                captures: books.captures,
                refunds: books.refunds,
            }
        };
        Ledger { payments: self.payments.iter().enumerate().map(line).collect() }
    }

    /// Lets what the bank has decided by now become true, each at its own time.
    fn settle(&mut self, now: Time) {
        while let Some((due, at)) = self.settling.first().copied().filter(|(due, _)| *due <= now) {
            self.settling.remove(&(due, at));
            let Some(settling) = self.payments[at].settling.take() else { continue };
            match settling.capture {
                Some(capture) => self.capture(at, capture),
                None => self.payments[at].to(Status::FailPayment, due),
            }
        }
    }

    fn find(&self, tid: &str) -> Option<usize> {
        self.by_tid.get(&Tid::new(tid)).copied()
    }
}
