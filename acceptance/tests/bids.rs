//! Bid commands from their queue to their commit, by real worker processes.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use acceptance::{
    Market,
    broker::header,
    commands::{WEEK_MS, buy, cancel, envelope, sell},
    wait::{becomes, eventually},
};
use contracts::{
    Command, CommandId, DeadLetterReason, Envelope, Picture, Side, UserId, Won,
    dead_letter::{HEADER_ATTEMPTS, HEADER_COMMAND_ID, HEADER_NEXT, HEADER_ORIGIN, HEADER_REASON},
    topology::{COMMANDS_EXCHANGE, REPLAY_QUEUE, origin, routing_key},
};

const DEAD: &str = "dead.bid";

#[tokio::test]
async fn bids_meet_and_money_and_gifticon_change_hands() {
    let market = Market::new("bids_meet").await;
    let (buyer, seller, product) = (market.user(1, 10_000).await, market.user(2, 0).await, market.product(1).await);
    let _worker = market.worker(&["bid", "relay"]).await;
    let now = market.now();
    let commands = [
        sell("s1", seller, product, 4_000, now),
        buy("b1", buyer, product, 4_500, now),
        buy("b2", buyer, product, 3_000, now),
        buy("b3", buyer, product, 9_000, now),
    ];
    market.broker.publish(market.partitions, &commands).await;
    becomes("four outcomes", (3, 1), || async { (market.count("done").await, market.count("rejected").await) }).await;
    assert_eq!(market.number("SELECT price FROM orders").await, 4_000, "at the resting bid's price");
    assert_eq!(market.number("SELECT available FROM balances WHERE user_id = 1").await, 3_000);
    assert_eq!(market.number("SELECT held FROM balances WHERE user_id = 1").await, 3_000);
    assert_eq!(market.number("SELECT available FROM balances WHERE user_id = 2").await, 4_000);
    let bid = market.number("SELECT bid_id FROM bids WHERE state = 'open'").await.unsigned_abs();
    market.broker.publish(market.partitions, &[cancel("c1", buyer, bid, Side::Buy, market.now())]).await;
    becomes("the hold is released", 0, || market.number("SELECT held FROM balances WHERE user_id = 1")).await;
    market.audit_holds().await;
}

#[tokio::test]
async fn a_command_is_carried_out_once_however_often_it_comes() {
    let market = Market::new("duplicates").await;
    let (buyer, product) = (market.user(1, 10_000).await, market.product(1).await);
    let command = buy("b1", buyer, product, 1_000, market.now());
    // Before a worker runs, so that all of them lie in one batch; afterwards, so that they come in another.
    market.broker.publish(market.partitions, &vec![command.clone(); 50]).await;
    let _worker = market.worker(&["bid"]).await;
    market.reaches(command.id, "done").await;
    market.broker.publish(market.partitions, &vec![command.clone(); 50]).await;
    let key = routing_key(&command.command, market.partitions).unwrap();
    let sentinel = buy("b2", buyer, product, 1, market.now());
    market.broker.publish(market.partitions, std::slice::from_ref(&sentinel)).await;
    market.reaches(sentinel.id, "done").await;
    becomes("an empty queue", 0, || market.broker.depth(&key)).await;
    assert_eq!(market.number("SELECT COUNT(*) FROM bids").await, 2);
    assert_eq!(market.number("SELECT held FROM balances WHERE user_id = 1").await, 1_001);
    market.audit_holds().await;
}

#[tokio::test]
async fn a_command_met_too_late_is_rejected_as_expired() {
    let market = Market::new("too_late").await;
    let (buyer, product) = (market.user(1, 10_000).await, market.product(1).await);
    let mut late = buy("b1", buyer, product, 1_000, market.now());
    late.valid_until = Some(market.now().plus_ms(-1));
    market.broker.publish(market.partitions, std::slice::from_ref(&late)).await;
    let _worker = market.worker(&["bid"]).await;
    market.reaches(late.id, "rejected").await;
    assert_eq!(market.number("SELECT result_code FROM commands WHERE kind = 'place_buy_bid'").await, 5010);
    assert_eq!(market.number("SELECT COUNT(*) FROM bids").await, 0);
    market.audit_holds().await;
}

#[tokio::test]
async fn bids_past_their_deadline_are_retired_by_any_number_of_schedulers() {
    let market = Market::new("expiry").await;
    let (buyer, seller, product) = (market.user(1, 10_000).await, market.user(2, 0).await, market.product(1).await);
    let _worker = market.worker(&["bid", "relay"]).await;
    let (_first, _second) = (market.worker(&["scheduler"]).await, market.worker(&["scheduler"]).await);
    let now = market.now();
    let commands = [buy("b", buyer, product, 1_000, now), sell("s", seller, product, 5_000, now)];
    market.broker.publish(market.partitions, &commands).await;
    becomes("two open bids", 2, || market.number("SELECT COUNT(*) FROM bids WHERE state = 'open'")).await;
    market.advance_clock(WEEK_MS - 60_000);
    let still = buy("b2", buyer, product, 1, market.now());
    market.broker.publish(market.partitions, std::slice::from_ref(&still)).await;
    market.reaches(still.id, "done").await;
    assert_eq!(market.number("SELECT COUNT(*) FROM bids WHERE state = 'open'").await, 3, "not a moment too early");
    market.advance_clock(120_000);
    becomes("both expired", 2, || market.number("SELECT COUNT(*) FROM bids WHERE state = 'expired'")).await;
    assert_eq!(market.number("SELECT held FROM balances WHERE user_id = 1").await, 1);
    becomes("an empty outbox", 0, || market.number("SELECT COUNT(*) FROM outbox")).await;
    market.audit_holds().await;
}

