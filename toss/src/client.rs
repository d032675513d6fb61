//! The calls to Toss.
//!
//! Promises: Toss receives one HTTP request a call, never a hidden second one; bounded waiting and a bounded answer; an error tells
//! "no answer" from "refused" (see [`CallError`]). Calls that change something demand an idempotency key.
//! Doesn't: retry. Sending again is safe or not by rules that stand in `domain`.

use crate::{CallError, NoAnswerKind, Payment, Refusal, SecretKey, Transaction, transaction};
use contracts::{UnixMs, Won, is_payment_key};
use reqwest::{Response, StatusCode, Url, header::RETRY_AFTER};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{error::Error, time::Duration};
use tracing::{Instrument, field::Empty};

/// An answer larger than this is read no further.
pub const MAX_ANSWER_BYTES: usize = 1 << 20;
/// Toss's limit for the reason of a cancel, in characters.
pub const MAX_CANCEL_REASON_LENGTH: usize = 200;
/// Toss's limit for an idempotency key.
pub const MAX_IDEMPOTENCY_KEY_LENGTH: usize = 300;
/// Connections kept open while nobody uses them.
const MAX_IDLE_CONNECTIONS: usize = 16;

/// How to reach Toss.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// `https://api.tosspayments.com`, or where the sandbox listens.
    pub base_url: String,
    /// The secret key.
    pub secret_key: SecretKey,
    /// The longest wait for a connection.
    pub connect_timeout: Duration,
    /// The longest wait for the whole answer, counted from the start of the call.
    pub read_timeout: Duration,
    /// The headers by which a call says in which trace it stands, asked for as it begins.
    pub trace_headers: fn() -> TraceHeaders,
}

/// Names and values of W3C's trace headers.
pub type TraceHeaders = Vec<(&'static str, String)>;

/// For calls that stand in no trace.
pub fn no_trace() -> TraceHeaders {
    Vec::new()
}

/// A client that cannot be made from its options.
#[derive(Debug, thiserror::Error)]
pub enum InvalidOptions {
    /// The base address is no http address.
    #[error("toss.base_url {0:?} is not an http or https address; set it to https://api.tosspayments.com")]
    BaseUrl(String),
    /// reqwest would panic without one, even where only plain http is spoken.
    #[error("no TLS provider is installed; call rustls::crypto::ring::default_provider().install_default() first")]
    NoTlsProvider,
    /// The HTTP library refused.
    #[error("the HTTP client for Toss could not be made: {0}")]
    Http(#[from] reqwest::Error),
}

/// Speaks to Toss. Cheap to clone; clones share their connections.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    base_url: Url,
    secret_key: SecretKey,
    trace_headers: fn() -> TraceHeaders,
}

impl Client {
    /// Makes a client. The process must have installed its rustls provider before.
    ///
    /// # Errors
    /// When the options make no sense.
    pub fn new(options: ClientOptions) -> Result<Self, InvalidOptions> {
        let base_url = Url::parse(&options.base_url)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(|| InvalidOptions::BaseUrl(options.base_url.clone()))?;
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            return Err(InvalidOptions::NoTlsProvider);
        }
        let http = reqwest::Client::builder()
            .connect_timeout(options.connect_timeout)
            .timeout(options.read_timeout)
            .pool_max_idle_per_host(MAX_IDLE_CONNECTIONS)
            .redirect(reqwest::redirect::Policy::none())
            // A second request behind our back is exactly what the idempotency rules must know of.
            .retry(reqwest::retry::never())
            .build()?;
        Ok(Self { http, base_url, secret_key: options.secret_key, trace_headers: options.trace_headers })
    }

    /// Confirms an authenticated payment: this is what takes the money.
    ///
    /// # Errors
    /// See [`CallError`]; the codes' meaning is [`crate::classify_confirm`].
    pub async fn confirm(
        &self,
        payment_key: &str,
        order_id: &str,
        amount: Won,
        idempotency_key: &str,
    ) -> Result<Payment, CallError> {
        let body = json!({"paymentKey": payment_key, "orderId": order_id, "amount": amount});
        self.post("confirm", &["v1", "payments", "confirm"], &body, idempotency_key).await
    }

    /// Looks a payment up.
    ///
    /// # Errors
    /// See [`CallError`]. [`Refusal::is_not_found`] proves nothing before the confirm window has passed.
    pub async fn payment(&self, payment_key: &str) -> Result<Payment, CallError> {
        self.get("look up", &["v1", "payments", fit_for_path(payment_key)?]).await
    }

    /// Looks the payment of one of our orders up.
    ///
    /// # Errors
    /// As [`Client::payment`].
    pub async fn payment_by_order(&self, order_id: &str) -> Result<Payment, CallError> {
        self.get("look up by order", &["v1", "payments", "orders", fit_for_path(order_id)?]).await
    }

    /// Gives `amount` of a payment back.
    ///
    /// # Errors
    /// See [`CallError`]; the codes' meaning is [`crate::classify_cancel`]. Never send it under a new key without
    /// having compared the payment's cancels and balance first: that gives the money back twice.
    pub async fn cancel(
        &self,
        payment_key: &str,
        reason: &str,
        amount: Won,
        idempotency_key: &str,
    ) -> Result<Payment, CallError> {
        let reason: String = reason.chars().take(MAX_CANCEL_REASON_LENGTH).collect();
        let body = json!({"cancelReason": reason, "cancelAmount": amount});
        self.post("cancel", &["v1", "payments", fit_for_path(payment_key)?, "cancel"], &body, idempotency_key).await
    }

    /// A page of the transactions from `from` up to `to`, oldest first, behind the one that `after` names. Shorter than
    /// [`transaction::PAGE`]: the last one.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn transactions(
        &self,
        from: UnixMs,
        to: UnixMs,
        after: Option<&str>,
    ) -> Result<Vec<Transaction>, CallError> {
        let mut url = self.url(&["v1", "transactions"]);
        url.query_pairs_mut()
            .append_pair("startDate", &transaction::seoul(from))
            .append_pair("endDate", &transaction::seoul(to))
            .append_pair("limit", &transaction::PAGE.to_string())
            .extend_pairs(after.map(|after| ("startingAfter", after)));
        let body = self.send_for_body("transactions", self.http.get(url)).await?;
        serde_json::from_slice(&body).map_err(|error| unreadable(format!("no list of transactions: {error}")))
    }

    async fn post(
        &self,
        what: &'static str,
        path: &[&str],
        body: &Value,
        idempotency_key: &str,
    ) -> Result<Payment, CallError> {
        if idempotency_key.is_empty() || idempotency_key.len() > MAX_IDEMPOTENCY_KEY_LENGTH {
            return Err(not_sent(400, "INVALID_IDEMPOTENCY_KEY", "an idempotency key has 1 to 300 characters"));
        }
        let request = self.http.post(self.url(path)).header("Idempotency-Key", idempotency_key).json(body);
        self.send(what, request).await
    }

    async fn get(&self, what: &'static str, path: &[&str]) -> Result<Payment, CallError> {
        self.send(what, self.http.get(self.url(path))).await
    }

    async fn send(&self, what: &'static str, request: reqwest::RequestBuilder) -> Result<Payment, CallError> {
        let body = self.send_for_body(what, request).await?;
        Payment::parse(&body).map_err(|error| unreadable(format!("a success but no Payment: {error}")))
    }

    async fn send_for_body(&self, what: &'static str, request: reqwest::RequestBuilder) -> Result<Vec<u8>, CallError> {
        let span =
            tracing::info_span!("toss", otel.name = what, otel.kind = "client", http.response.status_code = Empty);
        self.call(request).instrument(span).await
    }

    async fn call(&self, request: reqwest::RequestBuilder) -> Result<Vec<u8>, CallError> {
        let request = request.basic_auth(self.secret_key.expose(), Some(""));
        let request =
            (self.trace_headers)().into_iter().fold(request, |request, (name, value)| request.header(name, value));
        let mut response = request.send().await.map_err(no_answer)?;
        let (status, retry_after_ms) = (response.status(), retry_after_ms(&response));
        tracing::Span::current().record("http.response.status_code", status.as_u16());
        let body = read_bounded(&mut response).await?;
        if status.is_success() {
            return Ok(body);
        }
        Err(CallError::Refused(read_refusal(status, &body, retry_after_ms)))
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base_url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }
}

