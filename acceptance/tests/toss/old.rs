//! Commands about money that come back from a dead-letter queue when no key at Toss protects any more.

use crate::stage::{Stage, halted, order_of, request_refund};
use acceptance::wait::becomes;
use contracts::{Command, CommandId, Envelope, UserId};
use serde_json::json;

const DAY_MS: i64 = 24 * 3_600_000;
/// Toss forgets keys after 15 days.
const LATER_MS: i64 = 16 * DAY_MS;

/// A charge whose worker died at `point`; its message is in nobody's hands.
async fn left_behind(stage: &Stage, user: UserId, point: &str) -> Envelope {
    let command = stage.charge(user, 1_000).await;
    stage.left_behind(&command, point).await;
    command
}

#[tokio::test]
async fn an_old_charge_is_looked_up_and_credited_or_refused_and_never_sent_again() {
    let stage = Stage::new("old_charge").await;
    let (taken, never) = (stage.market.user(1, 0).await, stage.market.user(2, 0).await);
    let paid = left_behind(&stage, taken, "payment.confirm.after").await;
    let unpaid = left_behind(&stage, never, "payment.confirm.before").await;
    // One that no worker has ever met.
    let unmet = stage.charge(never, 2_000).await;
    let confirms = stage.calls("confirm").await;
    stage.market.advance_clock(LATER_MS);
    let _worker = stage.market.worker(&["payment"]).await;
    // Somebody edits the end of the window: what the charge began with counts.
    let mut edited = paid.clone();
    let Command::ConfirmCharge { confirm_by, .. } = &mut edited.command else { panic!() };
    *confirm_by = stage.market.now().plus_ms(DAY_MS);
    for command in [&edited, &unpaid, &unmet] {
        stage.publish(command).await;
    }
    stage.market.reaches(paid.id, "done").await;
    for refused in [&unpaid, &unmet] {
        stage.market.reaches(refused.id, "rejected").await;
        assert_eq!(stage.outcome(refused.id).await.1, 8004);
        assert_eq!(stage.charge_state(order_of(refused)).await, "failed");
    }
    assert_eq!((stage.points(taken).await, stage.points(never).await), ((1_000, 0), (0, 0)));
    assert_eq!(stage.calls("confirm").await, confirms, "only looked up");
    stage.audit_holds().await;
}

#[tokio::test]
async fn an_old_cancel_is_looked_up_and_the_money_given_back_once() {
    for (point, sent) in [("refund.cancel.after", 1), ("refund.cancel.before", 0)] {
        let stage = Stage::new(&format!("old_{}", point.replace('.', "_"))).await;
        let user = stage.market.user(1, 0).await;
        let (order, refund) = {
            let _worker = stage.market.worker(&["payment", "refund"]).await;
            let (order, refund) = (stage.charged(user, 5_000).await, stage.refund(user, 2_000).await);
            stage.approve(refund).await;
            (order, refund)
        };
        let (mut victim, file) = stage.market.halting_worker(&["refund"], point);
        {
            let _relay = stage.market.worker(&["relay"]).await;
            halted(&mut victim, &file, point).await;
        }
        victim.kill();
        let message = acceptance::wait::eventually("its message", || stage.market.broker.take("refund")).await.delivery;
        assert_eq!(stage.calls("cancel").await, sent);
        stage.market.advance_clock(LATER_MS);
        let _worker = stage.market.worker(&["refund"]).await;
        stage.publish(&Envelope::decode(&message.data).unwrap()).await;
        stage.refund_becomes(refund, "paid").await;
        assert!(stage.calls("payment").await > 0, "looked up first");
        assert_eq!(stage.calls("cancel").await, 1, "{point}: sent once");
        assert_eq!((stage.moves(&order).await, stage.points(user).await), ((1, 1), (3_000, 0)));
        stage.audit_holds().await;
    }
}

#[tokio::test]
async fn an_old_wish_for_a_refund_or_its_approval_is_refused() {
    let stage = Stage::new("old_wish").await;
    let user = stage.market.user(1, 3_000).await;
    let wish = request_refund("old", user, 1_000, stage.market.now());
    let _worker = stage.market.worker(&["refund"]).await;
    let refund = stage.refund(user, 500).await;
    let approve = Command::ApproveRefund { refund };
    let approval =
        Envelope::new(CommandId::derived(UserId(9), "test", "a"), UserId(9), stage.market.now(), None, approve);
    stage.market.advance_clock(LATER_MS);
    for command in [&wish, &approval] {
        stage.publish(command).await;
        stage.market.reaches(command.id, "rejected").await;
        assert_eq!(stage.outcome(command.id).await, ("rejected".to_owned(), 5010, json!({})));
    }
    becomes("nothing more is held", (2_500, 500), || stage.points(user)).await;
    stage.audit_holds().await;
}
