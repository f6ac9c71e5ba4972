//! Secrets and signatures in the Standard Webhooks form: `v1,` and the base64 of HMAC-SHA256
//! over `id.timestamp.body`.
//!
//! A secret must never be printed: its `Debug` says that there is one, not which.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use son7shop_engine::Time;
use std::fmt;

/// How secrets begin, so that whoever finds one knows what it is.
const PREFIX: &str = "whsec_";
/// Bytes of a new secret; the form takes 24 to 64.
const SECRET_BYTES: usize = 32;
const SECRET_BYTES_TAKEN: std::ops::RangeInclusive<usize> = 24..=64;
/// How long a secret signs on after it was replaced.
pub(super) const OLD_SIGNS_MILLIS: i64 = 24 * 60 * 60 * 1000;

/// What an endpoint and the shop share, and nobody else.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Secret(Vec<u8>);

impl Secret {
    /// A new one.
    pub(super) fn draw() -> Self {
        let mut bytes = [0; SECRET_BYTES];
        rand::fill(&mut bytes);
        Self(bytes.to_vec())
    }

    /// The secret as its endpoint needs it; to be shown once.
    pub(super) fn reveal(&self) -> String {
        format!("{PREFIX}{}", STANDARD.encode(&self.0))
    }

    fn parse(text: &str) -> Option<Self> {
        let bytes = STANDARD.decode(text.strip_prefix(PREFIX)?).ok()?;
        SECRET_BYTES_TAKEN.contains(&bytes.len()).then_some(Self(bytes))
    }

    fn sign(&self, signed: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.0);
        format!("v1,{}", STANDARD.encode(hmac::sign(&key, signed.as_bytes())))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.reveal())
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        // The text itself is not part of the error.
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("a secret is whsec_ and base64 of 24 to 64 bytes"))
    }
}

/// A secret and until when it signs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Signing {
    pub(super) secret: Secret,
    /// Replaced: it signs until then, in milliseconds since 1970. `None`: the newest.
    pub(super) until: Option<i64>,
}

/// The `webhook-signature` of a message: one signature for each secret that signs now.
pub(super) fn signatures(secrets: &[Signing], now: Time, id: &str, timestamp: i64, body: &str) -> String {
    let signed = format!("{id}.{timestamp}.{body}");
    let live = secrets.iter().filter(|signing| signing.until.is_none_or(|until| until > now.0));
    live.map(|signing| signing.secret.sign(&signed)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signing(text: &str, until: Option<i64>) -> Signing {
        Signing { secret: Secret::parse(text).unwrap(), until }
    }

    /// The example of the Standard Webhooks specification.
    #[test]
    fn signatures_are_as_the_specification_has_them() {
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let body = r#"{"test": 2432232314}"#;
        let said = |secrets: &[Signing], now| {
            signatures(secrets, Time(now), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body)
        };
        let wanted = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(said(&[signing(secret, None)], 0), wanted);
        let other = signing(&Secret::draw().reveal(), None);
        let both = said(&[other.clone(), signing(secret, Some(10))], 9);
        assert_eq!(both.split(' ').nth(1), Some(wanted));
        assert_eq!(said(&[other, signing(secret, Some(10))], 10).split(' ').count(), 1);
    }

    #[test]
    fn a_secret_is_not_printed_and_reads_back() {
        let secret = Secret::draw();
        let shown = secret.reveal();
        assert_eq!(Secret::parse(&shown), Some(secret.clone()));
        let printed = format!("{:?}", Signing { secret, until: None });
        assert!(!printed.contains(&shown[PREFIX.len()..]) && printed.contains("***"), "{printed}");
        for bad in ["", "whsec_", "whsec_AAAA", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_*"] {
            assert_eq!(Secret::parse(bad), None, "{bad}");
        }
    }
}
