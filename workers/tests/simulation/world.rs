//! The store in memory: locks, transactions that break off, and an inbox. What it holds is `reference`'s database.
//!
//! Each question is a point where somebody else may go on, or where whoever asks may be killed. A commit may happen without its
//! answer. Chance decides, from the seed alone.

use contracts::{BarcodeHash, CommandId, CouponId, Envelope, Outcome, PartitionId, UnixMs, UserId};
use domain::market::{Changes, Loaded, Needs, Progress};
use rand::{Rng, rngs::StdRng};
use reference::database::Database;
use std::{
    collections::{BTreeMap, BTreeSet},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll},
    time::Duration,
};
use workers::bid::{BidStore, Contention, Finished, Guard, StoreError};

/// So often a lock is asked for before its holder is said to be stuck.
const ASKS_FOR_A_LOCK: u32 = 4;

/// A connection to the store.
pub type ConnectionId = u32;

/// What the store or the worker does wrong on purpose: the simulation must notice.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a defect of its own, and any of them may be planted")]
pub struct Defects {
    /// It does not remember what was carried out.
    pub no_inbox: bool,
    /// Guard rows are not locked.
    pub no_guard: bool,
    /// Nor are balances, which commands of several partitions move.
    pub no_balance_lock: bool,
    /// A connection that was ended goes on, although its locks are taken.
    pub no_fence: bool,
    /// Messages are acked before they are carried out.
    pub acks_first: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Lock {
    Partition(PartitionId),
    Claim(BarcodeHash),
    Coupon(CouponId),
    Balance(UserId),
}

/// Everything that is committed, and who holds what.
pub struct World {
    pub database: Database,
    pub inbox: BTreeMap<CommandId, Outcome>,
    /// Commands that have a row and no outcome: an attempt was counted, or a dead letter is replayed.
    pub unfinished: BTreeSet<CommandId>,
    /// In the order of their commits, with the worker's clock.
    pub committed: Vec<(Envelope, UnixMs)>,
    pub clock: UnixMs,
    /// How often in a hundred a connection breaks before a commit, and as often after it; and how often a reading transaction
    /// meets a deadlock.
    pub breaks_percent: u32,
    pub deadlocks: usize,
    pub random: StdRng,
    defects: Defects,
    locks: BTreeMap<Lock, ConnectionId>,
    owners: BTreeMap<PartitionId, ConnectionId>,
    ended: BTreeSet<ConnectionId>,
    /// Who stands still, since when.
    silent: BTreeMap<ConnectionId, UnixMs>,
}

pub type Shared = Arc<Mutex<World>>;

impl World {
    pub fn new(database: Database, clock: UnixMs, defects: Defects, random: StdRng) -> Self {
        Self {
            database,
            inbox: BTreeMap::new(),
            unfinished: BTreeSet::new(),
            committed: Vec::new(),
            clock,
            breaks_percent: 0,
            deadlocks: 0,
            random,
            defects,
            locks: BTreeMap::new(),
            owners: BTreeMap::new(),
            ended: BTreeSet::new(),
            silent: BTreeMap::new(),
        }
    }

    /// The connection is gone: what it had not committed is rolled back.
    pub fn end(&mut self, connection: ConnectionId) {
        self.ended.insert(connection);
        self.silent.remove(&connection);
        self.release(connection);
    }

    pub fn stands_still(&mut self, connection: ConnectionId) {
        self.silent.insert(connection, self.clock);
    }

    pub fn goes_on(&mut self, connection: ConnectionId) {
        self.silent.remove(&connection);
    }

    fn release(&mut self, connection: ConnectionId) {
        self.locks.retain(|_, holder| *holder != connection);
    }

    fn check(&self, connection: ConnectionId) -> Result<(), StoreError> {
        if self.ended.contains(&connection) && !self.defects.no_fence { Err(away("ended")) } else { Ok(()) }
    }

    /// All or none of them; `false`: somebody else has one.
    fn takes(&mut self, connection: ConnectionId, locks: &[Lock]) -> bool {
        let is_free = |lock: &Lock| self.locks.get(lock).is_none_or(|holder| *holder == connection);
        if !locks.iter().all(is_free) {
            return false;
        }
        self.locks.extend(locks.iter().map(|lock| (*lock, connection)));
        true
    }

