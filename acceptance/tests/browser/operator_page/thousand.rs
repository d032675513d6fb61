//! A thousand dead letters of three causes, in a browser: seen by cause, foreseen, one cause mended and replayed, stopped
//! and gone on with; each done once.

use super::{BOSS, Desk, go};
use acceptance::{
    stage::{DEAD, Stage},
    thousand::{self, EXPIRING, FORGED, POISON, SHORT_MS, TOO_NEW},
    wait::becomes,
};
use reqwest::StatusCode;
use serde_json::json;
use std::time::Instant;

/// The group whose cause is mended.
const MENDED: &str = "[data-reason=out_of_attempts][data-kind=place_sell_bid]";

#[tokio::test]
async fn a_thousand_letters_are_grouped_and_the_mended_ones_replayed_in_a_browser() {
    let stage = Stage::new("page_thousand").await;
    thousand::set_aside(&stage).await;
    let desk = Desk::open(&stage.market).await;
    let folder = tempfile::tempdir().unwrap();
    let page = desk.browser(folder.path()).await;

    let started = Instant::now();
    go(&page, "letters").await;
    page.until("document.querySelectorAll('.group[data-reason]').length === 3").await;
    println!("1000 letters by cause on the page after {:?}", started.elapsed());
    let heads =
        page.evaluate("[...document.querySelectorAll('.group h3')].map(head => head.textContent).join('\\n')").await;
    let heads = heads.as_str().unwrap();
    for (count, reason) in [(POISON, "out_of_attempts"), (TOO_NEW, "unknown_version"), (FORGED, "undecodable")] {
        assert!(heads.contains(&format!("{count} × {reason}")), "{heads}");
    }

    // A long list is told in part, and says so.
    let (_, found) = desk.post("letters/find", &json!({})).await;
    assert_eq!((found["letters"].as_array().unwrap().len(), &found["more"]), (200, &json!(800)));
    let (_, foreseen) = desk.post("letters/dry-run", &json!({})).await;
    assert_eq!((foreseen["letters"].as_array().unwrap().len(), &foreseen["more"]), (200, &json!(800)));
    stage.letters_become(1_000).await;

    stage.mend().await;
    stage.market.advance_clock(SHORT_MS + 1_000);
    let started = Instant::now();
    page.click(&format!("{MENDED} button[aria-label^='Dry run']")).await;
    let foreseen = page.text("#foreseen").await;
    println!("dry run of {POISON} letters on the page after {:?}", started.elapsed());
    assert!(foreseen.contains(&format!("{} × would apply", POISON - EXPIRING)), "{foreseen}");
    assert!(foreseen.contains(&format!("{EXPIRING} × would be rejected: CommandExpired")), "{foreseen}");
    assert_eq!(stage.market.broker.depth(DEAD).await, 1_000, "nothing was changed");

    // Slowly at first, and stopped.
    replay(&page, "40", "slowly").await;
    page.until("document.querySelector('#act progress')?.value >= 20").await;
    page.click("#stop").await;
    page.until("document.querySelector('#ended')?.textContent.includes('the others lie where they lay')").await;
    // Said once the page has looked again, and given back what it looked at.
    page.until("document.querySelector('#said').textContent.includes('the others lie where they lay')").await;
    let left =
        page.evaluate("Number(document.querySelector('#taken').textContent.split(' ')[0].replaceAll(',', ''))").await;
    let left = u32::try_from(left.as_u64().unwrap()).unwrap();
    assert!((620..=985).contains(&left), "{left} are left");
    stage.letters_become(left).await;

    let started = Instant::now();
    replay(&page, "10000", "the column is wider now").await;
    page.until("document.querySelectorAll('.group[data-reason]').length === 2").await;
    println!("the remaining {} replayed, and the page looked again, after {:?}", left - 600, started.elapsed());
    becomes("each applied", i64::try_from(POISON - EXPIRING).unwrap(), || stage.bids()).await;
    println!("and carried out after {:?}", started.elapsed());
    becomes("the others expired", i64::try_from(EXPIRING).unwrap(), || stage.market.count("rejected")).await;
    assert_eq!(stage.market.broker.depth(DEAD).await, u32::try_from(TOO_NEW + FORGED).unwrap());
    stage.nothing_happened_twice().await;
    stage.audit_holds().await;

    let recorded = desk.get("acts").await;
    let recorded: Vec<_> =
        recorded.as_array().unwrap().iter().map(|act| (&act["who"], &act["why"], &act["acted_on"])).collect();
    assert_eq!(recorded.len(), 2, "{recorded:?}");
    assert!(
        recorded.iter().all(|(who, ..)| *who == BOSS) && recorded[0].1 == "the column is wider now",
        "{recorded:?}"
    );
    let acted_on: i64 = recorded.iter().map(|(.., acted_on)| acted_on.as_i64().unwrap()).sum();
    assert_eq!(acted_on, i64::try_from(POISON).unwrap());
}

