//! Refunds: held, allocated, given back once.

use crate::stage::{Stage, request_refund};
use acceptance::{
    commands::envelope,
    wait::{becomes, eventually},
};
use contracts::{Command, Envelope, RefundId, UserId};
use serde_json::{Value, json};

fn leg(route: &str, amount: i64, state: &str) -> (String, i64, String) {
    (route.to_owned(), amount, state.to_owned())
}

#[tokio::test]
async fn a_refund_is_held_approved_once_and_paid_through_the_newest_charges() {
    let stage = Stage::new("refund").await;
    let user = stage.market.user(1, 500).await;
    let _worker = stage.market.worker(&["payment", "refund", "relay"]).await;
    let (old, new) = (stage.charged(user, 3_000).await, stage.charged(user, 2_000).await);
    let request = request_refund("r", user, 4_000, stage.market.now());
    stage.publish(&request).await;
    stage.market.reaches(request.id, "done").await;
    assert_eq!(stage.outcome(request.id).await.2, json!({"refundPoint": 4_000, "userPoint": 1_500}));
    assert_eq!(stage.points(user).await, (1_500, 4_000));
    let stored: (String, String) =
        sqlx::query_as("SELECT bank, account_masked FROM refunds").fetch_one(&stage.market.database).await.unwrap();
    assert_eq!(stored, ("국민".to_owned(), "****6789".to_owned()));

    let refund = RefundId(1);
    stage.approve(refund).await;
    stage.refund_becomes(refund, "paid").await;
    assert_eq!(stage.legs(refund).await, [leg("cancel", 2_000, "paid"), leg("cancel", 2_000, "paid")]);
    assert_eq!((stage.moves(&old).await, stage.moves(&new).await), ((1, 1), (1, 1)));
    assert_eq!(stage.points(user).await, (1_500, 0));
    let cancelled = "SELECT cancelled_amount FROM payments WHERE amount = 3000";
    assert_eq!(stage.market.number(cancelled).await, 2_000);

    // Another administrator was slower.
    let again = envelope("again", UserId(8), stage.market.now(), Command::ApproveRefund { refund });
    let unknown = envelope("unknown", UserId(8), stage.market.now(), Command::ApproveRefund { refund: RefundId(99) });
    for command in [again, unknown] {
        stage.publish(&command).await;
        stage.market.reaches(command.id, "rejected").await;
        assert_eq!(stage.outcome(command.id).await.1, 1008);
    }
    becomes("its event left", 0, || stage.market.number("SELECT COUNT(*) FROM outbox")).await;
    stage.audit_holds().await;
}

#[tokio::test]
async fn nobody_gets_back_more_than_they_have() {
    let stage = Stage::new("refund_poor").await;
    let user = stage.market.user(1, 1_000).await;
    let _worker = stage.market.worker(&["refund"]).await;
    // Both at once: only one of them fits.
    let (first, second) =
        (request_refund("a", user, 700, stage.market.now()), request_refund("b", user, 700, stage.market.now()));
    stage.market.broker.publish(stage.market.partitions, &[first.clone(), second.clone()]).await;
    becomes("one of each", (1, 1), || async {
        (stage.market.count("done").await, stage.market.count("rejected").await)
    })
    .await;
    assert_eq!(stage.points(user).await, (300, 700));
    assert_eq!(stage.market.number("SELECT MAX(result_code) FROM commands").await, 1007);
    stage.audit_holds().await;
}

#[tokio::test]
async fn what_no_charge_covers_waits_for_a_payout() {
    let stage = Stage::new("refund_payout").await;
    let user = stage.market.user(1, 5_000).await;
    let _worker = stage.market.worker(&["payment", "refund", "relay"]).await;
    stage.charged(user, 1_000).await;
    let refund = stage.refund(user, 6_000).await;
    stage.approve(refund).await;
    let wanted = [leg("cancel", 1_000, "paid"), leg("payout", 5_000, "planned")];
    becomes("the cancel leg is paid", &wanted[..], || async { stage.legs(refund).await.leak() as &[_] }).await;
    assert_eq!(stage.refund_state(refund).await, "paying");
    assert_eq!(stage.points(user).await, (0, 5_000), "held until an administrator has transferred it");
    stage.audit_holds().await;
}

