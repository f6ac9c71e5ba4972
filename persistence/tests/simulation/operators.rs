//! Operators: they look at steps that do not go on, and act. Whoever says what the gateway did has looked there.

use crate::node::{Ask, Sender};
use crate::oracle::Checked;
use crate::world::{Letter, World};
use rand::Rng;
use rand::seq::IndexedRandom;
use son7shop_engine::payment::{Captured, GivenBack};
use son7shop_engine::{Act, Call, Command, CustomerId, Lsn, Step, StepRef, StepState, Time, Won};
use son7shop_payments::sandbox::machine::Line;

impl World {
    /// An operator of the home `at` acts; says whether there was something to act on.
    pub(crate) fn operate(&mut self, at: usize) -> Result<bool, crate::oracle::Broken> {
        let Some(home) = self.nodes[at].on_disk() else { return Ok(false) };
        let steps: Vec<Step> = home.open_step_views(Lsn(0)).filter(|step| step.call != Call::Lapse).collect();
        let parked = steps.iter().filter(|step| step.state == StepState::Parked);
        let parked: Vec<Step> = parked.cloned().collect();
        let step = match parked.choose(&mut self.rng) {
            Some(step) => step.clone(),
            None if self.calm || self.rng.random_ratio(1, 2) => return Ok(false),
            None => match steps.choose(&mut self.rng) {
                Some(step) => step.clone(),
                None => return Ok(false),
            },
        };
        let is_attempt = matches!(step.step, StepRef::Attempt(_));
        match self.rng.random_range(0..10) {
            0..4 => self.acts(at, &step, Act::Retry)?,
            4..6 if is_attempt => self.acts(at, &step, Act::Compensate)?,
            _ => {
                let act = self.truth(at, &step).unwrap_or(Act::Retry);
                // Between their look at the gateway and this nothing moves there.
                self.ask(at, Sender::Nobody, &Ask::Decide(command(&step, act)))?;
            }
        }
        Ok(true)
    }

    /// Does what does not depend on what the gateway did: by a letter, as everybody does.
    fn acts(&mut self, at: usize, step: &Step, act: Act) -> Checked {
        let ask = Ask::Decide(command(step, act));
        if self.calm {
            return self.ask(at, Sender::Nobody, &ask);
        }
        self.post(Letter::Ask { to: self.nodes[at].id, from: Sender::Nobody, ask });
        Ok(())
    }

    /// What the gateway did and will have done once its bank has told; `None`: a call may still change it.
    fn truth(&self, at: usize, step: &Step) -> Option<Act> {
        if self.gateway.works_on(step.order) {
            return None;
        }
        // Of a copy: time passes for whoever waits, not for the shop.
        let ledger = self.gateway.machine.clone().ledger(Time(self.latest + 3_600_000));
        let reference = step.work.reference.as_ref().map(ToString::to_string);
        let line = ledger.payments.iter().find(|line| Some(line.tid.as_str()) == reference.as_deref());
        let (taken, back) = line.map_or((Won(0), Won(0)), |line: &Line| (line.captured(), line.refunded()));
        let receipt = || "A1".into();
        match &step.work.refund {
            None if taken > Won(0) => {
                let captured = Captured { amount: taken, receipt: receipt(), means: "CARD".into(), at: Time(1) };
                Some(Act::ResolvePaid(Box::new(captured)))
            }
            None => Some(Act::ResolveNotPaid),
            Some(refund) => {
                let view = self.nodes[at].on_disk()?.order(step.order)?;
                let attempt = view.payment?.attempts.get(step.work.attempt as usize - 1)?.refunded;
                let asked = refund.sized.map(|(amount, _)| amount);
                match Won(back.0 - attempt.0) {
                    amount if amount > Won(0) && (refund.late || asked == Some(amount)) => {
                        Some(Act::ResolveRefunded(GivenBack { amount, receipt: receipt() }))
                    }
                    // Money that the shop has no right to is not given up.
                    _ if refund.late => None,
                    _ => Some(Act::ResolveNotRefunded),
                }
            }
        }
    }
}

fn command(step: &Step, act: Act) -> Command {
    let by = CustomerId::parse("operator").expect("an operator");
    Command::Operate { order: step.order, step: step.step, act, by, reason: "looked".into() }
}
