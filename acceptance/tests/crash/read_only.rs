//! The database becomes read-only, as a former primary does at a failover: it is away, and nobody is to blame.

use super::{all_done_once, crossing_commands};
use acceptance::{Market, Servers, visitor::start_api, wait::eventually};
use serde_json::json;

async fn set_read_only(servers: &Servers, on: bool) {
    let sql = if on { "SET GLOBAL read_only = 1" } else { "SET GLOBAL read_only = 0" };
    sqlx::raw_sql(sql).execute(&mut servers.database_administrator().await).await.expect("an administrator may");
}

#[tokio::test]
async fn a_read_only_database_is_away_and_its_connections_are_replaced() {
    let done = tokio::spawn(read_only()).await;
    // Whatever happened: the other tests need to write.
    set_read_only(&Servers::from_environment(), false).await;
    done.unwrap();
}

async fn read_only() {
    let mut market = Market::new("read_only").await;
    let commands = crossing_commands(&market, 20).await;
    // The same person tries until it works.
    market.set("GREAM__RATE_LIMITS__SIGN_UPS_PER_LOGIN_ID", 1_000_000);
    let mut worker = market.worker(&["bid", "relay", "scheduler"]).await;
    let wire = market.wire("GREAM__DATABASE__URL").await;
    let (mut api, visitor) = start_api(&market).await;
    let sign_up = |name: &'static str| {
        let visitor = visitor.clone();
        let body = json!({"loginId": name, "nickname": name, "password": "abcdefg1"});
        async move { visitor.post("/api/users/signup", &body).await }
    };
    sign_up("before").await.ok();

    set_read_only(&market.servers, true).await;
    market.broker.publish(market.partitions, &commands).await;
    // Long enough for several tries.
    eventually("the worker pauses", || async {
        (worker.logged().matches("lets go of everything").count() >= 4).then_some(())
    })
    .await;
    assert!(worker.logged().contains("read-only"), "it says why");
    // Whoever answers at this address after a failover is reached by the next connection.
    let before = wire.accepted();
    eventually("connections of the API are replaced, again and again", || async {
        sign_up("during").await.refused(503, 5005);
        (wire.accepted() >= before + 3).then_some(())
    })
    .await;
    visitor.get("/api/products").await.ok();
    assert_eq!(market.count("done").await, 0);
    assert_eq!(market.broker.depth("dead.bid").await, 0);

    set_read_only(&market.servers, false).await;
    all_done_once(&market, &commands).await;
    eventually("users sign up again", || async { sign_up("after").await.is(200, 0).then_some(()) }).await;
    assert!(worker.is_running() && api.is_running());
}
