//! What the webhooks' actors share: the endpoints, each with its queue and its log.
//!
//! Locks are held for moments and never over a wait or a file. An edit of the endpoints is on
//! disk before anybody sees it.

use super::endpoint::{DisabledBy, Endpoint, Webhook, WebhookError};
use super::log::{Delivery, DeliveryOutcome, Log};
use super::queue::{Lane, Queue, RetrySchedule};
use super::store::Files;
use super::target::Reach;
use crate::error::with_sources;
use crate::{OpenError, clock};
use arc_swap::ArcSwap;
use son7shop_engine::Time;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, watch};

/// Endpoints, at most.
pub(super) const ENDPOINTS_MAX: usize = 32;

/// How webhooks are sent.
#[derive(Debug, Clone)]
pub struct WebhookSettings {
    /// Whether addresses of this machine may be called: only while the shop, too, listens on one.
    pub loopback: bool,
    /// Whether addresses of private networks may be called.
    pub private: bool,
    /// When a message is tried again.
    pub retries: RetrySchedule,
    /// How long an event is kept in the journal for an endpoint that is behind, in milliseconds.
    pub hold_millis: i64,
}

/// Public addresses only, the published schedule, seven days.
impl Default for WebhookSettings {
    fn default() -> Self {
        let retries = RetrySchedule::default();
        Self { loopback: false, private: false, retries, hold_millis: 7 * 24 * 60 * 60 * 1000 }
    }
}

/// What the webhooks' actors share.
#[derive(Debug)]
pub(crate) struct Hooks {
    pub(super) reach: Reach,
    pub(super) schedule: RetrySchedule,
    pub(super) hold_millis: i64,
    files: Files,
    all: ArcSwap<Vec<Arc<Hook>>>,
    /// Held over an edit of the endpoints, its file included.
    pub(super) edits: tokio::sync::Mutex<()>,
    /// Tells the participants that there are other endpoints, or other places.
    pub(super) changed: watch::Sender<()>,
    /// Wakes the deliverer.
    pub(super) due: Notify,
}

/// An endpoint, its queue and its log.
#[derive(Debug)]
pub(super) struct Hook {
    pub(super) id: String,
    /// Its files' lock, too: held while they are written.
    log: Mutex<Log>,
    kept: Mutex<Kept>,
    deleted: AtomicBool,
}

/// What changes of an endpoint.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) endpoint: Endpoint,
    pub(super) queue: Queue,
    /// The queue on disk is another.
    pub(super) changed: bool,
    /// Lines for the log.
    told: Vec<Delivery>,
}

impl Hook {
    fn new(files: &Files, endpoint: Endpoint, queue: Queue) -> Arc<Self> {
        let log = Mutex::new(Log::open(files, &endpoint.id));
        let id = endpoint.id.clone();
        let kept = Mutex::new(Kept { endpoint, queue, changed: false, told: Vec::new() });
        Arc::new(Self { id, log, kept, deleted: AtomicBool::new(false) })
    }

    /// What changes of it; for a moment.
    pub(super) fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn shown(&self) -> Webhook {
        let kept = self.kept();
        kept.endpoint.shown(kept.queue.len(), kept.queue.oldest())
    }

    /// Its lanes over a partition's journal.
    pub(super) fn lanes(&self, partition: u16) -> Vec<Lane> {
        self.kept().queue.lanes.iter().filter(|lane| lane.partition == partition).cloned().collect()
    }

    /// Events that it will not be told of, and why: never in silence.
    pub(super) fn skipped(&self, partition: u16, events: u64, why: &str) {
        metrics::counter!("son7_webhook_deliveries_total", "outcome" => "skipped").increment(events);
        tracing::error!(webhook = self.id, partition, events, why, "events were skipped for a webhook");
        self.kept().told.push(Delivery {
            number: 0,
            at: clock::now().0,
            message: format!("msg_p{partition}"),
            event: "skipped".to_owned(),
            attempt: 0,
            outcome: DeliveryOutcome::Skipped,
            status: None,
            error: Some(format!("{events} events: {why}")),
            millis: 0,
            next_try: None,
        });
    }

    /// Brings its files up to date. Blocks.
    fn store(&self, files: &Files) {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        if self.deleted.load(Ordering::Acquire) {
            return;
        }
        let (told, queue) = {
            let mut kept = self.kept();
            let told = std::mem::take(&mut kept.told);
            let changed = std::mem::take(&mut kept.changed);
            (told, changed.then(|| kept.queue.clone()))
        };
        if let Err(error) = log.append(told) {
            tracing::error!(webhook = self.id, %error, "a part of the delivery log is lost");
        }
        let Some(queue) = queue else { return };
        if let Err(error) = files.store_queue(&self.id, &queue) {
            self.kept().changed = true;
            tracing::error!(
                webhook = self.id,
                error = with_sources(&error),
                "a webhook's queue is not on disk; trying again"
            );
        }
    }
}

impl Kept {
    /// A line for the log.
    pub(super) fn tell(&mut self, delivery: Delivery) {
        self.told.push(delivery);
    }
}

