//! Gifticons are bearer money: what is taken in, what is kept, who sees it, and that none is sold twice.

use acceptance::{
    Market,
    process::Process,
    s3::S3,
    visitor::{Answer, PNG, Visitor, start_api},
    voucher,
    wait::eventually,
};
use serde_json::Value;

const DAY_MS: i64 = 86_400_000;

async fn sell(seller: &Visitor, product: u64, price: &str, picture: &[u8]) -> Answer {
    seller.upload(&format!("/api/sell/{product}"), &[("price", price)], picture).await
}

/// The key under which the newest gifticon's picture is kept.
async fn newest_key(market: &Market) -> String {
    sqlx::query_scalar("SELECT picture_key FROM gifticons ORDER BY created_at_ms DESC, gifticon_id DESC LIMIT 1")
        .fetch_one(&market.database)
        .await
        .unwrap()
}

#[tokio::test]
async fn the_same_voucher_is_on_offer_once_and_never_after_it_was_sold() {
    let market = Market::new("api_vouchers").await;
    let (_api, visitor) = start_api(&market).await;
    let _worker = market.worker(&["bid", "relay"]).await;
    let (alice, bob) = (visitor.join("alice").await, visitor.join("bobby").await);
    // Products of different partitions, so of different queues and workers' lanes.
    let partition = |product| market.partitions.of_product(contracts::ProductId(product));
    let other = (2..100).find(|product| partition(*product) != partition(1)).unwrap();
    for product in [1, other] {
        market.product(product).await;
    }
    let offer = sell(&alice, 1, "4000", &voucher::png("9876543210123456")).await.ok();
    // Another file, another format, another kind of code, gaps between the digits; another product, person and price.
    let same = voucher::jpeg("9876 5432 1012 3456");
    sell(&bob, other, "100", &same).await.refused(409, 4004);
    sell(&alice, 1, "4000", &same).await.refused(409, 4004);
    alice.post("/api/buy/1", &serde_json::json!({"price": 50})).await.ok();
    bob.upload("/api/sell/1/now", &[("price", "50")], &same).await.refused(409, 4004);
    sell(&bob, other, "100", &voucher::png("1111222233334444")).await.ok();

    alice.delete(&format!("/api/sell/bid/{}", offer["sellId"])).await.ok();
    sell(&bob, other, "5000", &same).await.ok();
    sell(&alice, 1, "4000", &voucher::png("9876543210123456")).await.refused(409, 4004);
    alice.post(&format!("/api/buy/{other}/now"), &serde_json::json!({"price": 5000})).await.ok();
    for product in [1, other] {
        sell(&alice, product, "4000", &same).await.refused(409, 4004);
        sell(&bob, product, "4000", &same).await.refused(409, 4004);
    }
    assert_eq!(market.number("SELECT COUNT(*) FROM barcode_claims").await, 2);
    market.audit_holds().await;
}

/// Two workers, two partitions, the same voucher at the same moment, many times: one of each pair is taken.
#[tokio::test]
async fn of_offers_at_the_same_moment_one_wins() {
    const PAIRS: u64 = 40;
    let market = Market::new("api_vouchers_race").await;
    let _workers = (market.worker(&["bid", "relay"]).await, market.worker(&["bid", "relay"]).await);
    let (one, other) = (market.user(1, 0).await, market.user(2, 0).await);
    let mut commands = Vec::new();
    for product in 1..=8 {
        market.product(product).await;
    }
    for n in 0..PAIRS {
        for (user, product) in [(one, n % 8 + 1), (other, (n + 3) % 8 + 1)] {
            let product = contracts::ProductId(product);
            let mut sell =
                acceptance::commands::sell(&format!("{n}-{user}"), user, product, 1_000, market.now()).command;
            if let contracts::Command::PlaceSellBid { picture, .. } = &mut sell {
                picture.barcode = Some(contracts::BarcodeHash([u8::try_from(n).unwrap(); 32]));
            }
            commands.push(acceptance::commands::envelope(&format!("{n}-{user}"), user, market.now(), sell));
        }
    }
    market.broker.publish(market.partitions, &commands).await;
    let ended = "SELECT COUNT(*) FROM commands WHERE kind = 'place_sell_bid' AND state IN ('done', 'rejected')";
    eventually("all have ended", || async {
        (market.number(ended).await == i64::try_from(2 * PAIRS).unwrap()).then_some(())
    })
    .await;
    // Some are refused for their number of open bids; whoever claimed a voucher has it, and nobody else.
    let taken = market.number("SELECT COUNT(*) FROM commands WHERE result_code = 4004").await;
    assert!(taken > 0 && taken <= i64::try_from(PAIRS).unwrap(), "{taken}");
    assert_eq!(
        market.number("SELECT COUNT(DISTINCT barcode_hash) FROM gifticons").await,
        market.number("SELECT COUNT(*) FROM gifticons").await
    );
    market.audit_holds().await;
}

