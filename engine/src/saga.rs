//! The saga of paying, as rules: which call a step asks for, and what a gateway's answer tells the
//! order's home.
//!
//! Choreographed: a participant reads an open step, makes the call, and sends home what stands here.
//! It has no opinion of its own. The rules are those of the gateways' field guides: an answer that
//! leaves it open whether money moved is followed by a question, never by the same call; only the
//! gateway's word on where a payment stands ends an attempt; a call that may have been made before a
//! crash is not made again before the gateway was asked.

use crate::command::Report;
use crate::money::Won;
use crate::payment::{Answered, Captured, GivenBack, Standing, Why, cut};
use crate::step::{Call, Step, StepRef};
use crate::time::Time;
use compact_str::{CompactString, format_compact};

/// How long a gateway may work on a capture after its caller has given up, in milliseconds: Kakao
/// Pay's platform ends requests after 11 seconds.
pub const SETTLE_MILLIS: i64 = 12_000;
/// How long after an attempt's end at the gateway nothing can come of it any more, in milliseconds.
pub const GRACE_MILLIS: i64 = 60_000;
/// The looks for money of an attempt that ended without certainty while the gateway says that it is pending, after
/// the first, in milliseconds: a bank may tell the gateway late.
pub const LATE_LOOKS_MILLIS: [i64; 4] = [600_000, 3_600_000, 6 * 3_600_000, 24 * 3_600_000];
/// The pauses between tries that failed: they double, from the first to the longest.
pub const RETRY_FIRST_MILLIS: i64 = 1_000;
/// The longest pause of a capture, whose order's units wait.
pub const RETRY_CAPTURE_MILLIS: i64 = 60_000;
/// The longest pause of what nobody waits for.
pub const RETRY_OTHER_MILLIS: i64 = 600_000;
/// Tries of a step after which it is parked: of a refund that is most of a day. One of an attempt is not parked while
/// the gateway may still end it by its clock.
pub const CAPTURE_TRIES: u32 = 30;
/// The same of what must be retried until it is done.
pub const OTHER_TRIES: u32 = 150;

/// When to look once more for money of an attempt that ended without certainty.
#[must_use]
pub fn late_look(now: Time, expires_at: Time) -> Time {
    let gone = if expires_at == Time::NEVER { now } else { expires_at.max(now) };
    gone.plus_millis(GRACE_MILLIS)
}

/// The call to begin with where `call` may have been made before: after a restart, or for an operator.
#[must_use]
pub const fn resumed(call: Call) -> Call {
    match call {
        Call::Capture | Call::GiveBack => Call::LOOK,
        call => call,
    }
}

/// The call that an operator has tried again: nothing is taken for settled that was asked for just now.
#[must_use]
pub(crate) const fn retried(call: Call) -> Call {
    match resumed(call) {
        Call::LookUp { wrong_proof, .. } => Call::LookUp { pending: 0, wrong_proof },
        call => call,
    }
}

/// What `answered` to the call `made` of `step` tells home.
#[must_use]
pub fn report(step: &Step, made: Call, answered: Answered, now: Time) -> Report {
    match step.step {
        StepRef::Attempt(_) => match made {
            Call::Begin => begun(answered),
            Call::Capture => captured(step, answered, now),
            Call::LookUp { pending, wrong_proof } => looked(step, pending, wrong_proof, answered, now),
            Call::Lapse | Call::GiveBack => Report::Lapsed,
        },
        StepRef::Refund(_) => match made {
            Call::GiveBack => gave_back(step, answered, now),
            _ => looked_for_refund(step, answered, now),
        },
    }
}

/// A begin whose answer is lost is over: nobody knows its page, so it can take nothing.
fn begun(answered: Answered) -> Report {
    match answered {
        Answered::Begun(begun) => Report::Ready(Box::new(begun)),
        other => Report::NotPaid { why: Why::NotBegun, answer: words(&other) },
    }
}

fn captured(step: &Step, answered: Answered, now: Time) -> Report {
    match answered {
        Answered::Captured(captured) if captured.amount == step.work.amount => Report::Captured(Box::new(captured)),
        Answered::WrongProof(answer) => ask(answer, Call::LookUp { pending: 0, wrong_proof: true }, 0),
        other => retry(step, words(&other), Call::LOOK, 0, now),
    }
}

fn looked(step: &Step, pending: u8, wrong_proof: bool, answered: Answered, now: Time) -> Report {
    let again = Call::LookUp { pending, wrong_proof };
    let said = words(&answered);
    match answered {
        // A sum that differs is not believed before the gateway has said it twice.
        Answered::Stands(Standing::Paid { captured, .. })
            if captured.amount == step.work.amount || step.answer == said =>
        {
            Report::Captured(Box::new(captured))
        }
        Answered::Stands(Standing::NotPaid(why)) => Report::NotPaid { why, answer: cut(why.as_str()) },
        Answered::Stands(Standing::Refunded { .. }) => {
            Report::NotPaid { why: Why::Declined, answer: CompactString::const_new("taken and given back") }
        }
        Answered::Stands(Standing::Pending) => still_pending(step, pending, wrong_proof, now),
        Answered::Stands(Standing::Unknown) if step.work.ended => {
            Report::Looked { answer: CompactString::const_new("the gateway does not know it") }
        }
        // A hint that cannot be followed up: the attempt's time is over, and nobody asked for its money.
        _ if !step.work.ended && step.work.proof.is_none() && now >= step.work.expires_at => {
            Report::Looked { answer: said }
        }
        _ => retry(step, said, again, pause(step), now),
    }
}

