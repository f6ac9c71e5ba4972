//! The owner: the single actor that may change a partition's stock.
//!
//! Messages are decided one by one into an open batch. The first of a batch lets the loop
//! turn once, so that the batch takes in whatever is ready to be read by then; then the
//! batch is flushed: one write, one sync, and every answer. What is not on disk is
//! visible to nobody: reads wait for the open batch, and so does every answer that tells
//! an order's state.
//!
//! An owner never waits for anything but its journal, and is never resumed: after a
//! failed sync or a panic it ends, its last breath tells the keeper, and whoever waited
//! learns that the outcome is unknown.

use crate::ShopError;
use crate::clock;
use crate::error::with_sources;
use crate::gate::{Credit, Gate, News};
use crate::keys::{KeyIndex, Running};
use crate::recent::Recent;
use crate::room;
use crate::watched::Watched;
use actix::{Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Message, WrapFuture};
use metrics::{Counter, Histogram};
use son7shop_engine::{
    Answer, Command, CustomerId, Decision, DueStep, Event, Lsn, OrderId, OrderView, Outcome, Participant, Partition,
    ProductView, Record, Refusal, Requester, SagaFigures, Sku, Step, StepRef, StepState, Time, Timeline, basket,
};
use son7shop_persistence::journal::{Committed, Journal};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{oneshot, watch};

/// How often deadlines are looked at when nobody asks for anything.
const TICK: Duration = Duration::from_millis(100);
/// Events of an open batch after which it is flushed at once: a bound, seldom reached.
/// (Measured: flushing at 256 cost 2,000 connections a tenth of their throughput.)
const BATCH_EVENTS_MAX: usize = 2048;
/// Bytes of an open batch after which it is flushed at once.
const BATCH_BYTES_MAX: usize = 256 * 1024;
/// Holds that the owner ends by itself before it looks whether somebody asks for something.
const ENDS_AT_ONCE: usize = 1024;
/// Open steps that are looked at for a list before somebody else has a turn.
const STEPS_SCANNED: usize = 2048;
/// Participants look at what they know each second, in milliseconds: of a step that is due later they
/// need not be told at once.
const SOON_MILLIS: i64 = 2_000;
/// A commit that takes longer is told in the log.
const SLOW_COMMIT: Duration = Duration::from_millis(500);

/// What a caller gets: an outcome, or why there is none.
pub(crate) type Reply = Result<Outcome, ShopError>;

/// Decide a command; the answer comes when it is on disk.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Decide {
    pub(crate) command: Command,
    pub(crate) caller: Caller,
    /// What the caller is answered if the command would be accepted anew.
    pub(crate) bar: Option<Box<ShopError>>,
}

/// Who waits for an answer, and what comes back to others with it.
#[derive(Debug)]
pub(crate) struct Caller {
    reply: oneshot::Sender<Reply>,
    /// Room for one more order.
    credit: Option<Credit>,
    /// The request under its key.
    running: Option<Running>,
}

impl Caller {
    pub(crate) fn new(credit: Option<Credit>, running: Option<Running>) -> (Self, oneshot::Receiver<Reply>) {
        let (reply, answer) = oneshot::channel();
        (Self { reply, credit, running }, answer)
    }

    pub(crate) fn answer(self, answer: Reply) {
        drop(self.credit);
        if let Some(running) = self.running {
            running.end(matches!(answer, Ok(Outcome::Accepted(_) | Outcome::Repeated(_))));
        }
        // A caller that went away has no use for its answer.
        let _ = self.reply.send(answer);
    }
}

/// Look at something that is on disk.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Read(pub(crate) Box<dyn FnOnce(&Owner) + Send>);

/// End: everything accepted is flushed and answered first.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Stop;

/// Panic, as a defect would: for tests of the keeper.
#[cfg(test)]
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Panic;

/// What a participant is told of its partition's steps.
#[derive(Debug)]
pub(crate) struct DueSteps {
    /// The partition's time.
    pub(crate) now: Time,
    /// The oldest first.
    pub(crate) steps: Vec<(DueStep, Option<Box<Step>>)>,
}

/// Why an owner ended.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum End {
    /// Everything was flushed and answered first.
    #[error("it was told to stop")]
    Stopped,
    /// It said so with its last breath, and why.
    #[error("its journal failed: {0}")]
    JournalFailed(String),
    /// A defect.
    #[error("it panicked")]
    Panicked,
}

/// Tells the keeper of the owner's end, whatever ended it.
struct LastBreath {
    end: End,
    tell: watch::Sender<Option<End>>,
}

impl Drop for LastBreath {
    fn drop(&mut self) {
        self.tell.send_replace(Some(self.end.clone()));
    }
}

