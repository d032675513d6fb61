//! The main job, on a small scale: a market day played over HTTP by a seeded crowd, nights and refusals included, with
//! the audit over everything afterwards. `make run` plays a whole one.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use acceptance::{Market, wait::PATIENCE};
use load::{Login, Options};

const ADMINISTRATOR: (&str, &str) = ("boss", "password1");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_market_day_keeps_every_promise() {
    let mut market = Market::new("market_day").await;
    let (_sandbox_process, sandbox) = market.sandbox().await;
    let (_api, api) = market.api().await;
    let _workers = market.worker(&["bid", "payment", "refund", "relay", "notifier", "scheduler"]).await;
    let (login_id, password) = ADMINISTRATOR;
    api::create_administrator(&market.database, login_id, &platform::Secret::new(password), market.now())
        .await
        .unwrap();

    let journal = market.folder().join("journal.jsonl");
    let day = load::play(Options {
        api: format!("http://{api}").parse().unwrap(),
        sandbox: format!("http://{sandbox}").parse().unwrap(),
        administrator: Login { login_id: login_id.to_owned(), password: password.to_owned() },
        clock_file: Some(market.folder().join("clock")),
        journal: journal.clone(),
        seed: 7,
        users: 40,
        products: 8,
        commands: 800,
        concurrency: 12,
    })
    .await
    .unwrap();
    assert!(day.promises_are_kept(), "{day}");

    let sources = operator::Sources {
        journal: Some(journal),
        broker: Some(market.broker.page()),
        sandbox: Some(format!("http://{sandbox}").parse().unwrap()),
        ..market.audit_sources()
    };
    let report = operator::audit_at_rest(&sources, PATIENCE).await.unwrap();
    assert!(report.holds_at_rest(), "{report}");
    assert!(report.figures.trades >= 50, "{report}");
    assert!(report.not_compared.is_empty(), "{:?}", report.not_compared);
}
