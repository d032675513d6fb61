//! What any store must do for `carry_out` to be right: the same tests for the one in memory (here) and for MySQL
//! (`acceptance/tests/limits/store.rs`, which includes this file).

use contracts::{
    BarcodeHash, Command, CommandId, CommandState, Envelope, Outcome, PartitionCount, PartitionId, Picture, ProductId,
    UnixMs, UserId, Won, topology,
};
use domain::market::{Limits, Market, Needs};
use std::{collections::BTreeSet, fmt::Debug};
use workers::bid::{BidStore, Contention, Finished, Rules, StoreError, carry_out};

/// A market with users who have points, and products 1 to 4.
pub trait Stage {
    type Store: BidStore;

    /// Another worker's connection.
    async fn connect(&self) -> Self::Store;

    fn rules(&self) -> Rules;

    fn users(&self) -> [UserId; 2];
}

const DAY_MS: i64 = 86_400_000;

fn bid(stage: &impl Stage, key: &str, product: ProductId, now: UnixMs) -> Envelope {
    let ([user, _], deadline) = (stage.users(), now.plus_ms(DAY_MS));
    let command = Command::PlaceBuyBid { product, price: Won(1_000), period_days: 1, deadline, coupon: None };
    Envelope::new(CommandId::derived(user, "conformance", key), user, now, None, command)
}

fn partition(envelope: &Envelope, partitions: PartitionCount) -> BTreeSet<PartitionId> {
    let key = topology::routing_key(&envelope.command, partitions).unwrap();
    partitions.all().filter(|partition| topology::bid_queue(*partition) == key).collect()
}

/// Two products of different partitions.
fn apart(partitions: PartitionCount) -> (ProductId, ProductId) {
    let first = ProductId(1);
    let other = (2..=4).map(ProductId).find(|product| partitions.of_product(*product) != partitions.of_product(first));
    (first, other.unwrap())
}

fn is_lock_wait<T: Debug>(result: Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::Contention { cause: Contention::LockWait, .. }))
}

/// What one worker has carried out, another one knows, and answers from the inbox.
pub async fn what_was_committed_is_known_to_everybody(stage: &impl Stage) {
    let (mut first, mut second) = (stage.connect().await, stage.connect().await);
    let envelope = bid(stage, "known", ProductId(1), first.now());
    let done = carry_out(&mut first, &stage.rules(), &[&envelope]).await.unwrap();
    assert_eq!(
        carry_out(&mut second, &stage.rules(), &[&envelope, &envelope]).await.unwrap(),
        [done.clone(), done].concat()
    );
}

/// A guard row is one transaction's.
pub async fn a_partition_has_one_holder(stage: &impl Stage) {
    let (mut first, mut second) = (stage.connect().await, stage.connect().await);
    let envelope = bid(stage, "guard", ProductId(1), first.now());
    let partition = partition(&envelope, stage.rules().partitions);
    first.lock(&partition, &[envelope.id]).await.unwrap();
    assert!(is_lock_wait(second.lock(&partition, &[envelope.id]).await));
    second.roll_back().await.unwrap();
    first.roll_back().await.unwrap();
    let guard = second.lock(&partition, &[envelope.id]).await.unwrap();
    assert_eq!(guard.partitions.keys().copied().collect::<BTreeSet<_>>(), partition);
    assert!(guard.finished.is_empty() && guard.unfinished.is_empty(), "nothing happened to it");
    second.roll_back().await.unwrap();
}

/// One who stands still is ended by the next one; nothing of its transaction happens, and it notices.
pub async fn a_predecessor_is_ended_and_has_done_nothing(stage: &impl Stage) {
    let (mut first, mut second) = (stage.connect().await, stage.connect().await);
    let envelope = bid(stage, "predecessor", ProductId(1), first.now());
    let partition = partition(&envelope, stage.rules().partitions);
    first.lock(&partition, &[envelope.id]).await.unwrap();
    assert!(is_lock_wait(second.lock(&partition, &[envelope.id]).await));
    second.roll_back().await.unwrap();
    second.end_predecessors(&partition, UnixMs(0)).await.unwrap();
    let done = carry_out(&mut second, &stage.rules(), &[&envelope]).await.unwrap();
    let late = carry_out(&mut first, &stage.rules(), &[&envelope]).await;
    assert!(matches!(late, Err(StoreError::Away(_))), "{late:?}");
    let mut third = stage.connect().await;
    assert_eq!(carry_out(&mut third, &stage.rules(), &[&envelope]).await.unwrap(), done);
}

