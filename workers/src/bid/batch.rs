//! One batch: known commands are answered from the inbox, the others go through the rules, and all of it commits
//! together.
//!
//! ```text
//! carry_out ─► Ok(outcomes)
//!           ─► Contention ── the whole batch again, a few times at once
//!           ─► Away ──────── give everything back, wait, connect anew; nobody's fault
//!           ─► Defect ────── halve; alone: try max_attempts times, then set the command aside
//! ```
//! Everything outside is behind [`BidStore`]: in production MySQL, in the simulation (`workers/tests/simulation`) a database in memory
//! that fails on purpose.

use super::port::{BidStore, Contention, Finished, StoreError};
use contracts::{CommandId, Envelope, Fingerprint, Outcome, PartitionCount, PartitionId, UnixMs};
use domain::market::{Decision, Limits, Market, Needs, Undecided};
use std::{
    collections::{BTreeMap, BTreeSet},
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};
use tokio::time::Instant;

/// How often a batch that met a deadlock or a lock wait is carried out again at once.
const MAX_CONTENTIONS: u32 = 8;
/// How often the book may turn out to be read too short; each time twice as much is read.
const MAX_WIDENINGS: u32 = 24;
/// The pause after the n-th contention is n times this, plus some of the clock's low bits as jitter.
const CONTENTION_PAUSE: Duration = Duration::from_millis(3);

/// What carrying a batch out needs beside the store.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// The market's.
    pub limits: Limits,
    /// How many there are.
    pub partitions: PartitionCount,
    /// Workers that said nothing for this long are gone: their locks are taken from them.
    pub silent_after_ms: i64,
}

/// Carries `batch` out in one transaction; the outcome of each command, in order.
///
/// # Errors
/// See [`StoreError`]; nothing of the batch happened, except when the connection broke while it committed.
pub async fn carry_out<S: BidStore>(
    store: &mut S,
    rules: &Rules,
    batch: &[&Envelope],
) -> Result<Vec<Outcome>, StoreError> {
    let mut contentions = 0;
    loop {
        let (error, cause) = match attempt(store, rules, batch).await {
            Ok(outcomes) => return Ok(outcomes),
            Err(StoreError::Contention { error, cause }) => (error, cause),
            Err(error @ StoreError::Away(_)) => return Err(error),
            Err(error @ StoreError::Defect(_)) => {
                store.roll_back().await?;
                return Err(error);
            }
        };
        metrics::counter!("gream_bid_batch_contentions_total").increment(1);
        // In every case: what the next transaction finds open, its beginning would commit.
        store.roll_back().await?;
        if cause == Contention::LockWait {
            let partitions = partitions_of(batch, rules);
            store.end_predecessors(&partitions, store.now().plus_ms(-rules.silent_after_ms)).await?;
        }
        contentions += 1;
        if contentions > MAX_CONTENTIONS {
            // Whoever holds the locks is stuck: that is no reason to blame a command. A duplicate is.
            return Err(if cause == Contention::Duplicate {
                StoreError::Defect(error)
            } else {
                StoreError::Away(error)
            });
        }
        store.pause(CONTENTION_PAUSE * contentions).await;
    }
}

async fn attempt<S: BidStore>(store: &mut S, rules: &Rules, batch: &[&Envelope]) -> Result<Vec<Outcome>, StoreError> {
    let (fresh, ids) = first_of_each(batch);
    let partitions = partitions_of(&fresh, rules);
    let guard = store.lock(&partitions, &ids).await?;
    let mut outcomes = guard.finished;
    let fresh: Vec<Envelope> =
        fresh.into_iter().filter(|envelope| !outcomes.contains_key(&envelope.id)).cloned().collect();
    if fresh.is_empty() {
        store.roll_back().await?;
    } else {
        platform::halt::point("bid.locked").await;
        let now = store.now();
        let (market, decisions) = decide(store, rules, &fresh, &guard.partitions, now).await?;
        let ended: Vec<Outcome> =
            fresh.iter().zip(decisions).map(|(envelope, decision)| outcome(envelope, decision, now)).collect();
        let finished: Vec<Finished<'_>> = fresh
            .iter()
            .zip(&ended)
            .map(|(envelope, outcome)| Finished { envelope, outcome, has_row: guard.unfinished.contains(&envelope.id) })
            .collect();
        platform::halt::point("bid.before_commit").await;
        let began = Instant::now();
        store.commit(&market.into_changes(), &finished, now).await?;
        metrics::histogram!("gream_bid_commit_seconds").record(began.elapsed());
        platform::halt::point("bid.committed").await;
        outcomes.extend(ended.into_iter().map(|outcome| (outcome.id, outcome)));
    }
    // Every command of the batch is in the map by now: known before, or decided just now.
    Ok(batch.iter().filter_map(|envelope| outcomes.get(&envelope.id).cloned()).collect())
}

/// The first envelope of each id, in order: a duplicate within the batch is answered by the first one's outcome.
fn first_of_each<'a>(batch: &[&'a Envelope]) -> (Vec<&'a Envelope>, Vec<CommandId>) {
    let mut seen = BTreeSet::new();
    let fresh: Vec<&Envelope> = batch.iter().copied().filter(|envelope| seen.insert(envelope.id)).collect();
    (fresh, seen.into_iter().collect())
}

fn partitions_of(batch: &[&Envelope], rules: &Rules) -> BTreeSet<PartitionId> {
    batch
        .iter()
        .filter_map(|envelope| {
            let key = contracts::topology::routing_key(&envelope.command, rules.partitions)?;
            rules.partitions.all().find(|partition| contracts::topology::bid_queue(*partition) == key)
        })
        .collect()
}

/// Loads what the commands need and runs the rules; reads more of the book for as long as it turns out too short.
async fn decide<S: BidStore>(
    store: &mut S,
    rules: &Rules,
    fresh: &[Envelope],
    partitions: &BTreeMap<PartitionId, domain::market::Progress>,
    now: UnixMs,
) -> Result<(Market, Vec<Decision>), StoreError> {
    let mut needs = Needs::of(fresh, rules.partitions, &rules.limits);
    for _ in 0..MAX_WIDENINGS {
        let loaded = store.load(&needs, partitions).await?;
        let mut market = Market::new(loaded, rules.partitions, rules.limits);
        // The rules are ours, but a panic in them must not take the lane down with it: it is one command's defect.
        let decided = catch_unwind(AssertUnwindSafe(|| {
            fresh.iter().map(|envelope| market.carry_out(envelope, now)).collect::<Result<Vec<_>, _>>()
        }));
        match decided {
            Ok(Ok(decisions)) => return Ok((market, decisions)),
            Ok(Err(Undecided::WindowTooShort(key))) => {
                metrics::counter!("gream_bid_windows_widened_total").increment(1);
                needs.widen(&key);
            }
            Ok(Err(undecided)) => return Err(StoreError::Defect(undecided.to_string())),
            Err(_) => return Err(StoreError::Defect("the rules panicked; the log has the place".to_owned())),
        }
    }
    Err(StoreError::Defect("the order book was read in full and still found too short; run `gream audit`".to_owned()))
}

fn outcome(envelope: &Envelope, decision: Decision, now: UnixMs) -> Outcome {
    let fingerprint: Fingerprint = envelope.fingerprint;
    Outcome {
        id: envelope.id,
        fingerprint,
        state: decision.state,
        code: decision.code,
        data: decision.data,
        finished_at: now,
    }
}