/// Keys and order ids become a part of the address. What would change its meaning is no payment's: that is the answer,
/// without asking.
fn fit_for_path(segment: &str) -> Result<&str, CallError> {
    let not_found = || not_sent(404, "NOT_FOUND_PAYMENT", "this key or order id cannot be Toss's");
    if is_payment_key(segment) { Ok(segment) } else { Err(not_found()) }
}

fn not_sent(http: u16, code: &str, message: &str) -> CallError {
    let message = format!("not sent: {message}");
    CallError::Refused(Refusal { http, code: code.to_owned(), message, retry_after_ms: None })
}

async fn read_bounded(response: &mut Response) -> Result<Vec<u8>, CallError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(no_answer)? {
        if body.len() + chunk.len() > MAX_ANSWER_BYTES {
            return Err(unreadable(format!("the answer is larger than {MAX_ANSWER_BYTES} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn unreadable(detail: String) -> CallError {
    CallError::NoAnswer { kind: NoAnswerKind::Unreadable, detail }
}

fn no_answer(error: reqwest::Error) -> CallError {
    let kind = if error.is_connect() {
        NoAnswerKind::Connect
    } else if error.is_timeout() {
        NoAnswerKind::Timeout
    } else {
        NoAnswerKind::Reset
    };
    CallError::NoAnswer { kind, detail: with_causes(&error.without_url()) }
}

/// The error and what caused it: reqwest's own words alone ("error sending request") help nobody.
fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// Toss's error body; newer API versions wrap it in `error`.
#[derive(Deserialize)]
struct ErrorBody {
    code: String,
    #[serde(default)]
    message: String,
}

fn read_refusal(status: StatusCode, body: &[u8], retry_after_ms: Option<u64>) -> Refusal {
    let json: Value = serde_json::from_slice(body).unwrap_or_default();
    let error = json.get("error").filter(|inner| inner.is_object()).unwrap_or(&json);
    let error = ErrorBody::deserialize(error).unwrap_or_else(|_| ErrorBody {
        code: format!("HTTP_{}", status.as_u16()),
        message: "the answer carries no code of Toss's".to_owned(),
    });
    Refusal { http: status.as_u16(), code: error.code, message: error.message, retry_after_ms }
}

/// `Retry-After` in seconds. The other form, a date, is not what an API sends to be waited for.
fn retry_after_ms(response: &Response) -> Option<u64> {
    let seconds: u64 = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    seconds.checked_mul(1000)
}
