//! What an event about paying tells in its order's timeline.

use crate::attempt::Happened;
use crate::event::Event;
use crate::step::StepRef;
use crate::time::Time;
use compact_str::CompactString;

pub(super) type Told = (Happened, Option<StepRef>, CompactString, Option<Time>);

/// What `event` tells in its order's timeline.
pub(super) fn told(event: &Event) -> Option<Told> {
    let none = CompactString::default;
    let attempt =
        |what, number: &u32, answer: CompactString| Some((what, Some(StepRef::Attempt(*number)), answer, None));
    let refund = |what, number: &u32, answer: CompactString| Some((what, Some(StepRef::Refund(*number)), answer, None));
    match event {
        Event::PaymentStarted { attempt: number, .. } => attempt(Happened::PaymentStarted, number, none()),
        Event::PaymentReady { attempt: number, begun, .. } => {
            let step = Some(StepRef::Attempt(*number));
            Some((Happened::PaymentReady, step, none(), Some(begun.expires_at)))
        }
        Event::PaymentAuthorised { attempt: number, .. } => attempt(Happened::PaymentAuthorised, number, none()),
        Event::PaymentHinted { attempt: number, .. } => attempt(Happened::PaymentHinted, number, none()),
        Event::ProofRejected { attempt: number, answer, .. } => {
            attempt(Happened::ProofRejected, number, answer.clone())
        }
        Event::PaymentCaptured { attempt: number, captured, .. } => {
            attempt(Happened::PaymentCaptured, number, captured.receipt.clone())
        }
        Event::PaymentCapturedLate { attempt: number, captured, .. } => {
            attempt(Happened::PaymentCapturedLate, number, captured.receipt.clone())
        }
        Event::PaymentEnded { attempt: number, why, answer, look_at, .. } => {
            let (step, why) = (Some(StepRef::Attempt(*number)), why.as_str());
            let said = if answer.is_empty() || answer == why { why.into() } else { format!("{why}: {answer}") };
            Some((Happened::PaymentEnded, step, crate::payment::cut(&said), *look_at))
        }
        Event::PaymentLooked { attempt: number, answer, .. } => {
            attempt(Happened::PaymentLooked, number, answer.clone())
        }
        Event::StepTried { step, answer, next, .. } => {
            Some((Happened::StepTried, Some(*step), answer.clone(), next.map(|(_, at)| at)))
        }
        Event::RefundRequested { refund: number, reason, .. } => {
            refund(Happened::RefundRequested, number, reason.clone())
        }
        Event::RefundSized { refund: number, .. } => refund(Happened::RefundSized, number, none()),
        Event::RefundDone { refund: number, back, .. } => refund(Happened::RefundDone, number, back.receipt.clone()),
        Event::RefundRefused { refund: number, .. } => refund(Happened::RefundRefused, number, none()),
        Event::StepRetried { step, .. } => Some((Happened::StepRetried, Some(*step), none(), None)),
        Event::OperatorActed { step, by, reason, .. } => {
            let answer = crate::payment::cut(&format!("{by}: {reason}"));
            Some((Happened::OperatorActed, Some(*step), answer, None))
        }
        _ => None,
    }
}
