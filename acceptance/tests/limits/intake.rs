//! When whoever carries commands out is behind, the API says so before anything tips over, shares what there is among users,
//! and reads go on. Once they have caught up, all is as before.

use acceptance::{
    Market, Visitor,
    visitor::{Answer, send, start_api},
    wait::{becomes, eventually},
};
use serde_json::json;

const OF_USER: usize = 6;
const OF_ALL: usize = 15;

async fn bids(who: &Visitor, name: &str) -> Answer {
    let request = who.request("POST", "/api/buy/1").header("Prefer", "respond-async").header("Idempotency-Key", name);
    send(request.json(&json!({"price": 1_000}))).await
}

/// So many are taken of this user before one is refused; its answer.
async fn takes(who: &Visitor, name: &str) -> (usize, Answer) {
    for n in 0..=2 * OF_ALL {
        let answer = bids(who, &format!("{name}-{n}")).await;
        if answer.status != 202 {
            return (n, answer);
        }
    }
    panic!("{name} was never refused")
}

#[tokio::test]
async fn intake_is_bounded_and_fair_while_the_workers_are_behind_and_reads_go_on() {
    let mut market = Market::new("intake").await;
    market.set("GREAM__COMMANDS__MAX_UNRESOLVED", OF_ALL);
    market.set("GREAM__COMMANDS__MAX_UNRESOLVED_PER_USER", OF_USER);
    market.product(1).await;
    let (_api, visitor) = start_api(&market).await;
    let [hasty, second, third] =
        [visitor.join("hasty").await, visitor.join("second").await, visitor.join("third").await];

    // Nobody works. One user asks and asks, and gets no more than their share; the next one is served all the same.
    let (taken, refused) = takes(&hasty, "hasty").await;
    assert_eq!(taken, OF_USER);
    refused.refused(429, 5009);
    assert!(refused.header("retry-after").parse::<u64>().unwrap() >= 1);
    assert_eq!(bids(&hasty, "hasty-0").await.status, 202, "what is under way may be asked for again");
    assert_eq!(takes(&second, "second").await.0, OF_USER);

    // All together no more than there is.
    let (taken, refused) = takes(&third, "third").await;
    assert_eq!(taken, OF_ALL - 2 * OF_USER);
    refused.refused(503, 5005);
    assert!(refused.header("retry-after").parse::<u64>().unwrap() >= 1);
    for who in [&hasty, &third] {
        who.get("/api/users/points").await.ok();
        who.get("/api/products/1").await.ok();
    }

    let _worker = market.worker(&["bid", "relay"]).await;
    becomes("all that was accepted is done", i64::try_from(OF_ALL).unwrap(), || market.count("done")).await;
    for (who, name) in [(&hasty, "hasty-6"), (&third, "third-3")] {
        eventually("the refused ones are taken under their keys", || async {
            (bids(who, name).await.status < 300).then_some(())
        })
        .await;
    }
    becomes("each once", i64::try_from(OF_ALL).unwrap() + 2, || market.count("done")).await;
    market.audit_holds().await;
}
