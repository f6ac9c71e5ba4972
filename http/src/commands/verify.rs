//! `son7shop verify`: the journal, replayed, against the database.

use super::{counted, log_to_stderr, storage};
use son7shop_http::settings::Settings;
use std::process::ExitCode;

pub(crate) fn run(settings: &Settings) -> anyhow::Result<ExitCode> {
    log_to_stderr(settings)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let found = runtime.block_on(son7shop_actors::verify(&settings.shop(), storage()))?;
    for difference in &found.differences {
        println!("{difference}");
    }
    let differences = found.differences.len() + found.more;
    println!(
        "{}, {}, {}, {}, {} compared: {}",
        counted(found.partitions, "partition"),
        counted(found.products, "product"),
        counted(found.orders, "order"),
        counted(found.attempts, "payment"),
        counted(found.refunds, "refund"),
        counted(differences, "difference")
    );
    Ok(if differences == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
