//! Connections that all threads of a backend share.
//!
//! First come, first served: whoever waits longest gets the next connection that is free. A pool that
//! lets newcomers pass (as Jedis' does unless it is told otherwise) sells a few units more and lets some
//! buyers wait for seconds, which nobody would set for a shop.
//!
//! sqlx has a pool too; it is not used because it asks the server "are you there" (a round trip) each
//! time that a connection comes back, which a careful user's pool (Hikari) does not.
//!
//! Must never be given back a connection in the middle of an answer: what failed is [`Taken::broken`].

use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use tokio::sync::{Semaphore, SemaphorePermit};

/// So many connections, of which some are lent.
#[derive(Debug)]
pub(super) struct Pool<C> {
    /// As many as the semaphore has permits. Nothing: to be opened anew.
    idle: Mutex<Vec<Option<C>>>,
    turns: Semaphore,
}

/// A connection, lent until it is dropped.
pub(super) struct Taken<'a, C> {
    pool: &'a Pool<C>,
    connection: Option<C>,
    // After the connection was put back: whoever gets the turn finds it. Always there: the semaphore
    // is never closed.
    _turn: Option<SemaphorePermit<'a>>,
}

impl<C> Pool<C> {
    pub(super) fn of(connections: Vec<C>) -> Self {
        let turns = Semaphore::new(connections.len());
        Self { idle: Mutex::new(connections.into_iter().map(Some).collect()), turns }
    }

    /// Waits for a connection.
    pub(super) async fn take(&self) -> Taken<'_, C> {
        let turn = self.turns.acquire().await.ok();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        Taken { pool: self, connection: idle.pop().flatten(), _turn: turn }
    }

    /// The same for a thread that has nothing else to do.
    pub(super) fn take_blocking(&self) -> Taken<'_, C> {
        let mut take = pin!(self.take());
        let waker = Waker::from(Arc::new(Parked(std::thread::current())));
        let mut context = Context::from_waker(&waker);
        loop {
            match take.as_mut().poll(&mut context) {
                Poll::Ready(taken) => return taken,
                Poll::Pending => std::thread::park(),
            }
        }
    }
}

impl<C> Taken<'_, C> {
    /// The connection; nothing if it has to be opened anew.
    pub(super) fn connection(&mut self) -> &mut Option<C> {
        &mut self.connection
    }

    /// It failed: nobody gets it again.
    pub(super) fn broken(&mut self) {
        self.connection = None;
    }
}

impl<C> Drop for Taken<'_, C> {
    fn drop(&mut self) {
        self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner).push(self.connection.take());
    }
}

struct Parked(Thread);

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn the_longest_waiting_is_served_first_and_a_broken_one_is_not_lent_again() {
        let pool = Pool::of(vec!["one"]);
        let mut held = pool.take_blocking();
        let mut waiting: Vec<_> = (0..5).map(|_| Box::pin(pool.take())).collect();
        let mut context = Context::from_waker(Waker::noop());
        // They queue up in this order.
        for take in &mut waiting {
            assert!(take.as_mut().poll(&mut context).is_pending());
        }
        held.broken();
        drop(held);
        for n in 0..waiting.len() {
            // Whoever comes later must not pass.
            for later in &mut waiting[n + 1..] {
                assert!(later.as_mut().poll(&mut context).is_pending());
            }
            let Poll::Ready(mut taken) = waiting[n].as_mut().poll(&mut context) else { panic!("{n} waits") };
            let found = taken.connection().replace("two");
            assert_eq!(found, if n == 0 { None } else { Some("two") });
        }
    }

    #[test]
    fn no_more_are_lent_than_there_are() {
        let pool = Pool::of(vec![0, 0]);
        let (sender, receiver) = mpsc::channel();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                let (pool, sender) = (&pool, sender.clone());
                scope.spawn(move || {
                    for _ in 0..200 {
                        *pool.take_blocking().connection().as_mut().unwrap() += 1;
                    }
                    sender.send(()).unwrap();
                });
            }
        });
        assert_eq!(receiver.try_iter().count(), 8);
        let (mut one, mut other) = (pool.take_blocking(), pool.take_blocking());
        assert_eq!(one.connection().unwrap() + other.connection().unwrap(), 8 * 200);
    }
}
