//! Depth limits are policies: an operator changes one while everything runs, without a deploy.

use crate::stage::{DEAD, Stage};
use acceptance::wait::becomes;
use serde_json::json;

#[tokio::test]
async fn an_operator_lowers_and_lifts_the_limit_of_dead_letters_and_none_is_lost() {
    let stage = Stage::new("dlq_limit").await;
    let page = reqwest::Client::new();
    let (base, vhost) = (&stage.market.servers.rabbitmq_http, &stage.market.database_name);
    let url = format!("{base}/api/operator-policies/{vhost}/fewer");
    let policy = json!({"pattern": "^dead\\.bid$", "apply-to": "queues", "priority": 1, "definition": {"max-length": 2}});
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
    stage.letters_become(8).await;
    // What was refused was tried again: a letter more is possible, a letter less is not.
    let listing = stage.json(&["dlq", "list"]).await;
    assert_eq!(listing["letters"], 8);
    becomes("each is suspended", 8, || stage.market.count("suspended")).await;
}
