//! Opening and closing a shop: recovery, the tree, and the way down.

use crate::calls::Gates;
use crate::database::Database;
use crate::error::with_sources;
use crate::gate::Gate;
use crate::keeper::{Keeper, Kept, Life};
use crate::keys::KeyIndex;
use crate::owner::Stop;
use crate::participant::{self, SagaParticipant};
use crate::plane::Plane;
use crate::shop::{Inner, Readiness, Shop};
use crate::stock::{self, StockParticipant};
use crate::supervisor::{Ask, Child, Start, Supervisor};
use crate::upkeep::Upkeep;
use crate::webhooks::{Deliverer, Hooks, NotificationArgs, NotificationParticipant};
use crate::write_behind::{self, WriteBehind};
use crate::{OpenError, Payments, Settings};
use ractor::{Actor, ActorRef};
use son7shop_engine::{Participant, PartitionId};
use son7shop_persistence::journal::{
    DataFolder, Journal, MAX_PARTITIONS, OpenHints, PartitionFolder, Position, Progress, Recovered, Storage,
};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often recovery says how far it is.
const PROGRESS: Duration = Duration::from_secs(1);
/// How long after its deadline closing waits for what should end at once.
const GRACE: Duration = Duration::from_secs(2);
/// How often closing looks whether write-behind is done.
const LOOK: Duration = Duration::from_millis(10);

/// What keeps a shop running.
pub(crate) struct Running {
    root: ActorRef<Ask>,
    plane: Mutex<Plane>,
    /// Holds the folder's lock until the shop is closed.
    folder: Mutex<Option<DataFolder>>,
}

#[cfg(test)]
impl Running {
    /// The root of the tree.
    pub(crate) fn root(&self) -> &ActorRef<Ask> {
        &self.root
    }
}

impl Shop {
    /// Recovers every partition and opens the database; serves when it returns.
    ///
    /// A database that cannot be reached does not hold it up; one that follows another
    /// journal, or is ahead of this one, is an error. Needs a multi-threaded runtime.
    pub async fn open(settings: Settings, storage: Arc<dyn Storage>) -> Result<Self, OpenError> {
        let folder = open_folder(&settings, storage).await?;
        let database = Database::at(settings.database_url.clone());
        let database = Arc::new(database.map_err(|error| OpenError::new("starting write-behind's thread", error))?);
        let folders: Vec<PartitionFolder> = folder.all().collect();
        let positions = database_positions(&database, &folders).await?;
        let seed = rand::random();
        let recovered = recover_all(&folders, &positions, seed).await?;
        let hooks = open_hooks(&settings, &folder).await?;

        let plane = Plane::start(recovered.len()).map_err(|error| OpenError::new("starting the arbiters", error))?;
        let keys = Arc::new(KeyIndex::new(folder.partitions()));
        let gates: Gates = recovered.iter().map(|found| new_gate(found, &positions, &settings)).collect();
        let payments = Arc::new(settings.payments.clone());
        let mut children = Vec::new();
        let owned = recovered.into_iter().zip(folders).zip(gates.iter()).zip(plane.arbiters());
        for (((recovered, folder), gate), arbiter) in owned {
            let kept = Arc::new(Kept {
                gate: Arc::clone(gate),
                keys: Arc::clone(&keys),
                folder,
                arbiter: arbiter.clone(),
                seed,
                life: Mutex::new(Life::Recovered(Box::new(recovered))),
                preparer: Mutex::new(None),
            });
            children.extend(children_of(&kept, &gates, &database, &payments));
            children.push(notification_of(&kept, &database, &hooks, &settings));
        }
        let deliverer = Arc::clone(&hooks);
        children.push(child("webhooks".to_owned(), || Deliverer, move || Arc::clone(&deliverer)));
        let (root, _) = Supervisor::spawn(None, Supervisor, children)
            .await
            .map_err(|error| OpenError::new("starting the supervisor", error))?;
        let shop = Self {
            inner: Arc::new(Inner {
                gates,
                keys,
                database,
                payments,
                arbiters: plane.arbiters().to_vec(),
                hold_millis: settings.hold_millis,
                drawn: AtomicU64::new(rand::random()),
                draining: AtomicBool::new(false),
                hooks,
                running: Running { root, plane: Mutex::new(plane), folder: Mutex::new(Some(folder)) },
            }),
        };
        for gate in shop.inner.gates.iter() {
            gate.until_open().await;
        }
        Ok(shop)
    }

    /// Takes no more orders; answers what was accepted.
    pub fn drain(&self) {
        self.inner.draining.store(true, Ordering::Relaxed);
        self.inner.gates.iter().for_each(|gate| gate.end());
    }

