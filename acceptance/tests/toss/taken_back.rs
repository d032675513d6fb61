//! Refund legs whose charge others take back meanwhile, and legs that a person ends by hand.

use crate::stage::{Stage, key_of, order_of};
use acceptance::{commands::envelope, visitor::start_api, wait::becomes};
use contracts::{Command, CommandId, Envelope, RefundId, ResultCode, UserId};
use domain::refund::leg_command;
use serde_json::json;

fn leg(route: &str, amount: i64, state: &str) -> (String, i64, String) {
    (route.to_owned(), amount, state.to_owned())
}

impl Stage {
    /// A deposit of 10,000, credited; and an approved refund of all of it.
    async fn deposited_and_approved(&self, user: UserId) -> (Envelope, RefundId) {
        let charge = self.awaiting(user, 10_000).await;
        self.deposit(&charge, "").await;
        self.follow(order_of(&charge), "came").await;
        let refund = self.refund(user, 10_000).await;
        self.approve(refund).await;
        (charge, refund)
    }

    async fn taken_back(&self, charge: &Envelope) {
        self.deposit(charge, "/error").await;
        self.follow(order_of(charge), "went").await;
    }

    async fn legs_become(&self, refund: RefundId, wanted: &[(String, i64, String)]) {
        becomes("the legs", wanted.to_vec(), || self.legs(refund)).await;
    }

    /// The payout that took the leg's place cannot be made: what it held repays the debt, and nothing is left of either.
    async fn gives_up(&self, user: UserId, refund: RefundId) {
        assert_eq!((self.points(user).await, self.debt(user).await), ((0, 10_000), 10_000));
        let failed = Command::FailPayout { refund, leg: 2, reason: "the bank has it".to_owned() };
        self.done(envelope("failed", UserId(9), self.market.now(), failed)).await;
        self.done(envelope("collect", UserId::SYSTEM, self.market.now(), Command::CollectDebt { debtor: user })).await;
        assert_eq!((self.points(user).await, self.debt(user).await), ((0, 0), 0));
        self.audit_holds().await;
    }

    async fn done(&self, command: Envelope) {
        self.publish(&command).await;
        self.market.reaches(command.id, "done").await;
    }

    async fn rejected(&self, command: &Envelope, code: ResultCode) {
        self.publish(command).await;
        self.market.reaches(command.id, "rejected").await;
        assert_eq!(self.outcome(command.id).await.1, i32::try_from(code.code()).unwrap());
    }
}

#[tokio::test]
async fn a_leg_that_waits_while_the_bank_takes_its_deposit_back_cancels_nothing() {
    let stage = Stage::new("leg_taken_back").await;
    let user = stage.market.user(1, 0).await;
    let _worker = stage.market.worker(&["payment", "refund"]).await;
    let (charge, refund) = stage.deposited_and_approved(user).await;
    stage.taken_back(&charge).await;
    let _relay = stage.market.worker(&["relay"]).await;
    stage.legs_become(refund, &[leg("cancel", 10_000, "moved"), leg("payout", 10_000, "planned")]).await;
    assert_eq!(stage.calls("cancel").await, 0);
    stage.gives_up(user, refund).await;
}

#[tokio::test]
async fn a_cancel_that_only_closes_an_account_whose_deposit_is_gone_pays_no_leg() {
    let mut stage = Stage::new("leg_closes").await;
    stage.market.set("GREAM__TOSS__READ_TIMEOUT_MS", 20_000);
    let user = stage.market.user(1, 0).await;
    let _worker = stage.market.worker(&["payment", "refund"]).await;
    let (charge, refund) = stage.deposited_and_approved(user).await;
    // The cancel is on its way when the bank takes the deposit back, and arrives after that was booked.
    stage.fault("cancel", order_of(&charge), 1, json!({"delay_ms": 5_000})).await;
    let _relay = stage.market.worker(&["relay"]).await;
    becomes("on its way", true, || async { stage.calls("cancel").await > 0 }).await;
    stage.taken_back(&charge).await;
    assert_eq!(stage.debt(user).await, 10_000, "booked before the cancel arrives");
    stage.legs_become(refund, &[leg("cancel", 10_000, "moved"), leg("payout", 10_000, "planned")]).await;
    stage.gives_up(user, refund).await;
}

#[tokio::test]
async fn a_leg_of_a_charge_that_others_cancelled_becomes_a_payout_that_waits_for_the_debt() {
    let stage = Stage::new("leg_others").await;
    let user = stage.market.user(1, 0).await;
    let _worker = stage.market.worker(&["payment", "refund"]).await;
    let charge = stage.charge(user, 10_000).await;
    stage.done(charge.clone()).await;
    let refund = stage.refund(user, 10_000).await;
    stage.approve(refund).await;
    stage.cancel_by_hand(key_of(&charge), "by hand", 10_000).await;
    // Not even our books know of it yet: Toss refuses the leg's cancel, and shows that it had no part in it.
    let _relay = stage.market.worker(&["relay"]).await;
    stage.legs_become(refund, &[leg("cancel", 10_000, "moved"), leg("payout", 10_000, "planned")]).await;
    becomes("known to our books", 10_000, || stage.debt(user)).await;
    stage.gives_up(user, refund).await;
}

#[tokio::test]
async fn a_leg_that_needs_a_person_is_ended_by_one_and_its_dead_letter_ends_with_it() {
    let stage = Stage::new("leg_by_hand").await;
    let user = stage.market.user(1, 0).await;
    let _worker = stage.market.worker(&["payment", "refund"]).await;
    let charge = stage.charge(user, 10_000).await;
    stage.done(charge.clone()).await;
    let refund = stage.refund(user, 1_000).await;
    stage.approve(refund).await;
    let (_api, visitor) = start_api(&stage.market).await;
    let boss = visitor.join_as_administrator(&stage.market, "boss").await;
    let (failed, why) = (format!("/api/admin/payouts/{refund}/1/failed"), json!({"reason": "looked at Toss"}));
    boss.post(&failed, &why).await.refused(404, 1008);
    // Somebody gave 500 back under the leg's own reason: nobody can tell what that was.
    stage.cancel_by_hand(key_of(&charge), &format!("Gream refund {refund}-1"), 500).await;
    stage.fault("cancel", order_of(&charge), 1, json!({"code": "PROVIDER_ERROR"})).await;
    let cancel: CommandId = leg_command(user, refund, 1);
    {
        let _relay = stage.market.worker(&["relay"]).await;
        becomes("it asks for a person", "suspended".to_owned(), || stage.state_of(cancel)).await;
    }
    assert_eq!(stage.points(user).await, (9_000, 1_000));
    for _ in 0..2 {
        boss.post(&failed, &why).await.ok();
    }
    assert_eq!(stage.legs(refund).await, [leg("cancel", 1_000, "returned")]);
    assert_eq!((stage.refund_state(refund).await, stage.points(user).await), ("returned".to_owned(), (10_000, 0)));
    let made = Command::ConfirmPayout { refund, leg: 1 };
    stage.rejected(&envelope("made", UserId(8), stage.market.now(), made), ResultCode::RefundNotFound).await;
    // The dead letter is replayed.
    let replayed = Envelope::new(cancel, user, stage.market.now(), None, Command::CancelCharge { refund, leg: 1 });
    stage.rejected(&replayed, ResultCode::TossFailed).await;
    assert_eq!(stage.calls("cancel").await, 2, "one by hand, one by the leg");
}
