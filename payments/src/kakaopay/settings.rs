//! What an operator sets of the Kakao Pay client, and what is refused before a single call is made.
//!
//! The key is in memory and in one header; nothing here may print it.

use reqwest::Url;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

/// Where the live service is.
pub const LIVE_BASE: &str = "https://open-api.kakaopay.com/online/v1/payment";
/// The mock shop's cid, under which no money moves.
pub const TEST_CID: &str = "TC0ONETIME";
/// A read timeout must be above this, in seconds: the platform ends its own work only then.
pub const PLATFORM_SECONDS: u64 = 11;

const CID_LENGTH: usize = 10;

/// The shop's secret key. Not printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(String);

impl Key {
    /// Takes the key as it was given, without white space around it.
    #[must_use]
    pub fn new(key: &str) -> Self {
        Self(key.trim().to_owned())
    }

    /// The key itself: for the `Authorization` header, and to be cut out of texts.
    #[must_use]
    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

/// Whether money moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Profile {
    /// None: the sandbox, or Kakao Pay's mock shop.
    Test,
    /// Real money.
    Live,
}

/// What the client is started with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The address before `/ready`; HTTPS, or HTTP on this machine.
    pub base: String,
    /// The secret key.
    pub key: Key,
    /// The shop's name at Kakao Pay, 10 characters.
    pub cid: String,
    /// Whether money moves.
    pub profile: Profile,
    /// How long a connection may take.
    pub connect_timeout: Duration,
    /// How long an answer may take after that, to its last byte.
    pub read_timeout: Duration,
    /// How many payments are begun at once, at most.
    pub begins_max: usize,
    /// How long a payment waits for its turn to be begun, before it is refused.
    pub begin_wait: Duration,
    /// How many captures, how many look-ups and how many refunds run at once, at most; those above it wait.
    pub others_max: usize,
    /// After so many failures of `ready` in a row, no further one is made for a while.
    pub failures_max: u32,
    /// That while.
    pub pause: Duration,
}

impl Settings {
    /// The usual times and numbers.
    #[must_use]
    pub fn new(base: &str, key: Key, cid: &str, profile: Profile) -> Self {
        Self {
            base: base.to_owned(),
            key,
            cid: cid.to_owned(),
            profile,
            connect_timeout: Duration::from_secs(3),
            read_timeout: Duration::from_secs(15),
            begins_max: 64,
            begin_wait: Duration::from_secs(2),
            others_max: 64,
            failures_max: 5,
            pause: Duration::from_secs(5),
        }
    }

    /// Checks everything, and gives the address that the endpoints' names are added to.
    pub(super) fn checked(&self) -> Result<Base, SettingsError> {
        let base = Base::parse(&self.base)?;
        if self.cid.len() != CID_LENGTH || !self.cid.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(SettingsError::Cid);
        }
        match (self.profile, self.cid == TEST_CID) {
            (Profile::Live, true) => return Err(SettingsError::TestCidLive),
            (Profile::Test, false) => return Err(SettingsError::LiveCidTest),
            _ => {}
        }
        let key = self.key.expose();
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(SettingsError::Key);
        }
        if !base.loopback && self.read_timeout <= Duration::from_secs(PLATFORM_SECONDS) {
            return Err(SettingsError::ReadTimeout);
        }
        let numbers = [self.begins_max, self.others_max, self.failures_max as usize];
        let turns = numbers.iter().all(|number| (1..=TURNS_MAX).contains(number));
        if !turns || self.connect_timeout.is_zero() || self.read_timeout.is_zero() {
            return Err(SettingsError::Numbers);
        }
        Ok(base)
    }
}

const TURNS_MAX: usize = 100_000;

/// A checked address.
#[derive(Debug, Clone)]
pub(super) struct Base {
    /// Without a `/` at its end.
    text: String,
    /// On this machine.
    pub(super) loopback: bool,
    /// Without TLS.
    pub(super) plain: bool,
}

impl Base {
    fn parse(text: &str) -> Result<Self, SettingsError> {
        let url = Url::parse(text).map_err(|_| SettingsError::Base)?;
        let bare = url.username().is_empty() && url.password().is_none();
        if !bare || url.query().is_some() || url.fragment().is_some() {
            return Err(SettingsError::Base);
        }
        let host = url.host_str().ok_or(SettingsError::Base)?;
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        let loopback = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
        match (url.scheme(), loopback) {
            ("https", _) | ("http", true) => {}
            ("http", false) => return Err(SettingsError::Plain),
            _ => return Err(SettingsError::Base),
        }
        let plain = url.scheme() == "http";
        Ok(Self { text: url.as_str().trim_end_matches('/').to_owned(), loopback, plain })
    }

    /// The address of an endpoint.
    pub(super) fn join(&self, endpoint: &str) -> Result<Url, SettingsError> {
        Url::parse(&format!("{}/{endpoint}", self.text)).map_err(|_| SettingsError::Base)
    }
}

