//! Commands through the API: accepted, waited for, repeated, asked about.

use acceptance::{
    Market, Visitor,
    visitor::{Answer, PNG, send, start_api},
    wait::becomes,
};
use contracts::{
    Command, Envelope, ProductId,
    dead_letter::HEADER_ORIGIN,
    topology::{bid_queue, origin},
};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

async fn buy(visitor: &Visitor, headers: &[(&str, &str)], body: &Value) -> Answer {
    let request = headers.iter().fold(visitor.request("POST", "/api/buy/1"), |request, (k, v)| request.header(*k, *v));
    send(request.json(body)).await
}

#[tokio::test]
async fn the_accepted_command_lies_on_its_queue_and_its_address_tells_where_it_stands() {
    let market = Market::new("api_accepted").await;
    let (_api, visitor) = start_api(&market).await;
    let (alice, mallory) = (visitor.join("alice").await, visitor.join("mallory").await);
    market.product(1).await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let headers = [("Prefer", "respond-async"), ("Idempotency-Key", "k1"), ("traceparent", trace)];
    let answer = buy(&alice, &headers, &json!({"price": 1000, "period": 3, "couponId": 9})).await;
    answer.refused(202, 0);
    let (id, location) = (answer.data()["commandId"].as_str().unwrap(), answer.header("location"));
    assert_eq!(answer.data()["state"], "accepted");
    assert_eq!(answer.header("gream-command-id"), id);
    // A retry is the same command.
    let again = buy(&alice, &headers, &json!({"price": 1000, "period": 3, "couponId": 9})).await;
    assert_eq!(again.data()["commandId"], id);
    // The same key is somebody else's other command.
    let others = buy(&mallory, &headers, &json!({"price": 1000})).await;
    assert_ne!(others.data()["commandId"], id);

    let queue = bid_queue(market.partitions.of_product(ProductId(1)));
    let message = market.broker.receive(&queue).await;
    let envelope = Envelope::decode(&message.data).unwrap();
    assert_eq!(envelope.id.to_string(), id);
    let Command::PlaceBuyBid { price, period_days, deadline, coupon, .. } = &envelope.command else { panic!() };
    assert_eq!((price.0, *period_days, coupon.map(|c| c.0)), (1000, 3, Some(9)));
    assert_eq!(*deadline, domain::deadline::deadline(envelope.accepted_at, 3));
    assert_eq!(envelope.valid_until, Some(envelope.accepted_at.plus_ms(600_000)));
    assert_eq!(message.properties.delivery_mode(), &Some(2));
    assert!(message.properties.reply_to().is_some(), "nobody waits for it, but its API counts what is under way");
    assert_eq!(acceptance::broker::header(&message, HEADER_ORIGIN), Some(origin(&queue)));
    assert_eq!(acceptance::broker::header(&message, "traceparent").as_deref(), Some(trace));

    // No row yet: only whoever holds the address can know.
    let status = visitor.get(location).await.ok();
    assert_eq!((status["state"].as_str(), status["commandId"].as_str()), (Some("accepted"), Some(id)));
    let plain = format!("/api/commands/{id}");
    visitor.get(&plain).await.refused(401, 1004);
    visitor.get(&location.replace("&t=1", "&t=2")).await.refused(401, 1004);
    alice.get(&plain).await.refused(404, 5012);
    market.broker.publish(market.partitions, &[envelope]).await;
    let _worker = market.worker(&["bid"]).await;
    becomes("the owner may ask by token", Some("rejected".to_owned()), || async {
        alice.get(&plain).await.data()["state"].as_str().map(ToOwned::to_owned)
    })
    .await;
    let status = visitor.get(location).await.ok();
    assert_eq!((status["outcome"]["code"].as_u64(), status["outcome"]["httpStatus"].as_u64()), (Some(6000), Some(404)));
    mallory.get(&plain).await.refused(404, 5012);
}

