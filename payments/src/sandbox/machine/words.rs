//! The words of the protocol: endpoints, statuses, means of paying. It must never decide anything.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What the API is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// Prepares a payment.
    Ready,
    /// Captures it.
    Approve,
    /// Says where it stands.
    Order,
    /// Gives money back.
    Cancel,
}

impl Endpoint {
    /// Every endpoint.
    pub const ALL: [Self; 4] = [Self::Ready, Self::Approve, Self::Order, Self::Cancel];

    /// Where it is, below the API's address.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Ready => "/online/v1/payment/ready",
            Self::Approve => "/online/v1/payment/approve",
            Self::Order => "/online/v1/payment/order",
            Self::Cancel => "/online/v1/payment/cancel",
        }
    }

    /// The endpoint at `path`.
    #[must_use]
    pub fn at(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|endpoint| endpoint.path() == path)
    }

    /// Whether it changes a payment: of such calls a payment has one under way at most.
    #[must_use]
    pub const fn holds(self) -> bool {
        matches!(self, Self::Approve | Self::Cancel)
    }
}

/// Where a payment stands, in the protocol's own words. `SEND_TMS`, `ARS_WAITING` and `ISSUED_SID`
/// are of ways to pay that the sandbox does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// Prepared.
    Ready,
    /// The shopper opened the page.
    OpenPayment,
    /// The shopper chose the means.
    SelectMethod,
    /// The shopper proved who they are; the shop may capture.
    AuthPassword,
    /// Captured.
    SuccessPayment,
    /// Captured, and part of it given back.
    PartCancelPayment,
    /// Captured, and all of it given back.
    CancelPayment,
    /// The shopper could not prove who they are.
    FailAuthPassword,
    /// The shopper left.
    QuitPayment,
    /// The capture was declined.
    FailPayment,
}

impl Status {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "READY",
            Self::OpenPayment => "OPEN_PAYMENT",
            Self::SelectMethod => "SELECT_METHOD",
            Self::AuthPassword => "AUTH_PASSWORD",
            Self::SuccessPayment => "SUCCESS_PAYMENT",
            Self::PartCancelPayment => "PART_CANCEL_PAYMENT",
            Self::CancelPayment => "CANCEL_PAYMENT",
            Self::FailAuthPassword => "FAIL_AUTH_PASSWORD",
            Self::QuitPayment => "QUIT_PAYMENT",
            Self::FailPayment => "FAIL_PAYMENT",
        }
    }

    /// Whether the shopper can still do something on the page.
    #[must_use]
    pub const fn is_pending(self) -> bool {
        matches!(self, Self::Ready | Self::OpenPayment | Self::SelectMethod | Self::AuthPassword)
    }

    /// Whether it ended without a capture.
    #[must_use]
    pub const fn is_failed(self) -> bool {
        matches!(self, Self::FailAuthPassword | Self::QuitPayment | Self::FailPayment)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is paid with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Means {
    /// A card that is kept at Kakao Pay.
    Card,
    /// Money that is kept at Kakao Pay.
    Money,
}

impl Means {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Card => "CARD",
            Self::Money => "MONEY",
        }
    }

    /// Reads [`Means::as_str`] back.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Card, Self::Money].into_iter().find(|means| means.as_str() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_the_same_everywhere() {
        for status in [Status::Ready, Status::SelectMethod, Status::PartCancelPayment, Status::FailAuthPassword] {
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
        }
        for means in [Means::Card, Means::Money] {
            assert_eq!(serde_json::to_value(means).unwrap(), means.as_str());
            assert_eq!(Means::parse(means.as_str()), Some(means));
        }
        for endpoint in Endpoint::ALL {
            assert_eq!(Endpoint::at(endpoint.path()), Some(endpoint));
        }
        assert_eq!(Endpoint::at("/online/v1/payment/"), None);
    }
}