    /// Takes no more orders, answers what was accepted, lets write-behind finish within
    /// `deadline`, and ends everything. What write-behind could not carry is in the
    /// journal, and is carried after the next start. What does not end at all, such as an
    /// owner whose sync hangs, is left behind two seconds after `deadline`.
    pub async fn close(&self, deadline: Duration) {
        let by = Instant::now() + deadline;
        self.drain();
        let _ = self.inner.running.root.cast(Ask::Rest);
        let mut ends = Vec::new();
        for gate in self.inner.gates.iter() {
            if let Ok(owner) = gate.owner() {
                owner.do_send(Stop);
                ends.push(gate);
            }
        }
        for gate in ends {
            // An owner that does not end is ended with the process; its journal is safe.
            ended_by(by, &format!("the owner of partition {}", gate.id()), gate.until_closed()).await;
        }
        while Instant::now() < by && self.lag() > 0 {
            tokio::time::sleep(LOOK).await;
        }
        let left = self.lag();
        if left > 0 {
            tracing::warn!(events = left, "write-behind did not finish; it goes on after the next start");
        }
        let by = by + GRACE;
        if let Some(Err(_)) = ended_by(by, "the supervisor", self.inner.running.root.stop_and_wait(None, None)).await {
            tracing::error!("the supervisor had ended before");
        }
        ended_by(by, "the database", self.inner.database.close()).await;
        let hooks = Arc::clone(&self.inner.hooks);
        ended_by(by, "the webhooks' files", tokio::task::spawn_blocking(move || hooks.store())).await;
        let inner = Arc::clone(&self.inner);
        // Joins threads: not on a thread of the runtime.
        let stopped = tokio::task::spawn_blocking(move || {
            inner.running.plane.lock().unwrap_or_else(PoisonError::into_inner).stop();
        });
        if let Some(Err(_)) = ended_by(by, "an arbiter", stopped).await {
            tracing::error!("stopping the arbiters ended by a panic");
        }
        let folder = self.inner.running.folder.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(folder) = folder {
            // A segment or a snapshot may be half made: who opens the folder next waits for it here.
            let free = async {
                while folder.is_shared() {
                    tokio::time::sleep(LOOK).await;
                }
            };
            ended_by(by.min(Instant::now() + GRACE), "work on the data folder", free).await;
        }
    }

    /// Events that are on disk and not in the database yet.
    #[must_use]
    pub fn lag(&self) -> u64 {
        self.inner.gates.iter().map(|gate| gate.committed().position.lsn.0.saturating_sub(gate.stored().0)).sum()
    }

    /// Whether every partition serves and nothing drains.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.readiness() == Readiness::Ready
    }
}

/// What `end` came to by then; nothing, and a line in the log, if it did not.
async fn ended_by<T>(by: Instant, what: &str, end: impl Future<Output = T>) -> Option<T> {
    let ended = tokio::time::timeout(by.saturating_duration_since(Instant::now()), end).await.ok();
    if ended.is_none() {
        tracing::error!(what, "did not end in time; it ends with the program");
    }
    ended
}

async fn open_folder(settings: &Settings, storage: Arc<dyn Storage>) -> Result<DataFolder, OpenError> {
    let path = settings.data_dir.clone();
    let mut options = settings.folder_options(rand::random());
    let opened = tokio::task::spawn_blocking(move || {
        if options.partitions.is_none() && DataFolder::look(Arc::clone(&storage), &path).is_err() {
            options.partitions = Some(half_the_cores());
        }
        DataFolder::open(storage, &path, &options)
    });
    let context = || format!("opening the data folder {}", settings.data_dir.display());
    opened.await.map_err(|error| OpenError::new(context(), error))?.map_err(|error| OpenError::new(context(), error))
}

async fn open_hooks(settings: &Settings, folder: &DataFolder) -> Result<Arc<Hooks>, OpenError> {
    let (data, journal, webhooks) = (settings.data_dir.clone(), folder.journal_id(), settings.webhooks.clone());
    let opened = tokio::task::spawn_blocking(move || Hooks::open(&data, journal.0, webhooks));
    opened.await.map_err(|error| OpenError::new("opening the webhooks", error))?.map(Arc::new)
}

/// Partitions of a new data folder: the other half of the cores is for everything else.
fn half_the_cores() -> u16 {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    u16::try_from(cores / 2).unwrap_or(u16::MAX).clamp(1, MAX_PARTITIONS)
}

/// Where the database stands, for every partition: at the beginning of those that it has
/// nothing of. Nothing at all where it cannot be reached now.
async fn database_positions(
    database: &Database,
    folders: &[PartitionFolder],
) -> Result<Vec<(PartitionId, Position)>, OpenError> {
    match database.read(|store| async move { store.positions().await }).await {
        Ok(positions) => {
            let of = |folder: &PartitionFolder| {
                let origin = || Position::origin(folder.journal(), folder.id());
                (folder.id(), position_of(&positions, folder.id()).unwrap_or_else(origin))
            };
            Ok(folders.iter().map(of).collect())
        }
        Err(error) if error.is_retryable() => {
            tracing::warn!(error = with_sources(&error), "the database cannot be reached; selling begins without it");
            Ok(Vec::new())
        }
        Err(error) => Err(OpenError::new("opening the database", error)),
    }
}

