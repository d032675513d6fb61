//! Pictures that nobody needs are destroyed, and no other.

use acceptance::{
    Market,
    process::metric,
    visitor::{PNG, start_api},
    wait::eventually,
};
use contracts::{CommandId, UserId};
use platform::pictures::gifticon_key;
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

const DAY: Duration = Duration::from_hours(24);

/// A picture whose command has a row in `state`, or none, stored so long ago.
async fn picture(market: &Market, name: &str, state: Option<&str>, age: Duration) -> PathBuf {
    let command = CommandId::derived(UserId(1), "sell", name);
    if let Some(state) = state {
        sqlx::query(
            "INSERT INTO commands (command_id, kind, user_id, fingerprint, state, result_code, data, attempts, accepted_at_ms, \
             updated_at_ms) VALUES (?, 'place_sell_bid', 1, REPEAT('0', 32), ?, 0, '{}', 1, 1, ?)",
        )
        .bind(command.bytes().to_vec())
        .bind(state)
        .bind(market.now().plus_ms(-i64::try_from(age.as_millis()).unwrap()).0)
        .execute(&market.database)
        .await
        .unwrap();
    }
    let random = u128::from_be_bytes(command.bytes());
    let path = market.folder().join("pictures").join(gifticon_key(command, random, "png"));
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, PNG).unwrap();
    grow_old(&path, age);
    path
}

fn grow_old(path: &Path, age: Duration) {
    std::fs::File::options().write(true).open(path).unwrap().set_modified(SystemTime::now() - age).unwrap();
}

async fn path_of(market: &Market, where_: &'static str) -> PathBuf {
    let key: String = sqlx::query_scalar(where_).fetch_one(&market.database).await.unwrap();
    market.folder().join("pictures").join(key)
}

#[tokio::test]
async fn pictures_go_when_nobody_needs_them_and_stay_while_a_command_may() {
    let mut market = Market::new("api_sweeping").await;
    market.set("GREAM__SCHEDULER__SWEEP_INTERVAL_MS", "5");
    market.set("GREAM__SCHEDULER__SWEEP_GRACE_MS", 0);
    let (_api, visitor) = start_api(&market).await;
    let worker = market.worker(&["bid", "relay"]).await;
    let (alice, bob) = (visitor.join("alice").await, visitor.join("bobby").await);
    market.product(1).await;
    let sell = async |price: &str| alice.upload("/api/sell/1", &[("price", price)], PNG).await.ok()["sellId"].clone();
    let (_open, sold, cancelled) = (sell("3000").await, sell("4000").await, sell("5000").await);
    bob.post("/api/buy/1/now", &serde_json::json!({"price": 4000})).await.ok();
    alice.delete(&format!("/api/sell/bid/{cancelled}")).await.ok();
    alice.upload("/api/sell/1/now", &[("price", "1")], PNG).await.refused(404, 3001);
    drop((worker, sold));

    let of_bid = |state: &'static str| match state {
        "open" => "SELECT g.picture_key FROM gifticons g JOIN bids b USING (bid_id) WHERE b.state = 'open'",
        "traded" => "SELECT g.picture_key FROM gifticons g JOIN bids b USING (bid_id) WHERE b.state = 'traded'",
        _ => "SELECT g.picture_key FROM gifticons g JOIN bids b USING (bid_id) WHERE b.state = 'cancelled'",
    };
    let needed = [
        path_of(&market, of_bid("open")).await,
        path_of(&market, of_bid("traded")).await,
        picture(&market, "a dead letter", Some("suspended"), 400 * DAY).await,
        picture(&market, "under way", Some("executing"), 400 * DAY).await,
        picture(&market, "on its queue", None, 44 * DAY).await,
        picture(&market, "given up, which can be undone", Some("discarded"), 29 * DAY).await,
    ];
    let unneeded = [
        path_of(&market, of_bid("cancelled")).await,
        picture(&market, "refused", Some("rejected"), Duration::ZERO).await,
        picture(&market, "given up", Some("discarded"), 31 * DAY).await,
        picture(&market, "never accepted", None, 46 * DAY).await,
    ];
    let files = || walk(&market.folder().join("pictures/gifticons"));
    // With the one of the refused sale, whose name nobody knows any more.
    assert_eq!(files(), needed.len() + unneeded.len() + 1);

    let mut scheduler = market.spawn(&["scheduler"]);
    let admin = scheduler.ready().await;
    eventually("unneeded pictures are gone", || async { (files() == needed.len()).then_some(()) }).await;
    assert!(unneeded.iter().all(|path| !path.exists()));
    let looks = metric(&admin, "gream_scheduler_runs_total").await;
    eventually("every folder was looked into once more", || async {
        (metric(&admin, "gream_scheduler_runs_total").await > looks + 600.0).then_some(())
    })
    .await;
    assert!(needed.iter().all(|path| path.exists()), "{needed:?}");
    assert_eq!(market.number("SELECT COUNT(*) FROM gifticons WHERE picture_swept_at_ms IS NOT NULL").await, 1);
    // Not at rest: some commands never end here.
    let report = operator::audit(&market.audit_sources()).await.unwrap();
    assert!(report.holds(), "{report:?}");
}

/// How many files there are.
fn walk(folder: &std::path::Path) -> usize {
    let folders = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    folders.map(|folder| std::fs::read_dir(folder).unwrap().count()).sum()
}

#[tokio::test]
async fn a_refused_product_s_picture_goes_and_a_listed_one_s_stays() {
    let mut market = Market::new("api_sweeping_products").await;
    market.set("GREAM__SCHEDULER__SWEEP_INTERVAL_MS", "5");
    market.set("GREAM__SCHEDULER__SWEEP_GRACE_MS", 0);
    let (_api, visitor) = start_api(&market).await;
    let admin = visitor.join_as_administrator(&market, "admin").await;
    let add = async || {
        let fields = [("brand", "카페"), ("name", "latte"), ("description", ""), ("price", "4500")];
        admin.upload("/api/admin/products", &fields, PNG).await
    };
    let folder = market.folder().join("pictures/products");
    let files =
        || -> BTreeSet<PathBuf> { std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect() };
    add().await.ok();
    let listed = files();
    add().await.refused(400, 2002);
    add().await.refused(400, 2002);
    let left_behind: Vec<PathBuf> = files().difference(&listed).cloned().collect();
    let [old, fresh] = left_behind.as_slice() else { panic!("{left_behind:?}") };
    listed.iter().chain([old]).for_each(|path| grow_old(path, 2 * DAY));

    let mut scheduler = market.spawn(&["scheduler"]);
    let admin_address = scheduler.ready().await;
    eventually("the picture that was left behind is gone", || async { (!old.exists()).then_some(()) }).await;
    let looks = metric(&admin_address, "gream_scheduler_runs_total").await;
    eventually("every folder was looked into once more", || async {
        (metric(&admin_address, "gream_scheduler_runs_total").await > looks + 600.0).then_some(())
    })
    .await;
    assert!(fresh.exists() && listed.iter().all(|path| path.exists()));
    let shown = visitor.get("/api/products").await.ok()[0]["imageUrl"].as_str().unwrap().to_owned();
    let shown = format!("{}/api/{}", visitor.base, shown.split_once("/api/").unwrap().1);
    assert_eq!(visitor.client.get(shown).send().await.unwrap().status(), 200);
}
