//! Settings: flag over environment over file over default, under the same names.
//!
//! Secrets come from the environment and are never printed.

use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};
use serde::Deserialize;
use son7shop_actors::Payments;
use son7shop_actors::webhooks::WebhookSettings;
use son7shop_persistence::journal::LIMIT_SEGMENTS_MIN;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Where the signing key comes from when it is not the data folder's own.
pub const TOKEN_KEY: &str = "SON7_TOKEN_KEY";
/// Where the key for Kakao Pay comes from.
pub const KAKAO_KEY: &str = "SON7_KAKAO_KEY";

/// The longest hold: below a day, after which partitions forget what ended, and could no
/// longer tell a part of an order that is still held.
const HOLD_SECONDS_MAX: u32 = 24 * 60 * 60 - 1;
const HOLD_RANGE: &str = "1 to 86399: what ended is forgotten after a day, and a hold must have ended by then";

/// What can be set by flag or environment. `None`: not set there.
#[derive(Debug, Clone, Default, Args)]
pub struct Flags {
    /// A TOML file with the same settings (`listen = "…"`, `data_dir = "…"`)
    #[arg(long, env = "SON7_CONFIG", global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where to listen [default: 127.0.0.1:8080]
    #[arg(long, env = "SON7_LISTEN", global = true, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// The data folder [default: ./data]
    #[arg(long, env = "SON7_DATA_DIR", global = true, value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,
    /// sqlite:PATH, mysql://USER:PASSWORD@HOST/NAME or mariadb://… [default: SQLite in the data folder]
    #[arg(long, env = "SON7_DATABASE_URL", global = true, value_name = "URL", hide_env_values = true)]
    pub database_url: Option<String>,
    /// Partitions of a new data folder [default: half the cores, at least 1]
    #[arg(long, env = "SON7_PARTITIONS", global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub partitions: Option<u16>,
    /// Seconds that an unpaid order holds its units, less than a day [default: 600]
    #[arg(long, env = "SON7_HOLD_SECONDS", global = true, value_name = "SECONDS", value_parser = hold_seconds)]
    pub hold_seconds: Option<u32>,
    /// Orders under way at once in each partition [default: 8192]
    #[arg(long, env = "SON7_ORDERS_MAX", global = true, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub orders_max: Option<u32>,
    /// Each partition's journal on disk, in MiB, at least four segments [default: 8192]
    #[arg(long, env = "SON7_JOURNAL_LIMIT_MIB", global = true, value_name = "MIB", value_parser = clap::value_parser!(u32).range(1..))]
    pub journal_limit_mib: Option<u32>,
    /// A journal segment, in MiB [default: 64]
    #[arg(long, env = "SON7_SEGMENT_MIB", global = true, value_name = "MIB", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub segment_mib: Option<u32>,
    /// Seconds that stopping may take [default: 20]
    #[arg(long, env = "SON7_STOP_SECONDS", global = true, value_name = "SECONDS")]
    pub stop_seconds: Option<u32>,
    /// 1: webhooks may go to private networks [default: 0]
    #[arg(long, env = "SON7_WEBHOOKS_PRIVATE", global = true, value_name = "0|1", value_parser = clap::value_parser!(u8).range(0..=1))]
    pub webhooks_private: Option<u8>,
    /// How orders are paid: sandbox, kakaopay or off [default: kakaopay with SON7_KAKAO_KEY, else the sandbox]
    #[arg(long, env = "SON7_PAYMENTS", global = true, value_name = "HOW")]
    pub payments: Option<PaidBy>,
    /// Where browsers reach the shop, for the gateway to send them back to [default: http:// and where it listens]
    #[arg(long, env = "SON7_PUBLIC_URL", global = true, value_name = "URL")]
    pub public_url: Option<String>,
    /// Kakao Pay's API [default: the real one]
    #[arg(long, env = "SON7_KAKAO_URL", global = true, value_name = "URL")]
    pub kakao_url: Option<String>,
    /// The merchant's number at Kakao Pay [default: TC0ONETIME, for tests]
    #[arg(long, env = "SON7_KAKAO_CID", global = true, value_name = "CID")]
    pub kakao_cid: Option<String>,
    /// Whether Kakao Pay moves real money: test or live [default: test]
    #[arg(long, env = "SON7_KAKAO_PROFILE", global = true, value_name = "PROFILE")]
    pub kakao_profile: Option<KakaoProfile>,
    /// The first of the sandbox's three ports: API, shopper's pages, control plane; 0: any free ones
    /// [default: the one after the shop's]
    #[arg(long, env = "SON7_SANDBOX_PORT", global = true, value_name = "PORT", value_parser = clap::value_parser!(u16).range(..=65533))]
    pub sandbox_port: Option<u16>,
    /// What is logged, such as info or son7shop_actors=debug [default: info]
    #[arg(long, env = "SON7_LOG", global = true, value_name = "FILTER")]
    pub log: Option<String>,
}

