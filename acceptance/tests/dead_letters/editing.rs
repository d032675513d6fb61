//! Editing: the newest revision is what is carried out, whichever copy is replayed, and only for a suspended command.

use crate::stage::{DEAD, Stage};
use acceptance::{
    visitor::{send, start_api},
    wait::{becomes, eventually},
};
use contracts::{
    Envelope, Fingerprint,
    dead_letter::HEADER_ORIGIN,
    topology::{DEAD_EXCHANGE, REPLAY_QUEUE, origin, routing_key},
};
use serde_json::json;

async fn stored(stage: &Stage) -> (Vec<u8>, String) {
    sqlx::query_as(
        "SELECT c.fingerprint, g.picture_key FROM commands c JOIN gifticons g ON g.command_id = c.command_id",
    )
    .fetch_one(&stage.market.database)
    .await
    .unwrap()
}

#[tokio::test]
async fn an_edited_command_is_carried_out_as_edited_under_its_own_id() {
    let stage = Stage::new("dlq_edited").await;
    let poison = stage.poisoned(1).await.remove(0);
    let id = poison.id.to_string();
    let edit =
        ["dlq", "edit", &id, "--set", "price=2000", "--set", "picture.key=short", "--why", "the key was too long"];
    stage.ok(&edit).await;
    let shown = stage.json(&["dlq", "show", &id]).await;
    assert_eq!(shown.as_array().unwrap().len(), 1, "the new one took the old one's place");
    assert_eq!(
        (&shown[0]["letter"]["body"]["body"]["price"], &shown[0]["letter"]["revision"]),
        (&2000.into(), &1.into())
    );
    let revised: Envelope = serde_json::from_value(shown[0]["letter"]["body"].clone()).unwrap();
    assert_eq!((revised.id, revised.fingerprint), (poison.id, Fingerprint::of(&revised.command)));
    assert_ne!(revised.fingerprint, poison.fingerprint);

    // An old copy, moved by the page, is carried out as edited too.
    let key = routing_key(&poison.command, stage.market.partitions).unwrap();
    stage.market.broker.publish_bytes("", REPLAY_QUEUE, &poison.encode(), &[(HEADER_ORIGIN, &origin(&key))]).await;
    stage.market.reaches(poison.id, "done").await;
    assert_eq!(stored(&stage).await, (revised.fingerprint.0.to_vec(), "short".to_owned()));
    stage.ok(&["dlq", "replay", &id, "--why", "the edited one"]).await;
    becomes("no letter is left", 0, || stage.market.broker.depth(DEAD)).await;
    becomes("nothing on its way", 0, || stage.market.broker.depth(REPLAY_QUEUE)).await;
    assert_eq!(stage.bids().await, 1);

    // It has had its effect: no edit any more.
    stage.market.broker.publish_bytes(DEAD_EXCHANGE, "bid", &poison.encode(), &[]).await;
    assert!(stage.refused(&edit).await.contains("not suspended"));
    let actions = stage.json(&["dlq", "actions"]).await;
    assert!(actions[0]["failure"].as_str().unwrap().contains("not suspended"));
    stage.letters_become(1).await;
}

#[tokio::test]
async fn whoever_is_killed_while_editing_leaves_a_letter_that_is_carried_out_as_edited() {
    let stage = Stage::new("dlq_edit_killed").await;
    let poison = stage.poisoned(1).await.remove(0);
    let id = poison.id.to_string();
    let file = stage.market.folder().join("halted");
    let edit = ["dlq", "edit", &id, "--set", "picture.key=short", "--why", "too long", "--as", "x"];
    let halt = [("GREAM__TEST__HALT_AT", "dlq.revised"), ("GREAM__TEST__HALT_FILE", file.to_str().unwrap())];
    let mut victim = stage.market.spawn_with(&edit, &halt);
    eventually("it halts", || async { file.exists().then_some(()) }).await;
    victim.kill();
    stage.letters_become(1).await;
    let shown = stage.json(&["dlq", "show", &id]).await;
    assert_eq!(shown[0]["letter"]["revision"], 0, "the old letter is still there");
    assert_eq!(shown[0]["prediction"]["prediction"], "would_apply");
    stage.ok(&["dlq", "replay", &id, "--why", "again"]).await;
    stage.market.reaches(poison.id, "done").await;
    assert_eq!(stored(&stage).await.1, "short");
    stage.audit_holds().await;
}

#[tokio::test]
async fn whoever_sent_an_edited_command_is_told_what_came_of_it() {
    let stage = Stage::new("dlq_edited_owner").await;
    let (_api, visitor) = start_api(&stage.market).await;
    let alice = visitor.join("alice").await;
    let refuse = "ALTER TABLE bids ADD CONSTRAINT nobody_bids_1000 CHECK (price <> 1000)";
    sqlx::query(refuse).execute(&stage.market.database).await.unwrap();
    let buy = async |price: u32| {
        let request =
            alice.request("POST", "/api/buy/1").header("Prefer", "respond-async").header("Idempotency-Key", "k");
        send(request.json(&json!({"price": price}))).await
    };
    let sent = buy(1000).await;
    let (id, address) = (sent.data()["commandId"].as_str().unwrap(), sent.header("location"));
    stage.letters_become(1).await;
    assert_eq!(visitor.get(address).await.ok()["state"], "suspended");
    stage.ok(&["dlq", "edit", id, "--set", "price=900", "--why", "nobody bids 1000"]).await;
    stage.ok(&["dlq", "replay", id, "--why", "edited"]).await;
    stage.market.reaches(id.parse().unwrap(), "done").await;
    for answer in [visitor.get(address).await, alice.get(&format!("/api/commands/{id}")).await] {
        assert_eq!(answer.ok()["outcome"]["data"]["price"], 900);
    }
    let again = alice.request("POST", "/api/buy/1").header("Idempotency-Key", "k").json(&json!({"price": 1000}));
    assert_eq!(send(again).await.ok()["price"], 900, "the same request, sent again");
    visitor.get(buy(2000).await.header("location")).await.refused(422, 5004);
}
