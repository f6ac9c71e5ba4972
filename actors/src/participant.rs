//! The payment, deadline and refund participants of a home: each follows the open steps of its
//! partition's sagas, makes the call that is due, and sends home what the rules make of the answer.
//!
//! They decide nothing ([`saga`] has the rules) and keep nothing that matters: a step, its tries and
//! its next try are in the journal, so a restart begins with the steps that are open. Until the home
//! has answered, no second call of a step is made. A call that may have been made before a restart is
//! not made again before the gateway was asked where the payment stands.
//!
//! Must never hold up another order's step, nor anything of selling.

use crate::calls;
use crate::clock;
use crate::gate::Gate;
use crate::owner::{DueSteps, Owner};
use crate::payments::Payments;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use son7shop_engine::payment::{Answered, cut};
use son7shop_engine::{
    Call, Command, DueStep, Lane, Lsn, Outcome, Participant, Report, Step, StepRef, StepState, Time, saga,
};
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::{Id, JoinSet};

/// Steps that are read from the owner at once: selling waits meanwhile.
const READ_AT_ONCE: usize = 1024;
/// Calls under way at once in each lane: those that hang in one keep nobody in another waiting.
const CALLS_MAX: usize = 256;
const LANES: [Lane; 3] = [Lane::Begin, Lane::Capture, Lane::Other];
/// How long it sleeps without being woken before it looks by itself.
const LOOK: Duration = Duration::from_secs(1);
/// The pauses between tries while the owner cannot be reached.
const RETRY_MIN: Duration = Duration::from_millis(10);
const RETRY_MAX: Duration = Duration::from_secs(1);
/// Half the pause before a step is tried again that panicked; it doubles each time.
const PANIC_MILLIS: i64 = 100;
/// How often a step may make its participant panic before it is parked.
const PANICS_MAX: u32 = 3;

type Key = (son7shop_engine::OrderId, StepRef);
/// Steps as they were read in this turn.
type Fresh = HashMap<Key, Box<Step>>;

/// What a participant is asked.
#[derive(Debug)]
pub(crate) enum Ask {
    /// Look what is due.
    Turn,
    /// Panic, as a defect would: for tests.
    #[cfg(test)]
    Panic,
}

/// What one participant works on.
#[derive(Clone)]
pub(crate) struct Args {
    pub(crate) home: Arc<Gate>,
    pub(crate) part: Participant,
    pub(crate) payments: Arc<Payments>,
}

/// A step that waits for its time.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    due: DueStep,
    /// Whether its call may have been made before this participant was started.
    resumed: bool,
}

/// What it knows. All of it can be read again.
pub(crate) struct State {
    args: Args,
    /// The last event whose step was read.
    seen: Lsn,
    /// The partition's time when it was read last.
    latest: Time,
    /// Steps up to here were open when it was started.
    started_at: Lsn,
    waiting: HashMap<Key, Waiting>,
    /// The same, by when they are due in each lane.
    due: [BTreeSet<(Time, Key)>; LANES.len()],
    calls: JoinSet<()>,
    /// Whose step each call is of.
    under_way: HashMap<Id, DueStep>,
    /// How many of them are in each lane.
    taken: [usize; LANES.len()],
    busy: BTreeSet<Key>,
    panics: BTreeMap<Key, u32>,
}

/// One participant of one home.
pub(crate) struct SagaParticipant;

impl Actor for SagaParticipant {
    type Msg = Ask;
    type State = State;
    type Arguments = Args;

    async fn pre_start(&self, me: ActorRef<Ask>, args: Args) -> Result<State, ActorProcessingErr> {
        me.cast(Ask::Turn)?;
        let started_at = args.home.committed().position.lsn;
        Ok(State {
            args,
            seen: Lsn(0),
            latest: Time(0),
            started_at,
            waiting: HashMap::new(),
            due: Default::default(),
            calls: JoinSet::new(),
            under_way: HashMap::new(),
            taken: Default::default(),
            busy: BTreeSet::new(),
            panics: BTreeMap::new(),
        })
    }

