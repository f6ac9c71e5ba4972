//! Endpoints: where messages go, and what of them is kept.

use super::message::MESSAGE_TYPES;
use super::signing::{OLD_SIGNS_MILLIS, Secret, Signing};
use super::target::Reach;
use serde::{Deserialize, Serialize};
use son7shop_engine::{RequestKey, Time};
use std::fmt;

/// Secrets of one endpoint that sign at the same time, at most.
const SECRETS_MAX: usize = 4;

/// Why an endpoint is not called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DisabledBy {
    /// An admin said so.
    Admin,
    /// The endpoint answered 410.
    Gone,
}

impl DisabledBy {
    /// The reason as it stands in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Gone => "gone",
        }
    }
}

/// What an admin says of an endpoint.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookTerms {
    /// Where messages go.
    pub url: String,
    /// Which types of message; empty: all.
    pub events: Vec<String>,
    /// For people.
    pub description: String,
    /// Not called for now.
    pub disabled: bool,
}

/// The address may hold a secret.
impl fmt::Debug for WebhookTerms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url: _, events, description, disabled } = self;
        let mut shown = f.debug_struct("WebhookTerms");
        shown.field("events", events).field("description", description).field("disabled", disabled);
        shown.finish_non_exhaustive()
    }
}

/// An endpoint as it is shown; its secrets are not.
#[derive(Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Its name in every call.
    pub id: String,
    /// Where messages go.
    pub url: String,
    /// Which types of message; empty: all.
    pub events: Vec<String>,
    /// For people.
    pub description: String,
    /// Why it is not called, if it is not.
    pub disabled: Option<DisabledBy>,
    /// When it was registered.
    pub created_at: Time,
    /// Messages that wait for a try.
    pub waiting: u64,
    /// Since when the oldest of them does.
    pub oldest_waiting_since: Option<Time>,
}

/// The address may hold a secret.
impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, disabled, waiting, .. } = self;
        let mut shown = f.debug_struct("Webhook");
        shown.field("id", id).field("disabled", disabled).field("waiting", waiting).finish_non_exhaustive()
    }
}

/// Why a call about endpoints was not done. Nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WebhookError {
    /// No endpoint has this id.
    #[error("there is no such webhook")]
    Unknown,
    /// The address cannot be called.
    #[error("{0}")]
    Url(&'static str),
    /// No such type of message.
    #[error("there is no event {0:?}")]
    UnknownEvent(String),
    /// There are as many as there may be.
    #[error("there are at most {max} {what}")]
    Limit {
        /// Of what.
        what: &'static str,
        /// How many.
        max: usize,
    },
    /// It is not called at the moment.
    #[error("the webhook is disabled; enable it first")]
    Disabled,
    /// Nothing more can wait for it at the moment.
    #[error("too much waits for this webhook already")]
    Full,
    /// The key belongs to another request.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// A replay that cannot be: which field, and why.
    #[error("{what}")]
    Replay {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        what: String,
    },
    /// The file could not be written or read; the log says why.
    #[error("the webhooks' files cannot be used at the moment")]
    Files,
}

/// An endpoint as it stands in its file.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Endpoint {
    pub(super) id: String,
    pub(super) url: String,
    pub(super) events: Vec<String>,
    pub(super) description: String,
    pub(super) disabled: Option<DisabledBy>,
    /// Milliseconds since 1970.
    pub(super) created_at: i64,
    /// The newest first.
    pub(super) secrets: Vec<Signing>,
    /// Under which key and by which request it was registered.
    pub(super) key: Option<([u8; 16], [u8; 16])>,
}

/// The address may hold a secret.
impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("id", &self.id).field("disabled", &self.disabled).finish_non_exhaustive()
    }
}

impl WebhookTerms {
    /// Checks what the shop must agree to.
    pub(super) fn check(&self, reach: Reach) -> Result<(), WebhookError> {
        reach.check(&self.url).map_err(WebhookError::Url)?;
        match self.events.iter().find(|event| !MESSAGE_TYPES.contains(&event.as_str())) {
            Some(unknown) => Err(WebhookError::UnknownEvent(unknown.clone())),
            None => Ok(()),
        }
    }
}

impl Endpoint {
    pub(super) fn new(terms: WebhookTerms, key: Option<RequestKey>, now: Time) -> Self {
        let mut endpoint = Self {
            id: format!("wh_{}", uuid::Uuid::now_v7().simple()),
            url: String::new(),
            events: Vec::new(),
            description: String::new(),
            disabled: None,
            created_at: now.0,
            secrets: vec![Signing { secret: Secret::draw(), until: None }],
            key: key.map(|key| (key.key, key.request)),
        };
        endpoint.set(terms);
        endpoint
    }

    /// Takes on other terms.
    pub(super) fn set(&mut self, terms: WebhookTerms) {
        let WebhookTerms { url, mut events, description, disabled } = terms;
        events.sort_unstable();
        events.dedup();
        let by = self.disabled.unwrap_or(DisabledBy::Admin);
        (self.url, self.events, self.description) = (url, events, description);
        self.disabled = disabled.then_some(by);
    }

    /// Whether it is told of this type.
    pub(super) fn wants(&self, kind: &str) -> bool {
        self.events.is_empty() || self.events.iter().any(|event| event == kind)
    }

    /// A new secret; the one before signs on for a while.
    pub(super) fn rotate(&mut self, now: Time) -> Result<(), WebhookError> {
        self.secrets.retain(|signing| signing.until.is_none_or(|until| until > now.0));
        if self.secrets.len() >= SECRETS_MAX {
            return Err(WebhookError::Limit { what: "secrets that sign at the same time", max: SECRETS_MAX });
        }
        for signing in &mut self.secrets {
            signing.until = signing.until.or(Some(now.0.saturating_add(OLD_SIGNS_MILLIS)));
        }
        self.secrets.insert(0, Signing { secret: Secret::draw(), until: None });
        Ok(())
    }

    /// The newest secret, to be shown once.
    pub(super) fn reveal(&self) -> String {
        self.secrets.first().map(|signing| signing.secret.reveal()).unwrap_or_default()
    }

    pub(super) fn shown(&self, waiting: usize, oldest: Option<Time>) -> Webhook {
        Webhook {
            id: self.id.clone(),
            url: self.url.clone(),
            events: self.events.clone(),
            description: self.description.clone(),
            disabled: self.disabled,
            created_at: Time(self.created_at),
            waiting: waiting as u64,
            oldest_waiting_since: oldest,
        }
    }
}