#[tokio::test]
async fn a_market_is_played_over_http() {
    let market = Market::new("api_market").await;
    let (_api, visitor) = start_api(&market).await;
    let (alice, bob) = (visitor.join("alice").await, visitor.join("bobby").await);
    let _worker = market.worker(&["bid", "relay"]).await;
    market.product(1).await;

    let bid = buy(&alice, &[("Idempotency-Key", "b1")], &json!({"price": 4000})).await.ok();
    assert_eq!(bid["price"], 4000);
    assert_eq!(buy(&alice, &[("Idempotency-Key", "b1")], &json!({"price": 4000})).await.ok(), bid);
    buy(&alice, &[("Idempotency-Key", "b1")], &json!({"price": 4001})).await.refused(422, 5004);
    assert_eq!(alice.points().await, 96_000);
    assert_eq!(visitor.get("/api/products/1/buy").await.ok(), json!([{"buyPrice": 4000, "quantity": 1}]));
    let progress = alice.get("/api/buy/history/onprogress").await.ok();
    assert_eq!((&progress[0]["buyId"], &progress[0]["discountPrice"]), (&bid["buyId"], &json!(4000)));

    buy(&bob, &[], &json!({"price": 100_001})).await.refused(403, 1007);
    bob.delete(&format!("/api/buy/bid/{}", bid["buyId"])).await.refused(403, 5000);
    bob.upload("/api/sell/1/now", &[("price", "3999")], PNG).await.refused(404, 3001);
    let sold = bob.upload("/api/sell/1/now", &[("price", "4000")], PNG).await.ok();
    assert_eq!((sold["price"].as_i64(), bob.points().await), (Some(4000), 104_000));

    let offer = bob.upload("/api/sell/1", &[("price", "5000"), ("period", "2")], PNG).await.ok();
    let selling = bob.get("/api/sell/history/onprogress").await.ok();
    assert_eq!(selling[0]["sellId"], offer["sellId"]);
    assert!(selling[0]["bidDeadlineAt"].as_str().unwrap().ends_with("T23:59:59.999999999"), "{selling}");
    send(alice.request("POST", "/api/buy/1/now").json(&json!({"price": 4999}))).await.refused(404, 4001);
    let bought = send(alice.request("POST", "/api/buy/1/now").json(&json!({"price": 5000}))).await.ok();
    assert_eq!((bought["expectedPrice"].as_i64(), bought["finalPrice"].as_i64()), (Some(5000), Some(5000)));
    bob.delete(&format!("/api/sell/bid/{}", offer["sellId"])).await.refused(404, 4001);
    let open = buy(&alice, &[], &json!({"price": 10})).await.ok();
    let cancelled = alice.delete(&format!("/api/buy/bid/{}", open["buyId"])).await.ok();
    assert_eq!(cancelled, json!({"buyId": open["buyId"]}));

    let trades = visitor.get("/api/products/1/trade").await.ok();
    assert_eq!(
        trades.as_array().unwrap().iter().map(|t| t["finalPrice"].as_i64().unwrap()).collect::<Vec<_>>(),
        [5000, 4000]
    );
    let owned = alice.get("/api/buy/history/end").await.ok();
    assert_eq!((owned.as_array().unwrap().len(), &owned[0]["orderId"]), (2, &bought["orderId"]));
    picture_is_served_to_its_address_only(&visitor, owned[0]["gifticonUrl"].as_str().unwrap()).await;
    assert_eq!(bob.get("/api/sell/history/end").await.ok().as_array().unwrap().len(), 2);
    market.audit_holds().await;
}

async fn picture_is_served_to_its_address_only(visitor: &Visitor, url: &str) {
    let path = format!("/api/{}", url.split_once("/api/").unwrap().1);
    let picture = visitor.client.get(format!("{}{path}", visitor.base)).send().await.unwrap();
    assert_eq!(picture.bytes().await.unwrap(), PNG);
    visitor.get(path.split_once('?').unwrap().0).await.refused(403, 5000);
    visitor.get(&path.replace("&s=", "&s=0")).await.refused(403, 5000);
}