    async fn handle(&self, me: ActorRef<Ask>, ask: Ask, state: &mut State) -> Result<(), ActorProcessingErr> {
        match ask {
            Ask::Turn => state.turn().await,
            #[cfg(test)]
            Ask::Panic => panic!("planted"),
        }
        me.cast(Ask::Turn)?;
        Ok(())
    }
}

impl State {
    async fn turn(&mut self) {
        let home = Arc::clone(&self.args.home);
        let woken = home.due(self.args.part);
        let raised = woken.raised();
        let read = self.read_on().await;
        let now = self.now();
        self.make_calls(now, read);
        let pause = self.next_due().map_or(LOOK, |due| millis_until(now, due).min(LOOK));
        tokio::select! {
            _ = tokio::time::timeout(pause, woken.wait(raised)) => {}
            Some(ended) = self.calls.join_next_with_id() => self.ended(ended),
        }
        while let Some(ended) = self.calls.try_join_next_with_id() {
            self.ended(ended);
        }
    }

    /// Reads the steps that changed since; those that are due come with all that is needed for them, as
    /// far as there may be room. What cannot be read now is read with the next turn.
    async fn read_on(&mut self) -> Fresh {
        let (part, mut fresh) = (self.args.part, Fresh::new());
        loop {
            let seen = self.seen;
            let look = move |owner: &Owner| owner.due_after(seen, READ_AT_ONCE, part);
            let Ok(DueSteps { now, steps }) = calls::read(&self.args.home, look).await else { return fresh };
            self.latest = self.latest.max(now);
            let all = steps.len() < READ_AT_ONCE;
            for (due, step) in steps {
                self.seen = due.lsn;
                let key = (due.order, due.step);
                fresh.remove(&key);
                if let Some(step) = step.filter(|_| fresh.len() < LANES.len() * CALLS_MAX) {
                    fresh.insert(key, step);
                }
                self.take(key, due);
            }
            if all {
                return fresh;
            }
        }
    }

    /// By the partition's clock, which does not go back with the machine's: what is due is due by it.
    fn now(&self) -> Time {
        clock::now().max(self.latest)
    }

    fn take(&mut self, key: Key, due: DueStep) {
        self.drop_waiting(key);
        if due.part != self.args.part || due.due_at == Time::NEVER {
            return;
        }
        let resumed = due.lsn <= self.started_at;
        self.waiting.insert(key, Waiting { due, resumed });
        self.due[due.lane as usize].insert((due.due_at, key));
    }

    fn drop_waiting(&mut self, key: Key) {
        if let Some(Waiting { due, .. }) = self.waiting.remove(&key) {
            self.due[due.lane as usize].remove(&(due.due_at, key));
        }
    }

    fn next_due(&self) -> Option<Time> {
        let lanes = self.due.iter().zip(self.taken).filter(|(_, taken)| *taken < CALLS_MAX);
        let first = lanes.filter_map(|(due, _)| due.iter().find(|(_, key)| !self.busy.contains(key)));
        first.map(|(due, _)| *due).min()
    }

    /// Starts the calls that are due, as far as there is room.
    fn make_calls(&mut self, now: Time, mut fresh: Fresh) {
        for lane in LANES {
            let room = CALLS_MAX.saturating_sub(self.taken[lane as usize]);
            for key in self.ready(lane, now, room) {
                self.call(key, fresh.remove(&key));
            }
        }
    }

    fn ready(&self, lane: Lane, now: Time, room: usize) -> Vec<Key> {
        let due = self.due[lane as usize].iter().take_while(|(due, _)| *due <= now).map(|(_, key)| *key);
        due.filter(|key| !self.busy.contains(key)).take(room).collect()
    }

    /// `fresh`: the step, if it was read in this turn.
    fn call(&mut self, key: Key, fresh: Option<Box<Step>>) {
        let Some(Waiting { due, resumed }) = self.waiting.get(&key).copied() else { return };
        self.drop_waiting(key);
        let panics = self.panics.get(&key).copied().unwrap_or(0);
        let args = self.args.clone();
        let call = self.calls.spawn(async move { work(&args, due, fresh, resumed, panics).await });
        self.under_way.insert(call.id(), due);
        self.busy.insert(key);
        self.taken[due.lane as usize] += 1;
    }

