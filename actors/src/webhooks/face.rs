//! What admins do with webhooks: the verbs of [`Shop`].

use super::endpoint::{Endpoint, Webhook, WebhookError, WebhookTerms};
use super::hooks::{ENDPOINTS_MAX, Hook};
use super::log::Delivery;
use super::message;
use super::queue::{Lane, Queue, Replay};
use crate::{Done, Shop, clock};
use son7shop_engine::{Lsn, RequestKey, Time};
use std::fmt;
use std::sync::Arc;

/// How long a key under which an endpoint was registered is remembered, in milliseconds.
const KEY_MILLIS: i64 = 24 * 60 * 60 * 1000;

/// An endpoint with its newest secret, which is shown this once.
#[derive(Clone, PartialEq, Eq)]
pub struct WithSecret {
    /// The endpoint.
    pub webhook: Webhook,
    /// `whsec_…`; for the endpoint only.
    pub secret: String,
}

impl fmt::Debug for WithSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WithSecret").field("webhook", &self.webhook).finish_non_exhaustive()
    }
}

/// From where a replay reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplayFrom {
    /// After this event of one partition's.
    After(Lsn),
    /// From the first event at or after this time.
    Since(Time),
}

/// What a replay reads of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplayPart {
    /// Which.
    pub partition: u16,
    /// The last event that is read again.
    pub until: Lsn,
}

impl Shop {
    /// Registers an endpoint. Under a key, a repeat within a day answers the same one.
    pub async fn create_webhook(
        &self,
        terms: WebhookTerms,
        key: Option<RequestKey>,
    ) -> Result<Done<WithSecret>, WebhookError> {
        let hooks = &self.inner.hooks;
        terms.check(hooks.reach)?;
        let _edit = hooks.edits.lock().await;
        let now = clock::now();
        if let Some(made) = key.and_then(|key| self.made_under(key, now)) {
            let same = made.kept().endpoint.key.map(|(_, request)| request) == key.map(|key| key.request);
            return if same {
                Ok(Done { value: revealed(&made), repeated: true })
            } else {
                Err(WebhookError::KeyReused)
            };
        }
        if hooks.all().len() >= ENDPOINTS_MAX {
            return Err(WebhookError::Limit { what: "webhooks", max: ENDPOINTS_MAX });
        }
        let endpoint = Endpoint::new(terms, key, now);
        let id = endpoint.id.clone();
        let queue = if endpoint.disabled.is_some() { Queue::default() } else { Queue::from_places(&self.ends()) };
        hooks.add(endpoint, queue).await?;
        tracing::info!(webhook = id, "a webhook was registered");
        Ok(Done { value: revealed(hooks.get(&id)?.as_ref()), repeated: false })
    }

    fn made_under(&self, key: RequestKey, now: Time) -> Option<Arc<Hook>> {
        let made = |hook: &&Arc<Hook>| {
            let kept = hook.kept();
            kept.endpoint.key.is_some_and(|(made, _)| made == key.key) && kept.endpoint.created_at + KEY_MILLIS > now.0
        };
        self.inner.hooks.all().iter().find(made).cloned()
    }

    /// Every endpoint, the oldest first.
    #[must_use]
    pub fn webhooks(&self) -> Vec<Webhook> {
        self.inner.hooks.all().iter().map(|hook| hook.shown()).collect()
    }

    /// An endpoint.
    pub fn webhook(&self, id: &str) -> Result<Webhook, WebhookError> {
        Ok(self.inner.hooks.get(id)?.shown())
    }

    /// Puts other terms in the place of an endpoint's. One that is enabled again goes on at the
    /// end of the journal; what was decided meanwhile it gets by a replay.
    pub async fn update_webhook(&self, id: &str, terms: WebhookTerms) -> Result<Webhook, WebhookError> {
        let hooks = &self.inner.hooks;
        let hook = hooks.get(id)?;
        terms.check(hooks.reach)?;
        let _edit = hooks.edits.lock().await;
        let mut endpoint = hook.kept().endpoint.clone();
        let was_enabled = endpoint.disabled.is_none();
        endpoint.set(terms);
        let enabled = endpoint.disabled.is_none();
        hooks.set(endpoint).await?;
        if was_enabled && !enabled {
            hooks.follow_nothing(&hook);
        }
        if enabled && !was_enabled {
            let mut kept = hook.kept();
            kept.queue.follow(&self.ends());
            kept.queue.hurry();
            kept.changed = true;
        }
        hooks.changed.send_replace(());
        hooks.due.notify_one();
        Ok(hook.shown())
    }