impl Hooks {
    /// The endpoints of the data folder at `data`. Blocks.
    pub(crate) fn open(data: &Path, journal: [u8; 16], settings: WebhookSettings) -> Result<Self, OpenError> {
        let files = Files::new(data, journal);
        let found = files.load().map_err(|error| OpenError::new("opening the webhooks", error))?;
        let start = |(endpoint, mut queue): (Endpoint, Queue)| {
            // Whatever kept the shop, or them, away is over: they need not wait for their turn.
            queue.hurry();
            Hook::new(&files, endpoint, queue)
        };
        let all = found.into_iter().map(start).collect();
        Ok(Self {
            reach: Reach { loopback: settings.loopback, private: settings.private },
            schedule: settings.retries,
            hold_millis: settings.hold_millis,
            files,
            all: ArcSwap::from_pointee(all),
            edits: tokio::sync::Mutex::new(()),
            changed: watch::Sender::new(()),
            due: Notify::new(),
        })
    }

    /// Every endpoint.
    pub(super) fn all(&self) -> Arc<Vec<Arc<Hook>>> {
        self.all.load_full()
    }

    pub(super) fn get(&self, id: &str) -> Result<Arc<Hook>, WebhookError> {
        self.all.load().iter().find(|hook| hook.id == id).cloned().ok_or(WebhookError::Unknown)
    }

    /// Adds an endpoint; the caller holds `edits`.
    pub(super) async fn add(self: &Arc<Self>, endpoint: Endpoint, queue: Queue) -> Result<(), WebhookError> {
        let mut endpoints = self.endpoints();
        endpoints.push(endpoint.clone());
        let hooks = Arc::clone(self);
        let hook = self
            .blocking(move || {
                // First: a file that an endpoint names must be there.
                hooks.files.store_queue(&endpoint.id, &queue)?;
                hooks.files.store_endpoints(&endpoints)?;
                Ok(Hook::new(&hooks.files, endpoint, queue))
            })
            .await?;
        self.swap(|all| all.push(hook));
        Ok(())
    }

    /// Puts other terms or secrets in an endpoint's place; the caller holds `edits`.
    pub(super) async fn set(self: &Arc<Self>, endpoint: Endpoint) -> Result<(), WebhookError> {
        let hook = self.get(&endpoint.id)?;
        let mut endpoints = self.endpoints();
        endpoints.iter_mut().filter(|known| known.id == endpoint.id).for_each(|known| *known = endpoint.clone());
        let hooks = Arc::clone(self);
        self.blocking(move || hooks.files.store_endpoints(&endpoints)).await?;
        hook.kept().endpoint = endpoint;
        Ok(())
    }

    /// Removes an endpoint and what it has left; the caller holds `edits`.
    pub(super) async fn remove(self: &Arc<Self>, id: &str) -> Result<(), WebhookError> {
        let hook = self.get(id)?;
        let mut endpoints = self.endpoints();
        endpoints.retain(|known| known.id != id);
        let (hooks, gone) = (Arc::clone(self), Arc::clone(&hook));
        self.blocking(move || {
            hooks.files.store_endpoints(&endpoints)?;
            let _writing = gone.log.lock().unwrap_or_else(PoisonError::into_inner);
            gone.deleted.store(true, Ordering::Release);
            hooks.files.remove(&gone.id);
            Ok(())
        })
        .await?;
        self.swap(|all| all.retain(|known| known.id != hook.id));
        Ok(())
    }

    /// Calls an endpoint no more, because it said that it is gone.
    pub(super) async fn gone(self: &Arc<Self>, id: &str) {
        let _edit = self.edits.lock().await;
        let Ok(hook) = self.get(id) else { return };
        let mut endpoint = hook.kept().endpoint.clone();
        if endpoint.disabled.is_some() {
            return;
        }
        endpoint.disabled = Some(DisabledBy::Gone);
        tracing::error!(webhook = id, "a webhook answered 410: it is disabled");
        if self.set(endpoint).await.is_ok() {
            self.follow_nothing(&hook);
        }
    }

    /// An endpoint that is not called holds nothing of the journal.
    pub(super) fn follow_nothing(&self, hook: &Hook) {
        let mut kept = hook.kept();
        kept.queue.lanes.clear();
        kept.changed = true;
        drop(kept);
        self.changed.send_replace(());
    }

    /// A page of an endpoint's log.
    pub(super) async fn page(
        self: &Arc<Self>,
        hook: Arc<Hook>,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Delivery>, WebhookError> {
        let hooks = Arc::clone(self);
        self.blocking(move || {
            hook.store(&hooks.files);
            Ok(hook.log.lock().unwrap_or_else(PoisonError::into_inner).page(before, limit))
        })
        .await
    }

    /// Brings all files up to date. Blocks.
    pub(crate) fn store(&self) {
        self.all().iter().for_each(|hook| hook.store(&self.files));
    }

    fn endpoints(&self) -> Vec<Endpoint> {
        self.all().iter().map(|hook| hook.kept().endpoint.clone()).collect()
    }

    fn swap(&self, edit: impl FnOnce(&mut Vec<Arc<Hook>>)) {
        let mut all = self.all().to_vec();
        edit(&mut all);
        self.all.store(Arc::new(all));
        self.changed.send_replace(());
        self.due.notify_one();
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, super::store::StoreError> + Send + 'static,
    ) -> Result<T, WebhookError> {
        let done = tokio::task::spawn_blocking(work).await;
        let error = match done {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => with_sources(&error),
            Err(error) => error.to_string(),
        };
        tracing::error!(error, "the webhooks' files");
        Err(WebhookError::Files)
    }
}

/// The age of what has waited longest, in seconds; 0 where nothing waits.
pub(super) fn oldest_seconds(hooks: &[Arc<Hook>], now: Time) -> i64 {
    let oldest = hooks.iter().filter_map(|hook| hook.kept().queue.oldest()).min();
    oldest.map_or(0, |oldest| (now.0 - oldest.0).max(0) / 1000)
}