    fn ended(&mut self, ended: Result<(Id, ()), tokio::task::JoinError>) {
        let id = match &ended {
            Ok((id, ())) => *id,
            Err(error) => error.id(),
        };
        let Some(due) = self.under_way.remove(&id) else { return };
        let key = (due.order, due.step);
        self.busy.remove(&key);
        self.taken[due.lane as usize] -= 1;
        match ended {
            Ok(_) => drop(self.panics.remove(&key)),
            Err(error) if error.is_panic() => {
                let panics = self.panics.get(&key).map_or(1, |before| before + 1);
                self.panics.insert(key, panics);
                metrics::counter!("son7_saga_panics_total").increment(1);
                tracing::error!(order = %due.order, step = ?due.step, panics, "a saga's step panicked");
                // Again, after a pause; what it may have called is asked for first.
                let pause = PANIC_MILLIS << panics.min(PANICS_MAX);
                let due_at = self.now().plus_millis(pause);
                let due = DueStep { due_at, ..due };
                if let Entry::Vacant(free) = self.waiting.entry(key) {
                    free.insert(Waiting { due, resumed: true });
                    self.due[due.lane as usize].insert((due_at, key));
                }
            }
            Err(_) => {}
        }
    }
}

/// Makes a step's call, if the step is still as it was seen, and tells home.
async fn work(args: &Args, due: DueStep, fresh: Option<Box<Step>>, resumed: bool, panics: u32) {
    let order = due.order;
    let step = match fresh {
        Some(step) => *step,
        None => match until_read(&args.home, order, due.step).await {
            Some(step) => step,
            None => return,
        },
    };
    if step.lsn != due.lsn || step.state == StepState::Parked {
        return;
    }
    let report = if panics >= PANICS_MAX {
        tracing::error!(%order, step = ?due.step, "a saga's step panicked too often; it is parked for an operator");
        Report::Tried { answer: cut("it panicked too often"), next: None }
    } else {
        let made = if resumed { saga::resumed(step.call) } else { step.call };
        let answered = match made {
            Call::Lapse => Answered::Refused(cut("")),
            made => args.payments.call(&step, made).await,
        };
        saga::report(&step, made, answered, clock::now())
    };
    told(args, &step, &report);
    let command = Command::Report { order, step: due.step, seen: step.lsn, report };
    until_answered(&args.home, &command).await;
}

/// Leaves a trace of what is not as it should be.
fn told(args: &Args, step: &Step, report: &Report) {
    let partition = args.home.id().0;
    if let Report::Tried { answer, next } = report {
        let (order, call, tries) = (step.order, step.call.as_str(), step.tries + 1);
        if next.is_some() {
            tracing::info!(partition, %order, call, tries, %answer, "a saga's step goes on");
        } else {
            tracing::error!(partition, %order, call, tries, %answer, "a saga's step is parked for an operator");
        }
    }
}

/// The step as it is now; `None`: it is done, or its home stays closed.
async fn until_read(home: &Gate, order: son7shop_engine::OrderId, step: StepRef) -> Option<Step> {
    let mut pause = RETRY_MIN;
    loop {
        match calls::read(home, move |owner| owner.step_view(order, step)).await {
            Ok(step) => return step,
            Err(_) if home.ends() => return None,
            Err(_) => wait(&mut pause).await,
        }
    }
}

/// Tells home until it answers; told twice, nothing changes the second time.
async fn until_answered(home: &Gate, command: &Command) {
    let mut pause = RETRY_MIN;
    loop {
        match calls::decide(home, command.clone()).await {
            Ok(Outcome::Refused(refusal)) => {
                return tracing::error!(partition = home.id().0, %refusal, "home refused what became of a step");
            }
            Ok(_) => return,
            Err(_) if home.ends() => return,
            Err(error) => {
                tracing::debug!(partition = home.id().0, %error, "telling home again");
                wait(&mut pause).await;
            }
        }
    }
}

async fn wait(pause: &mut Duration) {
    tokio::time::sleep(*pause).await;
    *pause = (*pause * 2).min(RETRY_MAX);
}

fn millis_until(now: Time, due: Time) -> Duration {
    Duration::from_millis(u64::try_from(due.0.saturating_sub(now.0)).unwrap_or(0))
}

#[cfg(test)]
#[path = "participant_tests.rs"]
mod tests;
