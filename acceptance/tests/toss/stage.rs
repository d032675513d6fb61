//! A market with a sandbox, and the steps that tests have in common.

use acceptance::{
    Market,
    commands::envelope,
    process::Process,
    wait::{PATIENCE, becomes, eventually},
};
use contracts::{Command, CommandId, Envelope, RefundId, UnixMs, UserId, Won};
use serde_json::{Value, json};
use std::{
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
};
use toss::sandbox::journal::{Effect, Entry};

pub const WINDOW_MS: i64 = 600_000;

/// See the module's words.
pub struct Stage {
    pub market: Market,
    pub sandbox: Process,
    pub address: String,
    http: reqwest::Client,
    orders: AtomicU32,
}

impl Stage {
    /// A market whose workers call a sandbox of its own, and wait only a second for it.
    pub async fn new(test: &str) -> Self {
        let mut market = Market::new(test).await;
        market.set("GREAM__TOSS__CONNECT_TIMEOUT_MS", 500);
        market.set("GREAM__TOSS__READ_TIMEOUT_MS", 1_000);
        market.set("GREAM__PAYMENT_WORKER__LADDER_MS", "200,400,800,1600,3200");
        market.set("GREAM__SCHEDULER__COMPARE_PACE_MS", 10);
        // Most tests are about one command; the breaker has tests of its own.
        market.set("GREAM__PAYMENT_WORKER__BREAKER_MIN_CALLS", 1_000);
        market.set("GREAM__PAYMENT_WORKER__BREAKER_WINDOW_CALLS", 1_000);
        let (sandbox, address) = start_sandbox(&market, "127.0.0.1:0").await;
        market.set("GREAM__TOSS__BASE_URL", format!("http://{address}"));
        Self { market, sandbox, address, http: reqwest::Client::new(), orders: AtomicU32::new(1) }
    }

    /// Starts the sandbox again where it was, with what its journal remembers.
    pub async fn restart_sandbox(&mut self) {
        self.sandbox.kill();
        (self.sandbox, _) = start_sandbox(&self.market, &self.address).await;
    }

    pub async fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let url = format!("http://{}{path}", self.address);
        let request = self.http.request(method.parse().unwrap(), url).body(body.to_string());
        let text = request.send().await.expect("the sandbox answers").text().await.unwrap();
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// The order of a charge, as the API saves it.
    pub async fn order(&self, user: UserId, amount: i64) -> String {
        let order_id = format!("order-{}", self.orders.fetch_add(1, Ordering::Relaxed));
        let now = self.market.now().0;
        sqlx::query(
            "INSERT INTO payments (order_id, user_id, amount, order_name, state, attempt, cancelled_amount, created_at_ms, \
             updated_at_ms) VALUES (?, ?, ?, 'CHARGE_POINT', 'requested', 0, 0, ?, ?)",
        )
        .bind(&order_id)
        .bind(i64::try_from(user.0).unwrap())
        .bind(amount)
        .bind(now)
        .bind(now)
        .execute(&self.market.database)
        .await
        .unwrap();
        order_id
    }

    /// The payer authenticates a payment of `amount` for `order_id`; the payment's key.
    pub async fn authenticate(&self, order_id: &str, amount: i64) -> String {
        let redirect = self.ask("POST", "/sandbox/checkout", &json!({"orderId": order_id, "amount": amount})).await;
        redirect["paymentKey"].as_str().unwrap_or_else(|| panic!("{redirect}")).to_owned()
    }

    /// A charge that the payer has authenticated, and the command that confirms it.
    pub async fn charge(&self, user: UserId, amount: i64) -> Envelope {
        let order_id = self.order(user, amount).await;
        let payment_key = self.authenticate(&order_id, amount).await;
        confirm(user, &order_id, &payment_key, amount, self.market.now())
    }

    /// A charge that is credited already.
    pub async fn charged(&self, user: UserId, amount: i64) -> String {
        let command = self.charge(user, amount).await;
        self.publish(&command).await;
        self.market.reaches(command.id, "done").await;
        order_of(&command).to_owned()
    }

    /// A charge for which the payer has chosen a virtual account, and the command that has it issued.
    pub async fn deposit_charge(&self, user: UserId, amount: i64) -> Envelope {
        let order_id = self.order(user, amount).await;
        let wanted = json!({"orderId": order_id, "amount": amount, "method": "virtual_account"});
        let redirect = self.ask("POST", "/sandbox/checkout", &wanted).await;
        let payment_key = redirect["paymentKey"].as_str().unwrap_or_else(|| panic!("{redirect}"));
        confirm(user, &order_id, payment_key, amount, self.market.now())
    }

