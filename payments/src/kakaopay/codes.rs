//! Kakao Pay's words, as tables: what each status says of the money, and what each error code says was done.
//!
//! Public material, not the live service, is where they are from: whatever is in no table is passed on as it
//! came and must never be read as "nothing was done".

use son7shop_engine::payment::Why;

/// What a status says of the money.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Says {
    /// Nothing was taken yet.
    Pending,
    /// Money was taken, and not all of it given back.
    Paid,
    /// Money was taken and given back.
    Refunded,
    /// Nothing was taken, nothing will be.
    NotPaid(Why),
    /// Something that no payment here should come to: for a person to look at.
    Review,
}

/// The thirteen statuses.
pub const STATUSES: [(&str, Says); 13] = [
    ("READY", Says::Pending),
    ("SEND_TMS", Says::Pending),
    ("OPEN_PAYMENT", Says::Pending),
    ("SELECT_METHOD", Says::Pending),
    ("ARS_WAITING", Says::Pending),
    ("AUTH_PASSWORD", Says::Pending),
    ("ISSUED_SID", Says::Review),
    ("SUCCESS_PAYMENT", Says::Paid),
    ("PART_CANCEL_PAYMENT", Says::Paid),
    ("CANCEL_PAYMENT", Says::Refunded),
    ("FAIL_AUTH_PASSWORD", Says::NotPaid(Why::AuthenticationFailed)),
    ("QUIT_PAYMENT", Says::NotPaid(Why::Quit)),
    ("FAIL_PAYMENT", Says::NotPaid(Why::Declined)),
];

/// What a status says; one that is not in the table is for a person to look at.
#[must_use]
pub fn status(word: &str) -> Says {
    STATUSES.iter().find(|(known, _)| *known == word).map_or(Says::Review, |(_, says)| *says)
}

/// What an error code says was done. A capture or refund is looked up after any of them but
/// [`Class::WrongProof`]: codes that deny are known to lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Nothing, it says.
    Definite,
    /// It leaves open what was done.
    Unknown,
    /// Nothing, since the shop's key, cid, address or registration is wrong: for an operator, at once.
    Misconfigured,
    /// Nothing, since the shop's quota is used up: for an operator, at once.
    RateLimited,
    /// Nothing, since the proof is another, or is none: none was given out yet.
    WrongProof,
    /// Nothing, since it does not know the payment.
    NoSuchPayment,
}

impl Class {
    /// Whether an operator has to hear of it.
    #[must_use]
    pub const fn alerts(self) -> bool {
        matches!(self, Self::Misconfigured | Self::RateLimited)
    }
}

/// The error codes: what each says was done, and its meaning.
pub const CODES: [(i64, Class, &str); 35] = [
    (-400, Class::Misconfigured, "no authorization header"),
    (-401, Class::Misconfigured, "the key is wrong"),
    (-403, Class::Misconfigured, "the API is not enabled for the key"),
    (-404, Class::Misconfigured, "the address is wrong"),
    (-429, Class::RateLimited, "the quota is used up"),
    (-500, Class::Unknown, "internal error"),
    (-503, Class::Unknown, "maintenance"),
    (-701, Class::WrongProof, "approved before the shopper authorised"),
    (-702, Class::Unknown, "approved again although paid"),
    (-703, Class::Definite, "point amount is wrong"),
    (-704, Class::Definite, "method amount is wrong"),
    (-705, Class::Definite, "method is wrong"),
    (-706, Class::Definite, "partner_order_id differs from ready"),
    (-707, Class::Definite, "partner_user_id differs from ready"),
    (-708, Class::WrongProof, "pg_token is wrong"),
    (-710, Class::Definite, "cancel of more than remains"),
    (-711, Class::Definite, "cancel of more than was paid"),
    (-721, Class::NoSuchPayment, "no such tid"),
    (-722, Class::Definite, "amount is wrong"),
    (-723, Class::Definite, "expired"),
    (-724, Class::Definite, "single amount is wrong"),
    (-725, Class::Definite, "total amount is wrong"),
    (-726, Class::Definite, "order information is wrong"),
    (-730, Class::Misconfigured, "app is wrong"),
    (-731, Class::Misconfigured, "cid is wrong"),
    (-732, Class::Misconfigured, "gid is wrong"),
    (-733, Class::Misconfigured, "cid_secret is wrong"),
    (-780, Class::Unknown, "approve failed"),
    (-781, Class::Unknown, "cancel failed"),
    (-783, Class::Unknown, "its state does not allow approve"),
    (-784, Class::Unknown, "its state does not allow cancel"),
    (-785, Class::Unknown, "approve or cancel is under way or was done"),
    (-797, Class::Definite, "over the limit of one payment"),
    (-798, Class::Misconfigured, "this machine's address is not registered"),
    (-799, Class::Misconfigured, "the return addresses' domain is not registered"),
];

/// What a code says was done, and its meaning; one that is not in the table leaves it open.
#[must_use]
pub fn code(code: i64) -> (Class, &'static str) {
    let known = CODES.iter().find(|(known, ..)| *known == code);
    known.map_or((Class::Unknown, "a code that is not known here"), |(_, class, meaning)| (*class, *meaning))
}
