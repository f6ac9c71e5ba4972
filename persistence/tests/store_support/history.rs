//! Histories to store: real ones, decided by the engine. Three partitions, baskets across
//! them, sales, cancels, confirmations, deadlines; the steps of a basket come late and
//! between other things, as they do in life.

use super::paying::Secrets;
use super::{Contents, position};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use son7shop_engine::basket::{asks, tell};
use son7shop_engine::{
    Basket, Command, CustomerId, Event, LineRequest, OrderId, OrderStatus, Outcome, PartStatus, Partition, PartitionId,
    PlaceOrder, Record, Refusal, RequestKey, Requester, SaleTerms, Sku, Time, Won, partition_of,
};
use son7shop_persistence::store::{Batch, Store, StoreError, order_as_stored};
use std::collections::{HashSet, VecDeque};

pub const PARTITIONS: u16 = 3;

/// A basket whose partitions are being asked.
struct Asking {
    id: OrderId,
    left: Vec<(PartitionId, Command)>,
    got: Vec<(PartitionId, Outcome)>,
}

/// Partitions and what they decided.
pub struct World {
    pub partitions: Vec<Partition>,
    pub journals: Vec<Vec<Record>>,
    pub(super) rng: StdRng,
    pub(super) now: Time,
    skus: Vec<Sku>,
    pub(super) orders: Vec<OrderId>,
    asking: Vec<Asking>,
    /// Commands that follow from events, to other partitions.
    due: VecDeque<(PartitionId, Command)>,
    /// What no table may have.
    pub secrets: Secrets,
}

impl World {
    /// A world with some products.
    pub fn new(seed: u64, products: usize) -> Self {
        let mut world = Self {
            partitions: (0..PARTITIONS).map(|id| Partition::new(PartitionId(id), seed)).collect(),
            journals: vec![Vec::new(); usize::from(PARTITIONS)],
            rng: StdRng::seed_from_u64(seed),
            now: Time(1_700_000_000_000),
            skus: (0..products).map(|n| Sku::parse(&format!("sku-{n:04}")).unwrap()).collect(),
            orders: Vec::new(),
            asking: Vec::new(),
            due: VecDeque::new(),
            secrets: Secrets::default(),
        };
        for sku in world.skus.clone() {
            let on_hand = world.rng.random_range(0..200);
            let name = format!("상품 {sku}").into();
            let create = Command::CreateProduct { sku: sku.clone(), name, price: Won(1000), on_hand, key: None };
            world.at(partition_of(&sku, PARTITIONS), &create);
        }
        world
    }

    /// Some steps, and then everything that is under way is brought to its end.
    pub fn run(&mut self, steps: usize) {
        for _ in 0..steps {
            self.step();
        }
    }

    /// Finishes every basket and every command that is due.
    pub fn settle(&mut self) {
        while !self.asking.is_empty() || !self.due.is_empty() {
            self.ask();
            self.follow();
        }
    }

    fn step(&mut self) {
        self.now = self.now.plus_millis(self.rng.random_range(-20_i64..50).max(0));
        match self.rng.random_range(0..160) {
            0..50 => self.place(),
            50..65 => self.ask(),
            65..75 => self.follow(),
            100..160 => self.pay(),
            75..83 => self.end_some(|id| Command::ConfirmOrder { order: id }),
            83..90 => self.end_some(|id| Command::CancelOrder { order: id, by: Requester::Admin }),
            90..94 => self.adjust(),
            94..97 => self.sale(),
            _ => {
                for id in 0..PARTITIONS {
                    self.at(PartitionId(id), &Command::Tick);
                }
            }
        }
    }

    pub(super) fn at(&mut self, partition: PartitionId, command: &Command) -> Outcome {
        let at = usize::from(partition.0);
        let (journal, asking, due) = (&mut self.journals[at], &mut self.asking, &mut self.due);
        self.partitions[at].step(self.now, command, |record| {
            match &record.event {
                Event::OrderOpened { id, .. } => {
                    asking.push(Asking { id: *id, left: asks(&record.event), got: Vec::new() });
                }
                event => due.extend(asks(event)),
            }
            journal.push(record.clone());
        })
    }

    pub(super) fn key(&mut self) -> RequestKey {
        let key: [u8; 16] = self.rng.random();
        self.secrets.0.push(key.to_vec());
        RequestKey { key, request: key }
    }

    fn place(&mut self) {
        let mut wanted: Vec<Sku> = Vec::new();
        for _ in 0..*[1, 1, 1, 2, 4].choose(&mut self.rng).unwrap() {
            wanted.push(self.skus.choose(&mut self.rng).unwrap().clone());
        }
        wanted.sort_unstable();
        wanted.dedup();
        let lines = wanted.into_iter().map(|sku| LineRequest { sku, quantity: self.rng.random_range(1..4) }).collect();
        let basket = Basket::new(lines, PARTITIONS).unwrap();
        let id = OrderId::new(self.now, self.rng.random(), basket.home);
        let customer = CustomerId::parse(&format!("customer-{}", self.rng.random_range(0..20))).unwrap();
        let place = PlaceOrder {
            id,
            customer,
            key: self.key(),
            lines: basket.lines.into_iter().collect(),
            parts: basket.parts,
            hold_millis: self.rng.random_range(1..20_000),
        };
        if let Outcome::Accepted(_) = self.at(basket.home, &Command::PlaceOrder(place)) {
            self.orders.push(id);
        }
    }

