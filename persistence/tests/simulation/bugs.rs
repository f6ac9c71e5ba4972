//! Mistakes planted around the engine and the journal, never in them: the simulation must
//! find each. A picture of the partition is rewritten and restored, as if the code that
//! guards it were not there.

use crate::node::Owner;
use serde_json::Value;
use son7shop_engine::payment::{Answered, Why};
use son7shop_engine::{
    Call, Command, Event, Lines, OrderId, Outcome, PartitionImage, Record, Report, Step, StepRef, Won,
};

/// A planted mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bug {
    /// A release or cancellation that comes again gives the units back again.
    ReleaseTwice,
    /// Answers go out when they are decided, not when they are on disk.
    AckBeforeSync,
    /// A restarted owner knows its orders but not the keys they came under.
    ForgetKeyAfterRestart,
    /// An approve without an answer is sent again at once, and its refusal believed.
    RetriesApprove,
    /// Whoever comes to the address for quitting ends the attempt, without a question to the gateway.
    ReleasesOnCallback,
    /// A refund without an answer is sent again, with what is left now.
    RefundsTwice,
}

/// What a participant with this mistake tells home instead.
pub(crate) fn mistaken(bug: Bug, step: &Step, made: Call, answered: &Answered) -> Option<Report> {
    let Answered::Unknown(answer) = answered else { return None };
    let again = |call| Some(Report::Tried { answer: answer.clone(), next: Some((call, 0)) });
    match (bug, made) {
        (Bug::RetriesApprove, Call::Capture) if step.tries == 0 => again(Call::Capture),
        (Bug::RetriesApprove, Call::Capture) => Some(Report::NotPaid { why: Why::Declined, answer: answer.clone() }),
        (Bug::RefundsTwice, Call::GiveBack) => {
            let (amount, before) = step.work.refund.as_ref()?.sized?;
            let left = before.0 - amount.0;
            let sized = Report::Sized { amount, before: Won(left) };
            if left >= amount.0 && step.tries == 0 { Some(sized) } else { None }
        }
        _ => None,
    }
}

/// What an owner with the mistake does about a return without a proof.
pub(crate) fn believed(owner: &Owner, command: &Command) -> Option<Command> {
    let Command::ReportReturn { order, attempt, proof: None, .. } = command else { return None };
    let step = StepRef::Attempt(*attempt);
    let open = owner.partition.step_view(*order, step)?;
    let report = Report::NotPaid { why: Why::Quit, answer: "quit".into() };
    Some(Command::Report { order: *order, step, seen: open.lsn, report })
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
