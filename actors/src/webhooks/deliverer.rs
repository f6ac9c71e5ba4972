//! The deliverer: sends what waits for the endpoints, and keeps what came of it.
//!
//! One for all endpoints, each with room of its own: one that hangs holds its own tries, for
//! fifteen seconds each, and nobody else's. A restart begins with what the queues say: a try
//! that was under way is made again. It must never touch an owner or a journal.

use super::attempt::{self, Said};
use super::hooks::{Hook, Hooks, oldest_seconds};
use super::log::{Delivery, DeliveryOutcome};
use super::message::PING;
use super::queue::{After, Try};
use crate::clock;
use metrics::Gauge;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use reqwest::Client;
use son7shop_engine::Time;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// How often files are brought up to date and figures told, and the longest sleep.
const LOOK: Duration = Duration::from_secs(1);

/// Go on.
#[derive(Debug)]
pub(crate) struct Turn;

/// A try that ended.
struct Ended {
    hook: Arc<Hook>,
    attempt: Try,
    began: Time,
    took: Duration,
    said: Said,
}

/// What is under way.
pub(crate) struct State {
    hooks: Arc<Hooks>,
    /// Made when there is somebody to call.
    client: Option<Client>,
    tries: JoinSet<Ended>,
    stored: Instant,
    oldest: Gauge,
    waiting: Gauge,
}

/// Sends what waits.
pub(crate) struct Deliverer;

impl Actor for Deliverer {
    type Msg = Turn;
    type State = State;
    type Arguments = Arc<Hooks>;

    async fn pre_start(&self, me: ActorRef<Turn>, hooks: Arc<Hooks>) -> Result<State, ActorProcessingErr> {
        hooks.all().iter().for_each(|hook| hook.kept().queue.release());
        me.cast(Turn)?;
        Ok(State {
            hooks,
            client: None,
            tries: JoinSet::new(),
            stored: Instant::now(),
            oldest: metrics::gauge!("son7_webhook_oldest_undelivered_seconds"),
            waiting: metrics::gauge!("son7_webhook_waiting"),
        })
    }

    async fn handle(&self, me: ActorRef<Turn>, _: Turn, state: &mut State) -> Result<(), ActorProcessingErr> {
        state.turn().await?;
        me.cast(Turn)?;
        Ok(())
    }
}

impl State {
    async fn turn(&mut self) -> Result<(), ActorProcessingErr> {
        let next = self.begin()?;
        if self.stored.elapsed() >= LOOK {
            self.store().await?;
        }
        let hooks = Arc::clone(&self.hooks);
        tokio::select! {
            Some(ended) = self.tries.join_next() => {
                self.end(ended?).await;
                while let Some(ended) = self.tries.try_join_next() {
                    self.end(ended?).await;
                }
            }
            () = hooks.due.notified() => {}
            () = tokio::time::sleep(next) => {}
        }
        Ok(())
    }

    /// Begins every try that is due and has room; says how long nothing else will be due.
    fn begin(&mut self) -> Result<Duration, ActorProcessingErr> {
        let now = clock::now();
        let mut sleep = LOOK;
        for hook in self.hooks.all().iter() {
            let mut kept = hook.kept();
            if kept.endpoint.disabled.is_some() {
                continue;
            }
            kept.queue.probe(now);
            while let Some(attempt) = kept.queue.take(now) {
                let client = match &self.client {
                    Some(client) => client.clone(),
                    None => self.client.insert(attempt::client(self.hooks.reach)?).clone(),
                };
                let (url, secrets) = (kept.endpoint.url.clone(), kept.endpoint.secrets.clone());
                let (hook, reach) = (Arc::clone(hook), self.hooks.reach);
                self.tries.spawn(async move {
                    let watch = Instant::now();
                    let said = attempt::send(&client, reach, &url, &secrets, &attempt).await;
                    Ended { hook, attempt, began: now, took: watch.elapsed(), said }
                });
            }
            if let Some(due) = kept.queue.next_due() {
                // A try that is due and has no room begins when another ends.
                let wait = u64::try_from(due.0 - now.0).unwrap_or(0).max(1);
                let full = due <= now;
                sleep = if full { sleep } else { sleep.min(Duration::from_millis(wait)) };
            }
        }
        Ok(sleep)
    }

    async fn end(&self, ended: Ended) {
        if let Some(gone) = self.note(ended) {
            self.hooks.gone(&gone).await;
        }
    }

    /// Notes what came of a try; the endpoint, if it says that it is gone.
    fn note(&self, ended: Ended) -> Option<String> {
        let Ended { hook, attempt, began, took, said } = ended;
        let (status, error) = match said {
            Said::Status(status) => (Some(status), None),
            Said::Nothing(why) => (None, Some(why)),
        };
        let now = clock::now();
        let mut kept = hook.kept();
        kept.changed = true;
        let (outcome, next_try) = if status.is_some_and(|status| (200..300).contains(&status)) {
            kept.queue.delivered(&attempt.id, now);
            (DeliveryOutcome::Delivered, None)
        } else {
            let after = kept.queue.failed(&attempt.id, now, &self.hooks.schedule, rand::random());
            match (after, status) {
                (Some(After::GivenUp), _) => (DeliveryOutcome::GivenUp, None),
                (Some(After::Again(due)), Some(410)) => (DeliveryOutcome::Gone, Some(due.0)),
                (Some(After::Again(due)), _) => (DeliveryOutcome::Failed, Some(due.0)),
                // Its endpoint was deleted meanwhile.
                (None, _) => (DeliveryOutcome::Failed, None),
            }
        };
        metrics::counter!("son7_webhook_deliveries_total", "outcome" => outcome.as_str()).increment(1);
        let Try { id, kind, number, .. } = attempt;
        if outcome == DeliveryOutcome::GivenUp && kind != PING {
            tracing::error!(webhook = hook.id, message = id, tries = number, status, error, "a message was given up");
        }
        kept.tell(Delivery {
            number: 0,
            at: began.0,
            message: id,
            event: kind,
            attempt: number,
            outcome,
            status,
            error,
            millis: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            next_try,
        });
        (status == Some(410)).then(|| hook.id.clone())
    }

    #[expect(clippy::cast_precision_loss, reason = "gauges")]
    async fn store(&mut self) -> Result<(), ActorProcessingErr> {
        let hooks = Arc::clone(&self.hooks);
        tokio::task::spawn_blocking(move || hooks.store()).await?;
        self.stored = Instant::now();
        let all = self.hooks.all();
        self.oldest.set(oldest_seconds(&all, clock::now()) as f64);
        self.waiting.set(all.iter().map(|hook| hook.kept().queue.len()).sum::<usize>() as f64);
        Ok(())
    }
}
