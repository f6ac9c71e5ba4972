//! What there is to measure on this machine: every backend that can be had, with the pool that suits it
//! best. What cannot be had is named with the reason.
//!
//! - `entries`: the table of backends.
//! - [`ground`]: the servers that they need.
//! - [`trials`]: which pool suits a backend best.
//! - [`addresses`]: which servers of somebody's own are taken.
//!
//! On a server of somebody's own the lab uses the tables `lab_stock` and `lab_orders`, the procedure
//! `lab_buy` and keys that begin with `lab:`, throws away what is in them, and touches nothing else; it
//! changes none of its settings.

pub mod addresses;
mod entries;
pub mod ground;
pub mod trials;

pub use ground::Ground;
pub use trials::Trials;

use super::backend::Contender;
use super::run::Missing;
use crate::servers::Server;
use entries::{Entry, Make};
use std::sync::atomic::{AtomicBool, Ordering};

/// What is wanted.
#[derive(Debug, Clone)]
pub struct Wanted<'a> {
    /// Only backends whose name contains one of these; all, if there is none.
    pub only: Vec<String>,
    /// The most threads that will buy.
    pub threads: usize,
    /// Connections of every pool; nothing: the best number for each is found.
    pub pool: Option<u32>,
    /// How the best number is found.
    pub trials: Trials,
    /// Somebody's own MariaDB, with a database in its path.
    pub mariadb_url: Option<String>,
    /// Somebody's own MySQL, with a database in its path.
    pub mysql_url: Option<String>,
    /// Somebody's own Redis.
    pub redis_url: Option<String>,
    /// Whether these may lead away from this machine.
    pub allow_remote: bool,
    /// Set by whoever does not want to wait any longer.
    pub stop: &'a AtomicBool,
}

/// What is there.
pub struct Roster {
    /// The backends.
    pub contenders: Vec<Box<dyn Contender>>,
    /// What is not there, and why.
    pub missing: Vec<Missing>,
    /// They run for as long as they are kept: after the backends, which use them.
    _servers: Vec<Server>,
}

/// Starts everything; `say` hears what is being waited for.
pub fn find(wanted: &Wanted, say: &mut dyn FnMut(&str)) -> Roster {
    find_of(entries::all(wanted), wanted, say)
}

fn find_of(entries: Vec<Entry>, wanted: &Wanted, say: &mut dyn FnMut(&str)) -> Roster {
    let ground = Ground::new(wanted, say);
    let (mut contenders, mut missing) = (Vec::new(), Vec::new());
    let is_wanted = |entry: &Entry| wanted.only.is_empty() || wanted.only.iter().any(|part| entry.name.contains(part));
    for entry in entries.into_iter().filter(is_wanted) {
        if wanted.stop.load(Ordering::Relaxed) {
            missing.push(Missing { name: entry.name, why: "stopped before it was started".to_owned() });
            continue;
        }
        match make(&entry, &ground) {
            Ok(contender) => contenders.push(contender),
            Err(error) => missing.push(Missing { name: entry.name, why: format!("{error:#}") }),
        }
    }
    Roster { contenders, missing, _servers: ground.into_servers() }
}

fn make(entry: &Entry, ground: &Ground) -> anyhow::Result<Box<dyn Contender>> {
    let Wanted { threads, trials, pool, stop, .. } = ground.wanted;
    let (sizes, make) = match &entry.make {
        Make::Plain(make) => return make(ground),
        Make::Pooled(make) => (trials.database.to_vec(), make),
        Make::PooledFast(make) => {
            let most = u32::try_from(*threads).unwrap_or(u32::MAX);
            let mut sizes: Vec<u32> = trials.fast.iter().map(|size| (*size).min(most)).collect();
            sizes.dedup();
            (sizes, make)
        }
    };
    let mut make = |pool| make(ground, pool);
    if let Some(pool) = pool {
        return trials::fixed(&mut make, *pool);
    }
    // Enough that every connection has somebody waiting for it; of a slow backend, a trial with all
    // threads would take as long as all of them need for their last unit.
    let largest = sizes.iter().copied().max().unwrap_or(1);
    let threads = (*threads).min(2 * largest as usize);
    trials::best(&entry.name, &mut make, &sizes, trials, threads, stop, &mut |what| ground.say(what))
}

#[cfg(test)]
mod tests;
