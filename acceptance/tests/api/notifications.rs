//! What users are told: numbered, once, in order, to them alone; as a list and as a stream that resumes.

use acceptance::{
    Market, Visitor,
    sse::Stream,
    visitor::{PNG, send, start_api},
    wait::{becomes, eventually},
};
use contracts::{
    CommandId, UserId, Won,
    event::{Caused, Event},
    topology::EVENTS_EXCHANGE,
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const STREAM: &str = "/api/notifications/stream";
const DAY_MS: i64 = 86_400_000;

async fn number_of(market: &Market, login_id: &str) -> UserId {
    let read = sqlx::query_scalar::<_, i64>("SELECT user_id FROM users WHERE login_id = ?").bind(login_id);
    UserId(read.fetch_one(&market.database).await.unwrap().unsigned_abs())
}

fn charged(market: &Market, user: UserId, order: &str) -> Vec<u8> {
    let event = Event::ChargeConfirmed { order_id: order.to_owned(), user, amount: Won(100), at: market.now() };
    serde_json::to_vec(&Caused { command_id: CommandId::derived(user, "charge", order), event }).unwrap()
}

/// Tells events as the relay does, each `times`.
async fn tell(market: &Market, user: UserId, orders: std::ops::Range<i64>, times: usize) {
    for order in orders {
        let payload = charged(market, user, &format!("order-{order}"));
        for _ in 0..times {
            market.broker.publish_bytes(EVENTS_EXCHANGE, "charge.confirmed", &payload, &[]).await;
        }
    }
}

async fn list(visitor: &Visitor) -> Value {
    visitor.get("/api/notifications").await.ok()
}

#[tokio::test]
async fn a_trade_is_told_to_both_sides_and_to_nobody_else() {
    let market = Market::new("notify_trade").await;
    let _worker = market.worker(&["bid", "relay", "notifier"]).await;
    let (_api, visitor) = start_api(&market).await;
    market.product(1).await;
    let (alice, bob, mallory) =
        (visitor.join("alice").await, visitor.join("bobby").await, visitor.join("mallory").await);
    let mut told = Stream::open(&alice, STREAM, None).await;
    let mut mallorys = Stream::open(&mallory, STREAM, Some(0)).await;
    assert_eq!(told.next_of("ready").await, json!({"newest": 0}));
    alice.upload("/api/sell/1", &[("price", "500")], PNG).await.ok();
    let order = bob.post("/api/buy/1/now", &json!({"price": 500})).await.ok()["orderId"].clone();

    let event = told.next().await.unwrap();
    assert_eq!((event.id, event.name.as_str()), (Some(1), "trade.made"));
    let sold = json!({"orderId": order, "productId": 1, "price": 500, "side": "sell"});
    assert_eq!(event.data["data"], sold);
    let of_alice = list(&alice).await;
    assert_eq!(of_alice["unread"], 1);
    assert_eq!(of_alice["notifications"], json!([event.data]));
    becomes("Bob is told", json!("buy"), || async { list(&bob).await["notifications"][0]["data"]["side"].clone() })
        .await;

    let read = |number: i64| json!({"number": number});
    assert_eq!(alice.post("/api/notifications/read", &read(7)).await.ok(), json!({"unread": 0}));
    assert_eq!(alice.post("/api/notifications/read", &read(0)).await.ok(), json!({"unread": 0}), "never back");
    assert_eq!(list(&alice).await["notifications"][0]["read"], true);
    assert_eq!(list(&bob).await["unread"], 1);
    assert_eq!(list(&mallory).await, json!({"unread": 0, "notifications": []}));
    // Mallory's own comes first.
    tell(&market, number_of(&market, "mallory").await, 1..2, 1).await;
    mallorys.next_of("ready").await;
    assert_eq!(mallorys.next().await.unwrap().name, "charge.confirmed");
}

#[tokio::test]
async fn repeats_are_told_once_and_a_stream_resumes_on_any_instance() {
    let market = Market::new("notify_repeats").await;
    let _notifiers = (market.worker(&["notifier"]).await, market.worker(&["notifier"]).await);
    let (_api, visitor) = start_api(&market).await;
    let (_other_api, other) = start_api(&market).await;
    let alice = visitor.join("alice").await;
    let elsewhere = Visitor { base: other.base.clone(), ..alice.clone() };
    let user = number_of(&market, "alice").await;
    let (mut here, mut there) =
        (Stream::open(&alice, STREAM, None).await, Stream::open(&elsewhere, STREAM, None).await);
    tell(&market, user, 0..120, 2).await;
    let all: Vec<i64> = (1..=120).collect();
    assert_eq!(here.numbers(120).await, all);
    assert_eq!(there.numbers(120).await, all);
    assert_eq!(market.number("SELECT COUNT(*) FROM notifications").await, 120);
    drop(here);
    // Nothing that is told meanwhile is missed.
    tell(&market, user, 100..130, 1).await;
    becomes("ten more", 130, || market.number("SELECT COUNT(*) FROM notifications")).await;
    let mut resumed = Stream::open(&elsewhere, STREAM, Some(100)).await;
    assert_eq!(resumed.numbers(30).await, (101..=130).collect::<Vec<i64>>());
    let page = elsewhere.get("/api/notifications?page=1&size=50").await.ok();
    assert_eq!((&page["unread"], &page["notifications"][0]["number"]), (&json!(130), &json!(80)));
    for wrong in ["-1", "x"] {
        send(alice.request("GET", STREAM).header("Last-Event-ID", wrong)).await.refused(400, 5001);
    }
}

#[tokio::test]
async fn a_notifier_that_is_killed_before_redis_knows_tells_once() {
    let market = Market::new("notify_killed").await;
    let (mut notifier, file) = market.halting_worker(&["notifier"], "notifier.committed");
    notifier.ready().await;
    let (_api, visitor) = start_api(&market).await;
    let alice = visitor.join("alice").await;
    let user = number_of(&market, "alice").await;
    let mut told = Stream::open(&alice, STREAM, None).await;
    tell(&market, user, 0..1, 1).await;
    eventually("the notifier halts", || async { file.exists().then_some(()) }).await;
    notifier.kill();
    // MySQL knows; nobody needs Redis, or a notifier, for that.
    assert_eq!(told.numbers(1).await, [1]);
    let _next = market.worker(&["notifier"]).await;
    tell(&market, user, 1..3, 1).await;
    assert_eq!(told.numbers(2).await, [2, 3]);
    becomes("all are acked", 0, || market.broker.depth("notifier")).await;
    assert_eq!(market.number("SELECT COUNT(*) FROM notifications").await, 3);
}

#[tokio::test]
async fn a_stream_ends_with_its_session_or_its_token_and_there_are_few_of_each_user() {
    let mut market = Market::new("notify_ends").await;
    market.set("GREAM__NOTIFICATIONS__SESSION_CHECK_MS", 100);
    market.set("GREAM__NOTIFICATIONS__STREAMS_PER_USER", 2);
    let (_api, visitor) = start_api(&market).await;
    let (_other_api, other) = start_api(&market).await;
    let alice = visitor.join("alice").await;
    let bob = visitor.join("bobby").await;
    let elsewhere = Visitor { base: other.base.clone(), ..alice.clone() };
    let mut streams = Vec::new();
    for _ in 0..2 {
        streams.push(Stream::open(&alice, STREAM, None).await);
    }
    alice.get(STREAM).await.refused(429, 5009);
    streams.push(Stream::open(&elsewhere, STREAM, None).await);
    let mut bobs = Stream::open(&bob, STREAM, None).await;
    alice.post("/api/users/logout", &json!({})).await.ok();
    for mut stream in streams {
        stream.next_of("end").await;
        assert_eq!(stream.next().await, None);
    }
    alice.get(STREAM).await.refused(401, 1004);
    market.advance_clock(61 * 60_000);
    bobs.next_of("end").await;
    // The access token is renewed in place; the places are free again.
    eventually("Bob's place is free", || async {
        let answer = bob.request("GET", STREAM).send().await.unwrap();
        (answer.status() == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn who_takes_nothing_is_let_go_and_loses_nothing() {
    let mut market = Market::new("notify_slow").await;
    market.set("GREAM__NOTIFICATIONS__SEND_TIMEOUT_MS", 500);
    market.set("GREAM__NOTIFICATIONS__STREAMS_PER_USER", 1);
    let (_api, visitor) = start_api(&market).await;
    let alice = visitor.join("alice").await;
    let user = number_of(&market, "alice").await;
    // More than sockets hold.
    let long = "x".repeat(4_000);
    for number in 1..=4_000_i64 {
        let payload = String::from_utf8(charged(&market, user, &format!("{long}{number}"))).unwrap();
        let insert = sqlx::query("INSERT INTO notifications VALUES (?, ?, ?, ?, ?)").bind(user.0).bind(number);
        let insert = insert.bind(format!("k{number}")).bind(payload).bind(market.now().0);
        insert.execute(&market.database).await.unwrap();
    }
    let counter = sqlx::query("INSERT INTO notification_counters VALUES (?, 4000, 0)").bind(user.0);
    counter.execute(&market.database).await.unwrap();
    let mut slow = tokio::net::TcpStream::connect(visitor.base.trim_start_matches("http://")).await.unwrap();
    let token = alice.access.clone().unwrap();
    let request = format!("GET {STREAM} HTTP/1.1\r\nHost: x\r\nAccess-Token: {token}\r\nLast-Event-ID: 0\r\n\r\n");
    slow.write_all(request.as_bytes()).await.unwrap();
    let mut head = [0; 12];
    slow.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200");
    // Nothing more is read.
    alice.get(STREAM).await.refused(429, 5009);
    eventually("the slow one is let go", || async {
        let answer = alice.request("GET", STREAM).header("Last-Event-ID", 3_998).send().await.unwrap();
        (answer.status() == 200).then_some(())
    })
    .await;
    let mut resumed = eventually("the place is free again", || async {
        let answer = alice.request("GET", STREAM).header("Last-Event-ID", 3_998).send().await.unwrap();
        (answer.status() == 200).then(|| Stream::of(answer))
    })
    .await;
    assert_eq!(resumed.numbers(2).await, [3_999, 4_000]);
}

#[tokio::test]
async fn old_ones_are_pruned_and_numbers_are_not_given_again() {
    let mut market = Market::new("notify_old").await;
    market.set("GREAM__SCHEDULER__CLEAN_UP_INTERVAL_MS", 200);
    let _worker = market.worker(&["notifier", "scheduler"]).await;
    let (_api, visitor) = start_api(&market).await;
    visitor.join("alice").await;
    let user = number_of(&market, "alice").await;
    tell(&market, user, 0..3, 1).await;
    becomes("told", 3, || market.number("SELECT COUNT(*) FROM notifications")).await;
    market.advance_clock(44 * DAY_MS);
    tell(&market, user, 3..4, 1).await;
    becomes("told", 4, || market.number("SELECT COUNT(*) FROM notifications")).await;
    market.advance_clock(2 * DAY_MS);
    becomes("pruned", 1, || market.number("SELECT COUNT(*) FROM notifications")).await;
    tell(&market, user, 4..5, 1).await;
    becomes("told", 5, || market.number("SELECT MAX(number) FROM notifications")).await;
    let alice = visitor.log_in("alice").await;
    assert_eq!(list(&alice).await["unread"], 2, "what is gone need not be read");
    // Redis has the old ones still; the API sees the moved clock within moments.
    becomes("only what is kept is told", vec![4, 5], || async {
        Stream::open(&alice, STREAM, Some(0)).await.numbers(2).await
    })
    .await;
}

#[tokio::test]
async fn who_never_looked_at_a_gifticon_is_told_once_before_it_expires() {
    let mut market = Market::new("notify_expiring").await;
    market.set("GREAM__NOTIFICATIONS__EXPIRING_INTERVAL_MS", 100);
    let (_api, visitor) = start_api(&market).await;
    let alice = visitor.join("alice").await;
    let user = number_of(&market, "alice").await;
    let now = market.now().0;
    // Soon; soon, but looked at; soon, but not sold; later; over.
    for (id, expires_at, is_sold) in [
        (1, now + DAY_MS, true),
        (2, now + DAY_MS, true),
        (3, now + DAY_MS, false),
        (4, now + 9 * DAY_MS, true),
        (5, now - 1, true),
    ] {
        sqlx::query("INSERT INTO gifticons (gifticon_id, owner_id, product_id, picture_key, picture_sha256, command_id, created_at_ms, expires_at_ms)
                     VALUES (?, ?, 1, '', REPEAT('0', 32), REPEAT('0', 16), 0, ?)")
            .bind(id).bind(user.0).bind(expires_at).execute(&market.database).await.unwrap();
        if is_sold {
            sqlx::query("INSERT INTO orders (order_id, product_id, buyer_id, seller_id, gifticon_id, price, final_price, fee, command_id, traded_at_ms)
                         VALUES (?, 1, ?, 0, ?, 1, 1, 0, REPEAT('0', 16), 0)")
                .bind(id).bind(user.0).bind(id).execute(&market.database).await.unwrap();
        }
    }
    let reveal = sqlx::query("INSERT INTO gifticon_reveals (gifticon_id, user_id, revealed_at_ms) VALUES (2, ?, 0)")
        .bind(user.0);
    reveal.execute(&market.database).await.unwrap();
    let roles = ["relay", "notifier", "scheduler"];
    let _workers = (market.worker(&roles).await, market.worker(&roles).await);
    becomes("one is told", 1, || market.number("SELECT COUNT(*) FROM notifications")).await;
    assert_eq!(list(&alice).await["notifications"][0]["data"]["gifticonId"], 1);
    market.advance_clock(7 * DAY_MS);
    becomes("the later one too", 2, || market.number("SELECT COUNT(*) FROM notifications")).await;
    assert_eq!(market.number("SELECT COUNT(*) FROM gifticons WHERE expiry_told_at_ms IS NOT NULL").await, 2);
}

#[tokio::test]
async fn watchers_of_a_product_see_levels_and_trades_as_they_change() {
    let mut market = Market::new("notify_product").await;
    market.set("GREAM__PRODUCT_STREAMS__INTERVAL_MS", 100);
    market.set("GREAM__PRODUCT_STREAMS__STREAMS_MAX", 3);
    let _worker = market.worker(&["bid"]).await;
    let (_api, visitor) = start_api(&market).await;
    market.product(1).await;
    let (alice, bob) = (visitor.join("alice").await, visitor.join("bobby").await);
    let path = "/api/products/1/stream";
    let mut watchers = [Stream::open(&visitor, path, None).await, Stream::open(&visitor, path, None).await];
    for watcher in &mut watchers {
        assert_eq!(watcher.next_of("levels").await, json!({"sell": [], "buy": []}));
    }
    alice.upload("/api/sell/1", &[("price", "500")], PNG).await.ok();
    for watcher in &mut watchers {
        assert_eq!(watcher.next_of("levels").await["sell"], json!([{"sellPrice": 500, "quantity": 1}]));
    }
    let order = bob.post("/api/buy/1/now", &json!({"price": 500})).await.ok()["orderId"].clone();
    for watcher in &mut watchers {
        let trade = watcher.next_of("trade").await;
        assert_eq!((&trade["id"], &trade["finalPrice"]), (&order, &json!(500)));
    }
    // Who comes later sees what is, and no old trades.
    let mut late = Stream::open(&visitor, path, None).await;
    assert_eq!(late.next_of("levels").await, json!({"sell": [], "buy": []}));
    visitor.get(path).await.refused(503, 5005);
    bob.post("/api/buy/1", &json!({"price": 90})).await.ok();
    assert_eq!(late.next().await.unwrap().data["buy"], json!([{"buyPrice": 90, "quantity": 1}]));
    visitor.get("/api/products/999/stream").await.refused(404, 2001);
}
