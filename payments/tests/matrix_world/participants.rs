//! The participants: they take open steps, make the call that is due, and send home what the rules say. A
//! participant remembers nothing that it could not read again.

use super::{Bug, World};
use compact_str::CompactString;
use son7shop_engine::payment::{Answered, Why};
use son7shop_engine::{
    Call, Command, Event, Lsn, OrderId, Partition, Report, Step, StepRef, StepState, Time, Won, basket, saga,
};
use std::collections::BTreeMap;

#[derive(Debug, Clone, Default)]
pub(super) struct Participants {
    /// Up to where the open steps were read.
    seen: Lsn,
    /// The steps to do, each with the event that opened it and whether its call may have been made before.
    steps: BTreeMap<(OrderId, StepRef), (Lsn, bool)>,
    /// Whether the process was started again, and no step was read since.
    fresh: bool,
}

impl Participants {
    pub(super) fn restarted() -> Self {
        Self { fresh: true, ..Self::default() }
    }

    fn read(&mut self, partition: &Partition) {
        loop {
            let found = partition.steps_after(self.seen, 2);
            let Some(last) = found.last() else { break };
            self.seen = last.lsn;
            for step in found {
                self.steps.insert((step.order, step.step), (step.lsn, self.fresh));
            }
        }
        self.fresh = false;
        self.steps
            .retain(|(order, step), (lsn, _)| partition.step_view(*order, *step).is_some_and(|view| view.lsn == *lsn));
    }

    fn views<'a>(&'a self, partition: &'a Partition) -> impl Iterator<Item = (Step, bool)> {
        self.steps.iter().filter_map(|((order, step), (lsn, resumed))| {
            let view = partition.step_view(*order, *step)?;
            (view.lsn == *lsn && view.state != StepState::Parked).then_some((view, *resumed))
        })
    }
}

impl World {
    /// When the next call is due.
    pub(super) fn next_step(&mut self) -> Option<Time> {
        self.participants.read(&self.home.partition);
        let views = self.participants.views(&self.home.partition);
        views.map(|(step, _)| step.due_at).filter(|at| *at != Time::NEVER).min()
    }

    /// Makes the call of the first step that is due.
    pub(super) fn call(&mut self) -> bool {
        self.participants.read(&self.home.partition);
        let due = self.participants.views(&self.home.partition).find(|(step, _)| step.due_at <= self.now);
        let Some((step, resumed)) = due else { return false };
        self.participants.steps.remove(&(step.order, step.step));
        let call = if resumed { saga::resumed(step.call) } else { step.call };
        if call == Call::Lapse {
            self.report(&step, call, Answered::Unknown(CompactString::default()));
        } else {
            self.send(step, call);
        }
        true
    }

    /// What was answered is told home.
    pub(super) fn report(&mut self, step: &Step, made: Call, answered: Answered) {
        let told = match self.bug {
            Some(bug) => mistaken(bug, step, made, &answered),
            None => None,
        };
        let report = told.unwrap_or_else(|| saga::report(step, made, answered, self.now));
        self.tell(format!("{:?} of {:?} leads to {report:?}", made.as_str(), step.step));
        let (order, seen, step) = (step.order, step.lsn, step.step);
        self.at_home(&Command::Report { order, step, seen, report });
    }

    /// The stock participant: asks the other owner what home's next event asks of it.
    pub(super) fn ask_elsewhere(&mut self) -> bool {
        while let Some(record) = self.home.records.get(self.asked) {
            let event = record.event.clone();
            self.asked += 1;
            let asks = basket::asks(&event);
            if asks.is_empty() {
                continue;
            }
            self.tell("the other owner is asked");
            let mut answers = Vec::new();
            for (partition, command) in asks {
                answers.push((partition, self.elsewhere(&command)));
            }
            if let Event::OrderOpened { id, .. } = event {
                self.at_home(&basket::tell(id, answers));
            }
            return true;
        }
        false
    }
}

/// What a participant with this mistake tells instead.
fn mistaken(bug: Bug, step: &Step, made: Call, answered: &Answered) -> Option<Report> {
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
