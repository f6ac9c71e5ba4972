//! `son7shop verify`: the journal, replayed, against the database.

use super::{counted, log_to_stderr, paying, storage};
use son7shop_actors::Payments;
use son7shop_http::settings::Settings;
use std::process::ExitCode;

/// What `son7shop verify` is told.
#[derive(Debug, clap::Args)]
pub(crate) struct VerifyOptions {
    /// Ask Kakao Pay for every payment, too (SON7_KAKAO_KEY, and SON7_KAKAO_URL where it is a sandbox of its own)
    #[arg(long)]
    gateway: bool,
}

pub(crate) fn run(settings: &Settings, options: &VerifyOptions) -> anyhow::Result<ExitCode> {
    log_to_stderr(settings)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let payments = if options.gateway { paying::to_verify(settings)? } else { Payments::default() };
    let shop = son7shop_actors::Settings { payments, ..settings.shop() };
    let found = runtime.block_on(son7shop_actors::verify(&shop, storage(), options.gateway))?;
    for difference in &found.differences {
        println!("{difference}");
    }
    for unanswered in &found.unanswered {
        println!("{unanswered}");
    }
    let differences = found.differences.len() + found.more;
    if options.gateway {
        let (asked, under_way) = (counted(found.asked, "payment"), found.under_way);
        println!(
            "{asked} asked for at the gateway, {under_way} of them under way, {} not answered",
            found.unanswered.len()
        );
    }
    println!(
        "{}, {}, {}, {}, {} compared: {}",
        counted(found.partitions, "partition"),
        counted(found.products, "product"),
        counted(found.orders, "order"),
        counted(found.attempts, "payment"),
        counted(found.refunds, "refund"),
        counted(differences, "difference")
    );
    Ok(match (differences, found.unanswered.is_empty()) {
        (0, true) => ExitCode::SUCCESS,
        // What was not answered is neither a match nor a difference.
        (0, false) => ExitCode::from(2),
        _ => ExitCode::FAILURE,
    })
}
