//! Waiting as an OS thread does: asleep until woken. (A runtime in each thread would cost more memory
//! than the caches of a small machine hold for 2,000 of them.)

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

/// Wakes the thread that made it; for that thread alone.
#[derive(Debug)]
pub(super) struct Parker(Waker);

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

impl Parker {
    /// For this thread.
    pub(super) fn new() -> Self {
        Self(Waker::from(Arc::new(Unpark(std::thread::current()))))
    }

    /// Sleeps until the answer is there.
    pub(super) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        loop {
            if let Poll::Ready(answer) = future.as_mut().poll(&mut Context::from_waker(&self.0)) {
                return answer;
            }
            std::thread::park();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    #[test]
    fn a_thread_sleeps_until_another_has_its_answer() {
        let (tell, mut asked) = oneshot::channel::<u32>();
        let (reply, answer) = oneshot::channel::<u32>();
        let other = std::thread::spawn(move || {
            let number = loop {
                match asked.try_recv() {
                    Ok(number) => break number,
                    Err(_) => std::thread::yield_now(),
                }
            };
            reply.send(number + 1).unwrap();
        });
        let parker = Parker::new();
        let answer = parker.block_on(async {
            tell.send(41).unwrap();
            answer.await.unwrap()
        });
        assert_eq!(answer, 42);
        other.join().unwrap();
    }
}
