//! One run: a market day, two workers, and whatever the seed does to them. Then what was promised is checked.
//!
//! ```text
//! seed ─► each step: publish the next command? (perhaps one of the old ones again) ─► the clock goes on
//!                    ─► kill a worker? stop one (others go on in its place; it wakes up later)? ─► poll one of them once
//!      ─► all published: no more faults ─► until nothing is left on a queue ─► check
//! ```

use crate::{
    broker::{Broker, Message},
    world::{ConnectionId, Defects, Shared, Store, World, pass},
};
use contracts::{CommandId, Envelope, Outcome, PartitionCount, UnixMs};
use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use reference::{
    audit::audit,
    day::{Day, START_MS, empty_database, empty_model, play, steps},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Waker},
};
use workers::bid::{Rules, StoreError, carry_out};

const WORKERS: usize = 2;
const COMMANDS: usize = 40;
/// Far more than any run has needed: then something is stuck.
const MAX_STEPS: usize = 200_000;
/// A worker that stands still for so long may have its locks taken.
const SILENT_AFTER_MS: i64 = 10;
/// Of each hundred commits while faults come, so many break before, and as many after they happened.
const BREAKS_PERCENT: u32 = 6;

/// What a run did: figures by which one sees that faults struck.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    pub commands: usize,
    pub steps: usize,
    pub killed: usize,
    pub stopped: usize,
    pub let_go: usize,
    pub sent_twice: usize,
}

impl Figures {
    pub fn add(&mut self, other: Self) {
        self.commands += other.commands;
        self.steps += other.steps;
        self.killed += other.killed;
        self.stopped += other.stopped;
        self.let_go += other.let_go;
        self.sent_twice += other.sent_twice;
    }
}

type Told = Arc<Mutex<Vec<(CommandId, Outcome)>>>;
type Work = Pin<Box<dyn Future<Output = Result<(), String>>>>;

struct Worker {
    connection: ConnectionId,
    work: Work,
    /// Until this step it is not polled.
    stands_still_until: usize,
}

struct Run {
    random: StdRng,
    world: Shared,
    broker: Arc<Mutex<Broker>>,
    told: Told,
    defects: Defects,
    workers: Vec<Worker>,
    next_connection: ConnectionId,
    figures: Figures,
}

/// Plays the seed.
///
/// # Errors
/// What was promised and not kept.
pub fn play_seed(seed: u64, defects: Defects) -> Result<Figures, String> {
    let played = catch_unwind(AssertUnwindSafe(|| Run::new(seed, defects).plays(&day(seed))));
    played.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Err(text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default())
    })
}

fn day(seed: u64) -> Day {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), random);
    play(&steps(COMMANDS).new_tree(&mut runner).expect("a day").current())
}

impl Run {
    fn new(seed: u64, defects: Defects) -> Self {
        let world = World::new(empty_database(1), UnixMs(START_MS), defects, StdRng::seed_from_u64(!seed));
        let mut run = Self {
            random: StdRng::seed_from_u64(seed),
            world: Arc::new(Mutex::new(world)),
            broker: Arc::default(),
            told: Arc::default(),
            defects,
            workers: Vec::new(),
            next_connection: 0,
            figures: Figures::default(),
        };
        run.world.lock().unwrap().breaks_percent = BREAKS_PERCENT;
        for _ in 0..WORKERS {
            let worker = run.hires();
            run.workers.push(worker);
        }
        run
    }

    fn partitions(&self) -> PartitionCount {
        self.world.lock().unwrap().database.partition_count
    }

    fn chance(&mut self, per_mille: u32) -> bool {
        self.random.random_range(0..1_000) < per_mille
    }

    fn hires(&mut self) -> Worker {
        self.next_connection += 1;
        let connection = self.next_connection;
        let store = Store::new(&self.world, connection, self.random.random_range(-3..=3));
        let rules = Rules {
            limits: reference::day::limits(1),
            partitions: self.partitions(),
            silent_after_ms: SILENT_AFTER_MS,
        };
        let seed = self.random.random();
        let desk = Desk { broker: self.broker.clone(), told: self.told.clone(), connection, defects: self.defects };
        let work = Box::pin(desk.works(store, rules, StdRng::seed_from_u64(seed)));
        Worker { connection, work, stands_still_until: 0 }
    }

    fn plays(mut self, day: &Day) -> Result<Figures, String> {
        let mut coming = day.commands.iter();
        let mut sent: Vec<&Envelope> = Vec::new();
        self.figures.commands = day.commands.len();
        for step in 0..MAX_STEPS {
            self.figures.steps = step;
            let is_over = coming.len() == 0;
            if !is_over && self.chance(150) {
                let (envelope, clock) = coming.next().expect("there is one");
                let mut world = self.world.lock().unwrap();
                world.clock = world.clock.max(*clock);
                drop(world);
                self.publishes(envelope);
                sent.push(envelope);
            }
            if !is_over {
                self.fails(step, &sent);
            } else if self.broker.lock().unwrap().is_empty() {
                self.check(day)?;
                return Ok(self.figures);
            } else {
                self.world.lock().unwrap().breaks_percent = 0;
            }
            self.goes_on(step)?;
        }
        Err("something is stuck".to_owned())
    }

    fn publishes(&self, envelope: &Envelope) {
        self.broker.lock().unwrap().publish(self.partitions(), envelope);
    }

