//! One run: a market day, two workers, and whatever the seed does to them. Then what was promised is checked.
//!
//! ```text
//! seed ─► each step: publish the next command? (perhaps an old one again, or its id with another command) ─► the clock goes on
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
    /// Partitions went on elsewhere while their former worker was still at it.
    pub handed_over: usize,
    /// The same id, for two partitions.
    pub twins: usize,
    /// Commands that had a row before they came.
    pub unfinished: usize,
    pub deadlocks: usize,
}

/// What is promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Promise {
    CarriedOutOnce,
    NothingIsLost,
    OneOutcomeIsTold,
    InTheOrderOfArrival,
    TheBooksAddUp,
    AsThePlainModel,
    /// No panic, no defect, an end.
    TheWorkerGoesOn,
}

/// One that was not kept.
#[derive(Clone, Debug)]
pub struct Broken {
    pub promise: Promise,
    pub how: String,
}

fn broken(promise: Promise, how: impl Into<String>) -> Broken {
    Broken { promise, how: how.into() }
}

/// What a panic says.
fn caught<T>(what: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(what)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
    })
}

impl Figures {
    pub fn add(&mut self, other: Self) {
        self.commands += other.commands;
        self.steps += other.steps;
        self.killed += other.killed;
        self.stopped += other.stopped;
        self.let_go += other.let_go;
        self.sent_twice += other.sent_twice;
        self.handed_over += other.handed_over;
        self.twins += other.twins;
        self.unfinished += other.unfinished;
        self.deadlocks += other.deadlocks;
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
    /// Whether a partition may have two workers at once. The rows' locks are what is promised by; a single active consumer only
    /// keeps the order of arrival.
    two_at_once: bool,
    workers: Vec<Worker>,
    next_connection: ConnectionId,
    figures: Figures,
}

/// Plays the seed.
///
/// # Errors
/// What was promised and not kept.
pub fn play_seed(seed: u64, defects: Defects) -> Result<Figures, Broken> {
    caught(|| Run::new(seed, defects).plays(&day(seed)))
        .unwrap_or_else(|panic| Err(broken(Promise::TheWorkerGoesOn, panic)))
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
            two_at_once: seed.is_multiple_of(2),
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

    fn plays(mut self, day: &Day) -> Result<Figures, Broken> {
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
                self.arrives(envelope, &sent);
                sent.push(envelope);
            }
            if !is_over {
                self.fails(step, &sent);
            } else if self.broker.lock().unwrap().is_empty() {
                self.check(day)?;
                self.figures.deadlocks = self.world.lock().unwrap().deadlocks;
                return Ok(self.figures);
            } else {
                self.world.lock().unwrap().breaks_percent = 0;
            }
            self.goes_on(step).map_err(|defect| broken(Promise::TheWorkerGoesOn, defect))?;
        }
        Err(broken(Promise::TheWorkerGoesOn, "something is stuck"))
    }

    /// For the first time; perhaps an attempt of it was counted before, or a client used its key for something else as well.
    fn arrives(&mut self, envelope: &Envelope, sent: &[&Envelope]) {
        if self.chance(30) {
            self.figures.unfinished += 1;
            self.world.lock().unwrap().unfinished.insert(envelope.id);
        }
        self.publishes(envelope);
        if !sent.is_empty() && self.chance(30) {
            let other = sent[self.random.random_range(0..sent.len())];
            self.figures.twins += 1;
            self.publishes(&Envelope { id: envelope.id, ..other.clone() });
        }
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
            // It neither knows nor lets go; the broker takes it for dead, or has not noticed yet.
            self.world.lock().unwrap().stands_still(connection);
            if self.chance(700) {
                self.broker.lock().unwrap().gives_back(connection);
            }
            self.workers[who].stands_still_until = step + self.random.random_range(1..80);
        }
        if self.two_at_once && self.chance(20) {
            self.figures.handed_over += 1;
            let connection = self.workers[who].connection;
            self.broker.lock().unwrap().hands_over(connection);
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
        self.world.lock().unwrap().goes_on(self.workers[who].connection);
        let polled = self.workers[who].work.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        if let std::task::Poll::Ready(ended) = polled {
            ended?;
            self.figures.let_go += 1;
            self.dismisses(who);
        }
        Ok(())
    }

    fn check(&self, day: &Day) -> Result<(), Broken> {
        let world = self.world.lock().unwrap();
        let mut seen = BTreeSet::new();
        for (envelope, _) in &world.committed {
            if !seen.insert(envelope.id) {
                return Err(broken(Promise::CarriedOutOnce, format!("{} was carried out twice", envelope.id)));
            }
        }
        if let Some((lost, _)) = day.commands.iter().find(|(envelope, _)| !seen.contains(&envelope.id)) {
            return Err(broken(Promise::NothingIsLost, format!("{} has no outcome", lost.id)));
        }
        for (id, outcome) in self.told.lock().unwrap().iter() {
            if &world.inbox[id] != outcome {
                return Err(broken(Promise::OneOutcomeIsTold, format!("{id} was told another outcome")));
            }
        }
        if !self.two_at_once {
            in_order(&world, &self.broker.lock().unwrap()).map_err(|how| broken(Promise::InTheOrderOfArrival, how))?;
        }
        caught(|| audit(&world.database)).map_err(|how| broken(Promise::TheBooksAddUp, how))?;
        as_the_model_says(&world).map_err(|how| broken(Promise::AsThePlainModel, how))
    }
}

/// A partition's commands were carried out in the order in which they first came; whoever came to two had its turn at one.
fn in_order(world: &World, broker: &Broker) -> Result<(), String> {
    let place: BTreeMap<CommandId, usize> = world.committed.iter().map(|(envelope, _)| envelope.id).zip(0..).collect();
    let mut last: BTreeMap<_, (usize, CommandId)> = BTreeMap::new();
    let twins = broker.at_several_partitions();
    for (partition, id) in broker.arrived.iter().filter(|(_, id)| !twins.contains(id)) {
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
    let events: Vec<_> = world.database.events.iter().map(|caused| (caused.command_id, caused.event.clone())).collect();
    if events != model.events {
        return Err(format!("{} events are told, and should be {}", events.len(), model.events.len()));
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
            let most = random.random_range(1..12);
            let Some(taken) = self.broker.lock().unwrap().take(self.connection, most) else { return Ok(()) };
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