/// What an owner is made of.
pub(crate) struct Parts {
    pub(crate) partition: Partition,
    pub(crate) journal: Journal,
    pub(crate) gate: Arc<Gate>,
    pub(crate) keys: Arc<KeyIndex>,
    pub(crate) ended: watch::Sender<Option<End>>,
}

/// The single actor that may change a partition's stock.
pub(crate) struct Owner {
    partition: Partition,
    journal: Journal,
    gate: Arc<Gate>,
    keys: Arc<KeyIndex>,
    /// Whether the open batch will be flushed when the loop has turned.
    flushing: bool,
    /// Whether the next piece of what is overdue ends when the loop has turned.
    ticking: bool,
    waiting: Vec<(Caller, Reply)>,
    reads: Vec<Read>,
    /// Callers whose baskets wait for other partitions.
    baskets: HashMap<OrderId, Caller>,
    /// Whom to wake once the open batch is on disk.
    news: News,
    /// Whether the open batch has events of paying.
    pays: bool,
    /// Up to where participants were told of their steps.
    told: Lsn,
    watched: Watched,
    recent: Recent,
    meters: Meters,
    /// Last: what the owner had open is closed before the keeper hears of its end.
    last_breath: LastBreath,
}

/// Where what happens to the partition goes.
struct Batch<'a> {
    journal: &'a mut Journal,
    recent: &'a mut Recent,
    baskets: &'a mut HashMap<OrderId, Caller>,
    waiting: &'a mut Vec<(Caller, Reply)>,
    news: &'a mut News,
    pays: &'a mut bool,
    watched: &'a mut Watched,
}

struct Meters {
    placed: Counter,
    refused: Counter,
    syncs: Counter,
    events: Counter,
    batch: Histogram,
    sync_seconds: Histogram,
}

