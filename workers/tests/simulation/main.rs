//! Deterministic simulation: the bid worker's own code (`workers::bid::carry_out`) over a broker and a store in memory that redeliver,
//! lose acks and answers, duplicate, hand over while the former owner still sits in its transaction, and let workers die at any
//! question they ask. Time is virtual, one thread runs everything, and the seed decides: the same seed is the same run.
//!
//! What is checked after each run is in [`run`]; that it would be noticed, by the defects below. These are the only fakes in the
//! house; `conformance` holds the store to what MySQL does.
//! `GREAM_SIMULATION_SEEDS` (300) runs from `GREAM_SIMULATION_SEED` (1) on; `make simulate` plays many.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod broker;
mod conformance;
mod run;
mod world;

use run::{Figures, play_seed};
use std::{
    sync::{Arc, Mutex},
    time::Instant,
};
use world::Defects;

fn wanted(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().expect("a number"))
}

#[test]
fn whatever_the_seed_each_command_is_carried_out_once_in_order() {
    let (first, seeds) = (wanted("GREAM_SIMULATION_SEED", 1), wanted("GREAM_SIMULATION_SEEDS", 300));
    let (began, mut all) = (Instant::now(), Figures::default());
    for seed in first..first + seeds {
        let figures = play_seed(seed, Defects::default())
            .unwrap_or_else(|broken| panic!("GREAM_SIMULATION_SEED={seed} GREAM_SIMULATION_SEEDS=1: {broken}"));
        all.add(figures);
    }
    let per_minute = u128::from(seeds) * 60_000 / began.elapsed().as_millis().max(1);
    println!("{seeds} seeds, {per_minute} a minute: {all:?}");
    // Every kind of fault struck, again and again.
    for (what, count) in
        [("killed", all.killed), ("stopped", all.stopped), ("let go", all.let_go), ("sent twice", all.sent_twice)]
    {
        assert!(count as u64 >= seeds.min(20), "{what}: {count}");
    }
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in [1, 7, 77] {
        let figures = || format!("{:?}", play_seed(seed, Defects::default()));
        assert_eq!(figures(), figures());
    }
}

/// The first seed that notices, among so many.
fn noticed(defects: Defects) -> Option<(u64, String)> {
    (1..=200).find_map(|seed| Some((seed, play_seed(seed, defects).err()?)))
}

#[test]
fn what_would_break_the_promise_is_noticed() {
    for (defects, what) in [
        (Defects { no_inbox: true, ..Defects::default() }, "a worker that forgets what was done"),
        (Defects { no_guard: true, ..Defects::default() }, "two workers on one partition"),
        (Defects { acks_first: true, ..Defects::default() }, "acks before the work"),
    ] {
        let (seed, broken) = noticed(defects).unwrap_or_else(|| panic!("{what} is not noticed"));
        println!("{what}: seed {seed}: {broken}");
    }
}

/// The store in memory, as a stage of the conformance tests.
struct InMemory {
    world: world::Shared,
    next: std::cell::Cell<world::ConnectionId>,
}

impl InMemory {
    fn new() -> Self {
        let (start, random) = (contracts::UnixMs(reference::day::START_MS), rand::SeedableRng::seed_from_u64(1));
        let world = world::World::new(reference::day::empty_database(1), start, Defects::default(), random);
        Self { world: Arc::new(Mutex::new(world)), next: std::cell::Cell::new(1) }
    }
}

impl conformance::Stage for InMemory {
    type Store = world::Store;

    async fn connect(&self) -> world::Store {
        self.next.set(self.next.get() + 1);
        world::Store::new(&self.world, self.next.get(), 0)
    }

    fn rules(&self) -> workers::bid::Rules {
        let partitions = self.world.lock().unwrap().database.partition_count;
        workers::bid::Rules { limits: reference::day::limits(1), partitions, silent_after_ms: 10 }
    }

    fn user(&self) -> contracts::UserId {
        contracts::UserId(4)
    }
}

#[tokio::test]
async fn the_store_in_memory_conforms() {
    conformance::what_was_committed_is_known_to_everybody(&InMemory::new()).await;
    conformance::a_partition_has_one_holder(&InMemory::new()).await;
    conformance::a_predecessor_is_ended_and_has_done_nothing(&InMemory::new()).await;
    conformance::a_balance_has_one_holder(&InMemory::new()).await;
}
