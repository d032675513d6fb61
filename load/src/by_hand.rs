//! A charge that a person makes: everything a front end does for it, but the payment window is theirs.
//!
//! ```text
//!  sign up, log in ─► request a charge ─► tell the window's address ─► the browser comes back ─► success, or fail
//! ```
//! Promises: listens on this machine alone, for one payer; each wait ends.
//! Doesn't: choose anything in the window.

use crate::{
    http::{Answer, Http, Request, Tokens, Unanswered},
    names::{Names, PASSWORD},
    since_1970,
};
use axum::{Router, extract::RawQuery, response::Html, routing::get};
use reqwest::Url;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tokio::{net::TcpListener, sync::mpsc};

/// The window is open for half an hour, the confirm's window for ten minutes after it.
const PATIENCE: Duration = Duration::from_mins(40);

/// What is charged, and where.
#[derive(Clone, Debug)]
pub struct ByHand {
    /// The API's address.
    pub api: Url,
    /// The Toss sandbox's address.
    pub sandbox: Url,
    /// Won.
    pub amount: u32,
}

/// Why no charge was made.
#[derive(Debug, thiserror::Error)]
pub enum ByHandError {
    /// The API does not answer.
    #[error("{0}. Is the market up (make status)?")]
    Unanswered(String),
    /// The API refused a step that comes before the window.
    #[error("{step} was answered {http}, code {code}")]
    Refused {
        /// Which.
        step: &'static str,
        /// The HTTP status.
        http: u16,
        /// The result code.
        code: u32,
    },
    /// There is no listener for the browser's return.
    #[error("nobody can come back to this machine: {0}")]
    Listen(#[from] std::io::Error),
    /// Nobody came back.
    #[error("nobody came back from the payment window within {} minutes", PATIENCE.as_secs() / 60)]
    NobodyCame,
}

impl From<Unanswered> for ByHandError {
    fn from(error: Unanswered) -> Self {
        Self::Unanswered(error.to_string())
    }
}

/// A front end that has one user.
struct FrontEnd {
    http: Http,
    sandbox: Url,
    tokens: Tokens,
    order_id: String,
}

/// Charges once; `say` is given what the person should read.
///
/// # Errors
/// When no window could be offered, or nobody came back from it.
pub async fn charge(wanted: ByHand, say: impl Fn(String)) -> Result<(), ByHandError> {
    let http = Http::new(wanted.api).map_err(|error| ByHandError::Unanswered(error.to_string()))?;
    let mut front_end = FrontEnd { http, sandbox: wanted.sandbox, tokens: Tokens::default(), order_id: String::new() };
    front_end.join().await?;
    let body = json!({"amount": wanted.amount, "orderName": "CHARGE_POINT"});
    let order = front_end.step("the charge", &Request::post("/api/payments/toss/request", body)).await?;
    order.data["paymentOrderId"].as_str().unwrap_or_default().clone_into(&mut front_end.order_id);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let window = front_end.window(&order.data, &format!("http://{}", listener.local_addr()?));
    say(format!("Pay here: {window}"));
    say(front_end.await_return(listener).await?);
    Ok(())
}

impl FrontEnd {
    async fn join(&mut self) -> Result<(), ByHandError> {
        let login_id = Names::of_run(since_1970().as_secs()).client(0).replace('x', "payer");
        let body = json!({"loginId": login_id, "nickname": login_id, "password": PASSWORD});
        self.step("signing up", &Request::post("/api/users/signup", body)).await?;
        let body = json!({"loginId": login_id, "password": PASSWORD});
        self.tokens = self.step("logging in", &Request::post("/api/users/login", body)).await?.tokens;
        Ok(())
    }

    async fn step(&self, step: &'static str, request: &Request) -> Result<Answer, ByHandError> {
        let answer = self.http.send(request, &self.tokens).await?;
        if answer.code == 0 {
            return Ok(answer);
        }
        Err(ByHandError::Refused { step, http: answer.http, code: answer.code })
    }

    /// Where the order can be paid for; from there the browser comes to `back`.
    fn window(&self, order: &Value, back: &str) -> Url {
        let mut window = self.sandbox.clone();
        window.set_path("/checkout");
        window
            .query_pairs_mut()
            .append_pair("orderId", &self.order_id)
            .append_pair("amount", &order["paymentAmount"].to_string())
            .append_pair("orderName", order["paymentOrderName"].as_str().unwrap_or_default())
            .append_pair("successUrl", &format!("{back}/success"))
            .append_pair("failUrl", &format!("{back}/fail"));
        window
    }

    /// Serves the pages that the window leads back to, until one of them has been visited; what it said.
    async fn await_return(self, listener: TcpListener) -> Result<String, ByHandError> {
        let front_end = Arc::new(self);
        let (tell, mut told) = mpsc::channel::<String>(1);
        let page = |path: &'static str| {
            let (front_end, tell) = (front_end.clone(), tell.clone());
            get(async move |RawQuery(query): RawQuery| {
                let said = front_end.came_back(path, &query.unwrap_or_default()).await;
                // A second visit has nobody to tell.
                let _ = tell.try_send(said.clone());
                Html(format!(
                    "<!doctype html><meta charset=utf-8><title>Gream</title><pre id=said>{}</pre>",
                    plain(&said)
                ))
            })
        };
        let pages = Router::new().route("/success", page("success")).route("/fail", page("fail"));
        let (left, leave) = tokio::sync::oneshot::channel::<()>();
        let serving = axum::serve(listener, pages).with_graceful_shutdown(async move { drop(leave.await) });
        let serving = tokio::spawn(async move { serving.await });
        let said = tokio::time::timeout(PATIENCE, told.recv()).await;
        drop(left);
        // Its page is on the way to the browser, which may keep the connection for as long as it likes.
        drop(tokio::time::timeout(Duration::from_secs(2), serving).await);
        said.ok().flatten().ok_or(ByHandError::NobodyCame)
    }

    /// Does what a front end does when the browser comes back; what there is to read.
    async fn came_back(&self, path: &str, query: &str) -> String {
        // Toss doesn't name the order of a window that was closed.
        let order = if query.contains("orderId=") { String::new() } else { format!("&orderId={}", self.order_id) };
        let request = Request::get(format!("/api/payments/toss/{path}?{query}{order}"));
        let answer = match self.http.send(&request, &self.tokens).await {
            Ok(answer) => answer,
            Err(error) => return format!("The API does not answer: {error}"),
        };
        let points = self.http.send(&Request::get("/api/users/points"), &self.tokens).await;
        let points = points.map_or(Value::Null, |answer| answer.data["point"].clone());
        let data = &answer.data;
        match (answer.http, path) {
            (200, "success") if data["status"] == "WAITING_FOR_DEPOSIT" => self.deposit(data, &points),
            (200, "success") => format!("Charged {}: {}. Points: {points}", data["totalAmount"], data["status"]),
            (200, _) => format!("Not charged: {}. Points: {points}", data["errorCode"]),
            (202, _) => "Accepted, and not ended yet: reload this page".to_owned(),
            (http, _) => format!("Not charged: {http}, code {}. Points: {points}", answer.code),
        }
    }

    fn deposit(&self, payment: &Value, points: &Value) -> String {
        let key = payment["paymentKey"].as_str().unwrap_or_default();
        let account = &payment["virtualAccount"]["accountNumber"];
        let sandbox = self.sandbox.as_str().trim_end_matches('/');
        format!("Awaiting a deposit to {account}: curl -X POST {sandbox}/sandbox/deposits/{key}\nPoints: {points}")
    }
}

fn plain(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
