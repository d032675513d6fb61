//! Replaying by the command line: by filter, at a rate, interrupted, and with nothing done twice.

use crate::{
    stage::{DEAD, Stage},
    thousand::{self, EXPIRING, FORGED, POISON, SHORT_MS, TOO_NEW},
};
use acceptance::wait::{becomes, eventually};
use contracts::{
    dead_letter::HEADER_ORIGIN,
    topology::{DEAD_EXCHANGE, REPLAY_QUEUE, origin, routing_key},
};
use serde_json::Value;
use std::time::Instant;

const FIXED: [&str; 4] = ["--reason", "out_of_attempts", "--kind", "place_sell_bid"];

#[tokio::test]
async fn a_thousand_letters_of_three_causes_are_grouped_and_the_mended_ones_replayed() {
    let stage = Stage::new("dlq_thousand").await;
    thousand::set_aside(&stage).await;
    let order = stage.order().await;

    let started = Instant::now();
    let listing = stage.json(&["dlq", "list"]).await;
    println!("listed 1000 letters in {:?}", started.elapsed());
    let groups: Vec<(i64, &str, &str)> = listing["groups"].as_array().unwrap().iter().map(group).collect();
    let sorted = [
        (POISON, "out_of_attempts", "place_sell_bid"),
        (FORGED, "undecodable", "place_buy_bid"),
        (TOO_NEW, "unknown_version", "place_buy_bid"),
    ];
    let mut found = groups.clone();
    found.sort_by_key(|group| std::cmp::Reverse((group.0, group.2)));
    assert_eq!(found.len(), 3, "{groups:?}");
    assert!(sorted.iter().all(|(count, reason, kind)| found.contains(&(i64::try_from(*count).unwrap(), reason, kind))));
    assert_eq!((&listing["letters"], &listing["unread"]), (&1_000.into(), &0.into()));
    assert!(listing["groups"][0]["oldest_ms"].as_i64().unwrap() >= listing["groups"][0]["newest_ms"].as_i64().unwrap());
    assert!(stage.order().await == order, "looking changes nothing");

    // Before the cause is mended a replay would do no good, and the operator sees which have expired meanwhile.
    stage.mend().await;
    stage.market.advance_clock(SHORT_MS + 1_000);
    let started = Instant::now();
    let dry_run = stage.json(&[&["dlq", "replay", "--dry-run"], &FIXED[..]].concat()).await;
    println!("dry run of {POISON} letters in {:?}", started.elapsed());
    assert_eq!(dry_run["counts"]["would apply"], POISON - EXPIRING);
    assert_eq!(dry_run["counts"]["would be rejected: CommandExpired"], EXPIRING);
    assert!(stage.order().await == order, "nor does a dry run");
    let all = stage.json(&["dlq", "replay", "--dry-run"]).await;
    assert_eq!(all["counts"]["would come back: unknown_version"], TOO_NEW);
    assert_eq!(all["counts"]["would come back: undecodable"], FORGED);

    let started = Instant::now();
    let replay = [&["dlq", "replay", "--why", "the column is wider now", "--rate", "10000"], &FIXED[..]].concat();
    let replayed = stage.json(&replay).await;
    println!("replayed {POISON} letters in {:?}", started.elapsed());
    assert_eq!((&replayed["selected"], &replayed["replayed"]), (&POISON.into(), &POISON.into()));
    let applied = i64::try_from(POISON - EXPIRING).unwrap();
    becomes("each applied", applied, || stage.bids()).await;
    println!("and carried out after {:?}", started.elapsed());
    becomes("the others expired", i64::try_from(EXPIRING).unwrap(), || stage.market.count("rejected")).await;
    assert_eq!(stage.market.broker.depth(DEAD).await, u32::try_from(TOO_NEW + FORGED).unwrap());
    stage.nothing_happened_twice().await;

    // Again there is nothing to do.
    let again = stage.json(&replay).await;
    assert_eq!(again["selected"], 0);
    let actions = stage.json(&["dlq", "actions"]).await;
    assert_eq!((&actions[1]["who"], &actions[1]["why"]), (&"tester".into(), &"the column is wider now".into()));
    assert_eq!((&actions[1]["selected"], &actions[1]["acted_on"]), (&POISON.into(), &POISON.into()));
    assert_eq!(actions[1]["selection"]["kind"], "place_sell_bid");
    assert!(actions[1]["ended_at"].is_i64());
    stage.audit_holds().await;
}

fn group(group: &Value) -> (i64, &str, &str) {
    (group["letters"].as_i64().unwrap(), group["reason"].as_str().unwrap(), group["kind"].as_str().unwrap())
}

