//! Discarding, and undoing it; killed in between, nothing is lost.

use crate::stage::{DEAD, Stage};
use acceptance::wait::{becomes, eventually};

#[tokio::test]
async fn a_discarded_letter_is_kept_and_comes_back() {
    let stage = Stage::new("dlq_discarded").await;
    let poison = stage.poisoned(2).await;
    stage.market.broker.publish_bytes("gream.dead", "bid", b"garbage", &[]).await;
    stage.letters_become(3).await;
    let told = stage.ok(&["dlq", "discard", "--all", "--why", "nobody wants them"]).await;
    assert!(told.contains("3 of 3 letters are discarded"), "{told}");
    stage.letters_become(0).await;
    assert_eq!(stage.market.count("discarded").await, 2);
    stage.audit_holds().await;

    let id = poison[0].id.to_string();
    stage.ok(&["dlq", "restore", &id, "--why", "somebody wants it"]).await;
    stage.letters_become(1).await;
    stage.market.reaches(poison[0].id, "suspended").await;
    assert!(stage.refused(&["dlq", "restore", &id, "--why", "x"]).await.contains("no dead letter"));
    stage.mend().await;
    stage.ok(&["dlq", "replay", &id, "--why", "mended"]).await;
    stage.market.reaches(poison[0].id, "done").await;
    assert_eq!(stage.market.state(poison[1].id).await.as_deref(), Some("discarded"));
    assert_eq!(stage.bids().await, 1);
    // One without an id is named by its letter's digits.
    let key: Vec<u8> = sqlx::query_scalar("SELECT letter_key FROM discarded_letters WHERE command_id IS NULL")
        .fetch_one(&stage.market.database)
        .await
        .unwrap();
    let key = key.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    stage.ok(&["dlq", "restore", &key, "--why", "to look at it"]).await;
    let shown = stage.json(&["dlq", "show", &key]).await;
    assert_eq!(shown[0]["letter"]["body"], "garbage");
    // The other one is deleted when nobody may want it any more.
    assert_eq!(stage.market.number("SELECT COUNT(*) FROM discarded_letters").await, 1);
    stage.market.advance_clock(31 * 86_400_000);
    let _scheduler = stage.market.worker(&["scheduler"]).await;
    becomes("it is forgotten", 0, || stage.market.number("SELECT COUNT(*) FROM discarded_letters")).await;
}

#[tokio::test]
async fn whoever_is_killed_while_discarding_or_restoring_leaves_one_too_much_and_none_too_few() {
    let stage = Stage::new("dlq_discard_killed").await;
    let poison = stage.poisoned(1).await.remove(0);
    let id = poison.id.to_string();
    let kill_at = async |point: &str, task: &str| {
        let file = stage.market.folder().join(point);
        let halt = [("GREAM__TEST__HALT_AT", point), ("GREAM__TEST__HALT_FILE", file.to_str().unwrap())];
        let mut victim = stage.market.spawn_with(&["dlq", task, &id, "--why", "x", "--as", "x"], &halt);
        eventually("it halts", || async { file.exists().then_some(()) }).await;
        victim.kill();
    };
    kill_at("dlq.discarded", "discard").await;
    stage.letters_become(1).await;
    stage.market.reaches(poison.id, "discarded").await;
    let shown = stage.json(&["dlq", "show", &id]).await;
    assert_eq!(shown[0]["prediction"]["prediction"], "already_ended");
    stage.ok(&["dlq", "discard", &id, "--why", "once more"]).await;
    stage.letters_become(0).await;
    kill_at("dlq.restored", "restore").await;
    stage.letters_become(1).await;
    stage.ok(&["dlq", "restore", &id, "--why", "once more"]).await;
    stage.market.reaches(poison.id, "suspended").await;
    stage.mend().await;
    stage.ok(&["dlq", "replay", "--all", "--why", "both copies"]).await;
    stage.market.reaches(poison.id, "done").await;
    becomes("no letter is left", 0, || stage.market.broker.depth(DEAD)).await;
    assert_eq!(stage.bids().await, 1);
    stage.audit_holds().await;
}