/// Recovers every partition, side by side.
async fn recover_all(
    folders: &[PartitionFolder],
    positions: &[(PartitionId, Position)],
    seed: u64,
) -> Result<Vec<Recovered>, OpenError> {
    let mut recovering = Vec::new();
    for folder in folders {
        let (folder, database) = (folder.clone(), position_of(positions, folder.id()));
        recovering.push(tokio::task::spawn_blocking(move || recover(&folder, database, seed)));
    }
    let mut recovered = Vec::new();
    for (partition, recovering) in recovering.into_iter().enumerate() {
        let context = || format!("recovering partition {partition}");
        let found = recovering.await.map_err(|error| OpenError::new(context(), error))?;
        recovered.push(found.map_err(|error| OpenError::new(context(), error))?);
    }
    Ok(recovered)
}

fn recover(
    folder: &PartitionFolder,
    database: Option<Position>,
    seed: u64,
) -> Result<Recovered, son7shop_persistence::journal::JournalError> {
    let partition = folder.id();
    let mut told = Instant::now();
    let mut progress = |progress: Progress| {
        if told.elapsed() >= PROGRESS {
            told = Instant::now();
            let percent = progress.bytes_done * 100 / progress.bytes_total.max(1);
            tracing::info!(partition = partition.0, percent, lsn = progress.lsn.0, "recovering");
        }
    };
    let hints = OpenHints { database, ..OpenHints::default() };
    let recovered = Journal::open(folder, hints, seed, &mut progress)?;
    tracing::info!(
        partition = partition.0,
        lsn = recovered.partition.lsn().0,
        epoch = recovered.journal.epoch(),
        "recovered"
    );
    Ok(recovered)
}

fn position_of(positions: &[(PartitionId, Position)], partition: PartitionId) -> Option<Position> {
    positions.iter().find(|(of, _)| *of == partition).map(|(_, position)| *position)
}

fn new_gate(recovered: &Recovered, positions: &[(PartitionId, Position)], settings: &Settings) -> Arc<Gate> {
    let partition = recovered.partition.id();
    let gate = Gate::new(partition, settings.orders_max, recovered.journal.committed());
    if let Some(position) = position_of(positions, partition) {
        gate.set_stored(position.lsn);
    }
    Arc::new(gate)
}

/// Who looks after one partition.
fn children_of(kept: &Arc<Kept>, gates: &Gates, database: &Arc<Database>, payments: &Arc<Payments>) -> Vec<Child> {
    let partition = kept.gate.id();
    let several = gates.len() > 1;
    let keeper = Arc::clone(kept);
    let upkeep = Arc::clone(kept);
    let write_behind = write_behind::Args {
        gate: Arc::clone(&kept.gate),
        folder: kept.folder.clone(),
        database: Arc::clone(database),
    };
    let mut children = vec![
        child(format!("keeper-{partition}"), || Keeper, move || Arc::clone(&keeper)),
        child(format!("write-behind-{partition}"), || WriteBehind, move || write_behind.clone()),
        child(format!("upkeep-{partition}"), || Upkeep, move || (Arc::clone(&upkeep), several)),
    ];
    for (name, part) in
        [("payment", Participant::Payment), ("deadline", Participant::Deadline), ("refund", Participant::Refund)]
    {
        let args = participant::Args { home: Arc::clone(&kept.gate), part, payments: Arc::clone(payments) };
        children.push(child(format!("{name}-{partition}"), || SagaParticipant, move || args.clone()));
    }
    if several {
        let stock = stock::Args { home: Arc::clone(&kept.gate), gates: Arc::clone(gates), folder: kept.folder.clone() };
        children.push(child(format!("stock-{partition}"), || StockParticipant, move || stock.clone()));
    }
    children
}

/// Who tells other software what happens in one partition.
fn notification_of(kept: &Kept, database: &Arc<Database>, hooks: &Arc<Hooks>, settings: &Settings) -> Child {
    let args = NotificationArgs {
        gate: Arc::clone(&kept.gate),
        folder: kept.folder.clone(),
        database: Arc::clone(database),
        hooks: Arc::clone(hooks),
        limit_bytes: settings.journal_limit_bytes,
    };
    child(format!("notification-{}", kept.gate.id()), || NotificationParticipant, move || args.clone())
}

/// A child that is started with `actor` and `args`, each time anew.
fn child<A: Actor>(name: String, actor: fn() -> A, args: impl Fn() -> A::Arguments + Send + Sync + 'static) -> Child {
    let start: Start = Box::new(move |supervisor| {
        let args = args();
        Box::pin(async move {
            let (child, _) = A::spawn_linked(None, actor(), args, supervisor).await?;
            Ok(child.get_cell())
        })
    });
    Child { name, start }
}