#[tokio::test]
async fn poison_is_set_aside_and_the_good_go_on_in_order() {
    let market = Market::new("poison").await;
    let (seller, product) = (market.user(1, 0).await, market.product(1).await);
    let now = market.now();
    let mut commands: Vec<Envelope> = (0..40).map(|n| sell(&format!("s{n}"), seller, product, 1_000, now)).collect();
    // Longer than its column: the database refuses the whole batch that it is in.
    let picture = Picture { key: "x".repeat(300), sha256: "00".repeat(32), ..Picture::default() };
    let poison = envelope(
        "poison",
        seller,
        now,
        Command::PlaceSellBid { product, price: Won(1_000), period_days: 7, deadline: now.plus_ms(WEEK_MS), picture },
    );
    commands.insert(17, poison.clone());
    let market = {
        let mut market = market;
        market.set("GREAM__MARKET__MAX_OPEN_BIDS_PER_USER_AND_PRODUCT", 1_000);
        market
    };
    market.broker.publish(market.partitions, &commands).await;
    let _worker = market.worker(&["bid"]).await;
    becomes("forty outcomes", 40, || market.count("done")).await;
    market.reaches(poison.id, "suspended").await;
    let letter = eventually("the dead letter", || market.broker.take(DEAD)).await.delivery;
    let key = routing_key(&poison.command, market.partitions).unwrap();
    assert_eq!(header(&letter, HEADER_REASON).as_deref(), Some(DeadLetterReason::OutOfAttempts.as_str()));
    assert_eq!(header(&letter, HEADER_ATTEMPTS).as_deref(), Some("3"));
    assert_eq!(header(&letter, HEADER_ORIGIN), Some(origin(&key)));
    assert_eq!(header(&letter, HEADER_COMMAND_ID), Some(poison.id.to_string()));
    assert!(header(&letter, HEADER_NEXT).is_some());
    assert_eq!(letter.data, poison.encode(), "as it came");
    becomes("an empty queue", 0, || market.broker.depth(&key)).await;
    // Those before and behind it kept their order.
    let out_of_order = market
        .number("SELECT COUNT(*) FROM bids a JOIN bids b ON a.bid_id < b.bid_id AND a.placed_at_ms > b.placed_at_ms")
        .await;
    assert_eq!(out_of_order, 0);
}

#[tokio::test]
async fn what_is_no_command_is_set_aside_with_its_reason_and_can_be_replayed() {
    let market = Market::new("dead_letters").await;
    let (buyer, product) = (market.user(1, 10_000).await, market.product(1).await);
    let _worker = market.worker(&["bid", "relay"]).await;
    let good = buy("b1", buyer, product, 1_000, market.now());
    let key = routing_key(&good.command, market.partitions).unwrap();
    let other = market.partitions.all().map(contracts::topology::bid_queue).find(|queue| *queue != key).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&good.encode()).unwrap();
    let changed = |field: &str, value: serde_json::Value| {
        let mut json = json.clone();
        json[field] = value;
        json.to_string().into_bytes()
    };
    let cases: [(&str, Vec<u8>, DeadLetterReason); 5] = [
        (&key, b"not json".to_vec(), DeadLetterReason::Undecodable),
        (&key, changed("version", 99.into()), DeadLetterReason::UnknownVersion),
        (&key, changed("kind", "teleport".into()), DeadLetterReason::UnknownKind),
        (&key, changed("fingerprint", "00".repeat(32).into()), DeadLetterReason::Undecodable),
        (&other, good.encode(), DeadLetterReason::WrongQueue),
    ];
    for (queue, payload, reason) in cases {
        market.broker.publish_bytes(COMMANDS_EXCHANGE, queue, &payload, &[]).await;
        let letter = eventually("the dead letter", || market.broker.take(DEAD)).await.delivery;
        assert_eq!(header(&letter, HEADER_REASON).as_deref(), Some(reason.as_str()));
        assert_eq!(letter.data, payload, "as it came");
        assert_eq!(header(&letter, HEADER_ORIGIN), Some(origin(queue)));
    }
    market.reaches(good.id, "suspended").await;
    // The page's 'move messages' blanks exchange and routing key; the origin header finds the way.
    let headers = [(HEADER_ORIGIN, origin(&key))];
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    market.broker.publish_bytes("", REPLAY_QUEUE, &good.encode(), &headers).await;
    market.reaches(good.id, "done").await;
    assert_eq!(market.number("SELECT COUNT(*) FROM bids WHERE state = 'open'").await, 1);
    // A replay of what is done does nothing.
    market.broker.publish_bytes("", REPLAY_QUEUE, &good.encode(), &headers).await;
    becomes("an empty replay queue", 0, || market.broker.depth(REPLAY_QUEUE)).await;
    market.broker.publish_bytes("", REPLAY_QUEUE, b"?", &[]).await;
    let letter = eventually("the dead letter", || market.broker.take(DEAD)).await.delivery;
    assert_eq!(header(&letter, HEADER_REASON).as_deref(), Some(DeadLetterReason::NoOrigin.as_str()));
    market.audit_holds().await;
}

