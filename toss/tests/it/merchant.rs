//! A merchant's own server: takes webhooks, and answers as the test wants.

use axum::{Router, extract::State, http::HeaderMap, http::StatusCode, routing::post};
use serde_json::Value;
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::net::TcpListener;

/// So many times 10 ms a test waits for webhooks.
const PATIENCE: usize = 500;

/// A webhook, as it arrived.
#[derive(Clone, Debug)]
pub struct Heard {
    pub id: String,
    pub time: String,
    pub retried: u64,
    pub body: Value,
}

impl Heard {
    /// The payment's or deposit's status.
    pub fn status(&self) -> &str {
        let told = if self.body["eventType"].is_null() { &self.body["status"] } else { &self.body["data"]["status"] };
        told.as_str().unwrap()
    }
}

#[derive(Debug)]
struct Desk {
    heard: Vec<Heard>,
    /// Answered from the front; then 200 for ever.
    answers: Vec<u16>,
    slowly: Duration,
}

/// The merchant.
#[derive(Clone, Debug)]
pub struct Merchant {
    pub address: SocketAddr,
    desk: Arc<Mutex<Desk>>,
}

impl Merchant {
    pub async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let desk = Arc::new(Mutex::new(Desk { heard: Vec::new(), answers: Vec::new(), slowly: Duration::ZERO }));
        let app = Router::new().route("/hook", post(hear)).with_state(desk.clone());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { address, desk }
    }

    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// Answers the next ones like this, and those after them with 200.
    pub fn answer(&self, answers: &[u16]) {
        self.desk.lock().unwrap().answers = answers.to_vec();
    }

    pub fn answer_after(&self, slowly: Duration) {
        self.desk.lock().unwrap().slowly = slowly;
    }

    pub fn heard(&self) -> Vec<Heard> {
        self.desk.lock().unwrap().heard.clone()
    }

    /// Waits, in bounded time, until so many have arrived in all.
    pub async fn hears(&self, count: usize) -> Vec<Heard> {
        for _ in 0..PATIENCE {
            let heard = self.heard();
            if heard.len() >= count {
                assert_eq!(heard.len(), count, "{heard:#?}");
                return heard;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{count} webhooks did not arrive within 5 s: {:#?}", self.heard());
    }
}

async fn hear(State(desk): State<Arc<Mutex<Desk>>>, headers: HeaderMap, body: String) -> StatusCode {
    let header =
        |name: &str| headers[&format!("tosspayments-webhook-transmission-{name}") as &str].to_str().unwrap().to_owned();
    let (id, time, retried) = (header("id"), header("time"), header("retried-count").parse().unwrap());
    let (answer, slowly) = {
        let mut desk = desk.lock().unwrap();
        desk.heard.push(Heard { id, time, retried, body: serde_json::from_str(&body).unwrap() });
        let answer = if desk.answers.is_empty() { 200 } else { desk.answers.remove(0) };
        (answer, desk.slowly)
    };
    tokio::time::sleep(slowly).await;
    StatusCode::from_u16(answer).unwrap()
}
