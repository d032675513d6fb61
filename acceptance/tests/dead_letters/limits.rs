//! Depth limits are policies: an operator changes one while everything runs, without a deploy.

use crate::stage::{DEAD, Stage};
use acceptance::wait::becomes;
use contracts::topology::bid_queue;
use serde_json::json;
use std::collections::BTreeSet;

#[tokio::test]
async fn an_operator_lowers_and_lifts_the_limit_of_dead_letters_and_none_is_lost() {
    let stage = Stage::new("dlq_limit").await;
    let page = reqwest::Client::new();
    let (base, vhost) = (&stage.market.servers.rabbitmq_http, &stage.market.database_name);
    let url = format!("{base}/api/operator-policies/{vhost}/fewer");
    let policy =
        json!({"pattern": "^dead\\.bid$", "apply-to": "queues", "priority": 1, "definition": {"max-length": 2}});
    assert!(page.put(&url).json(&policy).send().await.unwrap().status().is_success());
    becomes("it is in force", json!(2), || async {
        stage.market.broker.queue(DEAD).await["effective_policy_definition"]["max-length"].clone()
    })
    .await;
    let poison: Vec<_> = (0..8).map(|n| stage.poison(&format!("p{n}"), 3_600_000)).collect();
    stage.market.broker.publish(stage.market.partitions, &poison).await;
    // A quorum queue may take a few more than its limit; the rest waits on its own queue.
    becomes("the queue is full", true, || async { stage.market.broker.depth(DEAD).await >= 2 }).await;
    becomes("somebody was refused", true, || async { stage.workers.logged().contains("its queue is full") }).await;
    assert!(stage.market.broker.depth(DEAD).await < 8);
    assert!(page.delete(&url).send().await.unwrap().status().is_success());
    becomes("the queues are empty", true, || async {
        for partition in stage.market.partitions.all() {
            if stage.market.broker.depth(&bid_queue(partition)).await > 0 {
                return false;
            }
        }
        true
    })
    .await;
    becomes("each is suspended", 8, || stage.market.count("suspended")).await;
    // What was refused was tried again: a letter more is possible, a letter less is not.
    let letters = stage.json(&["dlq", "replay", "--dry-run"]).await;
    let commands: BTreeSet<&str> =
        letters["letters"].as_array().unwrap().iter().map(|letter| letter["id"].as_str().unwrap()).collect();
    assert_eq!(commands.len(), 8);
}

#[tokio::test]
async fn looking_at_letters_again_and_again_costs_none_of_them() {
    let stage = Stage::new("dlq_looked_at").await;
    stage.poisoned(5).await;
    let order = stage.order().await;
    // RabbitMQ's own limit would be twenty deliveries, from 4.0 on.
    for _ in 0..25 {
        assert!(stage.order().await == order);
    }
    let shown = stage.json(&["dlq", "show", &order[0]]).await;
    println!("deliveries that the broker counts: {}", shown[0]["letter"]["headers"]["x-delivery-count"]);
}