    /// The same, issued: it awaits its deposit.
    pub async fn awaiting(&self, user: UserId, amount: i64) -> Envelope {
        let command = self.deposit_charge(user, amount).await;
        self.publish(&command).await;
        self.market.reaches(command.id, "done").await;
        assert_eq!(self.charge_state(order_of(&command)).await, "awaiting_deposit");
        command
    }

    /// Somebody pays into the virtual account, or the bank takes that back.
    pub async fn deposit(&self, command: &Envelope, what: &str) {
        let answer = self.ask("POST", &format!("/sandbox/deposits/{}{what}", key_of(command)), &Value::Null).await;
        assert!(answer["code"].is_null(), "{answer}");
    }

    /// An operator cancels on Toss's own page.
    pub async fn cancel_by_hand(&self, payment_key: &str, reason: &str, amount: i64) {
        let url = format!("http://{}/v1/payments/{payment_key}/cancel", self.address);
        let cancel = self.http.post(url).basic_auth("test_sk_acceptance", Some(""));
        let answer = cancel.json(&json!({"cancelReason": reason, "cancelAmount": amount})).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    }

    /// A charge whose worker died at `point`; its message is in nobody's hands.
    pub async fn left_behind(&self, command: &Envelope, point: &str) {
        let (mut victim, file) = self.market.halting_worker(&["payment"], point);
        self.publish(command).await;
        halted(&mut victim, &file, point).await;
        victim.kill();
        std::fs::remove_file(&file).unwrap();
        eventually("its message", || self.market.broker.take("payment")).await;
    }

    pub async fn charge_state(&self, order_id: &str) -> String {
        sqlx::query_scalar("SELECT state FROM payments WHERE order_id = ?")
            .bind(order_id)
            .fetch_one(&self.market.database)
            .await
            .unwrap()
    }

    pub async fn charge_becomes(&self, order_id: &str, state: &str) {
        becomes(&format!("{order_id} is {state}"), state.to_owned(), || self.charge_state(order_id)).await;
    }

    /// What a user owes.
    pub async fn debt(&self, user: UserId) -> i64 {
        sqlx::query_scalar("SELECT COALESCE((SELECT amount FROM receivables WHERE user_id = ?), 0)")
            .bind(i64::try_from(user.0).unwrap())
            .fetch_one(&self.market.database)
            .await
            .unwrap()
    }

    /// Every difference that is open, with its kind.
    pub async fn differences(&self) -> Vec<(String, String)> {
        sqlx::query_as("SELECT order_id, kind FROM differences WHERE gone_at_ms IS NULL ORDER BY order_id, kind")
            .fetch_all(&self.market.database)
            .await
            .unwrap()
    }

    /// Has the payment looked up, as a hint of this name would; its command.
    pub async fn follow(&self, order_id: &str, hint: &str) -> CommandId {
        let id = self.hint(order_id, hint).await;
        self.market.reaches(id, "done").await;
        id
    }

    /// The same, without waiting for what comes of it.
    pub async fn hint(&self, order_id: &str, hint: &str) -> CommandId {
        let command = Command::FollowPayment { order_id: order_id.to_owned() };
        let command = envelope(&format!("{hint} {order_id}"), UserId::SYSTEM, self.market.now(), command);
        self.publish(&command).await;
        command.id
    }

    /// Starts an API and has the sandbox send its webhooks there; a minute of its retries is so long.
    pub async fn hears_webhooks(&self, minute_ms: i64) -> (Process, String) {
        let (api, address) = self.market.api().await;
        let url = format!("http://{address}/api/payments/toss/webhook");
        self.webhooks_go_to(&url, minute_ms).await;
        (api, url)
    }

    pub async fn webhooks_go_to(&self, url: &str, minute_ms: i64) {
        self.ask("PUT", "/sandbox/webhooks", &json!({"url": url, "minute_ms": minute_ms})).await;
    }

    pub async fn publish(&self, command: &Envelope) {
        self.market.broker.publish(self.market.partitions, std::slice::from_ref(command)).await;
    }

