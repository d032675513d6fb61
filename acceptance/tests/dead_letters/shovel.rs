//! The RabbitMQ page's 'move messages', as the page does it: a shovel that ends when the queue's letters have moved.

use crate::{
    stage::{DEAD, Stage},
    thousand::{self, EXPIRING, FORGED, POISON, SHORT_MS, TOO_NEW},
};
use acceptance::wait::{becomes, eventually};
use contracts::topology::REPLAY_QUEUE;
use serde_json::json;
use std::time::Instant;

#[tokio::test]
async fn the_page_moves_a_thousand_letters_back_and_nothing_happens_twice() {
    let stage = Stage::new("dlq_page").await;
    thousand::set_aside(&stage).await;
    stage.mend().await;
    stage.market.advance_clock(SHORT_MS + 1_000);
    let page = reqwest::Client::new();
    let (base, vhost) = (&stage.market.servers.rabbitmq_http, &stage.market.database_name);
    let uri = format!("amqp:///{vhost}");
    // What the page sends.
    let shovel = json!({"component": "shovel", "vhost": vhost, "name": "Move from dead.bid", "value": {
        "src-protocol": "amqp091", "src-uri": uri, "src-queue": DEAD, "src-delete-after": "queue-length",
        "dest-protocol": "amqp091", "dest-uri": uri, "dest-queue": REPLAY_QUEUE,
        "src-prefetch-count": 1000, "dest-add-forward-headers": false, "ack-mode": "on-confirm",
    }});
    let started = Instant::now();
    let url = format!("{base}/api/parameters/shovel/{vhost}/Move%20from%20dead.bid");
    let answer = page.put(&url).json(&shovel).send().await.unwrap();
    assert!(answer.status().is_success(), "{}: {}", answer.status(), answer.text().await.unwrap_or_default());
    let applied = i64::try_from(POISON - EXPIRING).unwrap();
    becomes("each applied", applied, || stage.bids()).await;
    becomes("the others expired", i64::try_from(EXPIRING).unwrap(), || stage.market.count("rejected")).await;
    // What is not mended comes back, with its reason.
    stage.letters_become(u32::try_from(TOO_NEW + FORGED).unwrap()).await;
    println!("the page moved 1000 letters, and all had ended or come back, in {:?}", started.elapsed());
    becomes("nothing on its way", 0, || stage.market.broker.depth(REPLAY_QUEUE)).await;
    eventually("the shovel is gone", || async { (page.get(&url).send().await.unwrap().status() == 404).then_some(()) })
        .await;
    let listing = stage.json(&["dlq", "list"]).await;
    assert_eq!(listing["groups"].as_array().unwrap().len(), 2);
    assert_eq!(listing["letters"], TOO_NEW + FORGED);
    stage.nothing_happened_twice().await;
    stage.audit_holds().await;
}
