//! Mistakes planted around the engine and the journal, never in them: the simulation must
//! find each. A picture of the partition is rewritten and restored, as if the code that
//! guards it were not there.

use crate::node::Owner;
use serde_json::Value;
use son7shop_engine::{Command, Event, Lines, OrderId, Outcome, PartitionImage, Record};

/// A planted mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bug {
    /// A release or cancellation that comes again gives the units back again.
    ReleaseTwice,
    /// Answers go out when they are decided, not when they are on disk.
    AckBeforeSync,
    /// A restarted owner knows its orders but not the keys they came under.
    ForgetKeyAfterRestart,
}

/// Gives the units of a repeated release back once more.
pub(crate) fn release_again(owner: &mut Owner, command: &Command, outcome: &Outcome, written: &[Record]) {
    let Outcome::Repeated(_) = outcome else { return };
    let (Command::ReleasePart { order } | Command::CancelOrder { order, .. }) = command else { return };
    for line in released(*order, written) {
        tamper(owner, |image| {
            for product in image["products"].as_array_mut().into_iter().flatten() {
                if product["sku"] == line.sku.as_str() {
                    let held = product["stock"]["held"].as_u64().unwrap_or(0);
                    product["stock"]["held"] = held.saturating_sub(u64::from(line.quantity)).into();
                }
            }
        });
    }
}

fn released(order: OrderId, written: &[Record]) -> Lines {
    let lines = written.iter().find_map(|record| match &record.event {
        Event::PartReleased { order: id, lines } if *id == order => Some(lines.clone()),
        Event::OrderCancelled { ended, .. } if ended.id == order => Some(ended.lines.clone()),
        _ => None,
    });
    lines.unwrap_or_default()
}

/// Gives every order a key that nobody has sent.
pub(crate) fn forget_keys(owner: &mut Owner) {
    tamper(owner, |image| {
        for order in image["orders"].as_array_mut().into_iter().flatten() {
            for byte in order["key"]["key"].as_array_mut().into_iter().flatten() {
                *byte = Value::from(255 - byte.as_u64().unwrap_or(0));
            }
        }
    });
}

fn tamper(owner: &mut Owner, change: impl FnOnce(&mut Value)) {
    let mut image = serde_json::to_value(owner.partition.image()).expect("a picture is written");
    change(&mut image);
    let image: PartitionImage = serde_json::from_value(image).expect("a picture reads back");
    owner.partition = image.restore(5);
}