/// A user's balance is one transaction's, whatever partitions they bid in.
pub async fn a_balance_has_one_holder(stage: &impl Stage) {
    let (mut first, mut second) = (stage.connect().await, stage.connect().await);
    let Rules { partitions, limits, .. } = stage.rules();
    let (here, there) = apart(partitions);
    let one = bid(stage, "balance-1", here, first.now());
    let other = bid(stage, "balance-2", there, first.now());
    loads(&mut first, &one, partitions, &limits).await.unwrap();
    assert!(is_lock_wait(loads(&mut second, &other, partitions, &limits).await));
    second.roll_back().await.unwrap();
    first.roll_back().await.unwrap();
    loads(&mut second, &other, partitions, &limits).await.unwrap();
    second.roll_back().await.unwrap();
}

fn offer(user: UserId, product: ProductId, now: UnixMs) -> Envelope {
    let picture = Picture {
        key: "picture".to_owned(),
        sha256: "ab".repeat(32),
        barcode: Some(BarcodeHash([7; 32])),
        expires_at: None,
    };
    let deadline = now.plus_ms(DAY_MS);
    let command = Command::PlaceSellBid { product, price: Won(1_000), period_days: 1, deadline, picture };
    Envelope::new(CommandId::derived(user, "conformance", "offer"), user, now, None, command)
}

/// A claim that nobody made yet cannot be locked. Whoever makes it second is told when they commit, and finds it when they look
/// again.
pub async fn a_voucher_is_offered_once(stage: &impl Stage) {
    let (mut first, mut second) = (stage.connect().await, stage.connect().await);
    let (Rules { partitions, limits, .. }, [anna, boris]) = (stage.rules(), stage.users());
    let (here, there) = apart(partitions);
    let now = first.now();
    let (slow, quick) = (offer(anna, here, now), offer(boris, there, now));

    let guard = first.lock(&partition(&slow, partitions), &[slow.id]).await.unwrap();
    let needs = Needs::of(std::slice::from_ref(&slow), partitions, &limits);
    let mut market = Market::new(first.load(&needs, &guard.partitions).await.unwrap(), partitions, limits);
    let decision = market.carry_out(&slow, now).unwrap();
    assert_eq!(decision.state, CommandState::Done, "nobody has offered it yet");
    let done = carry_out(&mut second, &stage.rules(), &[&quick]).await.unwrap();
    assert_eq!(done[0].state, CommandState::Done);

    let (id, fingerprint) = (slow.id, slow.fingerprint);
    let outcome =
        Outcome { id, fingerprint, state: decision.state, code: decision.code, data: decision.data, finished_at: now };
    let finished = [Finished { envelope: &slow, outcome: &outcome, has_row: false }];
    let late = first.commit(&market.into_changes(), &finished, now).await;
    assert!(matches!(late, Err(StoreError::Contention { .. })), "{late:?}");
    first.roll_back().await.unwrap();
    let rejected = carry_out(&mut first, &stage.rules(), &[&slow]).await.unwrap();
    assert_eq!(rejected[0].state, CommandState::Rejected);
}

async fn loads<S: BidStore>(
    store: &mut S,
    envelope: &Envelope,
    partitions: PartitionCount,
    limits: &Limits,
) -> Result<(), StoreError> {
    let guard = store.lock(&partition(envelope, partitions), &[envelope.id]).await?;
    let needs = Needs::of(std::slice::from_ref(envelope), partitions, limits);
    let loaded = store.load(&needs, &guard.partitions).await?;
    assert_eq!(loaded.balances.keys().copied().collect::<Vec<_>>(), [envelope.user], "what was asked for, and no more");
    assert_eq!(loaded.products, needs.products);
    Ok(())
}
