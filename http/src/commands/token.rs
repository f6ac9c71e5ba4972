//! `son7shop token`: prints tokens for the key in force.

use super::signing_key;
use anyhow::Context as _;
use son7shop_engine::CustomerId;
use son7shop_http::settings::Settings;
use son7shop_http::token::Role;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

/// Whose token, and how long it is good.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// What its bearer may do
    #[arg(long)]
    role: Role,
    /// Who its bearer is; customers need one
    #[arg(long, required_if_eq("role", "customer"), default_value_if("role", "admin", "admin"))]
    subject: Option<String>,
    /// Hours until it expires
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=8760))]
    hours: u32,
    /// Print one for each of SUBJECT-1 to SUBJECT-N
    #[arg(long, value_name = "N")]
    count: Option<u32>,
}

pub(crate) fn run(settings: &Settings, key: Option<&str>, options: &Options) -> anyhow::Result<ExitCode> {
    let key = signing_key(settings, key)?;
    let ttl = Duration::from_secs(u64::from(options.hours) * 3600);
    let subject = options.subject.as_deref().context("--subject is needed")?;
    let subjects: Vec<String> = match options.count {
        None => vec![subject.to_owned()],
        Some(count) => (1..=count).map(|n| format!("{subject}-{n}")).collect(),
    };
    let mut text = String::new();
    for subject in subjects {
        let subject = CustomerId::parse(&subject).context("--subject")?;
        writeln!(text, "{}", key.sign(options.role, &subject, ttl)?)?;
    }
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}
