//! Deterministic simulation: the bid worker's own code (`workers::bid::carry_out`) over a broker and a store in memory that redeliver,
//! lose acks and answers, duplicate, hand over while the former owner still sits in its transaction, and let workers die at any
//! question they ask. Time is virtual, one thread runs everything, and the seed decides: the same seed is the same run.
//!
//! What is checked after each run is in [`run`]; that it would be noticed, by the defects below. These are the only fakes in the
//! house; `conformance` holds the store to what MySQL does, `queue_conformance` the broker to RabbitMQ.
//! `GREAM_SIMULATION_SEEDS` (300) runs from `GREAM_SIMULATION_SEED` (1) on; `make simulate` plays many.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod broker;
mod conformance;
mod queue_conformance;
mod run;
mod world;

use run::{Broken, Figures, Promise, play_seed};
use std::{
    cell::{Cell, RefCell},
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
            .unwrap_or_else(|broken| panic!("GREAM_SIMULATION_SEED={seed} GREAM_SIMULATION_SEEDS=1: {broken:?}"));
        all.add(figures);
    }
    let per_minute = u128::from(seeds) * 60_000 / began.elapsed().as_millis().max(1);
    println!("{seeds} seeds, {per_minute} a minute: {all:?}");
    // Every kind of fault struck, again and again.
    for (what, count) in [
        ("killed", all.killed),
        ("stopped", all.stopped),
        ("let go", all.let_go),
        ("sent twice", all.sent_twice),
        ("handed over", all.handed_over),
        ("one id for two commands", all.twins),
        ("with a row before", all.unfinished),
        ("deadlocks", all.deadlocks),
    ] {
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
fn noticed(defects: Defects) -> Option<(u64, Broken)> {
    (1..=2_000).find_map(|seed| Some((seed, play_seed(seed, defects).err()?)))
}

#[test]
fn what_would_break_the_promise_is_noticed() {
    let as_it_was = Defects::default();
    for (defects, what, promise, sign) in [
        (Defects { no_inbox: true, ..as_it_was }, "forgetting what was done", Promise::CarriedOutOnce, "twice"),
        // The store's own rule, as a unique key would be one: a sequence went back.
        (Defects { no_guard: true, ..as_it_was }, "two on one partition", Promise::TheWorkerGoesOn, "last_sequence"),
        (Defects { no_fence: true, ..as_it_was }, "going on when ended", Promise::TheWorkerGoesOn, "last_sequence"),
        (Defects { no_balance_lock: true, ..as_it_was }, "one purse, two spenders", Promise::TheBooksAddUp, ""),
        (Defects { acks_first: true, ..as_it_was }, "acks before the work", Promise::NothingIsLost, "no outcome"),
    ] {
        let (seed, broken) = noticed(defects).unwrap_or_else(|| panic!("{what} is not noticed"));
        println!("{what}: seed {seed}: {broken:?}");
        assert_eq!(broken.promise, promise, "{what}: seed {seed}: {}", broken.how);
        assert!(broken.how.contains(sign), "{what}: seed {seed}: {}", broken.how);
    }
}

/// The store in memory, as a stage of the conformance tests.
struct InMemory {
    world: world::Shared,
    next: Cell<world::ConnectionId>,
}

impl InMemory {
    fn new() -> Self {
        let (start, random) = (contracts::UnixMs(reference::day::START_MS), rand::SeedableRng::seed_from_u64(1));
        let world = world::World::new(reference::day::empty_database(1), start, Defects::default(), random);
        Self { world: Arc::new(Mutex::new(world)), next: Cell::new(1) }
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

    fn users(&self) -> [contracts::UserId; 2] {
        [3, 4].map(contracts::UserId)
    }
}

#[tokio::test]
async fn the_store_in_memory_conforms() {
    conformance::what_was_committed_is_known_to_everybody(&InMemory::new()).await;
    conformance::a_partition_has_one_holder(&InMemory::new()).await;
    conformance::a_predecessor_is_ended_and_has_done_nothing(&InMemory::new()).await;
    conformance::a_balance_has_one_holder(&InMemory::new()).await;
    conformance::a_voucher_is_offered_once(&InMemory::new()).await;
}

/// A queue of the broker in memory, as a stage.
#[derive(Default)]
struct QueueInMemory {
    broker: RefCell<broker::Broker>,
    next: Cell<world::ConnectionId>,
}

fn numbered(number: u8) -> contracts::Envelope {
    let (user, now) = (contracts::UserId::SYSTEM, contracts::UnixMs(i64::from(number)));
    let id = contracts::CommandId::derived(user, "numbered", &number.to_string());
    let command = contracts::Command::ExpireBids { product: contracts::ProductId(1), bids: Vec::new() };
    contracts::Envelope::new(id, user, now, None, command)
}

impl queue_conformance::Queue for QueueInMemory {
    type Consumer = world::ConnectionId;

    async fn publish(&self, number: u8) {
        self.broker.borrow_mut().puts(contracts::PartitionId(0), &numbered(number));
    }

    async fn consumer(&self) -> world::ConnectionId {
        self.next.set(self.next.get() + 1);
        self.next.get()
    }

    async fn takes(&self, consumer: &mut world::ConnectionId, count: usize) -> Vec<(u8, bool)> {
        let taken = self.broker.borrow_mut().take(*consumer, count).unwrap();
        taken
            .iter()
            .map(|message| (u8::try_from(message.envelope.accepted_at.0).unwrap(), message.is_redelivered))
            .collect()
    }

    async fn has_more(&self, consumer: &mut world::ConnectionId) -> bool {
        !self.broker.borrow_mut().take(*consumer, 1).unwrap().is_empty()
    }

    async fn acks(&self, consumer: &mut world::ConnectionId) {
        self.broker.borrow_mut().ack(*consumer);
    }

    async fn goes(&self, consumer: world::ConnectionId) {
        self.broker.borrow_mut().gives_back(consumer);
    }
}

#[tokio::test]
async fn the_broker_in_memory_conforms() {
    queue_conformance::what_was_not_acked_comes_again_in_order(&QueueInMemory::default()).await;
    queue_conformance::one_consumer_is_active(&QueueInMemory::default()).await;
}
