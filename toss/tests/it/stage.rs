//! A sandbox of a test's own, a client for it, and the payer's part.

use base64::{Engine, engine::general_purpose::STANDARD};
use contracts::{UnixMs, Won};
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc, Once,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};
use toss::{
    CallError, Client, ClientOptions, Payment, Refusal, SecretKey,
    sandbox::{SandboxOptions, journal::Entry, serve},
};

pub const SECRET: &str = "test_sk_stage";
const START_MS: i64 = 1_700_000_000_000;

/// A running sandbox.
pub struct Stage {
    pub address: SocketAddr,
    pub client: Client,
    pub folder: tempfile::TempDir,
    now_ms: Arc<AtomicI64>,
    orders: AtomicU64,
    http: reqwest::Client,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

/// An authenticated payment.
#[derive(Clone, Debug)]
pub struct Authenticated {
    pub payment_key: String,
    pub order_id: String,
    pub amount: Won,
}

pub fn install_tls() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| rustls::crypto::ring::default_provider().install_default().unwrap());
}

/// The client with the given key and patience.
pub fn client_of(address: SocketAddr, secret: &str, read_timeout: Duration) -> Client {
    install_tls();
    Client::new(ClientOptions {
        trace_headers: toss::client::no_trace,
        base_url: format!("http://{address}"),
        secret_key: SecretKey::new(secret),
        connect_timeout: Duration::from_secs(2),
        read_timeout,
    })
    .unwrap()
}

impl Stage {
    pub async fn new() -> Self {
        let now_ms = Arc::new(AtomicI64::new(START_MS));
        Self::start(tempfile::tempdir().unwrap(), now_ms).await
    }