    /// One more partition of one basket is asked.
    fn ask(&mut self) {
        if self.asking.is_empty() {
            return;
        }
        let at = self.rng.random_range(0..self.asking.len());
        let mut asking = self.asking.swap_remove(at);
        if let Some((partition, hold)) = asking.left.pop() {
            let outcome = self.at(partition, &hold);
            let refused = matches!(outcome, Outcome::Refused(_));
            asking.got.push((partition, outcome));
            if !refused {
                self.asking.push(asking);
                return;
            }
        }
        self.at(asking.id.home(), &tell(asking.id, asking.got));
    }

    fn follow(&mut self) {
        if let Some((partition, command)) = self.due.pop_front() {
            let outcome = self.at(partition, &command);
            assert!(!matches!(outcome, Outcome::Refused(Refusal::PartEnded)), "{command:?}");
        }
    }

    fn end_some(&mut self, command: impl Fn(OrderId) -> Command) {
        if let Some(id) = self.orders.choose(&mut self.rng).copied() {
            self.at(id.home(), &command(id));
        }
    }

    fn adjust(&mut self) {
        let sku = self.skus.choose(&mut self.rng).unwrap().clone();
        let (delta, key) = (self.rng.random_range(-20..200), self.key());
        if delta != 0 {
            let reason = "stock-taking".into();
            self.at(partition_of(&sku, PARTITIONS), &Command::AdjustStock { sku, delta, reason, key });
        }
    }

    fn sale(&mut self) {
        let sku = self.skus.choose(&mut self.rng).unwrap().clone();
        let home = partition_of(&sku, PARTITIONS);
        if self.rng.random_bool(0.4) {
            self.at(home, &Command::DeleteSale { sku });
            return;
        }
        let terms = SaleTerms {
            opens_at: self.now,
            closes_at: self.now.plus_millis(self.rng.random_range(1..20_000)),
            price: Won(self.rng.random_range(100..900)),
            per_customer_limit: self.rng.random_range(1..6),
        };
        self.at(home, &Command::SetSale { sku, terms });
    }

    /// What a database that has all of it must show.
    pub fn check(&self, contents: &Contents) {
        let mut products = contents.products.iter();
        let mut expected: Vec<_> = self
            .partitions
            .iter()
            .flat_map(|partition| {
                partition.products_after(None, usize::MAX).into_iter().map(move |p| (partition.id(), p))
            })
            .collect();
        expected.sort_unstable_by(|(_, a), (_, b)| a.sku.cmp(&b.sku));
        for (partition, view) in &expected {
            let row = products.next().unwrap();
            assert_eq!((&row.sku, row.partition, row.name.as_str()), (&view.sku, *partition, view.name.as_str()));
            assert_eq!((row.price, row.stock), (view.price, view.stock), "{}", row.sku);
            assert_eq!(row.sale.map(|sale| sale.terms), view.sale, "{}", row.sku);
        }
        assert_eq!(products.next(), None);
        let mut orders: Vec<_> = self.partitions.iter().flat_map(Partition::orders).map(order_as_stored).collect();
        orders.sort_unstable_by_key(|order| order.id);
        let shown: Vec<_> = contents.orders.iter().filter(|o| o.status != OrderStatus::Opening).cloned().collect();
        assert_eq!(shown, orders);
        let mut opening: Vec<OrderId> = self.partitions.iter().flat_map(Partition::opening_orders).collect();
        opening.sort_unstable();
        let hidden: Vec<_> =
            contents.orders.iter().filter(|o| o.status == OrderStatus::Opening).map(|order| order.id).collect();
        assert_eq!(hidden, opening);
        for (partition, journal) in (0..PARTITIONS).zip(&self.journals) {
            let at = contents.positions.iter().find(|(id, _)| id.0 == partition).map(|(_, position)| *position);
            assert_eq!(at, (!journal.is_empty()).then(|| position(journal.len() as u64)));
        }
    }

    /// How many parts that hold or held something are in a status.
    pub fn parts(&self, status: PartStatus) -> i64 {
        let mut count = 0;
        for (partition, journal) in self.partitions.iter().zip(&self.journals) {
            let held: HashSet<OrderId> = journal
                .iter()
                .filter_map(|record| match &record.event {
                    Event::PartHeld { order, .. } => Some(*order),
                    _ => None,
                })
                .collect();
            count += partition.parts().filter(|(order, at)| *at == status && held.contains(order)).count();
        }
        i64::try_from(count).unwrap()
    }
}

/// Brings a journal into a store, in batches of sizes that `size` draws, from `after`.
pub async fn bring(
    store: &dyn Store,
    partition: u16,
    journal: &[Record],
    after: usize,
    mut size: impl FnMut() -> usize,
) -> Result<(), StoreError> {
    let mut at = after;
    while at < journal.len() {
        let end = journal.len().min(at + size().max(1));
        let before = (at > 0).then(|| position(at as u64));
        let batch = Batch {
            partition: PartitionId(partition),
            before,
            after: position(end as u64),
            records: &journal[at..end],
        };
        assert_eq!(store.apply(&batch).await?, batch.after);
        at = end;
    }
    Ok(())
}