impl Owner {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { partition, journal, gate, keys, ended } = parts;
        let recent = Recent::after(gate.stored(), &partition);
        let (meters, told) = (Meters::of(&gate), partition.lsn());
        Self {
            partition,
            journal,
            gate,
            keys,
            flushing: false,
            ticking: false,
            waiting: Vec::new(),
            reads: Vec::new(),
            baskets: HashMap::new(),
            news: News::default(),
            pays: false,
            told,
            watched: Watched::default(),
            recent,
            meters,
            last_breath: LastBreath { end: End::Panicked, tell: ended },
        }
    }

    pub(crate) fn product(&self, sku: &Sku) -> Option<ProductView> {
        self.partition.product(sku)
    }

    pub(crate) fn products_after(&self, after: Option<&Sku>, limit: usize) -> Vec<ProductView> {
        self.partition.products_after(after, limit)
    }

    pub(crate) fn order(&self, id: OrderId) -> Option<OrderView> {
        self.partition.order(id)
    }

    /// The steps that were opened or changed after `seen` (see [`Partition::due_after`]); with those that
    /// are `part`'s and due, all that it needs for them.
    pub(crate) fn due_after(&self, seen: Lsn, limit: usize, part: Participant) -> DueSteps {
        // Steps are due by the partition's clock, which never goes back.
        let now = clock::now().max(self.partition.time());
        let view = |due: &DueStep| self.step_view(due.order, due.step).map(Box::new);
        let with_view = |due: DueStep| (due, (due.part == part && due.due_at <= now).then(|| view(&due)).flatten());
        DueSteps { now, steps: self.partition.due_after(seen, limit).into_iter().map(with_view).collect() }
    }

    pub(crate) fn step_view(&self, order: OrderId, step: StepRef) -> Option<Step> {
        self.partition.step_view(order, step)
    }

    pub(crate) fn saga_figures(&self) -> SagaFigures {
        self.partition.saga_figures()
    }

    pub(crate) fn timeline(&self, order: OrderId, by: &Requester) -> Option<Timeline> {
        self.partition.timeline(order, by)
    }

    /// See [`Partition::steps_in`]; selling waits meanwhile, so that little is looked at.
    pub(crate) fn steps_in(&self, states: &[StepState], after: Lsn, limit: usize) -> (Vec<Step>, Option<Lsn>) {
        self.partition.steps_in(states, after, limit, STEPS_SCANNED)
    }

    /// Tells whoever listens when `order` has changed on disk, and how it is then.
    pub(crate) fn watch(&self, order: OrderId) -> watch::Receiver<Option<OrderView>> {
        self.watched.watch(order)
    }

    pub(crate) fn is_opening(&self, id: OrderId) -> bool {
        self.partition.is_opening(id)
    }

    /// The orders of `of` (everybody's for `None`) that changed after `stored`; `None` if
    /// some of them are no longer known.
    pub(crate) fn changed_after(&self, stored: Lsn, of: Option<&CustomerId>) -> Option<Vec<OrderView>> {
        let newer = self.recent.newer(stored)?;
        Some(newer.filter_map(|(lsn, id)| self.partition.order_changed_at(*lsn, *id, of)).collect())
    }

    /// Decides and applies; what happened goes into the open batch.
    fn step(&mut self, now: Time, command: &Command) -> Outcome {
        let forgetting = match command {
            Command::Forget { stored, ended_by } => self.partition.forgettable_keys(*stored, *ended_by),
            _ => Vec::new(),
        };
        let (partition, mut batch) = self.batch();
        let outcome = partition.step(now, command, |record| batch.take(record, command));
        self.keys.forget(self.gate.id(), &forgetting);
        outcome
    }

    /// Ends some of the holds that are overdue at `now`; says whether that was all.
    fn end_overdue(&mut self, now: Time) -> bool {
        let (partition, mut batch) = self.batch();
        partition.end_overdue(now, ENDS_AT_ONCE, |record| batch.take(record, &Command::Tick))
    }

    /// The partition, and where what happens to it goes.
    fn batch(&mut self) -> (&mut Partition, Batch<'_>) {
        let Self { partition, journal, recent, baskets, waiting, news, pays, watched, .. } = self;
        (partition, Batch { journal, recent, baskets, waiting, news, pays, watched })
    }

    fn decide(&mut self, ctx: &mut Context<Self>, Decide { command, caller, bar }: Decide) {
        let now = clock::now();
        let full = || Box::new(ShopError::JournalFull { partition: self.gate.id() });
        let bar = bar.or_else(|| (!self.has_room(&command)).then(full));
        if let Some(bar) = bar
            && self.is_new(now, &command)
        {
            caller.answer(Err(*bar));
            return self.after(ctx);
        }
        let outcome = self.step(now, &command);
        match (&command, &outcome) {
            (Command::PlaceOrder(place), Outcome::Accepted(Answer::Order(order))) => {
                self.meters.placed.increment(1);
                if !order.status.is_shown() {
                    self.baskets.insert(place.id, caller);
                    return self.after(ctx);
                }
            }
            (Command::PlaceOrder(_), Outcome::Refused(_)) => self.meters.refused.increment(1),
            (Command::AcceptParts { order, .. }, Outcome::Accepted(_)) => {
                if let Some(shopper) = self.baskets.remove(order) {
                    self.waiting.push((shopper, Ok(outcome.clone())));
                }
            }
            _ => {}
        }
        let promises_nothing = matches!(&outcome, Outcome::Refused(refusal) if !refusal.tells_state());
        if promises_nothing || self.journal.pending() == 0 {
            caller.answer(Ok(outcome));
        } else {
            self.waiting.push((caller, Ok(outcome)));
        }
        self.after(ctx);
    }

    /// Sees to it that the open batch is flushed.
    fn after(&mut self, ctx: &mut Context<Self>) {
        if self.journal.pending() >= BATCH_EVENTS_MAX || self.journal.pending_bytes() >= BATCH_BYTES_MAX {
            return self.flush(ctx);
        }
        if self.journal.pending() > 0 && !self.flushing {
            self.flushing = true;
            ctx.spawn(tokio::task::yield_now().into_actor(self).map(|(), owner, ctx| owner.flush(ctx)));
        }
    }

    fn flush(&mut self, ctx: &mut Context<Self>) {
        self.flushing = false;
        let events = self.journal.pending();
        if events > 0 && !self.commit(events, ctx) {
            return;
        }
        for (caller, answer) in self.waiting.drain(..) {
            caller.answer(answer);
        }
        for Read(look) in std::mem::take(&mut self.reads) {
            look(self);
        }
    }

    fn commit(&mut self, events: usize, ctx: &mut Context<Self>) -> bool {
        let began = std::time::Instant::now();
        match self.journal.commit() {
            Ok(committed) => self.committed(committed, events, began.elapsed()),
            Err(error) => {
                self.last_breath.end = End::JournalFailed(with_sources(&error));
                self.waiting.clear();
                ctx.terminate();
                return false;
            }
        }
        true
    }

    #[expect(clippy::cast_precision_loss, reason = "batches are small")]
    fn committed(&mut self, committed: Committed, events: usize, took: Duration) {
        if took > SLOW_COMMIT {
            let (partition, segment) = (self.gate.id().0, committed.segment);
            tracing::warn!(partition, segment, events, took_ms = took.as_millis(), "slow commit");
        }
        if std::mem::take(&mut self.pays) {
            self.news.due = self.due_soon();
        }
        self.gate.publish(committed, std::mem::take(&mut self.news));
        self.watched.tell(&self.partition);
        self.meters.syncs.increment(1);
        self.meters.events.increment(events as u64);
        self.meters.batch.record(events as f64);
        self.meters.sync_seconds.record(took.as_secs_f64());
        self.recent.forget(self.gate.stored());
    }

    /// Whose steps are due, now or before they look by themselves, since this was asked last.
    fn due_soon(&mut self) -> [bool; 3] {
        let soon = clock::now().max(self.partition.time()).plus_millis(SOON_MILLIS);
        let seen = std::mem::replace(&mut self.told, self.partition.lsn());
        let mut parts = [false; 3];
        for due in self.partition.due_after(seen, usize::MAX) {
            parts[due.part as usize] |= due.due_at <= soon;
        }
        parts
    }

    /// Whether the journal may take `command`, and still have room for the ends of all that
    /// holds units then. Ends themselves are taken always: that is what the room is kept for.
    fn has_room(&self, command: &Command) -> bool {
        room::needed(&self.partition, command).is_none_or(|bytes| self.journal.room(bytes))
    }

    /// Whether `command` would be accepted now: a repeat and a refusal need no room, and
    /// nobody else's help.
    fn is_new(&mut self, now: Time, command: &Command) -> bool {
        self.step(now, &Command::Tick);
        matches!(self.partition.decide(now, command), Decision::Accept(..))
    }

    /// Lets callers in once nothing is overdue: the first command would have to wait until
    /// all of it had ended, and after a long pause that may be every hold there is.
    fn open(&mut self, ctx: &mut Context<Self>) {
        let all = self.end_overdue(clock::now());
        let events = self.journal.pending();
        if events > 0 && !self.commit(events, ctx) {
            return;
        }
        if !all {
            ctx.spawn(tokio::task::yield_now().into_actor(self).map(|(), owner, ctx| owner.open(ctx)));
            return;
        }
        ctx.run_interval(TICK, |owner, ctx| {
            if !owner.ticking {
                owner.tick(ctx);
            }
        });
        self.gate.open(ctx.address());
    }

    /// Ends what is overdue, piece by piece.
    fn tick(&mut self, ctx: &mut Context<Self>) {
        self.ticking = !self.end_overdue(clock::now());
        self.after(ctx);
        if self.ticking {
            ctx.spawn(tokio::task::yield_now().into_actor(self).map(|(), owner, ctx| owner.tick(ctx)));
        }
    }
}