#[tokio::test]
async fn refunds_of_one_user_do_not_claim_the_same_won() {
    let stage = Stage::new("refund_rivals").await;
    let user = stage.market.user(1, 2_000).await;
    let _worker = stage.market.worker(&["payment", "refund"]).await;
    let order = stage.charged(user, 10_000).await;
    let mut approvals = Vec::new();
    for amount in [3_000, 4_000, 5_000] {
        let refund = stage.refund(user, amount).await;
        approvals.push(envelope(
            &format!("a{refund}"),
            UserId(9),
            stage.market.now(),
            Command::ApproveRefund { refund },
        ));
    }
    // All three are allocated before the first leg is paid: no relay brings its command yet.
    stage.market.broker.publish(stage.market.partitions, &approvals).await;
    for approval in &approvals {
        stage.market.reaches(approval.id, "done").await;
    }
    let cancels = "SELECT CAST(SUM(amount) AS SIGNED) FROM refund_legs WHERE route = 'cancel'";
    assert_eq!(stage.market.number(cancels).await, 10_000, "what the charge had, and not a won more");
    let _relay = stage.market.worker(&["relay"]).await;
    let open = "SELECT COUNT(*) FROM refund_legs WHERE route = 'cancel' AND state <> 'paid'";
    becomes("every cancel leg is paid", 0, || stage.market.number(open)).await;
    let (_, given_back) = stage.moves(&order).await;
    assert_eq!(
        stage.market.number("SELECT COUNT(*) FROM refund_legs WHERE route = 'cancel'").await,
        i64::try_from(given_back).unwrap()
    );
    assert_eq!(stage.points(user).await, (0, 2_000), "the gift waits for a payout");
    stage.audit_holds().await;
}

#[tokio::test]
async fn whatever_goes_wrong_at_toss_money_is_given_back_once() {
    let mut stage = Stage::new("refund_faults").await;
    stage.market.set("GREAM__PAYMENT_WORKER__LADDER_MS", "200,400,2000,4000,4000");
    let faults: [(&str, u32, Value); 11] = [
        ("cancel", 1, json!({"reset": "before"})),
        ("cancel", 2, json!({"reset": "after"})),
        ("cancel", 1, json!({"status": 502, "effect": false})),
        ("cancel", 1, json!({"status": 500, "effect": true})),
        ("cancel", 1, json!({"code": "PROVIDER_ERROR", "effect": true})),
        ("cancel", 2, json!({"code": "PROVIDER_ERROR", "effect": false})),
        ("cancel", 1, json!({"code": "FAILED_PARTIAL_REFUND", "http": 500, "effect": true})),
        ("cancel", 1, json!({"code": "FORBIDDEN_CONSECUTIVE_REQUEST", "http": 403, "effect": false})),
        ("cancel", 1, json!({"delay_ms": 1500})),
        ("cancel", 1, json!({"hang_ms": 3000})),
        ("payment", 1, json!({"reset": "after"})),
    ];
    let _worker = stage.market.worker(&["payment", "refund", "relay"]).await;
    let mut refunds = Vec::new();
    for (user, (path, times, fault)) in (1..).zip(&faults) {
        let user = stage.market.user(user, 0).await;
        let order = stage.charged(user, 5_000).await;
        stage.fault(path, &order, *times, fault.clone()).await;
        if *path == "payment" {
            // What makes a look-up necessary.
            stage.fault("cancel", &order, 1, json!({"code": "PROVIDER_ERROR", "effect": true})).await;
        }
        let refund = stage.refund(user, 2_000).await;
        stage.approve(refund).await;
        refunds.push((user, order, refund, fault));
    }
    for (user, order, refund, fault) in refunds {
        becomes(&format!("{fault}"), "paid".to_owned(), || stage.refund_state(refund)).await;
        assert_eq!(stage.moves(&order).await, (1, 1), "{fault}");
        assert_eq!(stage.points(user).await, (3_000, 0), "{fault}");
    }
    let wanted: Vec<u64> = faults.iter().map(|(_, times, _)| u64::from(*times)).chain([1]).collect();
    assert_eq!(stage.struck().await, wanted, "every fault struck as often as it should");
    assert_eq!(stage.market.broker.depth("dead.refund").await, 0);
    stage.audit_holds().await;
}

#[tokio::test]
async fn a_leg_that_toss_refuses_for_good_moves_to_a_payout() {
    let stage = Stage::new("refund_moved").await;
    let user = stage.market.user(1, 0).await;
    let _worker = stage.market.worker(&["payment", "refund", "relay"]).await;
    let order = stage.charged(user, 5_000).await;
    stage.fault("cancel", &order, 1, json!({"code": "EXCEED_MAX_REFUND_DUE", "http": 403})).await;
    let refund = stage.refund(user, 2_000).await;
    stage.approve(refund).await;
    let wanted = [leg("cancel", 2_000, "moved"), leg("payout", 2_000, "planned")];
    becomes("moved", &wanted[..], || async { stage.legs(refund).await.leak() as &[_] }).await;
    assert_eq!(stage.moves(&order).await, (1, 0));
    assert_eq!((stage.points(user).await, stage.refund_state(refund).await), ((3_000, 2_000), "paying".to_owned()));
    let code = "SELECT COUNT(*) FROM refund_legs WHERE failure_code = 'EXCEED_MAX_REFUND_DUE'";
    assert_eq!(stage.market.number(code).await, 1);
    stage.audit_holds().await;
}

/// An administrator's word on a payout leg.
fn word(by: u64, stage: &Stage, command: Command) -> Envelope {
    envelope(&format!("{by} {command:?}"), UserId(by), stage.market.now(), command)
}