    /// The command of a refund request, carried out; the refund's id.
    pub async fn refund(&self, user: UserId, amount: i64) -> RefundId {
        let command = request_refund(&format!("r{amount}"), user, amount, self.market.now());
        self.publish(&command).await;
        self.market.reaches(command.id, "done").await;
        let id: i64 = sqlx::query_scalar("SELECT refund_id FROM refunds WHERE command_id = ?")
            .bind(command.id.bytes().to_vec())
            .fetch_one(&self.market.database)
            .await
            .unwrap();
        RefundId(u64::try_from(id).unwrap())
    }

    /// Approves a refund; needs a relay for its legs to be paid.
    pub async fn approve(&self, refund: RefundId) -> CommandId {
        let command = envelope(&format!("a{refund}"), UserId(9), self.market.now(), Command::ApproveRefund { refund });
        self.publish(&command).await;
        self.market.reaches(command.id, "done").await;
        command.id
    }

    /// Rejects every refund that the user has asked for.
    pub async fn reject_refunds_of(&self, user: UserId) {
        let open = "SELECT refund_id FROM refunds WHERE user_id = ? AND state = 'requested'";
        let open: Vec<i64> = sqlx::query_scalar(open)
            .bind(i64::try_from(user.0).unwrap())
            .fetch_all(&self.market.database)
            .await
            .unwrap();
        for refund in open.into_iter().map(|id| RefundId(u64::try_from(id).unwrap())) {
            let command = Command::RejectRefund { refund, reason: "안 됩니다.".to_owned() };
            let command = envelope(&format!("n{refund}"), UserId(9), self.market.now(), command);
            self.publish(&command).await;
            self.market.reaches(command.id, "done").await;
        }
    }

    /// The newest command that waits in the outbox for this queue; it is the caller's now, as it would be a relay's.
    pub async fn takes_off_outbox(&self, queue: &str) -> Envelope {
        let newest = "SELECT outbox_id, payload FROM outbox WHERE routing_key = ? ORDER BY outbox_id DESC LIMIT 1";
        let (id, payload): (i64, String) =
            sqlx::query_as(newest).bind(queue).fetch_one(&self.market.database).await.unwrap();
        let taken = sqlx::query("DELETE FROM outbox WHERE outbox_id = ?").bind(id);
        taken.execute(&self.market.database).await.unwrap();
        Envelope::decode(payload.as_bytes()).unwrap()
    }

    pub async fn fault(&self, path: &str, order_id: &str, times: u32, fault: Value) {
        let request = json!({"match": {"path": path, "orderId": order_id}, "times": times, "fault": fault});
        let answer = self.ask("POST", "/sandbox/faults", &request).await;
        assert!(answer["id"].is_u64(), "{answer}");
    }

    /// How many calls each fault has struck, oldest first.
    pub async fn struck(&self) -> Vec<u64> {
        let answer = self.ask("GET", "/sandbox/faults", &Value::Null).await;
        answer["faults"].as_array().unwrap().iter().map(|fault| fault["struck"].as_u64().unwrap()).collect()
    }

    /// How often the sandbox was called in this way.
    pub async fn calls(&self, what: &str) -> u64 {
        self.ask("GET", "/sandbox/calls", &Value::Null).await[what].as_u64().unwrap()
    }

    pub async fn journal(&self) -> Vec<Entry> {
        let page = self.ask("GET", "/sandbox/journal", &Value::Null).await;
        serde_json::from_value(page["entries"].clone()).unwrap()
    }

    /// How often money was taken and given back for an order.
    pub async fn moves(&self, order_id: &str) -> (usize, usize) {
        let journal = self.journal().await;
        let taken = |entry: &&Entry| matches!(&entry.effect, Effect::Confirmed { order_id: of, .. } if of == order_id);
        let given = |entry: &&Entry| matches!(&entry.effect, Effect::Cancelled { order_id: of, .. } if of == order_id);
        (journal.iter().filter(taken).count(), journal.iter().filter(given).count())
    }

    /// The outcome of a command.
    pub async fn outcome(&self, id: CommandId) -> (String, i32, Value) {
        let (state, code, data): (String, i32, String) =
            sqlx::query_as("SELECT state, result_code, data FROM commands WHERE command_id = ?")
                .bind(id.bytes().to_vec())
                .fetch_one(&self.market.database)
                .await
                .unwrap();
        (state, code, serde_json::from_str(&data).unwrap())
    }

    /// Where a command stands; empty while no worker has met it.
    pub async fn state_of(&self, id: CommandId) -> String {
        let state = sqlx::query_scalar("SELECT state FROM commands WHERE command_id = ?").bind(id.bytes().to_vec());
        state.fetch_optional(&self.market.database).await.unwrap().unwrap_or_default()
    }