/// What a file may set; anything else in it is an error.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    listen: Option<SocketAddr>,
    data_dir: Option<PathBuf>,
    database_url: Option<String>,
    partitions: Option<u16>,
    hold_seconds: Option<u32>,
    orders_max: Option<u32>,
    journal_limit_mib: Option<u32>,
    segment_mib: Option<u32>,
    stop_seconds: Option<u32>,
    webhooks_private: Option<bool>,
    payments: Option<PaidBy>,
    public_url: Option<String>,
    kakao_url: Option<String>,
    kakao_cid: Option<String>,
    kakao_profile: Option<KakaoProfile>,
    sandbox_port: Option<u16>,
    log: Option<String>,
}

/// The settings in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where to listen.
    pub listen: SocketAddr,
    /// The data folder.
    pub data_dir: PathBuf,
    /// The database; may hold a password.
    pub database_url: String,
    /// Partitions of a new data folder; `None`: as the folder says, or by the cores.
    pub partitions: Option<u16>,
    /// Seconds that an unpaid order holds its units.
    pub hold_seconds: u32,
    /// Orders under way at once in each partition.
    pub orders_max: u32,
    /// Each partition's journal on disk, in MiB.
    pub journal_limit_mib: u32,
    /// A journal segment, in MiB.
    pub segment_mib: u32,
    /// Seconds that stopping may take.
    pub stop_seconds: u32,
    /// Whether webhooks may go to private networks.
    pub webhooks_private: bool,
    /// How orders are paid.
    pub payments: PaidBy,
    /// Where browsers reach the shop; `None`: where it listens.
    pub public_url: Option<String>,
    /// Kakao Pay's API; `None`: the real one.
    pub kakao_url: Option<String>,
    /// The merchant's number at Kakao Pay; `None`: the one for tests.
    pub kakao_cid: Option<String>,
    /// Whether Kakao Pay moves real money.
    pub kakao_profile: Option<KakaoProfile>,
    /// The first of the sandbox's ports; `None`: the one after the shop's.
    pub sandbox_port: Option<u16>,
    /// What is logged.
    pub log: String,
    /// Whether the signing key comes from the environment.
    pub own_key: bool,
    /// Whether there is a key for Kakao Pay.
    pub kakao_key: bool,
}

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("the settings file {path}")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file says something that is no setting.
    #[error("the settings file {path}")]
    Invalid {
        /// Which.
        path: PathBuf,
        /// Where and what.
        #[source]
        source: toml::de::Error,
    },
    /// A value is out of its range.
    #[error("{name} in {path} must be {range}")]
    OutOfRange {
        /// The setting.
        name: &'static str,
        /// The file.
        path: PathBuf,
        /// What may be set.
        range: &'static str,
    },
    /// A limit at which the journal would be full for ever.
    #[error(
        "SON7_JOURNAL_LIMIT_MIB is {limit}, but with segments of {segment} MiB (SON7_SEGMENT_MIB) it must be at least \
         {least}: with less room nothing of a full journal can ever be removed"
    )]
    LimitTooSmall {
        /// The journal's limit, in MiB.
        limit: u32,
        /// A segment's size, in MiB.
        segment: u32,
        /// The smallest limit, in MiB.
        least: u64,
    },
    /// Beyond loopback the key must be the operator's.
    #[error(
        "{listen} can be reached from elsewhere: set {TOKEN_KEY} to a key of your own (PEM), or listen on 127.0.0.1"
    )]
    KeyNeeded {
        /// The address.
        listen: SocketAddr,
    },
    /// In the sandbox anybody pays with money that there is not.
    #[error(
        "{listen} can be reached from elsewhere, and the sandbox pays with no real money: set {KAKAO_KEY}, or \
         SON7_PAYMENTS=off"
    )]
    SandboxExposed {
        /// The address.
        listen: SocketAddr,
    },
    /// The gateway would send browsers to an address that means nothing to them.
    #[error(
        "{listen} can be reached from elsewhere: set SON7_PUBLIC_URL to where browsers reach the shop, such as \
         https://shop.example; Kakao Pay sends them back there"
    )]
    PublicUrlNeeded {
        /// The address.
        listen: SocketAddr,
    },
    /// A public shop must say whether money moves.
    #[error(
        "{listen} can be reached from elsewhere: set SON7_KAKAO_PROFILE to live, with your own cid, or to test if orders \
         are to be confirmed without anybody's money"
    )]
    ProfileNeeded {
        /// The address.
        listen: SocketAddr,
    },
}

