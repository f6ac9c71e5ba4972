//! Calls to owners, for the facade and for participants: send, and wait for the answer.

use crate::ShopError;
use crate::gate::Gate;
use crate::owner::{Caller, Decide, Owner, Read, Reply};
use son7shop_engine::{Command, PartitionId};
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
    gate.owner()?.do_send(Decide { command, caller });
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
    answer.await.map_err(|_| gate.closed())
}
