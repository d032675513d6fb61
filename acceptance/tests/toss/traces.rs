//! One trace from a request through the queue, retries and Toss; and none of it in anybody's way.

use crate::stage::Stage;
use acceptance::{
    Visitor,
    broker::header,
    collector::{Collector, Span},
    commands::envelope,
    visitor::{send, start_api},
    wait::{becomes, eventually},
};
use contracts::{Command, UserId, topology::COMMANDS_EXCHANGE};
use serde_json::json;
use std::sync::{Arc, Mutex};
use tokio::{io::AsyncReadExt, net::TcpListener};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CLIENTS_SPAN: &str = "00f067aa0ba902b7";

fn traceparent() -> String {
    format!("00-{TRACE}-{CLIENTS_SPAN}-01")
}

/// A charge by the API's own routes up to where Toss sends the payer back; the path that does that.
async fn authenticated(stage: &Stage, payer: &Visitor, amount: i64) -> (String, String) {
    let wanted = json!({"amount": amount, "orderName": "CHARGE_POINT"});
    let noted = payer.post("/api/payments/toss/request", &wanted).await.ok();
    let order = noted["paymentOrderId"].as_str().unwrap().to_owned();
    let key = stage.authenticate(&order, amount).await;
    let path =
        format!("/api/payments/toss/success?paymentType=NORMAL&orderId={order}&paymentKey={key}&amount={amount}");
    (order, path)
}

fn only<'a>(spans: &'a [Span], what: &str) -> &'a Span {
    assert_eq!(spans.len(), 1, "{what}: {spans:?}");
    &spans[0]
}

#[tokio::test]
async fn a_charge_is_one_trace_from_the_request_through_a_retry_to_toss() {
    let mut stage = Stage::new("traces_charge").await;
    let collector = Collector::start().await;
    stage.market.set("GREAM__TELEMETRY__OTLP_ENDPOINT", &collector.address);
    // What no client asks for is not recorded here: every span below is there because of the client's header.
    stage.market.set("GREAM__TELEMETRY__OTLP_SAMPLE_RATIO", "0.0");
    let worker = stage.market.worker(&["payment"]).await;
    let (_api, visitor) = start_api(&stage.market).await;
    let payer = visitor.join("alice").await;
    let (order, path) = authenticated(&stage, &payer, 5_000).await;
    stage.fault("confirm", &order, 1, json!({"status": 502, "effect": false})).await;
    let request = payer.request("GET", &path).header("traceparent", traceparent()).header("tracestate", "shop=1");
    let answer = send(request.header("X-Request-Id", "the-clients")).await;
    let command = answer.header("gream-command-id").to_owned();
    answer.ok();

    let requests = collector.named("GET /api/payments/toss/success", 1).await;
    let request = only(&requests, "the other requests had no header");
    assert_eq!((request.trace.as_str(), request.parent.as_str()), (TRACE, CLIENTS_SPAN));
    assert_eq!((request.service.as_str(), request.attributes["command"].as_str()), ("gream-api", command.as_str()));
    assert_eq!(request.attributes["http.response.status_code"], "200");

    let attempts = collector.named("confirm_charge", 2).await;
    for attempt in &attempts {
        assert_eq!((attempt.trace.as_str(), attempt.parent.as_str()), (TRACE, request.id.as_str()));
        assert_eq!((attempt.service.as_str(), &attempt.attributes["command"]), ("gream-payment", &command));
    }
    let calls = collector.named("confirm", 2).await;
    let statuses: Vec<_> = calls.iter().map(|call| call.attributes["http.response.status_code"].as_str()).collect();
    assert_eq!(statuses, ["502", "200"]);
    for (call, attempt) in calls.iter().zip(&attempts) {
        assert_eq!((&call.trace, &call.parent), (&attempt.trace, &attempt.id));
    }
    // What the charge causes is a part of it too.
    let events = "SELECT traceparent FROM outbox WHERE routing_key = 'charge.confirmed'";
    let event: Option<String> = sqlx::query_scalar(events).fetch_one(&stage.market.database).await.unwrap();
    assert_eq!(event, Some(format!("00-{TRACE}-{}-01", attempts[1].id)));
    assert!(collector.spans().iter().all(|span| span.trace == TRACE), "nobody asked for others");
    // And every log line about the command names it.
    let logged = worker.logged();
    let line = logged.lines().find(|line| line.contains("tried again later")).expect("the retry was logged");
    assert!(line.contains(&command), "{line}");
    stage.audit_holds().await;
}

