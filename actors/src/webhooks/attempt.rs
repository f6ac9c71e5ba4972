//! One try: a signed POST, and what came of it.
//!
//! Must never follow a redirect, go through a proxy, read more of an answer than it needs, or
//! let an address into an error: addresses may hold secrets.

use super::queue::Try;
use super::signing::{Signing, signatures};
use super::target::{Names, Reach};
use crate::clock;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Client, Response, redirect};
use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

/// How long an endpoint may take to answer.
const TIMEOUT: Duration = Duration::from_secs(15);
/// How much of an answer is read, so that its connection can be used again, in bytes.
const ANSWER_MAX: usize = 16 * 1024;
/// The longest error that is kept, in bytes.
const ERROR_MAX: usize = 200;

/// What an endpoint said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    /// This status.
    Status(u16),
    /// Nothing, and why.
    Nothing(String),
}

/// The client for all endpoints.
pub(super) fn client(reach: Reach) -> Result<Client, reqwest::Error> {
    let builder = || {
        Client::builder()
            .redirect(redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .timeout(TIMEOUT)
            .user_agent(concat!("son7shop/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(Arc::new(Names(reach)))
    };
    builder().build().or_else(|error| {
        // On a machine without certificates of authorities only plain http can be had.
        tracing::warn!(error = without_url(error), "webhooks over https will fail");
        builder().tls_certs_only([]).build()
    })
}

/// Sends one message.
pub(super) async fn send(client: &Client, reach: Reach, url: &str, secrets: &[Signing], attempt: &Try) -> Said {
    // It may have been allowed when it was registered, by settings of then.
    let url = match reach.check(url) {
        Ok(url) => url,
        Err(why) => return Said::Nothing(format!("the address {why}")),
    };
    let now = clock::now();
    let timestamp = now.0 / 1000;
    let signature = signatures(secrets, now, &attempt.id, timestamp, &attempt.body);
    let request = client
        .post(url)
        .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
        .header("webhook-id", &attempt.id)
        .header("webhook-timestamp", timestamp)
        .header("webhook-signature", signature)
        .body(attempt.body.clone());
    match request.send().await {
        Ok(response) => {
            let status = response.status().as_u16();
            read(response).await;
            Said::Status(status)
        }
        Err(error) if error.is_timeout() => Said::Nothing(format!("no answer within {} s", TIMEOUT.as_secs())),
        Err(error) => Said::Nothing(without_url(error)),
    }
}

/// Reads an answer to its end, if that is near.
async fn read(mut response: Response) {
    let mut length = 0;
    while let Ok(Some(chunk)) = response.chunk().await {
        length += chunk.len();
        if length > ANSWER_MAX {
            return;
        }
    }
}

/// What went wrong, from its outermost word to its cause.
fn without_url(error: reqwest::Error) -> String {
    let kind = if error.is_connect() { "could not connect" } else { "the request failed" };
    let error = error.without_url();
    let mut source = error.source();
    let mut cause = String::new();
    while let Some(inner) = source {
        cause = inner.to_string();
        source = inner.source();
    }
    let mut text = if cause.is_empty() { kind.to_owned() } else { format!("{kind}: {cause}") };
    let end = (0..=ERROR_MAX.min(text.len())).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
    text.truncate(end);
    text
}
