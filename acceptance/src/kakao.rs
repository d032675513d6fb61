//! A stand-in for Kakao, spoken to over HTTP: it gives tokens for codes and profiles for tokens, and fails on request.

use axum::{
    Form, Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{net::TcpListener, task::AbortHandle};

/// As registered.
pub const CLIENT_ID: &str = "kakao-client-of-the-test";
pub const CLIENT_SECRET: &str = "kakao-secret-of-the-test";
pub const REDIRECT_URI: &str = "http://localhost:3000/oauth/kakao";

/// The two calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    Token,
    Profile,
}

/// What goes wrong with a call, from now on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    Status(u16),
    /// 200, and no JSON that it should be.
    Garbage(&'static str),
    /// 200, and more than anybody wants to read.
    Endless,
    Delay(Duration),
}

#[derive(Default)]
struct Book {
    /// Codes that were not used yet, with the profile behind each.
    codes: BTreeMap<String, Value>,
    tokens: BTreeMap<String, Value>,
    faults: BTreeMap<Call, Fault>,
    calls: Vec<Call>,
}

type Shared = Arc<Mutex<Book>>;

/// The running stand-in.
pub struct Kakao {
    pub address: String,
    book: Shared,
    task: AbortHandle,
}

impl Kakao {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("its address"));
        let book = Shared::default();
        let router = Router::new()
            .route("/oauth/token", post(token))
            .route("/v2/user/me", get(profile))
            .route("/agree", post(agree));
        let serve = axum::serve(listener, router.with_state(book.clone())).into_future();
        Self { address, book, task: tokio::spawn(serve).abort_handle() }
    }

    /// The configuration that leads here.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        vec![
            ("GREAM__KAKAO__CLIENT_ID", CLIENT_ID.to_owned()),
            ("GREAM__KAKAO__CLIENT_SECRET", CLIENT_SECRET.to_owned()),
            ("GREAM__KAKAO__REDIRECT_URI", REDIRECT_URI.to_owned()),
            ("GREAM__KAKAO__AUTHORIZE_URL", format!("{}/oauth/authorize", self.address)),
            ("GREAM__KAKAO__TOKEN_URL", format!("{}/oauth/token", self.address)),
            ("GREAM__KAKAO__PROFILE_URL", format!("{}/v2/user/me", self.address)),
            ("GREAM__KAKAO__READ_TIMEOUT_MS", "1000".to_owned()),
        ]
    }

    /// A person agreed: this code is theirs, once.
    pub fn agree(&self, code: &str, id: i64, nickname: Option<&str>) {
        let profile = json!({"id": id, "kakao_account": {"profile": {"nickname": nickname}}});
        self.book().codes.insert(code.to_owned(), profile);
    }

    pub fn break_with(&self, call: Call, fault: Fault) {
        self.book().faults.insert(call, fault);
    }

    pub fn mend(&self) {
        self.book().faults.clear();
    }

    /// How often it was called so far.
    pub fn calls(&self) -> usize {
        self.book().calls.len()
    }

    /// The tokens it gave out so far.
    pub fn tokens(&self) -> Vec<String> {
        self.book().tokens.keys().cloned().collect()
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        open(&self.book)
    }
}

impl Drop for Kakao {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn open(book: &Shared) -> MutexGuard<'_, Book> {
    book.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Notes the call, and fails as it was told to.
async fn fault(book: &Shared, call: Call) -> Option<Response> {
    let fault = {
        let mut book = open(book);
        book.calls.push(call);
        book.faults.get(&call).copied()
    };
    match fault? {
        Fault::Status(status) => {
            let status = StatusCode::from_u16(status).expect("a status");
            Some((status, Json(json!({"error": "invalid_grant", "code": -401}))).into_response())
        }
        Fault::Garbage(text) => Some(text.into_response()),
        Fault::Endless => Some(" ".repeat(10 << 20).into_response()),
        Fault::Delay(delay) => {
            tokio::time::sleep(delay).await;
            None
        }
    }
}

/// [`Kakao::agree`], for tests that are another process.
async fn agree(State(book): State<Shared>, Form(form): Form<BTreeMap<String, String>>) -> StatusCode {
    let id: i64 = form["id"].parse().expect("a number");
    open(&book).codes.insert(form["code"].clone(), json!({"id": id}));
    StatusCode::NO_CONTENT
}

async fn token(State(book): State<Shared>, Form(form): Form<BTreeMap<String, String>>) -> Response {
    if let Some(fault) = fault(&book, Call::Token).await {
        return fault;
    }
    let expected = [
        ("grant_type", "authorization_code"),
        ("client_id", CLIENT_ID),
        ("client_secret", CLIENT_SECRET),
        ("redirect_uri", REDIRECT_URI),
    ];
    if expected.iter().any(|(key, value)| form.get(*key).is_none_or(|sent| sent != value)) {
        return (StatusCode::UNAUTHORIZED, Json(json!({"error": "invalid_client"}))).into_response();
    }
    let mut book = open(&book);
    let Some(profile) = form.get("code").and_then(|code| book.codes.remove(code)) else {
        return (StatusCode::BAD_REQUEST, Json(json!({"error": "invalid_grant"}))).into_response();
    };
    let token = format!("kakao-token-{:x}", rand::random::<u128>());
    book.tokens.insert(token.clone(), profile);
    Json(json!({"token_type": "bearer", "access_token": token, "expires_in": 21_599})).into_response()
}

async fn profile(State(book): State<Shared>, headers: HeaderMap) -> Response {
    if let Some(fault) = fault(&book, Call::Profile).await {
        return fault;
    }
    let bearer = headers.get("authorization").and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    match bearer.and_then(|token| open(&book).tokens.get(token).cloned()) {
        Some(profile) => Json(profile).into_response(),
        None => (StatusCode::UNAUTHORIZED, Json(json!({"code": -401}))).into_response(),
    }
}