#[tokio::test]
async fn killed_or_stopped_at_any_moment_a_replay_loses_none_and_does_none_twice() {
    let stage = Stage::new("dlq_killed").await;
    let poison = stage.poisoned(300).await;
    stage.mend().await;
    let order = stage.order().await;
    let replay = ["dlq", "replay", "--all", "--why", "again", "--rate", "60"];
    // Killed between a confirm and the next letter.
    let file = stage.market.folder().join("halted");
    let halt =
        [("GREAM__TEST__HALT_AT", "dlq.replayed"), ("GREAM__TEST__HALT_FILE", file.to_str().unwrap()), ("USER", "x")];
    let mut victim = stage.market.spawn_with(&replay, &halt);
    eventually("it halts", || async { file.exists().then_some(()) }).await;
    victim.kill();
    // Killed somewhere in the middle.
    let mut victim = stage.market.spawn_with(&replay, &[("USER", "x")]);
    eventually("some are done", || async { (stage.bids().await >= 60).then_some(()) }).await;
    victim.kill();
    // Asked to stop.
    let mut victim = stage.market.spawn_with(&replay, &[("USER", "x")]);
    eventually("more are done", || async { (stage.bids().await >= 120).then_some(()) }).await;
    victim.signal("INT");
    assert_eq!(victim.ended(acceptance::wait::PATIENCE).await, Some(0));
    assert!(victim.logged().contains("the others lie where they lay"), "{}", victim.logged());
    becomes("nothing on its way", 0, || stage.market.broker.depth(REPLAY_QUEUE)).await;
    let left = stage.order().await;
    assert!(left.len() >= 60 && left.len() <= 240, "{} are left", left.len());
    let remaining: Vec<String> = order.iter().filter(|key| left.contains(key)).cloned().collect();
    assert!(left == remaining, "in their old order");
    // A replay takes what lies there: what we have just looked at is given back in a moment.
    stage.letters_become(u32::try_from(left.len()).unwrap()).await;

    stage.ok(&["dlq", "replay", "--all", "--why", "the rest", "--rate", "10000"]).await;
    becomes("every one is carried out", i64::try_from(poison.len()).unwrap(), || stage.market.count("done")).await;
    becomes("no letter is left", 0, || stage.market.broker.depth(DEAD)).await;
    stage.nothing_happened_twice().await;
    let actions = stage.json(&["dlq", "actions"]).await;
    let ended: Vec<bool> = actions.as_array().unwrap().iter().map(|action| action["ended_at"].is_i64()).collect();
    assert_eq!(ended, [true, true, false, false], "those that were killed show");
    stage.audit_holds().await;
}

#[tokio::test]
async fn a_copy_of_what_is_done_is_told_and_harmless() {
    let stage = Stage::new("dlq_copies").await;
    let poison = stage.poisoned(3).await;
    stage.mend().await;
    let first = poison[0].id.to_string();
    stage.ok(&["dlq", "replay", &first, "--why", "one alone"]).await;
    stage.market.reaches(poison[0].id, "done").await;
    stage.letters_become(2).await;
    let key = routing_key(&poison[0].command, stage.market.partitions).unwrap();
    stage
        .market
        .broker
        .publish_bytes(DEAD_EXCHANGE, "bid", &poison[0].encode(), &[(HEADER_ORIGIN, &origin(&key))])
        .await;
    let shown = stage.json(&["dlq", "show", &first]).await;
    assert_eq!((&shown[0]["prediction"]["prediction"], &shown[0]["state"]), (&"already_ended".into(), &"done".into()));
    assert_eq!(shown[0]["letter"]["body"]["id"], first);
    stage.ok(&["dlq", "replay", "--at-most", "3", "--why", "with the copy"]).await;
    becomes("all are done", 3, || stage.market.count("done")).await;
    becomes("no letter is left", 0, || stage.market.broker.depth(DEAD)).await;
    assert_eq!(stage.bids().await, 3);
    stage.nothing_happened_twice().await;
    stage.audit_holds().await;
}

#[tokio::test]
async fn what_nobody_said_is_not_done() {
    let stage = Stage::new("dlq_refusals").await;
    let poison = stage.poisoned(1).await;
    let id = poison[0].id.to_string();
    assert!(stage.refused(&["dlq", "replay", "--why", "x"]).await.contains("--all"));
    assert!(stage.refused(&["dlq", "replay", &id]).await.contains("--why"));
    assert!(stage.refused(&["dlq", "discard", &id]).await.contains("--why"));
    assert!(stage.refused(&["dlq", "edit", &id, "--set", "price=1"]).await.contains("--why"));
    assert!(stage.refused(&["dlq", "show", "0011223344556677"]).await.contains("no dead letter"));
    let other = "0190aaaa-bbbb-7ccc-8ddd-eeeeeeeeeeee";
    assert!(stage.refused(&["dlq", "restore", other, "--why", "x"]).await.contains("no dead letter"));
    assert_eq!(stage.json(&["dlq", "actions"]).await, serde_json::json!([]));
    stage.letters_become(1).await;
}