#[tokio::test]
async fn a_bid_is_in_its_requests_trace_and_a_collector_that_is_away_holds_nobody_up() {
    let mut stage = Stage::new("traces_bid").await;
    let collector = Collector::start().await;
    stage.market.product(1).await;
    stage.market.set("GREAM__TELEMETRY__OTLP_ENDPOINT", &collector.address);
    stage.market.set("GREAM__TELEMETRY__OTLP_SAMPLE_RATIO", "1.0");
    let _worker = stage.market.worker(&["bid"]).await;
    let (_api, visitor) = start_api(&stage.market).await;
    let bidder = visitor.join("alice").await;
    let bid = json!({"price": 1_000, "period": 3});
    bidder.post("/api/buy/1", &bid).await.ok();
    let requests = collector.named("POST /api/buy/{id}", 1).await;
    let carried_out = collector.named("place_buy_bid", 1).await;
    let (request, carried_out) = (only(&requests, "one request"), only(&carried_out, "one command"));
    assert_eq!((&carried_out.trace, &carried_out.parent), (&request.trace, &request.id));
    assert_eq!(carried_out.attributes["batch.commands"], "1");

    drop(collector);
    bidder.post("/api/buy/1", &bid).await.ok();
}

#[tokio::test]
async fn without_a_collector_the_clients_trace_still_reaches_toss() {
    let mut stage = Stage::new("traces_none").await;
    let (seen, toss) = listening_toss().await;
    stage.market.set("GREAM__TOSS__BASE_URL", toss);
    let _worker = stage.market.worker(&["payment"]).await;
    let (_api, visitor) = start_api(&stage.market).await;
    let payer = visitor.join("alice").await;
    let (_, path) = authenticated(&stage, &payer, 5_000).await;
    let request = payer.request("GET", &path).header("traceparent", traceparent()).header("tracestate", "shop=1");
    send(request.header("Prefer", "respond-async")).await.refused(202, 0);
    let sent = eventually("two attempts at Toss", || async {
        Some(seen.lock().unwrap().clone()).filter(|requests| requests.len() >= 2)
    })
    .await;
    for request in sent {
        let lower = request.to_lowercase();
        assert!(lower.contains(&format!("\r\ntraceparent: {}\r\n", traceparent())), "{request}");
        assert!(lower.contains("\r\ntracestate: shop=1\r\n"), "{request}");
    }
}

#[tokio::test]
async fn what_leaves_the_outbox_stays_in_its_trace() {
    let stage = Stage::new("traces_outbox").await;
    let command = Command::FollowPayment { order_id: "order-1".to_owned() };
    let follow = envelope("follow", UserId::SYSTEM, stage.market.now(), command);
    for trace in [Some(traceparent()), None] {
        sqlx::query(
            "INSERT INTO outbox (exchange_name, routing_key, payload, created_at_ms, traceparent) VALUES (?, 'payment', ?, 1, ?)",
        )
        .bind(COMMANDS_EXCHANGE)
        .bind(String::from_utf8(follow.encode()).unwrap())
        .bind(trace)
        .execute(&stage.market.database)
        .await
        .unwrap();
    }
    let _relay = stage.market.worker(&["relay"]).await;
    becomes("both on their queue", 2, || stage.market.broker.depth("payment")).await;
    let mut traces = Vec::new();
    for _ in 0..2 {
        traces.push(header(&stage.market.broker.receive("payment").await, "traceparent"));
    }
    traces.sort();
    assert_eq!(traces, [None, Some(traceparent())]);
}

/// Listens where Toss should be, and hangs up on whoever calls: what was said, and where.
async fn listening_toss() -> (Arc<Mutex<Vec<String>>>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let heard = seen.clone();
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let mut request = vec![0; 8 * 1024];
            let length = connection.read(&mut request).await.unwrap_or(0);
            heard.lock().unwrap().push(String::from_utf8_lossy(&request[..length]).into_owned());
        }
    });
    (seen, address)
}
