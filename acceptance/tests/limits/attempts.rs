//! The broker counts every delivery that was not acked against the message, whoever was to blame; Gream counts attempts
//! itself, and only those that ended their worker.

use acceptance::{
    Market,
    broker::header,
    commands::buy,
    wait::{becomes, eventually},
};
use contracts::{DeadLetterReason, Envelope, ProductId, UserId, dead_letter::HEADER_REASON};
use std::cell::Cell;

/// One command of each of eight products, all of one user.
async fn commands(market: &Market) -> Vec<Envelope> {
    let user = market.user(1, 1_000_000).await;
    let mut commands = Vec::new();
    for id in 1..=8 {
        let product = market.product(id).await;
        commands.push(buy(&format!("b{id}"), user, product, 10, market.now()));
    }
    commands
}

async fn attempts(market: &Market) -> i64 {
    market.number("SELECT CAST(MAX(attempts) AS SIGNED) FROM commands").await
}

#[tokio::test]
async fn a_database_that_fails_again_and_again_burns_no_attempt() {
    let mut market = Market::new("away_again").await;
    market.set("GREAM__BID_WORKER__LANES", 1);
    market.set("GREAM__BID_WORKER__MAX_ATTEMPTS", 1);
    let commands = commands(&market).await;
    // Whoever needs this balance waits, and is then cut off by the server: that is not the command's fault.
    let mut other = market.database.begin().await.unwrap();
    sqlx::query("SELECT * FROM balances WHERE user_id = 1 FOR UPDATE").fetch_one(&mut *other).await.unwrap();
    let worker = market.worker(&["bid", "relay"]).await;
    market.broker.publish(market.partitions, &commands).await;
    let cut_off = Cell::new(0);
    eventually("the lane was cut off again and again", || async {
        cut_off.set(cut_off.get() + market.cut_off(&["FROM balances", "FOR UPDATE"]).await);
        (cut_off.get() >= 6).then_some(())
    })
    .await;
    assert_eq!(market.count("suspended").await, 0);
    other.rollback().await.unwrap();
    becomes("every command is done", 8, || market.count("done")).await;
    assert_eq!(market.broker.depth("dead.bid").await, 0, "nothing was dead-lettered: {}", worker.logged());
    assert_eq!(attempts(&market).await, 1, "no attempt was burnt");
    market.audit_holds().await;
}

#[tokio::test]
async fn a_command_that_ends_its_workers_is_set_aside_and_its_neighbours_are_not() {
    let market = Market::new("killer").await;
    let commands = commands(&market).await;
    let suspect = &commands[0];
    market.broker.publish(market.partitions, std::slice::from_ref(suspect)).await;
    let neighbour = |n| buy(&format!("n{n}"), UserId(1), ProductId(1), 11, market.now());
    let neighbours: Vec<Envelope> = (0..5).map(neighbour).collect();
    market.broker.publish(market.partitions, &neighbours).await;
    let mut ended = 0;
    let _survivor = loop {
        // Whoever is carried out first, the suspect as long as it is there, halts its worker.
        let (mut worker, file) = market.halting_worker(&["bid", "relay"], "bid.locked");
        halted(&file).await;
        if market.state(suspect.id).await.as_deref() == Some("suspended") {
            std::fs::remove_file(&file).unwrap();
            break worker;
        }
        worker.kill();
        std::fs::remove_file(&file).unwrap();
        ended += 1;
        assert!(ended < 10, "it is never set aside");
    };
    // The first batch, then alone; from then on attempts are counted: three.
    assert_eq!(ended, 5);
    let letter = eventually("the dead letter", || market.broker.take("dead.bid")).await.delivery;
    assert_eq!(header(&letter, HEADER_REASON).as_deref(), Some(DeadLetterReason::OutOfAttempts.as_str()));
    assert_eq!(letter.data, suspect.encode());
    becomes("its neighbours are done", 5, || market.count("done")).await;
    assert_eq!(attempts(&market).await, 3, "of the suspect");
    assert_eq!(market.number("SELECT COUNT(*) FROM commands WHERE state = 'done' AND attempts > 1").await, 0);
}

async fn halted(file: &std::path::Path) {
    eventually("a command is being carried out", || async { file.exists().then_some(()) }).await;
}

#[tokio::test]
async fn a_batch_that_cannot_be_written_leaves_no_half_of_itself_behind() {
    let market = Market::new("no_half").await;
    let (user, product) = (market.user(1, 1_000_000).await, market.product(1).await);
    let now = market.now();
    let (first, stuck, last) =
        (buy("1", user, product, 10, now), buy("2", user, product, 20, now), buy("3", user, product, 30, now));
    let worker = market.worker(&["bid", "relay"]).await;
    market.broker.publish(market.partitions, std::slice::from_ref(&first)).await;
    market.reaches(first.id, "done").await;
    // Rows are in the way of the next bids: the last of a batch's statements fail, each time.
    let plant = "INSERT INTO bids (bid_id, side, product_id, user_id, price, hold, state, placed_at_ms, deadline_ms, command_id) \
                 SELECT bid_id + 256 * n, side, product_id, user_id, price, 0, 'cancelled', placed_at_ms, deadline_ms, command_id \
                 FROM bids JOIN (SELECT 1 n UNION SELECT 2 UNION SELECT 3 UNION SELECT 4) numbers";
    sqlx::query(plant).execute(&market.database).await.unwrap();
    market.broker.publish(market.partitions, std::slice::from_ref(&stuck)).await;
    eventually("the dead letter", || market.broker.take("dead.bid")).await;
    sqlx::query("DELETE FROM bids WHERE state = 'cancelled'").execute(&market.database).await.unwrap();
    market.broker.publish(market.partitions, std::slice::from_ref(&last)).await;
    market.reaches(last.id, "done").await;
    assert_eq!(market.state(stuck.id).await.as_deref(), Some("suspended"), "{}", worker.logged());
    assert_eq!(market.number("SELECT held FROM balances WHERE user_id = 1").await, 40, "of the first and the last");
    assert_eq!(market.number("SELECT COUNT(*) FROM bids").await, 2);
}