    fn fails(&mut self, step: usize, sent: &[&Envelope]) {
        if self.chance(10) {
            let ms = self.random.random_range(1..30);
            let mut world = self.world.lock().unwrap();
            world.clock = world.clock.plus_ms(ms);
        }
        // A client that heard nothing sends its command again; or the broker had it, and the confirm was lost.
        if !sent.is_empty() && self.chance(10) {
            let again = self.random.random_range(0..sent.len());
            self.publishes(sent[again]);
            self.figures.sent_twice += 1;
        }
        let who = self.random.random_range(0..WORKERS);
        if self.chance(8) {
            self.figures.killed += 1;
            self.dismisses(who);
        } else if self.chance(8) && self.workers[who].stands_still_until <= step {
            self.figures.stopped += 1;
            let connection = self.workers[who].connection;
            // It neither knows nor lets go; the broker takes it for dead.
            self.world.lock().unwrap().stands_still(connection);
            self.broker.lock().unwrap().gives_back(connection);
            self.workers[who].stands_still_until = step + self.random.random_range(1..80);
        }
    }

    /// Whatever it was doing is over; another one begins.
    fn dismisses(&mut self, who: usize) {
        let connection = self.workers[who].connection;
        self.world.lock().unwrap().end(connection);
        self.broker.lock().unwrap().gives_back(connection);
        self.workers[who] = self.hires();
    }

    fn goes_on(&mut self, step: usize) -> Result<(), String> {
        let who = self.random.random_range(0..WORKERS);
        if self.workers[who].stands_still_until > step {
            return Ok(());
        }
        let polled = self.workers[who].work.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        if let std::task::Poll::Ready(ended) = polled {
            ended?;
            self.figures.let_go += 1;
            self.dismisses(who);
        }
        Ok(())
    }

    fn check(&self, day: &Day) -> Result<(), String> {
        let world = self.world.lock().unwrap();
        let mut seen = BTreeSet::new();
        for (envelope, _) in &world.committed {
            if !seen.insert(envelope.id) {
                return Err(format!("{} was carried out twice", envelope.id));
            }
        }
        if let Some((lost, _)) = day.commands.iter().find(|(envelope, _)| !seen.contains(&envelope.id)) {
            return Err(format!("{} has no outcome", lost.id));
        }
        for (id, outcome) in self.told.lock().unwrap().iter() {
            if &world.inbox[id] != outcome {
                return Err(format!("{id} was told two outcomes"));
            }
        }
        in_order(&world, &self.broker.lock().unwrap())?;
        audit(&world.database);
        as_the_model_says(&world)
    }
}

/// A partition's commands were carried out in the order in which they first came.
fn in_order(world: &World, broker: &Broker) -> Result<(), String> {
    let place: BTreeMap<CommandId, usize> = world.committed.iter().map(|(envelope, _)| envelope.id).zip(0..).collect();
    let mut last: BTreeMap<_, (usize, CommandId)> = BTreeMap::new();
    for (partition, id) in &broker.arrived {
        let here = (place[id], *id);
        if let Some((before, other)) = last.insert(*partition, here)
            && before > here.0
        {
            return Err(format!("{id} came after {other} and was carried out before it"));
        }
    }
    Ok(())
}

/// Whatever happened: it is as if a plain person had carried the commands out one by one, in the order of their commits.
fn as_the_model_says(world: &World) -> Result<(), String> {
    let mut model = empty_model();
    for (envelope, clock) in &world.committed {
        let (expected, found) = (model.carry_out(envelope, *clock), &world.inbox[&envelope.id]);
        if (expected.state, expected.code, &expected.data) != (found.state, found.code, &found.data) {
            return Err(format!("{} ended {found:?}, and should have {expected:?}", envelope.id));
        }
    }
    for purse in &model.purses {
        if world.database.balance(purse.user) != (purse.available, purse.held) {
            return Err(format!(
                "{} has {:?}, and should have {purse:?}",
                purse.user,
                world.database.balance(purse.user)
            ));
        }
    }
    Ok(())
}

/// What a lane does around `carry_out`, with messages in memory.
struct Desk {
    broker: Arc<Mutex<Broker>>,
    told: Told,
    connection: ConnectionId,
    defects: Defects,
}

impl Desk {
    /// `Ok`: it lets go of everything, as a lane does when its store is away.
    async fn works(self, mut store: Store, rules: Rules, mut random: StdRng) -> Result<(), String> {
        loop {
            pass().await;
            let taken = self.broker.lock().unwrap().take(self.connection, random.random_range(1..12));
            if taken.is_empty() {
                continue;
            }
            if self.defects.acks_first {
                self.broker.lock().unwrap().ack(self.connection);
            }
            let mut outcomes = Vec::new();
            // Repeated messages run alone.
            for run in taken.chunk_by(|a, b| !a.is_redelivered && !b.is_redelivered) {
                let batch: Vec<&Envelope> = run.iter().map(|Message { envelope, .. }| envelope).collect();
                match carry_out(&mut store, &rules, &batch).await {
                    Ok(ended) => outcomes.extend(ended),
                    Err(StoreError::Away(_) | StoreError::Contention { .. }) => return Ok(()),
                    Err(StoreError::Defect(error)) => return Err(error),
                }
            }
            pass().await;
            // An ack that is lost takes its connection with it.
            if random.random_range(0..100) < 3 {
                return Ok(());
            }
            self.broker.lock().unwrap().ack(self.connection);
            pass().await;
            self.told.lock().unwrap().extend(outcomes.into_iter().map(|outcome| (outcome.id, outcome)));
        }
    }
}
