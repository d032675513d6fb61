//! `gream trace`: a command's whole life, by its own id or by what it led to.

use crate::stage::Stage;
use acceptance::{
    commands::{buy, sell},
    wait::eventually,
};

#[tokio::test]
async fn a_trace_tells_attempts_letters_replays_and_what_was_booked() {
    let stage = Stage::new("dlq_trace").await;
    let poison = stage.poisoned(1).await.remove(0);
    let id = poison.id.to_string();
    let suspended = stage.json(&["trace", &id]).await;
    let life = &suspended["commands"][0];
    assert_eq!((&life["state"], &life["kind"]), (&"suspended".into(), &"place_sell_bid".into()));
    assert!(life["whereabouts"].as_str().unwrap().contains("in dead.bid, for out_of_attempts"), "{life}");
    stage.mend().await;
    stage.ok(&["dlq", "replay", &id, "--why", "the column is wider"]).await;
    stage.market.reaches(poison.id, "done").await;
    // The relay writes its note behind the publish.
    let trace = eventually("its replay is noted", || async {
        let trace = stage.json(&["trace", &id]).await;
        trace.to_string().contains("\"replayed\"").then_some(trace)
    })
    .await;
    let steps: Vec<String> = trace["commands"][0]["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["what"].as_str().unwrap().to_owned())
        .collect();
    let count = |what: &str| steps.iter().filter(|step| step.contains(what)).count();
    assert_eq!(
        (count("accepted"), count("failed"), count("dead letter"), count("replayed"), count("done")),
        (1, 3, 1, 1, 1)
    );
    let failed =
        &trace["commands"][0]["steps"].as_array().unwrap().iter().find(|step| step["what"] == "attempt 2 failed");
    assert!(failed.unwrap()["took_ms"].is_i64() && failed.unwrap()["detail"].as_str().unwrap().contains("picture_key"));
    let text = stage.ok(&["trace", &id]).await;
    println!("{text}");
    assert!(
        text.contains("(action 1 by tester: the column is wider)") && text.contains("now: nowhere: it has ended"),
        "{text}"
    );

    // By what commands led to.
    let market = &stage.market;
    let (buyer, product) = (market.user(2, 10_000).await, market.product(2).await);
    let (offer, taker) =
        (sell("s", stage.seller, product, 900, market.now()), buy("b", buyer, product, 1_000, market.now()));
    market.broker.publish(market.partitions, &[offer.clone(), taker.clone()]).await;
    market.reaches(taker.id, "done").await;
    let order: i64 = market.number("SELECT order_id FROM orders").await;
    for subject in [format!("order:{order}"), order.to_string(), format!("user:{buyer}")] {
        let text = stage.ok(&["trace", &subject]).await;
        assert!(text.contains(&taker.id.to_string()), "{subject}: {text}");
    }
    let bid = market.number("SELECT bid_id FROM bids WHERE side = 'buy'").await;
    let text = stage.ok(&["trace", &format!("bid:{bid}")]).await;
    assert!(text.contains(&format!("traded as order {order}")) && text.contains("-1000 on held of user 2"), "{text}");
    let unmet = stage.ok(&["trace", "0190aaaa-bbbb-7ccc-8ddd-eeeeeeeeeeee"]).await;
    assert!(unmet.contains("accepted") && unmet.contains("no worker has met it"), "{unmet}");
    assert!(stage.refused(&["trace", "order:1"]).await.contains("not known here"));
}
