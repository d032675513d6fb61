//! Database and broker, killed and restarted under workers that are never restarted themselves.

use super::{all_done_once, crossing_commands, halted};
use acceptance::{Market, wait::eventually};
use contracts::topology::bid_queue;

/// Every partition has its consumer again. A test that ended sooner would delete its vhost while the broker still starts
/// its queues' dead-letter workers: RabbitMQ 3.10 does not survive that (`rabbit_fifo_dlx_sup` gives up, and from then on
/// no queue can be declared).
async fn all_consumed_again(market: &Market) {
    for partition in market.partitions.all() {
        let queue = bid_queue(partition);
        eventually(&format!("{queue} is consumed again"), || async {
            market.broker.consumers(&queue).await.filter(|consumers| *consumers > 0).map(drop)
        })
        .await;
    }
}

#[tokio::test]
async fn the_database_is_killed_in_the_middle_of_a_batch() {
    let market = Market::new("kill_database").await;
    let commands = crossing_commands(&market, 40).await;
    let (mut worker, file) = market.halting_worker(&["bid", "relay"], "bid.before_commit");
    market.broker.publish(market.partitions, &commands).await;
    halted(&mut worker, &file, "bid.before_commit").await;
    market.servers.signal("mysql", "KILL").await;
    std::fs::remove_file(&file).unwrap();
    eventually("the worker noticed", || async { worker.logged().contains("lets go of everything").then_some(()) })
        .await;
    // Away long enough for several tries; the worker lives on, and takes nothing from the queues meanwhile.
    eventually("it tries again", || async {
        (worker.logged().matches("lets go of everything").count() >= 4).then_some(())
    })
    .await;
    assert!(worker.is_running());
    market.servers.start("mysql").await;
    all_done_once(&market, &commands).await;
}

#[tokio::test]
async fn the_broker_is_killed_between_commit_and_acks() {
    let market = Market::new("kill_broker").await;
    let commands = crossing_commands(&market, 40).await;
    let (mut worker, file) = market.halting_worker(&["bid", "relay"], "bid.before_ack");
    market.broker.publish(market.partitions, &commands).await;
    halted(&mut worker, &file, "bid.before_ack").await;
    let committed = market.count("done").await;
    assert!(committed > 0, "a batch has committed and is not acked");
    market.servers.signal("rabbitmq", "KILL").await;
    std::fs::remove_file(&file).unwrap();
    eventually("the worker noticed", || async { worker.logged().contains("lets go of everything").then_some(()) })
        .await;
    market.servers.start("rabbitmq").await;
    all_consumed_again(&market).await;
    all_done_once(&market, &commands).await;
    assert!(worker.is_running());
}

#[tokio::test]
async fn the_broker_is_restarted_under_an_idle_worker() {
    let market = Market::new("restart_broker").await;
    let mut worker = market.worker(&["bid", "relay"]).await;
    market.servers.shut_down("rabbitmq").await;
    eventually("the worker noticed", || async { worker.logged().contains("lets go of everything").then_some(()) })
        .await;
    market.servers.start("rabbitmq").await;
    all_consumed_again(&market).await;
    let commands = crossing_commands(&market, 5).await;
    market.broker.publish(market.partitions, &commands).await;
    all_done_once(&market, &commands).await;
    assert!(worker.is_running());
}