fn still_pending(step: &Step, pending: u8, wrong_proof: bool, now: Time) -> Report {
    let answer = CompactString::const_new("pending");
    let gone = gone(step, now);
    if step.work.ended {
        // What is pending after the last of them can no longer be paid.
        return match LATE_LOOKS_MILLIS.get(usize::from(pending)) {
            Some(wait) => {
                let next = Call::LookUp { pending: pending + 1, wrong_proof };
                retry(step, answer, next, *wait, now)
            }
            None => Report::Looked { answer },
        };
    }
    if step.work.proof.is_none() {
        // A hint that was not true.
        return Report::Looked { answer };
    }
    if wrong_proof {
        return Report::WrongProof { answer };
    }
    if gone {
        return Report::NotPaid { why: Why::Lapsed, answer };
    }
    match pending {
        // It may be at work on the capture: nothing is asked for again before it has given up.
        0 => {
            let wait = pause(step).max(SETTLE_MILLIS);
            retry(step, answer, Call::LookUp { pending: 1, wrong_proof }, wait, now)
        }
        _ => retry(step, answer, Call::Capture, 0, now),
    }
}

fn gave_back(step: &Step, answered: Answered, now: Time) -> Report {
    let sized = step.work.refund.as_ref().and_then(|refund| refund.sized);
    match (answered, sized) {
        (Answered::GaveBack(back), Some((amount, _))) if back.amount == amount => Report::GaveBack(back),
        (other, _) => retry(step, words(&other), Call::LOOK, 0, now),
    }
}

/// A refund is done if what went back grew by it, and is asked for again, the same, if nothing did.
fn looked_for_refund(step: &Step, answered: Answered, now: Time) -> Report {
    let said = words(&answered);
    let (captured, refunded) = match answered {
        Answered::Stands(Standing::Paid { captured, refunded }) => (captured, refunded),
        Answered::Stands(Standing::Refunded { captured }) => {
            let all = captured.amount;
            (captured, all)
        }
        _ => return retry(step, said, Call::LOOK, pause(step), now),
    };
    let late = step.work.refund.as_ref().is_some_and(|refund| refund.late);
    // A sum that is not the one that was taken proves nothing; of money that came late it counts if said twice.
    if captured.amount != step.work.amount && !(late && step.answer == said) {
        return retry(step, said, Call::LOOK, pause(step), now);
    }
    let left = Won(captured.amount.0.saturating_sub(refunded.0));
    let sized = step.work.refund.as_ref().and_then(|refund| refund.sized);
    let done = |amount| Report::GaveBack(GivenBack { amount, receipt: CompactString::default() });
    match sized {
        None if left <= Won(0) => done(refunded),
        None => Report::Sized { amount: left, before: left },
        Some((amount, before)) if left.0 == before.0.saturating_sub(amount.0) => done(amount),
        Some((_, before)) if left == before => {
            // The call whose answer was lost may be at work yet.
            let wait = pause(step).max(SETTLE_MILLIS);
            retry(step, CompactString::const_new("not given back"), Call::GiveBack, wait, now)
        }
        Some(_) if late => Report::Sized { amount: left, before: left },
        Some(_) => {
            let answer = format_compact!("{} won are left at the gateway, which is neither before nor after", left.0);
            retry(step, answer, Call::LOOK, pause(step), now)
        }
    }
}

/// Whether the gateway has forgotten the attempt, for certain.
fn gone(step: &Step, now: Time) -> bool {
    let expires_at = step.work.expires_at;
    expires_at == Time::NEVER || now >= expires_at.plus_millis(GRACE_MILLIS)
}

/// The pause after one more try that failed, in milliseconds.
fn pause(step: &Step) -> i64 {
    let longest = if is_capture(step) { RETRY_CAPTURE_MILLIS } else { RETRY_OTHER_MILLIS };
    RETRY_FIRST_MILLIS.saturating_mul(1 << step.tries.min(20)).min(longest)
}

fn is_capture(step: &Step) -> bool {
    matches!(step.step, StepRef::Attempt(_)) && !step.work.ended
}

fn retry(step: &Step, answer: CompactString, next: Call, wait: i64, now: Time) -> Report {
    let most = if is_capture(step) { CAPTURE_TRIES } else { OTHER_TRIES };
    let waits = is_capture(step) && !gone(step, now);
    let next = (waits || step.tries + 1 < most).then_some((next, wait));
    Report::Tried { answer, next }
}

fn ask(answer: CompactString, next: Call, wait: i64) -> Report {
    Report::Tried { answer, next: Some((next, wait)) }
}

/// An answer in a few words, for the timeline. Nothing secret is in them.
fn words(answered: &Answered) -> CompactString {
    match answered {
        Answered::Begun(_) => CompactString::const_new("begun"),
        Answered::Captured(Captured { amount, .. }) => format_compact!("captured {} won", amount.0),
        Answered::GaveBack(GivenBack { amount, .. }) => format_compact!("gave back {} won", amount.0),
        Answered::Refused(text) | Answered::WrongProof(text) | Answered::Unknown(text) => cut(text),
        Answered::Stands(standing) => match standing {
            Standing::Pending => CompactString::const_new("pending"),
            Standing::Paid { captured, refunded } => {
                format_compact!("paid {} won, {} won given back", captured.amount.0, refunded.0)
            }
            Standing::NotPaid(why) => CompactString::const_new(why.as_str()),
            Standing::Refunded { .. } => CompactString::const_new("refunded"),
            Standing::Unknown => CompactString::const_new("the gateway does not know it"),
            Standing::Unrecognised(text) => cut(&format!("unrecognised: {text}")),
        },
    }
}
