//! What rules and dashboards ask for is what processes really expose: a real Prometheus reads a real market, after a small
//! market day.

use crate::queries::{Selector, dashboards, grouped_by, rules, selectors};
use acceptance::{
    Market,
    prometheus::{Labels, Prometheus},
    wait::becomes,
};
use load::{Login, Options};
use std::collections::BTreeMap;

/// How quick answers are depends on the machine, and this test is no yardstick.
const OF_THE_MACHINE: [&str; 2] = ["GreamReadsSlow", "GreamServerErrors"];

/// A day that has a bit of everything.
async fn small_day(market: &Market, api: &str, sandbox: &str) {
    let (login_id, password) = ("boss", "password1");
    let secret = platform::Secret::new(password);
    api::create_administrator(&market.database, login_id, &secret, market.now()).await.unwrap();
    let day = load::play(Options {
        api: format!("http://{api}").parse().unwrap(),
        sandbox: format!("http://{sandbox}").parse().unwrap(),
        administrator: Login { login_id: login_id.to_owned(), password: password.to_owned() },
        clock_file: Some(market.folder().join("clock")),
        journal: market.folder().join("journal.jsonl"),
        seed: 9,
        users: 30,
        products: 6,
        commands: 300,
        concurrency: 8,
    });
    assert!(day.await.unwrap().promises_are_kept());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_query_finds_what_it_asks_for_and_a_healthy_market_wakes_nobody() {
    let mut market = Market::new("exposed").await;
    // The same server is a replica that never lags.
    let database = market.environment["GREAM__DATABASE__URL"].clone();
    market.set("GREAM__DATABASE__REPLICA_URL", database);
    let (_sandbox_process, sandbox) = market.sandbox().await;
    let (mut api_process, api) = market.api().await;
    let mut workers = market.worker(&["bid", "payment", "refund", "relay", "notifier", "scheduler"]).await;
    let targets = [api_process.address("admin").await, workers.address("admin").await];
    let prometheus = Prometheus::start(market.folder(), &[&targets[0], &targets[1]]).await;
    small_day(&market, &api, &sandbox).await;

    let rules = rules().into_iter().map(|rule| (rule.alert, rule.expression));
    let mut series: BTreeMap<String, Vec<Labels>> = BTreeMap::new();
    let (mut queries, mut missing) = (0, Vec::new());
    for (place, query) in rules.chain(dashboards()) {
        queries += 1;
        let answer = prometheus.query(&query).await;
        answer.unwrap_or_else(|error| panic!("{place}: {query}: {error}"));
        let mut known: Vec<Labels> = Vec::new();
        for selector in selectors(&query) {
            if !series.contains_key(&selector.metric) {
                series.insert(selector.metric.clone(), prometheus.series(&selector.metric).await);
            }
            let found = &series[&selector.metric];
            missing.extend(lacking(&selector, found).map(|what| format!("{place}: {what}")));
            known.extend(found.iter().cloned());
        }
        for label in grouped_by(&query) {
            if !known.iter().any(|labels| labels.contains_key(&label)) {
                missing.push(format!("{place}: nothing has the label {label}"));
            }
        }
    }
    assert!(queries > 60, "{queries} queries: they were read");
    assert!(missing.is_empty(), "{}", missing.join("\n"));

    becomes("nothing fires", Vec::<Labels>::new(), || async {
        let firing = prometheus.firing().await;
        firing.into_iter().filter(|labels| !OF_THE_MACHINE.contains(&labels["alertname"].as_str())).collect()
    })
    .await;
}

/// What a selector asks for that no process shows. What an event makes (an answer of status 5xx) may be missing; its
/// label may not.
fn lacking(selector: &Selector, found: &[Labels]) -> Option<String> {
    if found.is_empty() {
        return Some(format!("no process exposes {}", selector.metric));
    }
    for (label, operator, value) in &selector.matchers {
        let values: Vec<&String> = found.iter().filter_map(|labels| labels.get(label)).collect();
        if values.is_empty() || (operator == "=" && !values.contains(&value)) {
            return Some(format!("{} has no {label}{operator}{value:?}", selector.metric));
        }
    }
    None
}