#[tokio::test]
async fn a_moved_leg_that_cannot_be_transferred_either_is_points_again() {
    let stage = Stage::new("refund_returned").await;
    let user = stage.market.user(1, 1_000).await;
    let _worker = stage.market.worker(&["payment", "refund", "relay"]).await;
    let order = stage.charged(user, 5_000).await;
    stage.fault("cancel", &order, 1, json!({"code": "EXCEED_MAX_REFUND_DUE", "http": 403})).await;
    let refund = stage.refund(user, 6_000).await;
    stage.approve(refund).await;
    let wanted = [leg("cancel", 5_000, "moved"), leg("payout", 1_000, "planned"), leg("payout", 5_000, "planned")];
    becomes("moved", &wanted[..], || async { stage.legs(refund).await.leak() as &[_] }).await;
    let early = word(7, &stage, Command::ConfirmPayout { refund, leg: 1 });
    let made = word(8, &stage, Command::ConfirmPayout { refund, leg: 2 });
    let failed = word(8, &stage, Command::FailPayout { refund, leg: 3, reason: "해지된 계좌".to_owned() });
    for (command, end) in [(&early, "rejected"), (&made, "done"), (&failed, "done"), (&made, "done")] {
        stage.publish(command).await;
        stage.market.reaches(command.id, end).await;
    }
    assert_eq!(stage.outcome(early.id).await.1, 1008, "a cancel leg is nobody's to transfer");
    let ended = [leg("cancel", 5_000, "moved"), leg("payout", 1_000, "paid"), leg("payout", 5_000, "returned")];
    assert_eq!(stage.legs(refund).await, ended);
    assert_eq!((stage.points(user).await, stage.refund_state(refund).await), ((5_000, 0), "partly_paid".to_owned()));
    stage.audit_holds().await;

    // What came back is the user's to ask for again: the charge is whole.
    let again = stage.refund(user, 5_000).await;
    stage.approve(again).await;
    let _worker = stage.market.worker(&["relay"]).await;
    stage.refund_becomes(again, "paid").await;
    assert_eq!(stage.moves(&order).await, (1, 1));
    stage.audit_holds().await;
}

#[tokio::test]
async fn a_refund_ends_with_its_last_leg_whichever_that_is() {
    let stage = Stage::new("refund_last_leg").await;
    let user = stage.market.user(1, 1_000).await;
    let _worker = stage.market.worker(&["payment", "refund"]).await;
    stage.charged(user, 2_000).await;
    let refund = stage.refund(user, 3_000).await;
    stage.approve(refund).await;
    let failed = word(8, &stage, Command::FailPayout { refund, leg: 2, reason: "해지된 계좌".to_owned() });
    stage.publish(&failed).await;
    stage.market.reaches(failed.id, "done").await;
    assert_eq!(stage.points(user).await, (1_000, 2_000), "the cancel leg's are still held");
    assert_eq!(stage.refund_state(refund).await, "paying");
    let _relay = stage.market.worker(&["relay"]).await;
    stage.refund_becomes(refund, "partly_paid").await;
    assert_eq!(stage.points(user).await, (1_000, 0));
    stage.audit_holds().await;
}

#[tokio::test]
async fn of_words_that_contradict_each_other_the_first_one_counts() {
    let stage = Stage::new("refund_contested").await;
    let user = stage.market.user(1, 6_000).await;
    let _worker = stage.market.worker(&["refund", "relay"]).await;
    for amount in [1_000, 2_000, 3_000] {
        let refund = stage.refund(user, amount).await;
        let decisions = (10..14).map(|by| {
            let no = Command::RejectRefund { refund, reason: "안 됩니다.".to_owned() };
            word(by, &stage, if by % 2 == 0 { Command::ApproveRefund { refund } } else { no })
        });
        one_counts(&stage, decisions.collect(), refund).await;
        if stage.refund_state(refund).await == "paying" {
            let words = (20..24).map(|by| {
                let failed = Command::FailPayout { refund, leg: 1, reason: "해지된 계좌".to_owned() };
                word(by, &stage, if by % 2 == 0 { Command::ConfirmPayout { refund, leg: 1 } } else { failed })
            });
            one_counts(&stage, words.collect(), refund).await;
        }
        assert_ne!(stage.refund_state(refund).await, "paying");
        assert_eq!(stage.points(user).await.1, 0);
    }
    stage.audit_holds().await;
}

/// Sends all of them at once and twice: one is done, the others meet what it left.
async fn one_counts(stage: &Stage, commands: Vec<Envelope>, refund: RefundId) {
    let twice: Vec<Envelope> = commands.iter().chain(&commands).cloned().collect();
    stage.market.broker.publish(stage.market.partitions, &twice).await;
    let mut codes = Vec::new();
    for command in &commands {
        let ended =
            || async { ["done", "rejected"].contains(&stage.state_of(command.id).await.as_str()).then_some(()) };
        eventually("it ends", ended).await;
        codes.push(stage.outcome(command.id).await.1);
    }
    codes.sort_unstable();
    assert_eq!(codes, [0, 1008, 1008, 1008], "refund {refund}");
}