#[tokio::test]
async fn a_picture_is_kept_without_metadata_and_shown_to_its_holder_who_is_noted() {
    let market = Market::new("api_reveals").await;
    let (_api, visitor) = start_api(&market).await;
    let _worker = market.worker(&["bid", "relay"]).await;
    let (alice, bob) = (visitor.join("alice").await, visitor.join("bobby").await);
    market.product(1).await;
    let sent = voucher::jpeg("9876543210123456");
    assert!(voucher::has_secret(&sent));
    sell(&alice, 1, "4000", &sent).await.ok();
    let kept = std::fs::read(market.folder().join("pictures").join(newest_key(&market).await)).unwrap();
    assert!(!voucher::has_secret(&kept) && kept.len() > 1_000 && kept.len() < sent.len());
    assert_eq!((voucher::turned(&sent), voucher::turned(&kept)), (voucher::TURNED, voucher::TURNED));

    let address = |list: &Value, field: &str| {
        let url = list[0][field].as_str().unwrap().to_owned();
        format!("/api/{}", url.split_once("/api/").unwrap().1)
    };
    let shown = async |path: &str| visitor.client.get(format!("{}{path}", visitor.base)).send().await.unwrap();
    let sellers = address(&alice.get("/api/sell/history/onprogress").await.ok(), "gifticonImageUrl");
    let answer = shown(&sellers).await;
    assert_eq!(answer.headers()["cache-control"], "private, no-store");
    assert_eq!(answer.bytes().await.unwrap(), kept);
    let ids: Vec<i64> =
        sqlx::query_scalar("SELECT user_id FROM users WHERE login_id IN ('alice', 'bobby') ORDER BY login_id")
            .fetch_all(&market.database)
            .await
            .unwrap();
    let forged = sellers.replace(&format!("for={}", ids[0]), &format!("for={}", ids[1]));
    assert_ne!(forged, sellers);
    visitor.get(&forged).await.refused(403, 5000);
    visitor.get(&sellers.replace("&s=", "&s=0")).await.refused(403, 5000);

    bob.post("/api/buy/1/now", &serde_json::json!({"price": 4000})).await.ok();
    let buyers = address(&bob.get("/api/buy/history/end").await.ok(), "gifticonUrl");
    assert_eq!(shown(&buyers).await.bytes().await.unwrap(), kept);
    // The address that the seller was given before the trade shows nothing any more, and none is given after it.
    visitor.get(&sellers).await.refused(403, 5000);
    let sold = alice.get("/api/sell/history/end").await.ok();
    assert!(!sold[0]["iamgeUrl"].as_str().unwrap().contains("gifticons"), "{sold}");

    let reveals: Vec<i64> = sqlx::query_scalar("SELECT user_id FROM gifticon_reveals ORDER BY reveal_id")
        .fetch_all(&market.database)
        .await
        .unwrap();
    assert_eq!(reveals, ids);
    market.advance_clock(16 * 60_000);
    eventually("the address ends", || async { (shown(&buyers).await.status() == 403).then_some(()) }).await;
}

