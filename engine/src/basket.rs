//! The saga of a basket over several partitions, as rules: what each of home's events
//! asks of the other partitions, and what their answers tell home.
//!
//! Choreographed: the stock participant reads an event, asks what stands here, and has
//! no opinion of its own. Everything here may happen twice; the owners see to it that
//! the second time changes nothing.

use crate::command::{Command, PartHold};
use crate::event::{Ended, Event};
use crate::ids::{OrderId, PartitionId};
use crate::order::PricedLine;
use crate::partition::{Answer, Outcome};
use crate::refusal::Refusal;

/// What `event`, committed by an order's home, asks of other partitions.
#[must_use]
pub fn asks(event: &Event) -> Vec<(PartitionId, Command)> {
    match event {
        Event::OrderOpened { id, customer, parts, deadline, .. } => parts
            .iter()
            .map(|part| {
                let (order, customer, lines) = (*id, customer.clone(), part.lines.clone());
                (part.partition, Command::HoldPart(PartHold { order, customer, lines, deadline: *deadline }))
            })
            .collect(),
        Event::OrderConfirmed(ended) | Event::PaymentCaptured { ended, .. } => {
            to_all(ended, |order| Command::ConfirmPart { order })
        }
        Event::OrderRefused(ended) | Event::OrderExpired(ended) | Event::OrderCancelled { ended, .. } => {
            to_all(ended, |order| Command::ReleasePart { order })
        }
        Event::RefundDone { order, refund, elsewhere, parts, .. } => {
            let restock = || Command::RestockPart { order: *order, refund: *refund, lines: elsewhere.clone() };
            parts.iter().map(|part| (*part, restock())).collect()
        }
        Event::OperatorActed { effect, .. } => asks(effect),
        _ => Vec::new(),
    }
}

fn to_all(ended: &Ended, command: impl Fn(OrderId) -> Command) -> Vec<(PartitionId, Command)> {
    ended.parts.iter().map(|part| (*part, command(ended.id))).collect()
}

/// Whether `outcome` answers what was asked. Asks of one order are under way side by side: who is to restock
/// a part that has not heard yet of its order's confirmation is asked again.
#[must_use]
pub const fn answers(outcome: &Outcome) -> bool {
    !matches!(outcome, Outcome::Refused(Refusal::PartHeld))
}

/// What home is told once every asked partition has answered [`Command::HoldPart`]:
/// the order is placed if all hold their part, and refused with the first refusal if not.
#[must_use]
pub fn tell(order: OrderId, answers: Vec<(PartitionId, Outcome)>) -> Command {
    let mut parts: Vec<(PartitionId, Vec<PricedLine>)> = Vec::with_capacity(answers.len());
    for (partition, outcome) in answers {
        match outcome {
            Outcome::Accepted(Answer::Part(lines)) | Outcome::Repeated(Answer::Part(lines)) => {
                parts.push((partition, lines));
            }
            Outcome::Refused(refusal) => return Command::RefuseParts { order, refusal },
            Outcome::Accepted(_) | Outcome::Repeated(_) => {
                return Command::RefuseParts { order, refusal: Refusal::PartEnded };
            }
        }
    }
    Command::AcceptParts { order, parts }
}
