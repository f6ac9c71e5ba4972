//! The data plane: arbiters, each a thread with a loop of its own that shares nothing
//! with its neighbours.
//!
//! An `Arbiter` can only be made on the thread of a `System`, so one thread does nothing
//! but run it. This module must never run anything but owners and accept loops.

use actix::{Arbiter, ArbiterHandle, System};
use std::io;
use std::sync::mpsc;
use std::thread::JoinHandle;
use tokio::sync::oneshot;

/// The arbiters of one shop. Dropping it stops them without waiting.
#[derive(Debug)]
pub(crate) struct Plane {
    arbiters: Vec<ArbiterHandle>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Plane {
    /// Starts `count` arbiters.
    pub(crate) fn start(count: usize) -> io::Result<Self> {
        let (ready, started) = mpsc::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new().name("arbiters".to_owned()).spawn(move || {
            System::new().block_on(async move {
                let arbiters: io::Result<Vec<Arbiter>> = (0..count).map(|_| Arbiter::try_new()).collect();
                let arbiters = match arbiters {
                    Ok(arbiters) => arbiters,
                    Err(error) => return drop(ready.send(Err(error))),
                };
                let handles = arbiters.iter().map(Arbiter::handle).collect();
                if ready.send(Ok(handles)).is_err() {
                    return;
                }
                // Ends by a message or by the other side's end: both mean stop.
                let _ = stopped.await;
                for arbiter in &arbiters {
                    arbiter.stop();
                }
                for arbiter in arbiters {
                    if arbiter.join().is_err() {
                        tracing::error!("an arbiter's thread ended by a panic");
                    }
                }
            });
        })?;
        let arbiters = started.recv().map_err(|_| io::Error::other("the arbiters' thread ended at its start"))??;
        Ok(Self { arbiters, stop: Some(stop), thread: Some(thread) })
    }

    pub(crate) fn arbiters(&self) -> &[ArbiterHandle] {
        &self.arbiters
    }

    /// Stops every arbiter and waits for its thread. Blocks.
    pub(crate) fn stop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the arbiters' thread ended by a panic");
        }
    }
}