#[tokio::test]
async fn what_is_no_sound_picture_is_refused_and_a_barcode_where_it_is_required() {
    let mut market = Market::new("api_pictures_in").await;
    let (_api, visitor) = start_api(&market).await;
    let _worker = market.worker(&["bid", "relay"]).await;
    let alice = visitor.join("alice").await;
    market.product(1).await;
    let sound = voucher::png("9876543210123456");
    for broken in [&sound[..sound.len() / 2], &sound[..40], &voucher::jpeg("1234567890")[..300], b"\x89PNG\r\n\x1a\n"] {
        sell(&alice, 1, "4000", broken).await.refused(400, 4003);
    }
    let mut huge = PNG.to_vec();
    // Its header: 16384 × 16384, and otherwise as the picture of one pixel.
    huge[16..24].copy_from_slice(&[0, 0, 0x40, 0, 0, 0, 0x40, 0]);
    sell(&alice, 1, "4000", &voucher::believable(huge)).await.refused(400, 4007);
    sell(&alice, 1, "4000", PNG).await.ok();

    market.set("GREAM__PICTURES__BARCODE_REQUIRED", "true");
    let (_strict, visitor) = start_api(&market).await;
    let alice = visitor.log_in("alice").await;
    sell(&alice, 1, "4000", PNG).await.refused(400, 4006);
    sell(&alice, 1, "4000", &sound).await.ok();
}

