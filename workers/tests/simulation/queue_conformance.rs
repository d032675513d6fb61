//! What a queue of bids must do for a lane to be right: the same tests for the one in memory (here) and for RabbitMQ's
//! (`acceptance/tests/limits/queue.rs`, which includes this file). What a cancelled consumer does to the order, only RabbitMQ can say
//! (`acceptance/tests/limits/order.rs`).

/// A queue with a single active consumer, empty and nobody's.
pub trait Queue {
    type Consumer;

    async fn publish(&self, number: u8);

    async fn consumer(&self) -> Self::Consumer;

    /// The next `count`, with whether each was delivered before.
    async fn takes(&self, consumer: &mut Self::Consumer, count: usize) -> Vec<(u8, bool)>;

    /// Whether there is another one for it now.
    async fn has_more(&self, consumer: &mut Self::Consumer) -> bool;

    /// All that it took.
    async fn acks(&self, consumer: &mut Self::Consumer);

    /// Without a word, with what it has.
    async fn goes(&self, consumer: Self::Consumer);
}

async fn published(queue: &impl Queue, numbers: impl IntoIterator<Item = u8>) {
    for number in numbers {
        queue.publish(number).await;
    }
}

fn fresh(numbers: impl IntoIterator<Item = u8>) -> Vec<(u8, bool)> {
    numbers.into_iter().map(|number| (number, false)).collect()
}

/// What was not acked comes again, marked, in its old order, and before what came later. What was acked does not.
pub async fn what_was_not_acked_comes_again_in_order(queue: &impl Queue) {
    published(queue, 1..=5).await;
    let mut first = queue.consumer().await;
    assert_eq!(queue.takes(&mut first, 2).await, fresh(1..=2));
    queue.acks(&mut first).await;
    assert_eq!(queue.takes(&mut first, 3).await, fresh(3..=5));
    published(queue, [6]).await;
    queue.goes(first).await;
    let mut second = queue.consumer().await;
    let again = queue.takes(&mut second, 4).await;
    assert_eq!(again.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [3, 4, 5, 6]);
    assert!(again[..3].iter().all(|(_, was_delivered)| *was_delivered), "{again:?}");
    queue.acks(&mut second).await;
    queue.goes(second).await;
    let mut third = queue.consumer().await;
    assert!(!queue.has_more(&mut third).await, "everything was acked");
    queue.goes(third).await;
}

/// One consumer is active; the next one becomes it when the first one goes, and gets what that one had.
pub async fn one_consumer_is_active(queue: &impl Queue) {
    let mut first = queue.consumer().await;
    published(queue, [1]).await;
    assert_eq!(queue.takes(&mut first, 1).await, fresh([1]));
    let mut second = queue.consumer().await;
    published(queue, [2]).await;
    assert_eq!(queue.takes(&mut first, 1).await, fresh([2]));
    assert!(!queue.has_more(&mut second).await, "another one is active");
    queue.goes(first).await;
    assert_eq!(queue.takes(&mut second, 2).await, [(1, true), (2, true)]);
    queue.goes(second).await;
}
