//! The root of the tree: starts everything that may fail, and starts it again when it did.
//!
//! A child that ends is started again after a pause that doubles each time; one that ends
//! too often is given up, loudly, and the rest goes on. (The library's own answer to a
//! child's end is to stop the supervisor; ours never does.)

use crate::error::with_sources;
use futures_util::future::BoxFuture;
use ractor::{Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, SpawnErr, SupervisionEvent};
use std::time::{Duration, Instant};

/// The pause before the first restart.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// The longest pause between restarts.
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// Ends in a row after which a child is given up.
const ENDS_MAX: u32 = 12;
/// A child that ran this long has recovered: its ends are counted anew.
const RECOVERED: Duration = Duration::from_mins(1);

/// How to start a child under its supervisor.
pub(crate) type Start = Box<dyn Fn(ActorCell) -> BoxFuture<'static, Result<ActorCell, SpawnErr>> + Send + Sync>;

/// A child: a name for people, and how to start it.
pub(crate) struct Child {
    pub(crate) name: String,
    pub(crate) start: Start,
}

/// What the root is asked.
#[derive(Debug)]
pub(crate) enum Ask {
    /// Start a child, by its place.
    Start(usize),
    /// Restart nobody any more.
    Rest,
}

/// A child and what became of it.
pub(crate) struct Kept {
    child: Child,
    /// Since when which actor runs.
    running: Option<(ActorId, Instant)>,
    /// Ends in a row; a start that failed is one, too.
    ends: u32,
}

impl Kept {
    /// Counts an end; says how many there were in a row.
    fn count_end(&mut self, now: Instant) -> u32 {
        let recovered = self.running.take().is_some_and(|(_, since)| now.duration_since(since) > RECOVERED);
        self.ends = if recovered { 1 } else { self.ends + 1 };
        self.ends
    }
}

/// What the root remembers.
pub(crate) struct State {
    children: Vec<Kept>,
    resting: bool,
}

/// The root of the tree.
pub(crate) struct Supervisor;

impl Actor for Supervisor {
    type Msg = Ask;
    type State = State;
    type Arguments = Vec<Child>;

    async fn pre_start(&self, me: ActorRef<Ask>, children: Vec<Child>) -> Result<State, ActorProcessingErr> {
        let children: Vec<Kept> = children.into_iter().map(|child| Kept { child, running: None, ends: 0 }).collect();
        for place in 0..children.len() {
            me.cast(Ask::Start(place))?;
        }
        Ok(State { children, resting: false })
    }

    async fn handle(&self, me: ActorRef<Ask>, ask: Ask, state: &mut State) -> Result<(), ActorProcessingErr> {
        match ask {
            Ask::Rest => state.resting = true,
            Ask::Start(place) if !state.resting => {
                let Some(kept) = state.children.get_mut(place) else { return Ok(()) };
                match (kept.child.start)(me.get_cell()).await {
                    Ok(cell) => kept.running = Some((cell.get_id(), Instant::now())),
                    Err(SpawnErr::StartupFailed(error)) => ended(&me, place, kept, &with_sources(error.as_ref())),
                    Err(error) => ended(&me, place, kept, &error.to_string()),
                }
            }
            Ask::Start(_) => {}
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        me: ActorRef<Ask>,
        event: SupervisionEvent,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let (cell, why) = match event {
            SupervisionEvent::ActorFailed(cell, error) => (cell, with_sources(error.as_ref())),
            SupervisionEvent::ActorTerminated(cell, _, reason) => {
                (cell, reason.unwrap_or_else(|| "stopped".to_owned()))
            }
            _ => return Ok(()),
        };
        let place = state.children.iter().position(|kept| kept.running.is_some_and(|(id, _)| id == cell.get_id()));
        if let (Some(place), false) = (place, state.resting) {
            ended(&me, place, &mut state.children[place], &why);
        }
        Ok(())
    }
}

/// Starts a child again after a pause, or gives it up.
fn ended(me: &ActorRef<Ask>, place: usize, kept: &mut Kept, why: &str) {
    let ends = kept.count_end(Instant::now());
    let name = kept.child.name.as_str();
    metrics::counter!("son7_actor_restarts_total", "actor" => kept.child.name.clone()).increment(1);
    if ends > ENDS_MAX {
        metrics::gauge!("son7_actors_given_up", "actor" => kept.child.name.clone()).set(1.0);
        tracing::error!(
            actor = name,
            why,
            "given up after {ENDS_MAX} restarts; restart the program once the cause is gone"
        );
        return;
    }
    let pause = PAUSE_MIN.saturating_mul(1 << (ends - 1).min(10)).min(PAUSE_MAX);
    tracing::error!(actor = name, why, pause_ms = pause.as_millis(), "ended; starting it again");
    drop(me.send_after(pause, move || Ask::Start(place)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_child_that_ran_for_a_while_is_counted_anew() {
        let start: Start = Box::new(|_| Box::pin(async { Err(SpawnErr::ActorAlreadyStarted) }));
        let mut kept = Kept { child: Child { name: "child".to_owned(), start }, running: None, ends: 0 };
        let began = Instant::now();
        let late = began + RECOVERED + Duration::from_secs(1);
        for (running, now, ends) in
            [(false, began, 1), (false, late, 2), (true, began, 3), (true, late, 1), (false, late, 2)]
        {
            kept.running = running.then_some((ActorId::Local(1), began));
            assert_eq!(kept.count_end(now), ends);
        }
    }
}
