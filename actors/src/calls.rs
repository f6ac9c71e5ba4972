//! Calls to owners, for the facade and for participants: send, and wait for the answer.

use crate::ShopError;
use crate::gate::Gate;
use crate::owner::{Caller, Decide, Owner, Read, Reply};
use son7shop_engine::{Command, PartitionId, PlaceOrder};
use std::sync::Arc;
use tokio::sync::oneshot;

/// The gates of all partitions, by number.
pub(crate) type Gates = Arc<[Arc<Gate>]>;

/// The gate of `partition`, if there is such a partition.
pub(crate) fn gate(gates: &Gates, partition: PartitionId) -> Option<&Arc<Gate>> {
    gates.get(usize::from(partition.0))
}

/// Asks an owner to decide; the answer is on disk.
pub(crate) async fn decide(gate: &Gate, command: Command) -> Reply {
    let (caller, answer) = Caller::new(None, None);
    decide_for(gate, command, caller, answer).await
}

/// Asks an owner to decide on behalf of `caller`.
pub(crate) async fn decide_for(
    gate: &Gate,
    command: Command,
    caller: Caller,
    answer: oneshot::Receiver<Reply>,
) -> Reply {
    send(gate, Decide { command, caller, bar: None }, answer).await
}

/// Asks an owner for an order. A new basket is refused at once while one of its partitions
/// does not serve: it could only hang, or be refused later.
pub(crate) async fn place(
    gates: &Gates,
    gate: &Gate,
    place: PlaceOrder,
    caller: Caller,
    answer: oneshot::Receiver<Reply>,
) -> Reply {
    let mut others = place.parts.iter().filter_map(|part| self::gate(gates, part.partition));
    let bar = others.find(|other| !other.serves()).map(|other| Box::new(other.closed()));
    send(gate, Decide { command: Command::PlaceOrder(place), caller, bar }, answer).await
}

async fn send(gate: &Gate, decide: Decide, answer: oneshot::Receiver<Reply>) -> Reply {
    match gate.owner() {
        Ok(owner) => owner.do_send(decide),
        // Answered, not dropped: nothing was sent, so the caller's key was not used.
        Err(closed) => decide.caller.answer(Err(closed)),
    }
    answer.await.unwrap_or(Err(ShopError::OutcomeUnknown))
}

/// Looks at what an owner has on disk.
pub(crate) async fn read<T, F>(gate: &Gate, look: F) -> Result<T, ShopError>
where
    T: Send + 'static,
    F: FnOnce(&Owner) -> T + Send + 'static,
{
    let (reply, answer) = oneshot::channel();
    // A caller that went away has no use for what was seen.
    let look = move |owner: &Owner| drop(reply.send(look(owner)));
    gate.owner()?.do_send(Read(Box::new(look)));
    answer.await.map_err(|_| if gate.serves() { ended(gate) } else { gate.closed() })
}

/// Why an owner looks no more that its gate still lets callers in to: its keeper is about to hear of its end.
fn ended(gate: &Gate) -> ShopError {
    ShopError::PartitionClosed { partition: gate.id(), why: "without an owner at the moment".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::GateState;
    use crate::keys::KeyIndex;
    use son7shop_engine::RequestKey;
    use son7shop_persistence::journal::{Committed, JournalId, Position};

    const CLOSED: PartitionId = PartitionId(1);

    fn closed() -> Gate {
        let position = Position::origin(JournalId([7; 16]), CLOSED);
        let gate = Gate::new(CLOSED, 8, Committed { position, segment: 1, offset: 0 });
        gate.close(GateState::Closed("burnt"));
        gate
    }

    #[tokio::test]
    async fn a_key_that_a_closed_partition_never_saw_is_not_used() {
        let (gate, keys) = (closed(), Arc::new(KeyIndex::new(2)));
        let [asked, other] = [1, 2].map(|request| RequestKey { key: [7; 16], request: [request; 16] });
        let (partition, running) = keys.begin(asked, CLOSED).unwrap();
        assert_eq!(partition, CLOSED);
        let (caller, answer) = Caller::new(None, running);
        let why = "burnt".to_owned();
        let reply = decide_for(&gate, Command::Tick, caller, answer).await;
        assert_eq!(reply, Err(ShopError::PartitionClosed { partition: CLOSED, why }));
        let begun = keys.begin(other, PartitionId(0)).map(|(partition, _)| partition);
        assert_eq!(begun, Ok(PartitionId(0)), "the key is as if it had never been sent");
    }
}
