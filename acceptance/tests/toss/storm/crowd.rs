//! Who charges and wants money back, what banks and merchants do beside them, and the administrator.

use crate::stage::{Stage, key_of, order_of, request_refund};
use acceptance::commands::envelope;
use contracts::{Command, Envelope, RefundId, UserId};
use rand::{Rng, rngs::StdRng};
use serde_json::{Value, json};
use std::{collections::BTreeSet, time::Duration};

/// Few of many charges, and many of few: so refunds go over one charge and over several.
const USERS: u64 = 40;
const BUSY_USERS: u64 = 3;
/// The largest charge, in hundreds of won.
const HUNDREDS: i64 = 500;
/// The administrator looks each so many steps.
const OFFICE_HOURS: usize = 20;
/// Commands under way at once: a payer does not wait for minutes.
const UNDER_WAY: i64 = 150;

/// Every charge of theirs.
pub(super) struct Crowd<'a> {
    stage: &'a Stage,
    random: StdRng,
    commands: usize,
    cards: Vec<Envelope>,
    accounts: Vec<Envelope>,
    /// What was done for an order outside, and nobody may have heard of.
    pub(super) done_outside: BTreeSet<String>,
    asked: u64,
}

impl<'a> Crowd<'a> {
    pub(super) async fn new(stage: &'a Stage, random: StdRng, commands: usize) -> Self {
        for user in 1..=USERS {
            stage.market.user(user, 0).await;
        }
        let (cards, accounts) = (Vec::new(), Vec::new());
        Self { stage, random, commands, cards, accounts, done_outside: BTreeSet::new(), asked: 0 }
    }

    pub(super) async fn plays(&mut self) {
        for step in 0..self.commands {
            match self.random.random_range(0..100) {
                0..70 => self.charges().await,
                _ => self.wants_money_back().await,
            }
            match self.random.random_range(0..100) {
                0..12 => self.a_bank_has_news().await,
                12..18 => self.somebody_cancels_at_toss().await,
                _ => {}
            }
            if step % OFFICE_HOURS == 0 {
                self.administrator(false).await;
                while self.stage.market.count("executing").await + self.stage.market.count("retrying").await > UNDER_WAY
                {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    fn somebody(&mut self) -> UserId {
        let busy = self.random.random_bool(0.4);
        UserId(self.random.random_range(1..=if busy { BUSY_USERS } else { USERS }))
    }

    async fn charges(&mut self) {
        let (user, amount) = (self.somebody(), self.random.random_range(5..=HUNDREDS) * 100);
        let (by_account, told_twice) = (self.random.random_bool(0.15), self.random.random_bool(0.05));
        let mut charge = if by_account {
            self.stage.deposit_charge(user, amount).await
        } else {
            self.stage.charge(user, amount).await
        };
        if self.random.random_bool(0.01) {
            let Command::ConfirmCharge { confirm_by, .. } = &mut charge.command else { unreachable!() };
            // It was on its way for longer than the window was open.
            *confirm_by = charge.accepted_at.plus_ms(-1);
        }
        for _ in 0..=u8::from(told_twice) {
            self.stage.publish(&charge).await;
        }
        if by_account { self.accounts.push(charge) } else { self.cards.push(charge) }
    }

    async fn wants_money_back(&mut self) {
        let user = self.somebody();
        let (available, _) = self.stage.points(user).await;
        if available < 1 {
            return;
        }
        let amount = if self.random.random_bool(0.2) { available } else { self.random.random_range(1..=available) };
        self.asked += 1;
        let request = request_refund(&format!("storm {}", self.asked), user, amount, self.stage.market.now());
        self.stage.publish(&request).await;
    }

    /// Somebody pays into an account, or the bank takes that back; a bank refuses what makes no sense.
    async fn a_bank_has_news(&mut self) {
        let Some(charge) = pick(&self.accounts, &mut self.random) else { return };
        let what = if self.random.random_bool(0.25) { "/error" } else { "" };
        let path = format!("/sandbox/deposits/{}{what}", key_of(charge));
        if self.stage.ask("POST", &path, &Value::Null).await["code"].is_null() {
            self.done_outside.insert(order_of(charge).to_owned());
        }
    }

    /// An operator cancels a part of a payment, or all of it, on Toss's own page: of any, or of one that Toss has taken and
    /// that is under way here still.
    async fn somebody_cancels_at_toss(&mut self) {
        let charges = if self.random.random_bool(0.8) { &self.cards } else { &self.accounts };
        let any =
            pick(charges, &mut self.random).map(|charge| (order_of(charge).to_owned(), key_of(charge).to_owned()));
        let (candidates, whole) =
            if self.random.random_bool(0.5) { (self.under_way().await, 0.2) } else { (Vec::from_iter(any), 0.5) };
        let amount = if self.random.random_bool(whole) { Value::Null } else { json!(100) };
        for (order, key) in candidates {
            let url = format!("http://{}/v1/payments/{key}/cancel", self.stage.address);
            let cancel = reqwest::Client::new().post(url).basic_auth("test_sk_acceptance", Some(""));
            // The weather is as bad for them; what came of it stands in the journal.
            let answer = cancel.json(&json!({"cancelReason": "by hand", "cancelAmount": amount})).send().await;
            self.done_outside.insert(order);
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return;
            }
        }
    }

    async fn under_way(&self) -> Vec<(String, String)> {
        let read = "SELECT order_id, payment_key FROM payments WHERE state = 'confirming' AND payment_key IS NOT NULL \
                    ORDER BY RAND() LIMIT 10";
        sqlx::query_as(read).fetch_all(&self.stage.market.database).await.expect("charges")
    }

    /// Approves most refunds and rejects some; transfers payouts, or cannot. At last (`finally`) nothing waits any more.
    pub(super) async fn administrator(&mut self, finally: bool) {
        let requested = "SELECT r.refund_id, COALESCE(d.amount, 0) FROM refunds r \
                         LEFT JOIN receivables d ON d.user_id = r.user_id WHERE r.state = 'requested' LIMIT 500";
        for (refund, debt) in self.rows(requested).await {
            let refund = refund_id(refund);
            let rejects = self.random.random_bool(0.05) || (finally && debt > 0);
            self.says(if rejects {
                Command::RejectRefund { refund, reason: "a storm".to_owned() }
            } else {
                Command::ApproveRefund { refund }
            })
            .await;
        }
        let payouts = "SELECT l.refund_id, l.leg_no FROM refund_legs l WHERE l.route = 'payout' AND l.state = 'planned' LIMIT 500";
        for (refund, leg) in self.rows(payouts).await {
            let (refund, leg) = (refund_id(refund), u32::try_from(leg).unwrap());
            let made = self.random.random_bool(0.7);
            self.says(if made {
                Command::ConfirmPayout { refund, leg }
            } else {
                Command::FailPayout { refund, leg, reason: "a storm".to_owned() }
            })
            .await;
        }
    }

    async fn says(&mut self, command: Command) {
        self.asked += 1;
        let command = envelope(&format!("office {}", self.asked), UserId(99), self.stage.market.now(), command);
        self.stage.publish(&command).await;
    }

    async fn rows(&self, sql: &'static str) -> Vec<(i64, i64)> {
        sqlx::query_as(sql).fetch_all(&self.stage.market.database).await.unwrap()
    }
}

fn refund_id(id: i64) -> RefundId {
    RefundId(u64::try_from(id).unwrap())
}

fn pick<'b>(charges: &'b [Envelope], random: &mut StdRng) -> Option<&'b Envelope> {
    (!charges.is_empty()).then(|| &charges[random.random_range(0..charges.len())])
}