#[tokio::test]
async fn two_workers_share_the_partitions_and_the_order_stays() {
    let mut market = Market::new("sharing").await;
    market.set("GREAM__BID_WORKER__PRESENCE_INTERVAL_MS", 200);
    let (buyer, seller) = (market.user(1, 50_000_000).await, market.user(2, 0).await);
    let mut products = Vec::new();
    for id in 1..=8 {
        products.push(market.product(id).await);
    }
    let first = market.worker(&["bid"]).await;
    let second = market.worker(&["bid"]).await;
    let _relay = market.worker(&["relay"]).await;
    let mut round = 0;
    // The first has everything until it learns of the second and gives the surplus up, while commands go on.
    eventually("both own partitions", || {
        round += 1;
        let (market, products, pids) = (&market, &products, [first.pid(), second.pid()]);
        async move {
            let now = market.now();
            let commands: Vec<Envelope> = products
                .iter()
                .flat_map(|product| {
                    [
                        sell(&format!("s{round}-{product}"), seller, *product, 1_000, now),
                        buy(&format!("b{round}-{product}"), buyer, *product, 1_000, now),
                    ]
                })
                .collect();
            market.broker.publish(market.partitions, &commands).await;
            let last = commands.last().unwrap().id;
            eventually("the round ends", || async { market.state(last).await }).await;
            let owners: Vec<String> =
                sqlx::query_scalar("SELECT owner FROM partitions").fetch_all(&market.database).await.unwrap();
            let of = |pid: u32| owners.iter().filter(|owner| owner.contains(&format!("-{pid}-"))).count();
            pids.iter().all(|pid| of(*pid) == 2).then_some(())
        }
    })
    .await;
    assert_eq!(market.count("rejected").await, 0);
    // Each round's sell came first and met its buy: nothing overtook anything during the hand-over.
    becomes("every buy met its sell", 8 * round, || market.number("SELECT COUNT(*) FROM orders")).await;
    market.audit_holds().await;
}

#[tokio::test]
async fn an_unknown_user_or_product_is_refused_and_never_poison() {
    let market = Market::new("unknowns").await;
    let (buyer, product) = (market.user(1, 10_000).await, market.product(1).await);
    let _worker = market.worker(&["bid"]).await;
    let now = market.now();
    let commands = [
        buy("b1", UserId(999), product, 1_000, now),
        buy("b2", buyer, contracts::ProductId(999), 1_000, now),
        cancel("c1", buyer, (77 << 8) | 1, Side::Buy, now),
    ];
    let ids: Vec<CommandId> = commands.iter().map(|command| command.id).collect();
    market.broker.publish(market.partitions, &commands).await;
    for id in ids {
        market.reaches(id, "rejected").await;
    }
    market.audit_holds().await;
}

#[tokio::test]
async fn outbox_rows_that_cannot_be_published_hold_nobody_up() {
    let mut market = Market::new("outbox_stuck").await;
    market.set("GREAM__RELAY__BATCH_MAX", 5);
    // More than two batches for a queue that is not there; behind them, one command that has a queue.
    let nowhere = buy("nowhere", market.user(1, 1_000).await, market.product(1).await, 100, market.now());
    for _ in 0..12 {
        leave_in_outbox(&market, "bid.99", &nowhere).await;
    }
    let command = buy("behind", contracts::UserId(1), contracts::ProductId(1), 100, market.now());
    let key = routing_key(&command.command, market.partitions).unwrap();
    leave_in_outbox(&market, &key, &command).await;
    let _worker = market.worker(&["bid", "relay"]).await;
    market.reaches(command.id, "done").await;
    assert_eq!(market.number("SELECT COUNT(*) FROM outbox WHERE routing_key = 'bid.99'").await, 12, "they stay");
    // Once there is a way, they leave too.
    market.broker.declare_bound("late", "bid.99").await;
    becomes("an empty outbox", 0, || market.number("SELECT COUNT(*) FROM outbox")).await;
    becomes("their queue", 12, || market.broker.depth("late")).await;
}

async fn leave_in_outbox(market: &Market, routing_key: &str, command: &Envelope) {
    let sql = "INSERT INTO outbox (exchange_name, routing_key, payload, created_at_ms) VALUES (?, ?, ?, ?)";
    sqlx::query(sql)
        .bind(COMMANDS_EXCHANGE)
        .bind(routing_key)
        .bind(String::from_utf8(command.encode()).unwrap())
        .bind(market.now().0)
        .execute(&market.database)
        .await
        .unwrap();
}