#[tokio::test]
async fn the_address_of_another_body_under_a_used_key_never_tells_the_first_one_s_outcome() {
    let market = Market::new("api_used_key").await;
    let (_api, visitor) = start_api(&market).await;
    let alice = visitor.join("alice").await;
    market.product(1).await;
    let headers = [("Prefer", "respond-async"), ("Idempotency-Key", "k")];
    let (first, other) = (json!({"price": 1000}), json!({"price": 2000}));
    let (first, other) = (buy(&alice, &headers, &first).await, buy(&alice, &headers, &other).await);
    let ([first, other], id) = ([&first, &other].map(|answer| answer.header("location")), &first.data()["commandId"]);
    for waiting in [first, other] {
        assert_eq!(visitor.get(waiting).await.ok()["state"], "accepted", "no worker has met either of them");
    }
    let _worker = market.worker(&["bid"]).await;
    becomes("the first one is done", Some("done".to_owned()), || async {
        visitor.get(first).await.data()["state"].as_str().map(ToOwned::to_owned)
    })
    .await;
    assert_eq!(visitor.get(first).await.ok()["outcome"]["data"]["price"], 1000);
    for asking in [&visitor, &alice] {
        asking.get(other).await.refused(422, 5004);
    }
    // Whoever asks by login and names the command alone asks about the command, whatever they have sent since.
    let plain = format!("/api/commands/{}", id.as_str().unwrap());
    assert_eq!(alice.get(&plain).await.ok()["outcome"]["data"]["price"], 1000);
}

#[tokio::test]
async fn without_redis_answers_come_from_the_database() {
    let mut market = Market::new("api_no_redis").await;
    market.set("GREAM__REDIS__URL", "redis://127.0.0.1:9/0");
    let (_api, visitor) = start_api(&market).await;
    let _worker = market.worker(&["bid"]).await;
    let alice = visitor.join("alice").await;
    market.product(1).await;
    for price in 1..=5 {
        let began = Instant::now();
        buy(&alice, &[], &json!({"price": price})).await.ok();
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    }
}

#[tokio::test]
async fn without_the_broker_nothing_is_accepted_and_the_client_is_told_at_once() {
    let mut market = Market::new("api_no_broker").await;
    market.product(1).await;
    market.set("GREAM__RABBITMQ__URL", "amqp://u:p@127.0.0.1:9/nowhere");
    let mut process = market.spawn(&["api"]);
    let base = format!("http://{}", process.address("http").await);
    let visitor = Visitor { client: reqwest::Client::new(), base, access: None, refresh: None };
    let alice = visitor.join("alice").await;
    let began = Instant::now();
    let answer = buy(&alice, &[("Idempotency-Key", "k")], &json!({"price": 1000})).await;
    answer.refused(503, 5005);
    assert!(began.elapsed() < Duration::from_secs(5));
    assert!(answer.header("retry-after").parse::<u32>().unwrap() > 0);
    let id = answer.data()["commandId"].clone();
    let again = buy(&alice, &[("Idempotency-Key", "k")], &json!({"price": 1000})).await;
    assert_eq!(again.data()["commandId"], id, "a retry is the same command");
    // What needs no broker goes on.
    assert_eq!(alice.points().await, 100_000);
    let ready = reqwest::get(format!("http://{}/health/ready", process.address("admin").await)).await.unwrap();
    assert_eq!(ready.status(), 503);
}

#[tokio::test]
async fn an_instance_that_stops_answers_those_who_wait_first() {
    let market = Market::new("api_stops").await;
    let (mut api, visitor) = start_api(&market).await;
    let alice = visitor.join("alice").await;
    market.product(1).await;
    // Nobody carries it out.
    let waiting = tokio::spawn(async move { buy(&alice, &[("Prefer", "wait=30")], &json!({"price": 1000})).await });
    let queue = bid_queue(market.partitions.of_product(ProductId(1)));
    becomes("the command is on its queue", 1, || market.broker.depth(&queue)).await;
    let began = Instant::now();
    assert_eq!(api.terminate(Duration::from_secs(9)).await, Some(0));
    assert!(began.elapsed() < Duration::from_secs(9));
    waiting.await.unwrap().refused(202, 0);
}
