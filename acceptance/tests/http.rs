//! The way of a command from an HTTP request to its answer, through real processes.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use acceptance::{Client, Market, wait::becomes};
use serde_json::json;

#[tokio::test]
async fn a_trade_from_sign_up_to_history() {
    let market = Market::new("http_trade").await;
    let (_api, address) = market.api().await;
    let _worker = market.worker(&["bid", "relay"]).await;
    let product = market.product(1).await;
    let (buyer, seller) = (Client::signed_up(&address, "buyer1").await, Client::signed_up(&address, "seller1").await);
    assert_eq!(buyer.points().await, 100_000);

    let sold = seller.upload(&format!("/sell/{product}"), &[("price", "5000")], 1).await;
    assert_eq!(sold.ended(), (200, 0), "{:?}", sold.body);
    let levels = buyer.get(&format!("/products/{product}/sell")).await;
    assert_eq!(levels.data()[0], json!({"sellPrice": 5000, "quantity": 1}));

    let bought = buyer.post(&format!("/buy/{product}/now"), &json!({"price": 5000})).await;
    assert_eq!(bought.ended(), (200, 0), "{:?}", bought.body);
    assert_eq!(
        (bought.data()["expectedPrice"].as_i64(), bought.data()["finalPrice"].as_i64()),
        (Some(5000), Some(5000))
    );
    assert_eq!((buyer.points().await, seller.points().await), (95_000, 105_000));
    assert_eq!(buyer.get("/buy/history/end").await.data().as_array().unwrap().len(), 1);
    assert_eq!(seller.get("/sell/history/end").await.data().as_array().unwrap().len(), 1);

    let again = buyer.post(&format!("/buy/{product}/now"), &json!({"price": 5000})).await;
    assert_eq!(again.ended(), (404, 4001));
    market.audit_holds().await;
}

#[tokio::test]
async fn the_same_key_is_the_same_command_and_another_body_is_refused() {
    let market = Market::new("http_keys").await;
    let (_api, address) = market.api().await;
    let _worker = market.worker(&["bid", "relay"]).await;
    let product = market.product(1).await;
    let buyer = Client::signed_up(&address, "buyer1").await;
    let path = format!("/buy/{product}");
    let first = buyer.post_as("k1", &path, &json!({"price": 1000})).await;
    assert_eq!(first.ended(), (200, 0));
    let repeated = buyer.post_as("k1", &path, &json!({"price": 1000})).await;
    assert_eq!((repeated.ended(), repeated.data()), ((200, 0), first.data()));
    assert_eq!(repeated.headers["gream-command-id"], first.headers["gream-command-id"]);
    let other = buyer.post_as("k1", &path, &json!({"price": 1001})).await;
    assert_eq!(other.ended(), (422, 5004));
    assert_eq!(buyer.points().await, 99_000);
    market.audit_holds().await;
}

#[tokio::test]
async fn without_a_worker_a_command_is_accepted_and_told_later() {
    let market = Market::new("http_later").await;
    let (_api, address) = market.api().await;
    let product = market.product(1).await;
    let buyer = Client::signed_up(&address, "buyer1").await;
    let request = buyer
        .request(reqwest::Method::POST, &format!("/buy/{product}"))
        .header("Prefer", "respond-async")
        .json(&json!({"price": 1000}));
    let accepted = buyer.send(request).await;
    assert_eq!((accepted.status.as_u16(), &accepted.data()["state"]), (202, &json!("accepted")));
    let location = accepted.headers["location"].to_str().unwrap().trim_start_matches("/api").to_owned();
    // The address is signed: whoever has it may ask, also without a login.
    let anybody = Client::new(&address);
    assert_eq!(anybody.get(&location).await.data()["state"], "accepted");
    let forged = location.replace("s=", "s=0");
    assert_eq!(anybody.get(&forged).await.ended(), (401, 1004), "neither signed nor logged in");
    let _worker = market.worker(&["bid", "relay"]).await;
    becomes("its outcome", json!("done"), || async { anybody.get(&location).await.data()["state"].clone() }).await;
}