/// Why the client does not start. Says nothing of the key.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// The address cannot be used.
    #[error("Kakao Pay's address must be https://host/path, without user, query and fragment")]
    Base,
    /// The address would send the key in the clear.
    #[error("Kakao Pay's address must be https, unless it is on this machine")]
    Plain,
    /// The key cannot be one.
    #[error("Kakao Pay's key must be visible ASCII characters")]
    Key,
    /// The cid cannot be one.
    #[error("Kakao Pay's cid must be {CID_LENGTH} letters and digits")]
    Cid,
    /// Orders would be confirmed although nobody paid.
    #[error("{TEST_CID} is the cid of the mock shop: it is refused with the live profile")]
    TestCidLive,
    /// A test would take real money.
    #[error("with the test profile the cid must be {TEST_CID}")]
    LiveCidTest,
    /// Answers would be missed that the platform still gives.
    #[error("Kakao Pay's read timeout must be above {PLATFORM_SECONDS} s")]
    ReadTimeout,
    /// A number or a timeout is 0, or a number is too large.
    #[error("Kakao Pay's timeouts must not be 0, its numbers must be 1 to {TURNS_MAX}")]
    Numbers,
    /// The TLS library does not start: no certificates on this machine, for example.
    #[error("the HTTP client does not start: {0}")]
    Client(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(base: &str, cid: &str, profile: Profile) -> Result<Base, SettingsError> {
        Settings::new(base, Key::new("DEV5ec7e7"), cid, profile).checked()
    }

    #[test]
    fn an_address_is_https_or_on_this_machine() {
        let cases = [
            (LIVE_BASE, Ok(())),
            ("https://127.0.0.1:9/online/v1/payment/", Ok(())),
            ("http://127.0.0.1:9/online/v1/payment", Ok(())),
            ("http://[::1]:9", Ok(())),
            ("http://localhost:9/online", Ok(())),
            ("http://open-api.kakaopay.com/online/v1/payment", Err(SettingsError::Plain)),
            ("http://192.168.0.7:9", Err(SettingsError::Plain)),
            ("http://127.0.0.1.example", Err(SettingsError::Plain)),
            ("http://localhost.example", Err(SettingsError::Plain)),
            ("https://user:pass@host/", Err(SettingsError::Base)),
            ("https://host/?a=b", Err(SettingsError::Base)),
            ("https://host/#a", Err(SettingsError::Base)),
            ("ftp://127.0.0.1/", Err(SettingsError::Base)),
            ("127.0.0.1:9", Err(SettingsError::Base)),
            ("", Err(SettingsError::Base)),
        ];
        for (base, wanted) in cases {
            assert_eq!(with(base, TEST_CID, Profile::Test).map(|_| ()), wanted, "{base}");
        }
        let base = with("http://127.0.0.1:9/online/v1/payment/", TEST_CID, Profile::Test).unwrap();
        assert_eq!(base.join("ready").unwrap().as_str(), "http://127.0.0.1:9/online/v1/payment/ready");
    }

    #[test]
    fn the_mock_shop_is_for_tests_and_no_other_is() {
        assert_eq!(with(LIVE_BASE, TEST_CID, Profile::Live).unwrap_err(), SettingsError::TestCidLive);
        assert_eq!(with(LIVE_BASE, "C000000001", Profile::Test).unwrap_err(), SettingsError::LiveCidTest);
        assert!(with(LIVE_BASE, "C000000001", Profile::Live).is_ok());
        for cid in ["", "C1", "C00000000001", "C00000 001"] {
            assert_eq!(with(LIVE_BASE, cid, Profile::Live).unwrap_err(), SettingsError::Cid, "{cid}");
        }
    }

    #[test]
    fn a_client_that_could_not_work_does_not_start() {
        type Spoil = fn(&mut Settings);
        let cases: [(Spoil, SettingsError); 8] = [
            (|settings| settings.key = Key::new(" \n"), SettingsError::Key),
            (|settings| settings.key = Key::new("5ec7e7\r\nHost: x"), SettingsError::Key),
            (|settings| settings.read_timeout = Duration::from_secs(11), SettingsError::ReadTimeout),
            (|settings| settings.connect_timeout = Duration::ZERO, SettingsError::Numbers),
            (|settings| settings.begins_max = 0, SettingsError::Numbers),
            (|settings| settings.others_max = 0, SettingsError::Numbers),
            (|settings| settings.others_max = usize::MAX, SettingsError::Numbers),
            (|settings| settings.failures_max = 0, SettingsError::Numbers),
        ];
        for (spoil, wanted) in cases {
            let mut settings = Settings::new(LIVE_BASE, Key::new("5ec7e7"), TEST_CID, Profile::Test);
            assert!(settings.checked().is_ok());
            spoil(&mut settings);
            let error = settings.checked().unwrap_err();
            assert_eq!(error, wanted);
            let printed = format!("{settings:?} {error:?} {error}");
            assert!(!printed.contains("5ec7e7"), "{printed}");
        }
    }
}