    pub async fn attempts(&self, id: CommandId) -> i16 {
        sqlx::query_scalar("SELECT attempts FROM commands WHERE command_id = ?")
            .bind(id.bytes().to_vec())
            .fetch_one(&self.market.database)
            .await
            .unwrap()
    }

    /// A user's available and held points.
    pub async fn points(&self, user: UserId) -> (i64, i64) {
        sqlx::query_as("SELECT available, held FROM balances WHERE user_id = ?")
            .bind(i64::try_from(user.0).unwrap())
            .fetch_one(&self.market.database)
            .await
            .unwrap()
    }

    /// The legs of a refund: route, amount, state.
    pub async fn legs(&self, refund: RefundId) -> Vec<(String, i64, String)> {
        sqlx::query_as("SELECT route, amount, state FROM refund_legs WHERE refund_id = ? ORDER BY leg_no")
            .bind(i64::try_from(refund.0).unwrap())
            .fetch_all(&self.market.database)
            .await
            .unwrap()
    }

    pub async fn refund_state(&self, refund: RefundId) -> String {
        sqlx::query_scalar("SELECT state FROM refunds WHERE refund_id = ?")
            .bind(i64::try_from(refund.0).unwrap())
            .fetch_one(&self.market.database)
            .await
            .unwrap()
    }

    pub async fn refund_becomes(&self, refund: RefundId, state: &str) {
        becomes(&format!("refund {refund} is {state}"), state.to_owned(), || self.refund_state(refund)).await;
    }

    /// The database and the sandbox's journal.
    pub fn audit_sources(&self) -> operator::Sources {
        operator::Sources {
            sandbox: Some(format!("http://{}", self.address).parse().unwrap()),
            ..self.market.audit_sources()
        }
    }

    /// The audit, with the sandbox's journal, once everything has ended and the outbox is empty.
    pub async fn audit_holds(&self) {
        let _relay = self.market.worker(&["relay"]).await;
        let report = operator::audit_at_rest(&self.audit_sources(), PATIENCE).await.expect("the audit runs");
        assert!(report.holds_at_rest(), "{}", serde_json::to_string_pretty(&report).unwrap());
    }
}

async fn start_sandbox(market: &Market, listen: &str) -> (Process, String) {
    let journal = market.folder().join("toss-sandbox.jsonl");
    let mut sandbox = market.spawn(&["sandbox", "--listen", listen, "--journal", journal.to_str().unwrap()]);
    let address = sandbox.address("http").await;
    (sandbox, address)
}

pub fn confirm(user: UserId, order_id: &str, payment_key: &str, amount: i64, now: UnixMs) -> Envelope {
    let command = Command::ConfirmCharge {
        order_id: order_id.to_owned(),
        payment_key: payment_key.to_owned(),
        amount: Won(amount),
        confirm_by: now.plus_ms(WINDOW_MS),
    };
    Envelope::new(CommandId::derived(user, "confirm_charge", order_id), user, now, None, command)
}

pub fn request_refund(key: &str, user: UserId, amount: i64, now: UnixMs) -> Envelope {
    let command = Command::RequestRefund {
        point: Won(amount),
        bank: "국민".to_owned(),
        account_cipher: "c2VhbGVk".to_owned(),
        account_masked: "****6789".to_owned(),
        account_hash: "5a5a".to_owned(),
    };
    Envelope::new(CommandId::derived(user, "request_refund", key), user, now, None, command)
}

pub fn order_of(command: &Envelope) -> &str {
    match &command.command {
        Command::ConfirmCharge { order_id, .. } => order_id,
        other => panic!("{other:?} has no order"),
    }
}

pub fn key_of(command: &Envelope) -> &str {
    match &command.command {
        Command::ConfirmCharge { payment_key, .. } => payment_key,
        other => panic!("{other:?} has no payment key"),
    }
}

/// Waits until a process has halted at `point`.
pub async fn halted(worker: &mut Process, file: &Path, point: &str) {
    eventually(&format!("halted at {point}"), || async {
        (std::fs::read_to_string(file).ok()? == point).then_some(())
    })
    .await;
    assert!(worker.is_running());
}

/// One metric of a process, summed over its labels.
pub async fn metric(admin: &str, name: &str) -> f64 {
    let text = reqwest::get(format!("http://{admin}/metrics")).await.unwrap().text().await.unwrap();
    let of_name = |line: &&str| line.split(['{', ' ']).next() == Some(name);
    text.lines().filter(of_name).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}
