//! The words of paying: what an attempt is made of, and what a gateway tells in its answers.
//!
//! Gateways differ; these types are what the rules in [`crate::saga`] need of any of them.
//! Secrets ([`Proof`], [`Nonce`], [`Pages`]) are kept, since a crash must be able to go on, and
//! must never be printed: their `Debug` says that there is one, not which.

use crate::ids::IdError;
use crate::money::Won;
use crate::time::Time;
use compact_str::CompactString;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The longest text of a gateway that is kept, in bytes; longer ones are cut.
pub const MAX_ANSWER_BYTES: usize = 200;
/// The longest address of a payment page, in bytes.
pub const MAX_PAGE_BYTES: usize = 512;

/// How an order is paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PaymentMethod {
    /// Kakao Pay, one payment.
    KakaoPay,
}

impl PaymentMethod {
    /// The method as it stands in the API and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::KakaoPay => "kakaopay",
        }
    }

    /// Reads [`PaymentMethod::as_str`] back.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::KakaoPay].into_iter().find(|method| method.as_str() == text)
    }
}

/// The gateway's own name of an attempt (Kakao Pay's `tid`): opaque, 1 to 64 visible ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GatewayRef(CompactString);

impl GatewayRef {
    /// The longest reference, in characters; the width of the database's column.
    pub const MAX: usize = 64;

    /// Checks length and alphabet.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        visible(text, Self::MAX).map(Self)
    }

    /// The reference as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for GatewayRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the shopper brought back from the gateway's page to prove that they authorised the
/// payment (Kakao Pay's `pg_token`): opaque and secret, 1 to 128 visible ASCII characters.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Proof(CompactString);

impl Proof {
    /// The longest proof, in characters.
    pub const MAX: usize = 128;

    /// Checks length and alphabet.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        visible(text, Self::MAX).map(Self)
    }

    /// The proof itself: for the gateway, and for nobody else.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Proof(…)")
    }
}

/// Sixteen bytes drawn for an attempt's return addresses: whoever has them came from there.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Nonce(pub [u8; 16]);

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nonce(…)")
    }
}

/// The gateway's pages on which the shopper pays; whoever has an address can go on with the payment.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pages {
    /// For a desktop browser.
    pub desktop: CompactString,
    /// For a mobile browser.
    pub mobile: CompactString,
    /// For a page inside an app.
    pub app: CompactString,
    /// Opens the gateway's Android app, where it has one.
    pub android: Option<CompactString>,
    /// Opens the gateway's iOS app, where it has one.
    pub ios: Option<CompactString>,
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pages(…)")
    }
}

/// A payment that the gateway has begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    /// The gateway's name of it.
    pub reference: GatewayRef,
    /// Where the shopper pays.
    pub pages: Pages,
    /// When the gateway forgets it, by its rules.
    pub expires_at: Time,
}

/// Money that the gateway took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Captured {
    /// How much.
    pub amount: Won,
    /// The gateway's name of the capture (Kakao Pay's `aid`); empty where it did not say.
    pub receipt: CompactString,
    /// What it was paid with, in the gateway's word (`CARD`, `MONEY`); empty where it did not say.
    pub means: CompactString,
    /// When, by the gateway's clock; never compared with ours.
    pub at: Time,
}

/// Money that the gateway gave back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenBack {
    /// How much, with this refund.
    pub amount: Won,
    /// The gateway's name of the refund; empty where it did not say.
    pub receipt: CompactString,
}

/// Where a payment stands at the gateway, when asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Nothing was taken yet, and it may still be.
    Pending,
    /// Money was taken; some of it may have been given back, not all.
    Paid {
        /// What was taken.
        captured: Captured,
        /// What was given back of it so far.
        refunded: Won,
    },
    /// Nothing was taken, and nothing will be: the gateway's word for why.
    NotPaid(Why),
    /// Money was taken, and all of it was given back.
    Refunded {
        /// What was taken.
        captured: Captured,
    },
    /// The gateway does not know it.
    Unknown,
    /// A word that we do not know, kept as it came.
    Unrecognised(CompactString),
}

/// Why nothing was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Why {
    /// The shopper left the gateway's page.
    Quit,
    /// The shopper could not prove who they are.
    AuthenticationFailed,
    /// The gateway or the bank declined.
    Declined,
    /// Its time at the gateway ran out.
    Lapsed,
    /// The gateway would not begin it, or did not say that it had.
    NotBegun,
    /// A later attempt took its place.
    Superseded,
    /// The order ended while the attempt waited for its shopper.
    OrderEnded,
    /// An operator ended it.
    GivenUp,
}

impl Why {
    /// Every reason.
    pub const ALL: [Self; 8] = [
        Self::Quit,
        Self::AuthenticationFailed,
        Self::Declined,
        Self::Lapsed,
        Self::NotBegun,
        Self::Superseded,
        Self::OrderEnded,
        Self::GivenUp,
    ];

    /// The reason as it stands in the API and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Quit => "quit",
            Self::AuthenticationFailed => "authentication_failed",
            Self::Declined => "declined",
            Self::Lapsed => "lapsed",
            Self::NotBegun => "not_begun",
            Self::Superseded => "superseded",
            Self::OrderEnded => "order_ended",
            Self::GivenUp => "given_up",
        }
    }
}

/// What the gateway answered to one call. Whatever is not certain is [`Answered::Unknown`]: only a
/// look at the payment's standing decides then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answered {
    /// It began the payment.
    Begun(Begun),
    /// It took the money.
    Captured(Captured),
    /// It says where the payment stands.
    Stands(Standing),
    /// It gave money back.
    GaveBack(GivenBack),
    /// It certainly did nothing, and says why; asking again does not help.
    Refused(CompactString),
    /// The proof is not the one that it gave out; nothing was done.
    WrongProof(CompactString),
    /// It is not known what it did: no answer, one that cannot be read, or one that leaves it open.
    Unknown(CompactString),
}

/// `text`, cut to what is kept of a gateway's words.
#[must_use]
pub fn cut(text: &str) -> CompactString {
    CompactString::from(&text[..text.floor_char_boundary(MAX_ANSWER_BYTES)])
}

fn visible(text: &str, max: usize) -> Result<CompactString, IdError> {
    if text.is_empty() {
        return Err(IdError::Empty);
    }
    if text.len() > max {
        return Err(IdError::TooLong(max));
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(IdError::NotVisible);
    }
    Ok(CompactString::new(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_printed() {
        let pages = Pages {
            desktop: "https://secret".into(),
            mobile: "https://secret".into(),
            app: "https://secret".into(),
            android: None,
            ios: None,
        };
        let proof = Proof::parse("secret").unwrap();
        let printed = format!("{proof:?} {:?} {pages:?}", Nonce([77; 16]));
        assert!(!printed.contains("secret") && !printed.contains("77"), "{printed}");
    }

    #[test]
    fn what_is_no_reference_is_refused_by_name() {
        assert_eq!(GatewayRef::parse(""), Err(IdError::Empty));
        assert_eq!(GatewayRef::parse(&"T".repeat(65)), Err(IdError::TooLong(64)));
        assert_eq!(GatewayRef::parse("T 1"), Err(IdError::NotVisible));
        assert!(GatewayRef::parse("T1234567890abcdef").is_ok());
    }

    #[test]
    fn a_long_answer_is_cut_between_characters() {
        assert_eq!(cut(&"결".repeat(100)).len(), 198);
        assert_eq!(cut("short"), "short");
    }
}