/// How orders are paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum PaidBy {
    /// By the sandbox, in this process: no money moves.
    Sandbox,
    /// By Kakao Pay.
    Kakaopay,
    /// Not at all.
    Off,
}

/// Whether Kakao Pay moves real money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum KakaoProfile {
    /// No.
    Test,
    /// Yes.
    Live,
}

impl Settings {
    /// Flags and environment over the file over the defaults.
    pub fn load(flags: &Flags, own_key: bool, kakao_key: bool) -> Result<Self, SettingsError> {
        let file = match &flags.config {
            Some(path) => File::read(path)?,
            None => File::default(),
        };
        let flags = flags.clone();
        let data_dir = flags.data_dir.or(file.data_dir).unwrap_or_else(|| PathBuf::from("./data"));
        let in_folder = || format!("sqlite:{}", data_dir.join("son7shop.sqlite").display());
        let settings = Self {
            listen: flags.listen.or(file.listen).unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8080))),
            database_url: flags.database_url.or(file.database_url).unwrap_or_else(in_folder),
            partitions: flags.partitions.or(file.partitions),
            hold_seconds: flags.hold_seconds.or(file.hold_seconds).unwrap_or(600),
            orders_max: flags.orders_max.or(file.orders_max).unwrap_or(8192),
            journal_limit_mib: flags.journal_limit_mib.or(file.journal_limit_mib).unwrap_or(8192),
            segment_mib: flags.segment_mib.or(file.segment_mib).unwrap_or(64),
            stop_seconds: flags.stop_seconds.or(file.stop_seconds).unwrap_or(20),
            payments: flags.payments.or(file.payments).unwrap_or(if kakao_key {
                PaidBy::Kakaopay
            } else {
                PaidBy::Sandbox
            }),
            public_url: flags.public_url.or(file.public_url),
            kakao_url: flags.kakao_url.or(file.kakao_url),
            kakao_cid: flags.kakao_cid.or(file.kakao_cid),
            kakao_profile: flags.kakao_profile.or(file.kakao_profile),
            sandbox_port: flags.sandbox_port.or(file.sandbox_port),
            webhooks_private: flags.webhooks_private.map(|set| set == 1).or(file.webhooks_private).unwrap_or(false),
            log: flags.log.or(file.log).unwrap_or_else(|| "info".to_owned()),
            data_dir,
            own_key,
            kakao_key,
        };
        settings.check_limit()?;
        Ok(settings)
    }

    fn check_limit(&self) -> Result<(), SettingsError> {
        let least = LIMIT_SEGMENTS_MIN * u64::from(self.segment_mib);
        if u64::from(self.journal_limit_mib) >= least {
            return Ok(());
        }
        Err(SettingsError::LimitTooSmall { limit: self.journal_limit_mib, segment: self.segment_mib, least })
    }

    /// Refuses what is not safe to serve with.
    pub fn check_exposure(&self) -> Result<(), SettingsError> {
        if self.listen.ip().is_loopback() {
            return Ok(());
        }
        if !self.own_key {
            return Err(SettingsError::KeyNeeded { listen: self.listen });
        }
        match self.payments {
            PaidBy::Sandbox => Err(SettingsError::SandboxExposed { listen: self.listen }),
            PaidBy::Kakaopay if self.public_url.is_none() => {
                Err(SettingsError::PublicUrlNeeded { listen: self.listen })
            }
            // By default nobody's money moves: orders would be confirmed that were not paid.
            PaidBy::Kakaopay if self.kakao_profile.is_none() => {
                Err(SettingsError::ProfileNeeded { listen: self.listen })
            }
            PaidBy::Kakaopay | PaidBy::Off => Ok(()),
        }
    }

    /// What the shop is opened with.
    #[must_use]
    pub fn shop(&self) -> son7shop_actors::Settings {
        son7shop_actors::Settings {
            data_dir: self.data_dir.clone(),
            database_url: self.database_url.clone(),
            partitions: self.partitions,
            hold_millis: i64::from(self.hold_seconds) * 1000,
            orders_max: self.orders_max,
            journal_limit_bytes: u64::from(self.journal_limit_mib) << 20,
            segment_bytes: u64::from(self.segment_mib) << 20,
            payments: Payments::default(),
            webhooks: WebhookSettings {
                loopback: self.listen.ip().is_loopback(),
                private: self.webhooks_private,
                ..WebhookSettings::default()
            },
        }
    }

    /// The settings as a file would say them, passwords hidden; a secret is set or not.
    #[must_use]
    pub fn shown(&self) -> String {
        let text = |name, value: &str| format!("{name} = {}", toml::Value::from(value));
        let word = |name, value: Option<PossibleValue>| text(name, value.as_ref().map_or("", PossibleValue::get_name));
        let or = |name, value: Option<&str>, default| match value {
            Some(value) => text(name, &without_password(value)),
            None => format!("# {name}: {default}"),
        };
        let number = |name, value: Option<u16>, default| match value {
            Some(value) => format!("{name} = {value}"),
            None => format!("# {name}: {default}"),
        };
        let secret = |name, is_set, otherwise| format!("# {name}: {}", if is_set { "set" } else { otherwise });
        let lines = [
            text("listen", &self.listen.to_string()),
            text("data_dir", &self.data_dir.to_string_lossy()),
            text("database_url", &without_password(&self.database_url)),
            number("partitions", self.partitions, "as the data folder says"),
            format!("hold_seconds = {}", self.hold_seconds),
            format!("orders_max = {}", self.orders_max),
            format!("journal_limit_mib = {}", self.journal_limit_mib),
            format!("segment_mib = {}", self.segment_mib),
            format!("stop_seconds = {}", self.stop_seconds),
            format!("webhooks_private = {}", self.webhooks_private),
            word("payments", self.payments.to_possible_value()),
            or("public_url", self.public_url.as_deref(), "http:// and where it listens"),
            or("kakao_url", self.kakao_url.as_deref(), "the real one"),
            or("kakao_cid", self.kakao_cid.as_deref(), "the one for tests"),
            match self.kakao_profile {
                Some(profile) => word("kakao_profile", profile.to_possible_value()),
                None => "# kakao_profile: test; beyond loopback it must be said".to_owned(),
            },
            number("sandbox_port", self.sandbox_port, "the one after the shop's"),
            text("log", &self.log),
            secret(TOKEN_KEY, self.own_key, "not set; the data folder's own key, good for loopback only"),
            secret(KAKAO_KEY, self.kakao_key, "not set"),
        ];
        lines.map(|line| line + "\n").concat()
    }
}

