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
use crate::payments::Payments;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use son7shop_engine::payment::{Answered, cut};
use son7shop_engine::{
    Call, Command, DueStep, Lsn, Outcome, Participant, Report, Step, StepRef, StepState, Time, saga,
};
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::{Id, JoinSet};

/// Steps that are read from the owner at once: selling waits meanwhile.
const READ_AT_ONCE: usize = 1024;
/// Calls under way at once to begin payments, and all others: those that begin must not keep out
/// those whose money is on its way.
const BEGINS_MAX: usize = 256;
const OTHERS_MAX: usize = 256;
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

/// Look what is due.
#[derive(Debug)]
pub(crate) struct Turn;

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
    changed: tokio::sync::watch::Receiver<Lsn>,
    /// The last event whose step was read.
    seen: Lsn,
    /// Steps up to here were open when it was started.
    started_at: Lsn,
    waiting: HashMap<Key, Waiting>,
    /// The same, by when they are due.
    begins: BTreeSet<(Time, Key)>,
    others: BTreeSet<(Time, Key)>,
    calls: JoinSet<()>,
    /// Whose step each call is of, and whether it begins a payment.
    under_way: HashMap<Id, (DueStep, bool)>,
    busy: BTreeSet<Key>,
    beginning: usize,
    panics: BTreeMap<Key, u32>,
}

/// One participant of one home.
pub(crate) struct SagaParticipant;

impl Actor for SagaParticipant {
    type Msg = Turn;
    type State = State;
    type Arguments = Args;

    async fn pre_start(&self, me: ActorRef<Turn>, args: Args) -> Result<State, ActorProcessingErr> {
        me.cast(Turn)?;
        let changed = args.home.steps();
        let started_at = args.home.committed().position.lsn;
        Ok(State {
            args,
            changed,
            seen: Lsn(0),
            started_at,
            waiting: HashMap::new(),
            begins: BTreeSet::new(),
            others: BTreeSet::new(),
            calls: JoinSet::new(),
            under_way: HashMap::new(),
            busy: BTreeSet::new(),
            beginning: 0,
            panics: BTreeMap::new(),
        })
    }

    async fn handle(&self, me: ActorRef<Turn>, _: Turn, state: &mut State) -> Result<(), ActorProcessingErr> {
        state.turn().await;
        me.cast(Turn)?;
        Ok(())
    }
}

impl State {
    async fn turn(&mut self) {
        self.changed.mark_unchanged();
        self.read_on().await;
        let now = clock::now();
        self.make_calls(now);
        let pause = self.next_due().map_or(LOOK, |due| millis_until(now, due).min(LOOK));
        tokio::select! {
            _ = tokio::time::timeout(pause, self.changed.changed()) => {}
            Some(ended) = self.calls.join_next_with_id() => self.ended(ended),
        }
        while let Some(ended) = self.calls.try_join_next_with_id() {
            self.ended(ended);
        }
    }

    /// Reads the steps that changed since; what cannot be read now is read with the next turn.
    async fn read_on(&mut self) {
        loop {
            let seen = self.seen;
            let read = calls::read(&self.args.home, move |owner| owner.due_after(seen, READ_AT_ONCE)).await;
            let Ok(steps) = read else { return };
            let all = steps.len() < READ_AT_ONCE;
            for due in steps {
                self.seen = due.lsn;
                self.take(due);
            }
            if all {
                return;
            }
        }
    }

    fn take(&mut self, due: DueStep) {
        let key = (due.order, due.step);
        self.drop_waiting(key);
        if due.part != self.args.part || due.due_at == Time::NEVER {
            return;
        }
        let resumed = due.lsn <= self.started_at;
        self.waiting.insert(key, Waiting { due, resumed });
        if due.begins { &mut self.begins } else { &mut self.others }.insert((due.due_at, key));
    }

    fn drop_waiting(&mut self, key: Key) {
        if let Some(Waiting { due, .. }) = self.waiting.remove(&key) {
            self.begins.remove(&(due.due_at, key));
            self.others.remove(&(due.due_at, key));
        }
    }

    fn next_due(&self) -> Option<Time> {
        let first = |queue: &BTreeSet<(Time, Key)>, room: bool| {
            let due = queue.iter().find(|(_, key)| !self.busy.contains(key)).map(|(due, _)| *due);
            due.filter(|_| room)
        };
        let begins = first(&self.begins, self.beginning < BEGINS_MAX);
        let others = first(&self.others, self.calls.len() - self.beginning < OTHERS_MAX);
        begins.into_iter().chain(others).min()
    }

    /// Starts the calls that are due, as far as there is room.
    fn make_calls(&mut self, now: Time) {
        let room = BEGINS_MAX.saturating_sub(self.beginning);
        for key in self.due(&self.begins, now, room) {
            self.call(key);
        }
        let room = OTHERS_MAX.saturating_sub(self.calls.len() - self.beginning);
        for key in self.due(&self.others, now, room) {
            self.call(key);
        }
    }

    fn due(&self, queue: &BTreeSet<(Time, Key)>, now: Time, room: usize) -> Vec<Key> {
        let due = queue.iter().take_while(|(due, _)| *due <= now).map(|(_, key)| *key);
        due.filter(|key| !self.busy.contains(key)).take(room).collect()
    }

    fn call(&mut self, key: Key) {
        let Some(Waiting { due, resumed }) = self.waiting.get(&key).copied() else { return };
        self.drop_waiting(key);
        let panics = self.panics.get(&key).copied().unwrap_or(0);
        let args = self.args.clone();
        let call = self.calls.spawn(async move { work(&args, due, resumed, panics).await });
        self.under_way.insert(call.id(), (due, due.begins));
        self.busy.insert(key);
        self.beginning += usize::from(due.begins);
    }

    fn ended(&mut self, ended: Result<(Id, ()), tokio::task::JoinError>) {
        let id = match &ended {
            Ok((id, ())) => *id,
            Err(error) => error.id(),
        };
        let Some((due, began)) = self.under_way.remove(&id) else { return };
        let key = (due.order, due.step);
        self.busy.remove(&key);
        self.beginning -= usize::from(began);
        match ended {
            Ok(_) => drop(self.panics.remove(&key)),
            Err(error) if error.is_panic() => {
                let panics = self.panics.entry(key).or_default();
                *panics += 1;
                metrics::counter!("son7_saga_panics_total").increment(1);
                tracing::error!(order = %due.order, step = ?due.step, panics = *panics, "a saga's step panicked");
                // Again, after a pause; what it may have called is asked for first.
                let pause = PANIC_MILLIS << (*panics).min(PANICS_MAX);
                let due_at = clock::now().plus_millis(pause);
                let due = DueStep { due_at, ..due };
                if let Entry::Vacant(free) = self.waiting.entry(key) {
                    free.insert(Waiting { due, resumed: true });
                    if due.begins { &mut self.begins } else { &mut self.others }.insert((due_at, key));
                }
            }
            Err(_) => {}
        }
    }
}

/// Makes a step's call, if the step is still as it was seen, and tells home.
async fn work(args: &Args, due: DueStep, resumed: bool, panics: u32) {
    let (order, step) = (due.order, due.step);
    let Some(step) = until_read(&args.home, order, step).await else { return };
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