#[tokio::test]
async fn a_voucher_is_offered_until_its_own_end_at_most() {
    let market = Market::new("api_expires_on").await;
    let (_api, visitor) = start_api(&market).await;
    let _worker = market.worker(&["bid", "relay"]).await;
    let alice = visitor.join("alice").await;
    market.product(1).await;
    let sell = async |key: &str, expires_on: &str| {
        let form =
            acceptance::visitor::form(&[("price", "4000"), ("period", "7"), ("expiresOn", expires_on)], Some(PNG));
        acceptance::visitor::send(alice.request("POST", "/api/sell/1").header("Idempotency-Key", key).multipart(form))
            .await
    };
    sell("a", "2024-01-30").await.refused(409, 4005);
    sell("b", "30.01.2024").await.refused(400, 5001);
    alice.upload("/api/sell/1/now", &[("price", "4000"), ("expiresOn", "2024-01-30")], PNG).await.refused(409, 4005);

    // The day in Seoul after the next one.
    let day = |from_now: i64| {
        let days = (market.now().0 + 9 * 3_600_000).div_euclid(DAY_MS) + from_now;
        let date = time::Date::from_julian_day(i32::try_from(days).unwrap() + 2_440_588).unwrap();
        date.to_string()
    };
    let first = sell("c", &day(2)).await.ok();
    let deadlines = async || {
        let listed = alice.get("/api/sell/history/onprogress").await.ok();
        listed.as_array().unwrap().iter().map(|bid| bid["bidDeadlineAt"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(deadlines().await, [format!("{}T23:59:59.999999999", day(2)).as_str()]);
    assert_eq!(sell("c", &day(2)).await.ok(), first);
    sell("c", &day(3)).await.refused(422, 5004);
    // Beyond the period, the period counts.
    sell("d", &day(50)).await.ok();
    assert_eq!(deadlines().await[0], format!("{}T23:59:59.999999999", day(7)).as_str());

    // What was taken in stays taken in: its retry is the same command, however late, and a new one is refused.
    let ends = day(2);
    market.advance_clock(4 * DAY_MS);
    let alice = visitor.log_in("alice").await;
    let late = async |key: &str| {
        let form = acceptance::visitor::form(&[("price", "4000"), ("period", "7"), ("expiresOn", &ends)], Some(PNG));
        acceptance::visitor::send(alice.request("POST", "/api/sell/1").header("Idempotency-Key", key).multipart(form))
            .await
    };
    assert_eq!(late("c").await.ok(), first);
    late("e").await.refused(409, 4005);
    let _scheduler = market.worker(&["scheduler"]).await;
    market.audit_holds().await;
}

#[tokio::test]
async fn a_bucket_keeps_pictures_as_a_folder_does() {
    let mut market = Market::new("api_s3").await;
    let s3 = S3::start().await;
    s3.serve(&mut market);
    market.set("GREAM__SCHEDULER__SWEEP_INTERVAL_MS", "10");
    market.set("GREAM__SCHEDULER__SWEEP_GRACE_MS", 0);
    let (_api, visitor) = start_api(&market).await;
    let _worker = market.worker(&["bid", "relay", "scheduler"]).await;
    let alice = visitor.join("alice").await;
    market.product(1).await;
    let offer = sell(&alice, 1, "4000", &voucher::jpeg("9876543210123456")).await.ok();
    let key = newest_key(&market).await;
    let kept = s3.object(&market, &key).await.expect("it is in the bucket");
    assert_eq!(s3.without_key(&key).await, 403);
    assert!(!voucher::has_secret(&kept));
    assert!(!market.folder().join("pictures").exists());
    let url = alice.get("/api/sell/history/onprogress").await.ok()[0]["gifticonImageUrl"].as_str().unwrap().to_owned();
    let path = url.split_once("/api/").unwrap().1;
    let shown = visitor.client.get(format!("{}/api/{path}", visitor.base)).send().await.unwrap();
    assert_eq!(shown.bytes().await.unwrap(), kept);

    alice.delete(&format!("/api/sell/bid/{}", offer["sellId"])).await.ok();
    eventually("the picture of the cancelled offer is destroyed", || async {
        s3.object(&market, &key).await.is_none().then_some(())
    })
    .await;
    visitor.get(&format!("/api/{path}")).await.refused(404, 4002);

    // Another bucket, empty: not where this installation's pictures are.
    market.set("GREAM__PICTURES__S3__BUCKET", "another");
    reqwest::Client::new().put(format!("{}/another", s3.endpoint)).send().await.unwrap();
    refuses_to_start(&market, "is not where this installation keeps its pictures").await;
}

#[tokio::test]
async fn an_api_starts_while_its_bucket_is_away_and_ends_when_another_comes_back() {
    let mut market = Market::new("api_s3_away").await;
    let mut s3 = S3::start().await;
    s3.serve(&mut market);
    let (first, visitor) = start_api(&market).await;
    visitor.join("alice").await;
    market.product(1).await;
    drop(first);
    s3.stop();

    let (mut api, visitor) = start_api(&market).await;
    visitor.get("/api/products").await.ok();
    let alice = visitor.log_in("alice").await;
    sell(&alice, 1, "4000", &voucher::jpeg("9876543210123456")).await.refused(500, 7000);
    // It comes back with nothing in it.
    s3.start_again().await;
    has_ended(&mut api).await;
    assert!(api.logged().contains("is not where this installation keeps its pictures"), "{}", api.logged());
}

#[tokio::test]
async fn a_second_host_with_a_folder_of_its_own_does_not_start() {
    let mut market = Market::new("api_two_folders").await;
    let (_api, visitor) = start_api(&market).await;
    let (_beside_it, _) = start_api(&market).await;
    visitor.get("/api/products").await.ok();
    let folder = market.folder().join("pictures");
    let elsewhere = market.folder().join("elsewhere");
    market.set("GREAM__PICTURES__FOLDER", elsewhere.display());
    refuses_to_start(&market, "is not where this installation keeps its pictures").await;

    let mut another = Market::new("api_two_installations").await;
    another.set("GREAM__PICTURES__FOLDER", folder.display());
    refuses_to_start(&another, "holds another installation's pictures").await;
}

async fn refuses_to_start(market: &Market, why: &str) {
    let mut process = market.spawn(&["api"]);
    has_ended(&mut process).await;
    assert!(process.logged().contains(why), "{}", process.logged());
}

async fn has_ended(process: &mut Process) {
    eventually("the process ends", || {
        let ended = !process.is_running();
        async move { ended.then_some(()) }
    })
    .await;
}