fn hold_seconds(text: &str) -> Result<u32, String> {
    let seconds = text.parse().map_err(|error| format!("{error}"))?;
    if (1..=HOLD_SECONDS_MAX).contains(&seconds) { Ok(seconds) } else { Err(format!("it must be {HOLD_RANGE}")) }
}

impl File {
    fn read(path: &Path) -> Result<Self, SettingsError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| SettingsError::Unreadable { path: path.to_owned(), source })?;
        let file: Self =
            toml::from_str(&text).map_err(|source| SettingsError::Invalid { path: path.to_owned(), source })?;
        let out_of_range = |name, range| Err(SettingsError::OutOfRange { name, path: path.to_owned(), range });
        match file {
            Self { partitions: Some(0 | 1025..), .. } => out_of_range("partitions", "1 to 1024"),
            Self { hold_seconds: Some(seconds), .. } if !(1..=HOLD_SECONDS_MAX).contains(&seconds) => {
                out_of_range("hold_seconds", HOLD_RANGE)
            }
            Self { orders_max: Some(0), .. } => out_of_range("orders_max", "at least 1"),
            Self { journal_limit_mib: Some(0), .. } => out_of_range("journal_limit_mib", "at least 1"),
            Self { segment_mib: Some(0 | 1025..), .. } => out_of_range("segment_mib", "1 to 1024"),
            file => Ok(file),
        }
    }
}

/// The address without what stands between its first `:` and its last `@`: a password
/// that was not written as an address wants it, with `/` or `@` in it, is hidden too.
fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    match rest.rsplit_once('@') {
        Some((user, host)) => {
            let user = user.split(':').next().unwrap_or("");
            format!("{scheme}://{user}:***@{host}")
        }
        None => url.to_owned(),
    }
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
