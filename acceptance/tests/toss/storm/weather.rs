//! What goes wrong, and how often.

use crate::stage::Stage;
use serde_json::{Value, json};
use std::time::Duration;

/// A webhook's minute.
pub(super) const MINUTE_MS: i64 = 100;

/// Of a thousand calls so many are spared.
const SPARED: u32 = 650;

/// Every way in which a call that moves money can fail, every class of answer among them.
fn of_calls(final_code: &str) -> Value {
    json!([
        {"weight": 60, "fault": {"delay_ms": 200}},
        {"weight": 15, "fault": {"hang_ms": 1_500}},
        {"weight": 40, "fault": {"reset": "before"}},
        {"weight": 50, "fault": {"reset": "after"}},
        {"weight": 30, "fault": {"status": 500}},
        {"weight": 40, "fault": {"status": 502, "effect": true}},
        {"weight": 2, "fault": {"status": 429, "retry_after_s": 1}},
        {"weight": 30, "fault": {"code": "PROVIDER_ERROR", "http": 400}},
        {"name": "provider_error_with_effect", "weight": 20, "fault": {"code": "PROVIDER_ERROR", "http": 400, "effect": true}},
        {"name": "failed_internally", "weight": 20, "fault": {"code": "FAILED_INTERNAL_SYSTEM_PROCESSING", "http": 500}},
        {"name": "a code that nobody knows", "weight": 10, "fault": {"code": "TOTALLY_NEW_CODE", "http": 400}},
        {"name": "not now", "weight": 10, "fault": {"code": "NOT_AVAILABLE_BANK", "http": 403}},
        {"name": "our keys are refused", "weight": 2, "fault": {"code": "UNAUTHORIZED_KEY", "http": 401}},
        {"name": "refused for good", "weight": 25, "fault": {"code": final_code, "http": 403}},
        {"weight": 5, "fault": {"wrong_amount": 100}},
        {"weight": 20, "fault": {"duplicates": 2}},
    ])
}

fn of_look_ups() -> Value {
    json!([
        {"weight": 60, "fault": {"delay_ms": 200}},
        {"weight": 10, "fault": {"hang_ms": 1_500}},
        {"weight": 60, "fault": {"reset": "before"}},
        {"weight": 60, "fault": {"status": 503}},
        {"name": "our keys are refused", "weight": 1, "fault": {"code": "UNAUTHORIZED_KEY", "http": 401}},
        {"weight": 3, "fault": {"wrong_amount": 100}},
    ])
}

fn of_webhooks() -> Value {
    json!([
        {"weight": 100, "fault": {"webhook": "duplicate"}},
        {"weight": 100, "fault": {"webhook": "reorder"}},
        {"weight": 100, "fault": {"webhook": "loss"}},
    ])
}

pub(super) async fn begins(stage: &Stage, seed: u64) {
    for (path, faults) in [
        ("confirm", of_calls("REJECT_CARD_COMPANY")),
        ("cancel", of_calls("NOT_CANCELABLE_PAYMENT")),
        ("payment", of_look_ups()),
        ("webhook", of_webhooks()),
    ] {
        let mix = json!({"seed": seed, "none": SPARED, "faults": faults});
        let answer = stage.ask("PUT", &format!("/sandbox/mixes/{path}"), &mix).await;
        assert!(answer.is_null(), "{path}: {answer}");
    }
}

pub(super) async fn ends(stage: &Stage) {
    stage.ask("DELETE", "/sandbox/mixes", &Value::Null).await;
}

/// How often each fault of each mix struck.
pub(super) async fn drawn(stage: &Stage) -> Vec<(String, u64)> {
    let mixes = stage.ask("GET", "/sandbox/mixes", &Value::Null).await;
    let of_path = |(path, mix): (&String, &Value)| -> Vec<(String, u64)> {
        let faults = mix["faults"].as_array().expect("faults").iter();
        faults.map(|fault| (format!("{path}: {}", text(&fault["name"])), fault["applied"].as_u64().unwrap())).collect()
    };
    mixes["mixes"].as_object().expect("mixes").iter().flat_map(of_path).collect()
}

/// What became of the webhooks, by their counts.
pub(super) async fn webhooks(stage: &Stage) -> Vec<(String, u64)> {
    let counts = stage.ask("GET", "/sandbox/webhooks", &Value::Null).await["counts"].take();
    // Too few for the queue to overflow, and too short a time for seven retries.
    let wanted = |count: &str| !matches!(count, "dropped" | "given_up");
    let counts = counts.as_object().expect("counts").iter().filter(|(count, _)| wanted(count));
    counts.map(|(count, times)| (count.clone(), times.as_u64().expect("a number"))).collect()
}

/// Nobody answers webhooks for so long.
pub(super) async fn deaf(stage: &Stage, url: &str, pause: Duration) {
    stage.webhooks_go_to("http://127.0.0.1:9/", MINUTE_MS).await;
    tokio::time::sleep(pause).await;
    stage.webhooks_go_to(url, MINUTE_MS).await;
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
