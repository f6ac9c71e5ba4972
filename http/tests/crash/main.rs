//! `kill -9` at a random moment under load, restart, compare; again and again on one folder.
//!
//! After every crash: what was acknowledged is there with the same content, one key has one
//! order, nothing is there that was never sent, and every product's units add up. The number
//! of rounds is `SON7_CRASH_ROUNDS`, the seed `SON7_SEED`.
//!
//! A kill leaves to the kernel what was written, synced or not. So the same rounds run on
//! storage that keeps what was not synced in the process, and loses it with it; and once on
//! storage that acknowledges before it has synced, where the comparison must find lost orders.

#![allow(clippy::unwrap_used, reason = "tests")]

mod books;
mod check;
mod load;
#[path = "../support/mod.rs"]
mod support;

use books::{Books, Finding};
use check::Examiner;
use load::{Assortment, Buyer, CONNECTIONS, CUSTOMERS, PARTITIONS, Start, Wish};
use son7shop_loadtest::program::Program;
use std::time::{Duration, Instant};
use support::{Caller, Chance, Place, number, seed, stop};

/// Rounds without another number.
const ROUNDS: u64 = 100;
/// Every so many rounds all orders are listed and compared.
const ALL_EVERY: u64 = 20;
/// Older orders that are looked at in each round.
const OLDER: usize = 10;
/// The moment of the kill after the load began, in milliseconds.
const KILL_AT: std::ops::Range<u64> = 5..60;

/// A shop, its books, and everybody's tokens.
struct Bench {
    place: Place,
    assortment: Assortment,
    books: Books,
    admin: String,
    customers: Vec<String>,
    seed: u64,
    /// Every acknowledged order so far, in no order.
    wishes: Vec<Wish>,
}

impl Bench {
    /// A shop with its products, stopped.
    fn new() -> Self {
        let place = Place::new(PARTITIONS);
        let assortment = Assortment::new();
        let program = place.start();
        let admin = place.shop.admin_token().unwrap();
        let customers = place.shop.customer_tokens("crash", CUSTOMERS).unwrap();
        let mut caller = Caller::new(program.address(), &admin);
        for (sku, units) in assortment.products() {
            caller.product(sku, 1_000, units);
        }
        stop(program);
        let books = Books::new(&assortment);
        Self { place, assortment, books, admin, customers, seed: seed(), wishes: Vec::new() }
    }

    /// Loads a running shop, and kills it in the middle.
    fn load_and_kill(&mut self, program: Program, round: u64, kill_at: std::ops::Range<u64>) {
        let mut chance = Chance::new(self.seed, &[round]);
        let start = Start { assortment: &self.assortment, seed: self.seed, round, address: program.address() };
        let buyers: Vec<Buyer<'_>> = (0..CONNECTIONS)
            .map(|index| {
                let mine: Vec<Wish> =
                    self.wishes.iter().rev().take(200).filter(|wish| wish.customer == index / 2).cloned().collect();
                Buyer::new(&start, index, &self.customers[index / 2], &self.admin, chance.one(&mine).cloned())
            })
            .collect();
        let happened: Vec<_> = std::thread::scope(|scope| {
            let buyers: Vec<_> = buyers.into_iter().map(|buyer| scope.spawn(|| buyer.run())).collect();
            std::thread::sleep(Duration::from_millis(chance.within(kill_at.start, kill_at.end)));
            program.kill().unwrap();
            buyers.into_iter().map(|buyer| buyer.join().unwrap()).collect()
        });
        for happened in happened {
            self.books.enter(happened);
        }
    }

    fn examiner(&mut self, program: &Program) -> Examiner<'_> {
        let address = program.address();
        Examiner {
            admin: Caller::new(address, &self.admin),
            customers: self.customers.iter().map(|token| Caller::new(address, token)).collect(),
            books: &mut self.books,
        }
    }

    fn examine(&mut self, program: &Program, round: u64, all: bool) {
        let mut chance = Chance::new(self.seed, &[round, 1]);
        let older: Vec<Wish> = (0..OLDER).filter_map(|_| chance.one(&self.wishes).cloned()).collect();
        let new: Vec<String> = self.books.touched.iter().cloned().collect();
        let mut examiner = self.examiner(program);
        examiner.examine(&older);
        if all {
            examiner.compare_all();
        }
        self.wishes.extend(new.iter().filter_map(|id| self.books.orders.get(id)).map(|known| known.wish.clone()));
    }

    fn fail_on_findings(&self, round: u64) {
        let findings = &self.books.findings;
        assert!(
            findings.is_empty(),
            "round {round}, SON7_SEED={}: {} findings: {:#?}\n{}",
            self.seed,
            findings.len(),
            &findings[..findings.len().min(10)],
            self.place.log().lines().rev().take(20).collect::<Vec<_>>().join("\n")
        );
    }
}

/// So many rounds; at the end the journal and the database are compared.
fn rounds(mut bench: Bench, rounds: u64) {
    let began = Instant::now();
    let mut program = bench.place.start();
    for round in 0..rounds {
        bench.load_and_kill(program, round, KILL_AT);
        program = bench.place.start();
        bench.examine(&program, round, round % ALL_EVERY == ALL_EVERY - 1 || round == rounds - 1);
        bench.fail_on_findings(round);
    }
    stop(program);
    bench.place.verify();
    let (orders, doubts) = (bench.books.orders.len(), bench.books.doubts);
    println!("{rounds} rounds, {orders} orders, {doubts} answers cut off, {:.1} s", began.elapsed().as_secs_f64());
    // Or every kill came before the load, or after it.
    assert!(orders as u64 > rounds && doubts > rounds, "there was no load to speak of");
}

#[test]
fn nothing_acknowledged_is_lost_by_a_kill() {
    rounds(Bench::new(), number("SON7_CRASH_ROUNDS", ROUNDS));
}

#[cfg_attr(not(feature = "faults"), ignore = "needs --features faults")]
#[test]
fn nothing_acknowledged_is_lost_with_what_was_not_synced() {
    let mut bench = Bench::new();
    bench.place.set("SON7_TEST_HOLD_UNSYNCED", "1");
    rounds(bench, number("SON7_CRASH_ROUNDS", ROUNDS));
}

/// The comparison can fail: a disk that acknowledges before it has synced loses orders, and
/// they are found. Each round has a database of its own, or the shop would refuse to start
/// with a journal that is behind it.
#[cfg_attr(not(feature = "faults"), ignore = "needs --features faults")]
#[test]
fn a_disk_that_lies_is_found_out() {
    let mut bench = Bench::new();
    bench.place.set("SON7_TEST_HOLD_UNSYNCED", "lie");
    for round in 0..20 {
        let database = bench.place.beside(&format!("round-{round}.sqlite"));
        bench.place.set("SON7_DATABASE_URL", &format!("sqlite:{}", database.display()));
        let program = bench.place.start();
        bench.load_and_kill(program, round, 100..200);
        let database = bench.place.beside(&format!("after-{round}.sqlite"));
        bench.place.set("SON7_DATABASE_URL", &format!("sqlite:{}", database.display()));
        let program = bench.place.start();
        bench.examiner(&program).look_at_touched();
        program.kill().unwrap();
        if bench.books.findings.iter().any(|finding| matches!(finding, Finding::Lost { .. })) {
            return;
        }
    }
    panic!("twenty kills on a disk that lies, and nothing was missed: {:?}", bench.books.findings);
}