impl Actor for Owner {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.gate.publish(self.journal.committed(), News { asks: true, due: [true; 3] });
        self.open(ctx);
    }
}

impl Handler<Decide> for Owner {
    type Result = ();

    fn handle(&mut self, message: Decide, ctx: &mut Context<Self>) {
        self.decide(ctx, message);
    }
}

impl Handler<Read> for Owner {
    type Result = ();

    fn handle(&mut self, read: Read, _: &mut Context<Self>) {
        if self.journal.pending() == 0 { (read.0)(self) } else { self.reads.push(read) }
    }
}

impl Handler<Stop> for Owner {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Context<Self>) {
        self.flush(ctx);
        if !matches!(self.last_breath.end, End::JournalFailed(_)) {
            self.last_breath.end = End::Stopped;
        }
        ctx.terminate();
    }
}

#[cfg(test)]
impl Handler<Panic> for Owner {
    type Result = ();

    fn handle(&mut self, _: Panic, _: &mut Context<Self>) {
        panic!("planted");
    }
}

impl Batch<'_> {
    /// Takes what `command` made happen.
    #[inline]
    fn take(&mut self, record: &Record, command: &Command) {
        let lsn = self.journal.append(record);
        self.news.asks |= !basket::asks(&record.event).is_empty();
        *self.pays |= record.event.pays().is_some();
        self.watched.take(&record.event);
        self.recent.take(lsn, &record.event);
        if let Event::OrderRefused(ended) = &record.event
            && let Some(caller) = self.baskets.remove(&ended.id)
        {
            let refusal = match command {
                Command::RefuseParts { order, refusal } if *order == ended.id => refusal.clone(),
                _ => Refusal::DeadlineBeforePlaced,
            };
            self.waiting.push((caller, Ok(Outcome::Refused(refusal))));
        }
    }
}

impl Meters {
    fn of(gate: &Gate) -> Self {
        let partition = gate.id().to_string();
        Self {
            placed: metrics::counter!("son7_orders_placed_total", "partition" => partition.clone()),
            refused: metrics::counter!("son7_orders_refused_total", "partition" => partition.clone()),
            syncs: metrics::counter!("son7_journal_syncs_total", "partition" => partition.clone()),
            events: metrics::counter!("son7_journal_events_total", "partition" => partition.clone()),
            batch: metrics::histogram!("son7_journal_batch_events", "partition" => partition.clone()),
            sync_seconds: metrics::histogram!("son7_journal_sync_seconds", "partition" => partition),
        }
    }
}

#[cfg(test)]
#[path = "owner_tests.rs"]
mod tests;
