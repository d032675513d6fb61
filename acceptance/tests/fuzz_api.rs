//! Generated calls, right ones and wrong ones, from the API's own OpenAPI document, against the real stack: no 5xx, no
//! status and no body that the document does not know. `acceptance/fuzz/hooks.py` leads calls to what exists, and a
//! fifth of each operation's calls must end well: otherwise only refusals would be tested.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use acceptance::{
    Market, Visitor,
    kakao::Kakao,
    servers::root,
    visitor::{PASSWORD, start_api},
};
use load::picture::png;
use serde_json::{Value, json};
use std::{collections::BTreeMap, path::Path, process::Stdio};
use tokio::process::Command;

/// Points that no run spends.
const GIFT: i64 = 1_000_000_000_000;
/// What is checked of every answer.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_headers_conformance,response_schema_conformance";
/// Their answers have no end: `api/notifications.rs` opens them.
const STREAMS: [&str; 2] = ["notification_stream", "product_stream"];
/// Fewer calls of an operation say nothing.
const MIN_CALLS: u64 = 5;

/// A number from the environment: `make fuzz-api` asks for more than `make test`.
fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |text| text.parse().expect("a number"))
}

fn tokens(of: &Visitor) -> Value {
    json!({"Access-Token": of.access, "Refresh-Token": of.refresh})
}

/// Everything a call can come upon.
async fn stage(market: &Market, visitor: &Visitor, sandbox: &str) -> Value {
    let (caller, other) = (visitor.join_as_administrator(market, "caller").await, visitor.join("other").await);
    for n in 0..4 {
        let name = format!("pictured {n}");
        let fields = [("brand", "brand"), ("name", name.as_str()), ("description", ""), ("price", "1000")];
        caller.upload("/api/admin/products", &fields, &png(n)).await.ok();
    }
    let products = visitor.get("/api/products").await.ok();
    let products: Vec<Value> = products.as_array().unwrap().iter().map(|product| product["id"].clone()).collect();
    json!({
        "api": visitor.base, "sandbox": format!("http://{sandbox}"), "password": PASSWORD, "callerLoginId": "caller",
        "caller": tokens(&caller), "other": tokens(&other), "pictured": products[0], "products": products,
    })
}

/// Runs schemathesis; its output, and whether it found nothing.
async fn run(stage: &Value, counts: &Path, folder: &Path) -> (String, bool) {
    let program = std::env::var("GREAM_TEST_SCHEMATHESIS")
        .expect("GREAM_TEST_SCHEMATHESIS names the program `schemathesis`: run the tests by `make test`");
    let (seconds, seed) = (number("GREAM_FUZZ_SECONDS", 50), number("GREAM_FUZZ_SEED", 20_261_122));
    let document = format!("{}/api/openapi.json", stage["api"].as_str().unwrap());
    let mut command = Command::new(program);
    command.args(["run", &document, "--checks", CHECKS, "--phases", "examples,coverage,fuzzing", "--mode", "all"]);
    command.args(["--continue-on-failure", "--no-color", "--request-timeout", "30"]);
    for stream in STREAMS {
        command.args(["--exclude-operation-id", stream]);
    }
    command.args(["--max-time", &seconds.to_string(), "--seed", &seed.to_string()]);
    command.env("SCHEMATHESIS_HOOKS", "hooks").env("PYTHONPATH", root().join("acceptance/fuzz"));
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command.env("GREAM_FUZZ_STAGE", stage.to_string()).env("GREAM_FUZZ_COUNTS", counts);
    let output = command.current_dir(folder).stdin(Stdio::null()).output().await.expect("schemathesis runs");
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    (text, output.status.success())
}

/// Calls, and those of them that ended well, by operation.
fn judge(document: &Value, counts: &Value) -> BTreeMap<String, (u64, u64)> {
    let paths = document["paths"].as_object().unwrap().values();
    let operations = paths.flat_map(|path| path.as_object().unwrap().values());
    let names = operations.map(|operation| operation["operationId"].as_str().unwrap().to_owned());
    names
        .map(|name| {
            let statuses = counts[&name].as_object().into_iter().flatten();
            let (mut calls, mut well) = (0, 0);
            for (status, count) in statuses {
                let count = count.as_u64().unwrap();
                calls += count;
                well += if status.starts_with('2') { count } else { 0 };
            }
            (name, (calls, well))
        })
        .collect()
}

#[tokio::test]
async fn generated_calls_are_answered_as_the_document_says() {
    let mut market = Market::new("fuzz_api").await;
    market.set("GREAM__MARKET__SIGN_UP_GIFT", GIFT);
    market.set("GREAM__MARKET__MAX_OPEN_BIDS_PER_USER_AND_PRODUCT", 1_000_000);
    for limit in ["LOGINS_PER_ACCOUNT", "SIGN_UPS_PER_LOGIN_ID"] {
        market.set(&format!("GREAM__RATE_LIMITS__{limit}"), 1_000_000);
    }
    let kakao = Kakao::start().await;
    for (key, value) in kakao.settings() {
        market.set(key, value);
    }
    let (_sandbox, sandbox) = market.sandbox().await;
    let _worker = market.worker(&["bid", "payment", "refund", "relay", "notifier", "scheduler"]).await;
    let (mut api, visitor) = start_api(&market).await;
    let mut stage = stage(&market, &visitor, &sandbox).await;
    // Whoever signs up here has nothing, and so may leave.
    market.set("GREAM__MARKET__SIGN_UP_GIFT", 0);
    let (_giftless, elsewhere) = start_api(&market).await;
    stage["giftless"] = json!(elsewhere.base);
    stage["kakao"] = json!(kakao.address);
    let counts = market.folder().join("counts.json");
    let (report, clean) = run(&stage, &counts, market.folder()).await;
    assert!(clean, "{report}");

    let document: Value =
        reqwest::get(format!("{}/api/openapi.json", visitor.base)).await.unwrap().json().await.unwrap();
    let counts: Value = serde_json::from_str(&std::fs::read_to_string(counts).unwrap()).unwrap();
    let judged = judge(&document, &counts);
    for (name, (calls, well)) in &judged {
        println!("{name:<20} {calls:>6} calls, {well:>6} of them 2xx");
    }
    assert!(judged.len() > 20, "{report}");
    for (name, (calls, well)) in judged.iter().filter(|(name, _)| !STREAMS.contains(&name.as_str())) {
        assert!(*calls >= MIN_CALLS, "{name} was called {calls} times only: {report}");
        assert!(well * 5 >= *calls, "{name}: {well} of {calls} calls ended well: {counts}");
    }
    assert!(api.is_running());
    assert!(!api.logged().contains("a handler panicked"));
    market.audit_holds().await;
}