async fn replay(page: &crate::driver::Page, per_s: &str, why: &str) {
    page.click(&format!("{MENDED} button[aria-label^='Replay']")).await;
    page.until("document.querySelector('dialog[open] #act-why') === document.activeElement").await;
    page.write(why).await;
    page.evaluate(&format!("(document.querySelector('#act-rate').value = {per_s}, true)")).await;
    page.click("#act-begin").await;
    page.until("!document.querySelector('dialog')").await;
}

#[tokio::test]
async fn one_act_at_a_time_with_a_reason_and_what_was_given_up_comes_back() {
    let stage = Stage::new("page_acts").await;
    let poison = stage.poisoned(40).await;
    let mut desk = Desk::open(&stage.market).await;
    let id = poison[0].id.to_string();
    let some = json!({"reason": "out_of_attempts"});
    for (refused, because) in [
        (json!({"what": "replay", "why": " ", "selection": some}), "say why"),
        (json!({"what": "replay", "why": "x", "selection": {}}), "every dead letter"),
        (json!({"what": "discard", "why": "x"}), "every dead letter"),
        (json!({"what": "replay", "why": "x", "selection": {"ids": ["zz"]}}), "names no dead letter"),
        (json!({"what": "purge", "why": "x", "selection": some}), "replay, discard or restore"),
    ] {
        let (status, told) = desk.post("acts", &refused).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{refused}");
        assert!(told["error"].as_str().unwrap().contains(because), "{told}");
    }
    assert_eq!(desk.get("acts/current").await, serde_json::Value::Null);
    let long = json!({"what": "replay", "why": "x", "selection": {"error": "x".repeat(70_000)}});
    assert_eq!(desk.post("acts", &long).await.0, StatusCode::PAYLOAD_TOO_LARGE);

    // Given up, told by the trace, and brought back.
    act(&desk, &json!({"what": "discard", "why": "nobody wants it", "selection": {"ids": [id]}})).await;
    assert_eq!(stage.market.state(poison[0].id).await.as_deref(), Some("discarded"));
    let trace = desk.get(&format!("trace/{id}")).await;
    assert!(trace.to_string().contains("nobody wants it") && trace.to_string().contains(BOSS), "{trace}");
    act(&desk, &json!({"what": "restore", "why": "somebody does", "id": id})).await;
    stage.letters_become(40).await;

    // While one is under way neither another begins nor a look disturbs it; it outlives its process without a loss.
    stage.mend().await;
    let slow = json!({"what": "replay", "why": "slowly", "selection": some, "per_second": 2});
    let (status, told) = desk.post("acts", &slow).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{told}");
    assert_eq!(desk.post("acts", &slow).await.0, StatusCode::CONFLICT);
    assert_eq!(desk.request("GET", "letters").send().await.unwrap().status(), StatusCode::CONFLICT);
    acceptance::wait::eventually("some are sent", || async {
        (desk.get("acts/current").await["progress"]["replayed"].as_u64() >= Some(2)).then_some(())
    })
    .await;
    assert_eq!(desk.api.terminate(acceptance::wait::PATIENCE).await, Some(0));
    let actions = stage.json(&["dlq", "actions"]).await;
    assert!(actions[0]["ended_at"].is_i64() && actions[0]["selected"] == 40, "{actions}");
    stage.ok(&["dlq", "replay", "--all", "--why", "the rest", "--rate", "10000"]).await;
    becomes("every one is carried out", 40, || stage.market.count("done")).await;
    stage.nothing_happened_twice().await;
    stage.audit_holds().await;
}

/// Begins an act, and waits until it has ended well.
async fn act(desk: &Desk, asked: &serde_json::Value) {
    let (status, told) = desk.post("acts", asked).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{told}");
    let end = acceptance::wait::eventually("the act has ended", || async {
        Some(desk.get("acts/current").await["end"].take()).filter(|end| !end.is_null())
    })
    .await;
    assert_eq!(end["done"]["acted_on"], 1, "{end}");
}