    /// Forgets an endpoint and what waits for it.
    pub async fn delete_webhook(&self, id: &str) -> Result<(), WebhookError> {
        let _edit = self.inner.hooks.edits.lock().await;
        self.inner.hooks.remove(id).await?;
        tracing::info!(webhook = id, "a webhook was deleted");
        Ok(())
    }

    /// Draws a new secret; the one before signs beside it for a day.
    pub async fn rotate_webhook_secret(&self, id: &str) -> Result<WithSecret, WebhookError> {
        let hooks = &self.inner.hooks;
        let _edit = hooks.edits.lock().await;
        let hook = hooks.get(id)?;
        let mut endpoint = hook.kept().endpoint.clone();
        endpoint.rotate(clock::now())?;
        hooks.set(endpoint).await?;
        Ok(revealed(&hook))
    }

    /// Up to `limit` tries before number `before`, newest first.
    pub async fn webhook_deliveries(
        &self,
        id: &str,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<Delivery>, WebhookError> {
        let hook = self.inner.hooks.get(id)?;
        self.inner.hooks.page(hook, before, limit as usize).await
    }

    /// Tells an endpoint again what the journal still has, up to where it is now. A replay of
    /// a partition that runs already gives way to this one.
    pub fn replay_webhook(
        &self,
        id: &str,
        partition: Option<u16>,
        from: ReplayFrom,
    ) -> Result<Vec<ReplayPart>, WebhookError> {
        let hook = self.inner.hooks.get(id)?;
        let ends = self.ends();
        let no = |field, what: String| Err(WebhookError::Replay { field, what });
        if let Some(unknown) = partition.filter(|&partition| usize::from(partition) >= ends.len()) {
            return no("partition", format!("there is no partition {unknown}; there are {}", ends.len()));
        }
        let (after, since) = match from {
            ReplayFrom::After(_) if partition.is_none() && ends.len() > 1 => {
                return no("partition", "events are numbered in each partition: say which".to_owned());
            }
            ReplayFrom::After(after) => (after.0, None),
            ReplayFrom::Since(since) => (0, Some(since.0)),
        };
        let began = clock::now().0;
        let mut kept = hook.kept();
        if kept.endpoint.disabled.is_some() {
            return Err(WebhookError::Disabled);
        }
        let mut parts = Vec::new();
        for (number, until) in (0..).zip(ends).filter(|(number, _)| partition.is_none_or(|only| only == *number)) {
            if after > until {
                return no("after_lsn", format!("the last event of partition {number} is {until}"));
            }
            kept.queue.lanes.retain(|lane| lane.partition != number || lane.replay.is_none());
            kept.queue.lanes.push(Lane::new(number, after, Some(Replay { until, since, began })));
            parts.push(ReplayPart { partition: number, until: Lsn(until) });
        }
        kept.changed = true;
        drop(kept);
        self.inner.hooks.changed.send_replace(());
        tracing::info!(webhook = id, ?from, ?partition, "a replay begins");
        Ok(parts)
    }

    /// Sends an endpoint a message that only tries it; answers the message's id.
    pub fn test_webhook(&self, id: &str) -> Result<String, WebhookError> {
        let hook = self.inner.hooks.get(id)?;
        let now = clock::now();
        let message = format!("msg_{}", uuid::Uuid::now_v7().simple());
        let ping = message::ping(message.clone(), id, now);
        let mut kept = hook.kept();
        if kept.endpoint.disabled.is_some() {
            return Err(WebhookError::Disabled);
        }
        if kept.queue.is_full() {
            return Err(WebhookError::Full);
        }
        let body = ping.body(None);
        kept.queue.push(ping.id, ping.kind, body, now);
        kept.changed = true;
        drop(kept);
        self.inner.hooks.due.notify_one();
        Ok(message)
    }

    /// The last event of each partition.
    fn ends(&self) -> Vec<u64> {
        self.inner.gates.iter().map(|gate| gate.committed().position.lsn.0).collect()
    }
}

fn revealed(hook: &Hook) -> WithSecret {
    let secret = hook.kept().endpoint.reveal();
    WithSecret { webhook: hook.shown(), secret }
}