    async fn start(folder: tempfile::TempDir, now_ms: Arc<AtomicI64>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let clock = now_ms.clone();
        let options = SandboxOptions {
            secret_key: SecretKey::new(SECRET),
            journal: journal_in(folder.path()),
            now: Arc::new(move || UnixMs(clock.load(Ordering::SeqCst))),
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(async move {
            serve(listener, options, async move { stopped.await.unwrap_or(()) }).await.unwrap();
        });
        let client = client_of(address, SECRET, Duration::from_secs(5));
        let http = reqwest::Client::new();
        Self { address, client, folder, now_ms, orders: AtomicU64::new(0), http, stop, serving }
    }

    /// Stops the sandbox and starts another on the same journal.
    pub async fn restart(self) -> Self {
        self.stop.send(()).unwrap();
        self.serving.await.unwrap();
        let orders = self.orders.load(Ordering::SeqCst);
        let stage = Self::start(self.folder, self.now_ms).await;
        stage.orders.store(orders, Ordering::SeqCst);
        stage
    }

    pub fn impatient(&self, read_timeout_ms: u64) -> Client {
        client_of(self.address, SECRET, Duration::from_millis(read_timeout_ms))
    }

    pub fn advance_ms(&self, ms: i64) {
        self.now_ms.fetch_add(ms, Ordering::SeqCst);
    }

    pub fn next_order(&self) -> String {
        format!("order-{}", self.orders.fetch_add(1, Ordering::SeqCst))
    }

    /// The payer authenticates a payment of `amount`.
    pub async fn checkout(&self, amount: i64) -> Authenticated {
        let order_id = self.next_order();
        let (status, redirect) =
            self.ask("POST", "/sandbox/checkout", json!({"orderId": order_id, "amount": amount})).await;
        assert_eq!(status, 200, "{redirect}");
        assert_eq!((&redirect["orderId"], &redirect["amount"]), (&json!(order_id), &json!(amount)));
        assert_eq!(redirect["paymentType"], "NORMAL");
        let payment_key = redirect["paymentKey"].as_str().unwrap().to_owned();
        Authenticated { payment_key, order_id, amount: Won(amount) }
    }

    /// An authenticated and confirmed payment.
    pub async fn paid(&self, amount: i64) -> Authenticated {
        let paid = self.checkout(amount).await;
        let key = format!("paid-{}", paid.order_id);
        self.client.confirm(&paid.payment_key, &paid.order_id, paid.amount, &key).await.unwrap();
        paid
    }

    /// A payer who wants to pay into a virtual account.
    pub async fn account(&self, amount: i64) -> Authenticated {
        let order_id = self.next_order();
        let body = json!({"orderId": order_id, "amount": amount, "method": "virtual_account"});
        let (status, redirect) = self.ask("POST", "/sandbox/checkout", body).await;
        assert_eq!(status, 200, "{redirect}");
        let payment_key = redirect["paymentKey"].as_str().unwrap().to_owned();
        Authenticated { payment_key, order_id, amount: Won(amount) }
    }

    /// A virtual account that was issued; and the payment, as Toss told it.
    pub async fn waiting(&self, amount: i64) -> (Authenticated, Payment) {
        let waiting = self.account(amount).await;
        let key = format!("issued-{}", waiting.order_id);
        let payment = self.client.confirm(&waiting.payment_key, &waiting.order_id, waiting.amount, &key).await.unwrap();
        (waiting, payment)
    }

    /// A virtual account that somebody paid into.
    pub async fn deposited(&self, amount: i64) -> Authenticated {
        let (paid, _) = self.waiting(amount).await;
        let path = format!("/sandbox/deposits/{}", paid.payment_key);
        assert_eq!(self.ask("POST", &path, Value::Null).await, (200, json!({"status": "DONE"})));
        paid
    }

    /// A call of Toss's, as any HTTP client would make it.
    pub async fn toss(&self, method: &str, path: &str, body: Value, idempotency_key: Option<&str>) -> (u16, Value) {
        let authorization = format!("Basic {}", STANDARD.encode(format!("{SECRET}:")));
        let mut headers = vec![("authorization", authorization.as_str())];
        headers.extend(idempotency_key.map(|key| ("idempotency-key", key)));
        self.ask_with(method, path, &body.to_string(), &headers).await
    }

    pub async fn fault(&self, path: &str, order_id: &str, times: u32, fault: Value) {
        let request = json!({"match": {"path": path, "orderId": order_id}, "times": times, "fault": fault});
        let (status, answer) = self.ask("POST", "/sandbox/faults", request).await;
        assert_eq!(status, 201, "{answer}");
    }

    /// How many calls each fault has struck, oldest first.
    pub async fn struck(&self) -> Vec<u64> {
        let (_, answer) = self.ask("GET", "/sandbox/faults", Value::Null).await;
        answer["faults"].as_array().unwrap().iter().map(|fault| fault["struck"].as_u64().unwrap()).collect()
    }

    pub async fn calls(&self) -> Value {
        self.ask("GET", "/sandbox/calls", Value::Null).await.1
    }

    /// The whole journal, page by page.
    pub async fn journal(&self) -> Vec<Entry> {
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let after = entries.last().map_or(0, |entry| entry.seq);
            let path = format!("/sandbox/journal?after={after}&limit=3");
            let (status, page) = self.ask("GET", &path, Value::Null).await;
            assert_eq!(status, 200);
            let page: Vec<Entry> = serde_json::from_value(page["entries"].clone()).unwrap();
            if page.is_empty() {
                return entries;
            }
            entries.extend(page);
        }
    }

    pub async fn ask(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        self.ask_with(method, path, &body.to_string(), &[]).await
    }

    pub async fn ask_with(&self, method: &str, path: &str, body: &str, headers: &[(&str, &str)]) -> (u16, Value) {
        let (status, text) = self.ask_text(method, path, body, headers).await;
        (status, serde_json::from_str(&text).unwrap_or_default())
    }

    /// The answer's very bytes.
    pub async fn ask_text(&self, method: &str, path: &str, body: &str, headers: &[(&str, &str)]) -> (u16, String) {
        let url = format!("http://{}{path}", self.address);
        let request = self.http.request(method.parse().unwrap(), url).body(body.to_owned());
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }
}

pub fn journal_in(folder: &Path) -> PathBuf {
    folder.join("toss-journal.jsonl")
}

pub fn refusal<T: std::fmt::Debug>(result: Result<T, CallError>) -> Refusal {
    match result.unwrap_err() {
        CallError::Refused(refusal) => refusal,
        other @ CallError::NoAnswer { .. } => panic!("{other}"),
    }
}

pub fn code<T: std::fmt::Debug>(result: Result<T, CallError>) -> String {
    refusal(result).code
}

/// Waits, in bounded time, until `done`.
pub async fn until(mut done: impl AsyncFnMut() -> bool) {
    for _ in 0..500 {
        if done().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not within 5 s");
}