    /// All of it; or nothing, where a row is there already.
    fn writes(&mut self, changes: Changes, finished: &[Finished<'_>], now: UnixMs) -> Result<(), StoreError> {
        let is_in_the_way = |one: &Finished<'_>| {
            let id = &one.envelope.id;
            self.inbox.contains_key(id) || one.has_row != self.unfinished.contains(id)
        };
        let is_known = finished.iter().any(is_in_the_way) && !self.defects.no_inbox;
        if is_known || changes.claims_made.keys().any(|barcode| self.database.claims.contains_key(barcode)) {
            return Err(contention("duplicate", Contention::Duplicate));
        }
        for one in finished {
            self.unfinished.remove(&one.envelope.id);
            self.inbox.insert(one.envelope.id, one.outcome.clone());
            self.committed.push((one.envelope.clone(), now));
        }
        self.database.write(changes);
        Ok(())
    }
}

fn away(why: &str) -> StoreError {
    StoreError::Away(why.to_owned())
}

fn contention(error: &str, cause: Contention) -> StoreError {
    StoreError::Contention { error: error.to_owned(), cause }
}

/// Lets the others go on first.
pub async fn pass() {
    struct Pass(bool);
    impl Future for Pass {
        type Output = ();
        fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
            if std::mem::replace(&mut self.0, true) {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        }
    }
    Pass(false).await;
}

/// A connection.
pub struct Store {
    world: Shared,
    connection: ConnectionId,
    /// How far this host's clock is from the others'.
    clock_offset_ms: i64,
}

impl Store {
    pub fn new(world: &Shared, connection: ConnectionId, clock_offset_ms: i64) -> Self {
        Self { world: world.clone(), connection, clock_offset_ms }
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    async fn waits_for(&self, locks: &[Lock]) -> Result<(), StoreError> {
        for _ in 0..ASKS_FOR_A_LOCK {
            pass().await;
            let mut world = self.world();
            world.check(self.connection)?;
            if world.takes(self.connection, locks) {
                return Ok(());
            }
        }
        Err(contention("lock wait", Contention::LockWait))
    }
}

impl Store {
    /// Sometimes two have waited for each other, and this one's transaction is rolled back.
    fn meets_a_deadlock(&self) -> Result<MutexGuard<'_, World>, StoreError> {
        let mut world = self.world();
        let percent = world.breaks_percent;
        if world.random.random_range(0..100) >= percent {
            return Ok(world);
        }
        world.deadlocks += 1;
        world.release(self.connection);
        Err(contention("deadlock", Contention::Deadlock))
    }
}

impl BidStore for Store {
    async fn lock(&mut self, partitions: &BTreeSet<PartitionId>, commands: &[CommandId]) -> Result<Guard, StoreError> {
        let guards: Vec<Lock> = partitions.iter().copied().map(Lock::Partition).collect();
        let has_guard = !self.world().defects.no_guard;
        self.waits_for(if has_guard { &guards } else { &[] }).await?;
        let mut world = self.world();
        world.owners.extend(partitions.iter().map(|partition| (*partition, self.connection)));
        let mut guard = Guard::default();
        guard.partitions.extend(partitions.iter().map(|partition| (*partition, world.database.partitions[partition])));
        if !world.defects.no_inbox {
            let known = commands.iter().filter_map(|id| Some((*id, world.inbox.get(id)?.clone())));
            guard.finished.extend(known);
        }
        guard.unfinished.extend(commands.iter().filter(|id| world.unfinished.contains(id)));
        Ok(guard)
    }

    async fn load(
        &mut self,
        needs: &Needs,
        partitions: &BTreeMap<PartitionId, Progress>,
    ) -> Result<Loaded, StoreError> {
        pass().await;
        // Only the holder of their partition's guard row writes bids: whose they are does not change any more.
        let seen = self.meets_a_deadlock()?.database.load(needs);
        // What is not there cannot be locked: the second one who makes the same claim is told so when it commits.
        let mut locks: Vec<Lock> = seen.claims.keys().copied().map(Lock::Claim).collect();
        locks.extend(needs.coupons.union(&seen.coupons_of_bids()).copied().map(Lock::Coupon));
        if !self.world().defects.no_balance_lock {
            locks.extend(needs.users.union(&seen.counterparties()).copied().map(Lock::Balance));
        }
        self.waits_for(&locks).await?;
        Ok(Loaded { partitions: partitions.clone(), ..self.world().database.load(needs) })
    }

    async fn commit(&mut self, changes: &Changes, finished: &[Finished<'_>], now: UnixMs) -> Result<(), StoreError> {
        pass().await;
        let mut world = self.world();
        world.check(self.connection)?;
        let (chance, breaks) = (world.random.random_range(0..200), world.breaks_percent);
        if chance < breaks {
            world.end(self.connection);
            return Err(away("broken before the commit"));
        }
        world.writes(changes.clone(), finished, now)?;
        world.release(self.connection);
        if chance < 2 * breaks {
            world.end(self.connection);
            return Err(away("broken before the commit's answer"));
        }
        Ok(())
    }

    async fn roll_back(&mut self) -> Result<(), StoreError> {
        pass().await;
        let mut world = self.world();
        world.release(self.connection);
        world.check(self.connection)
    }

    async fn end_predecessors(
        &mut self,
        partitions: &BTreeSet<PartitionId>,
        silent_since: UnixMs,
    ) -> Result<(), StoreError> {
        pass().await;
        let mut world = self.world();
        world.check(self.connection)?;
        let owners = partitions.iter().filter_map(|partition| world.owners.get(partition));
        let silent = world.silent.iter().filter(|(_, since)| **since <= silent_since).map(|(connection, _)| connection);
        let stuck: BTreeSet<ConnectionId> =
            owners.chain(silent).copied().filter(|one| *one != self.connection).collect();
        for connection in stuck {
            world.end(connection);
        }
        Ok(())
    }

    fn now(&self) -> UnixMs {
        self.world().clock.plus_ms(self.clock_offset_ms)
    }

    async fn pause(&self, _: Duration) {
        pass().await;
    }
}
