//! How much room a command needs in the journal: for its own event, and for the ends of all that holds units then.

use son7shop_engine::{Command, Partition, Sku};
use son7shop_persistence::journal::EVENT_OVERHEAD_BYTES;

/// The most bytes of the event that ends a hold, over what its frame and its lines cost.
const END_BYTES: u64 = 48;
/// The same of the event that begins one, with customer, key and numbers.
const BEGIN_BYTES: u64 = 192;
/// The most bytes of a line in an event: the sku, then quantity, price and sale. A partition
/// that is named costs less.
const LINE_BYTES: u64 = Sku::MAX as u64 + 24;
/// The same of the events of one attempt or refund, some tries that fail included. (A step that fails until it is
/// parked takes up to some 48 KiB; room for that is not kept for each.)
const STEP_BYTES: u64 = 6 * 1024;

/// The bytes; `None` for a command that is taken always: ends are what the room is kept for.
pub(crate) fn needed(partition: &Partition, command: &Command) -> Option<u64> {
    let lines = lines_of(command)?;
    let holds = partition.open_holds() as u64 + 1;
    let ends = holds * (EVENT_OVERHEAD_BYTES + END_BYTES);
    // The new lines come twice: when they begin to be held, and when that ends.
    let lines = (partition.open_lines() + 2 * lines) as u64;
    let steps = partition.open_steps() as u64 + u64::from(opens_step(command));
    let all = BEGIN_BYTES + ends + lines * LINE_BYTES + steps * STEP_BYTES;
    Some(EVENT_OVERHEAD_BYTES + all)
}

/// The lines that `command` adds to the journal, if it needs room there, each partition that
/// it names counted as one.
fn lines_of(command: &Command) -> Option<usize> {
    match command {
        Command::PlaceOrder(place) => {
            Some(place.parts.iter().fold(place.lines.len(), |lines, part| lines + 1 + part.lines.len()))
        }
        Command::HoldPart(part) => Some(part.lines.len()),
        Command::StartPayment { .. } => Some(0),
        Command::RequestRefund { refund, .. } => Some(refund.lines.len()),
        // An attempt or a refund names addresses and receipts: it is as long as some lines.
        Command::RecallOrder(recalled) => Some(4 * recalled.weight()),
        Command::AcceptParts { parts, .. } => Some(parts.iter().map(|(_, lines)| 1 + lines.len()).sum()),
        _ => None,
    }
}

const fn opens_step(command: &Command) -> bool {
    matches!(command, Command::StartPayment { .. } | Command::RequestRefund { .. })
}
