//! One request and its answer, in the contract's envelope.

use contracts::{CommandId, client_journal::HEADER_COMMAND_ID};
use reqwest::{
    Client, Method, Response, StatusCode, Url,
    header::{CONTENT_TYPE, HeaderMap, LOCATION, RETRY_AFTER},
    multipart::{Form, Part},
};
use serde::Deserialize;
use serde_json::Value;
use std::{error::Error, time::Duration};

/// Longer than the API lets a request take.
const ANSWER_LIMIT: Duration = Duration::from_mins(1);
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// An answer larger than this is none of the contract's.
const MAX_ANSWER_BYTES: usize = 4 * 1024 * 1024;
const ACCESS_TOKEN: &str = "Access-Token";
const REFRESH_TOKEN: &str = "Refresh-Token";

/// The two tokens of a login, as the headers carry them.
#[derive(Clone, Default)]
pub(crate) struct Tokens {
    pub(crate) access: Option<String>,
    pub(crate) refresh: Option<String>,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tokens(***)")
    }
}

/// What is sent.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Body {
    Nothing,
    Json(Value),
    /// Neither JSON nor multipart.
    Text(String),
    /// Multipart: texts, and the part `file`.
    Upload {
        fields: Vec<(&'static str, String)>,
        file: Vec<u8>,
    },
}

/// One request, which can be sent as often as one likes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Request {
    pub(crate) method: Method,
    /// With its query.
    pub(crate) path: String,
    pub(crate) body: Body,
    /// `Idempotency-Key`.
    pub(crate) key: Option<String>,
    /// `Prefer: respond-async`.
    pub(crate) respond_async: bool,
}

impl Request {
    pub(crate) fn new(method: Method, path: impl Into<String>, body: Body) -> Self {
        Self { method, path: path.into(), body, key: None, respond_async: false }
    }

    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path, Body::Nothing)
    }

    pub(crate) fn delete(path: impl Into<String>) -> Self {
        Self::new(Method::DELETE, path, Body::Nothing)
    }

    pub(crate) fn post(path: impl Into<String>, body: Value) -> Self {
        Self::new(Method::POST, path, Body::Json(body))
    }

    pub(crate) fn upload(path: impl Into<String>, fields: Vec<(&'static str, String)>, file: Vec<u8>) -> Self {
        Self::new(Method::POST, path, Body::Upload { fields, file })
    }

    pub(crate) fn keyed(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Whether sending it again can do no harm.
    pub(crate) fn is_repeatable(&self) -> bool {
        self.key.is_some() || self.method == Method::GET || self.path.starts_with("/api/users/login")
    }
}

/// An answer in the contract's envelope.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) http: u16,
    pub(crate) code: u32,
    pub(crate) data: Value,
    /// The command that the request became.
    pub(crate) command: Option<CommandId>,
    pub(crate) location: Option<String>,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) tokens: Tokens,
}

/// No answer of the contract's came back.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unanswered(String);

#[derive(Deserialize)]
struct Envelope {
    code: u32,
    data: Value,
}

/// Sends requests to one server.
#[derive(Clone, Debug)]
pub(crate) struct Http {
    client: Client,
    base_url: Url,
}

impl Http {
    pub(crate) fn new(base_url: Url) -> Result<Self, reqwest::Error> {
        let client = Client::builder().timeout(ANSWER_LIMIT).connect_timeout(CONNECT_LIMIT).build()?;
        Ok(Self { client, base_url })
    }

    /// Sends `request` once.
    pub(crate) async fn send(&self, request: &Request, tokens: &Tokens) -> Result<Answer, Unanswered> {
        let response = self.respond(request, tokens).await?;
        let (http, headers) = (response.status(), response.headers().clone());
        let body = read(response).await?;
        let envelope: Envelope = serde_json::from_slice(&body).map_err(|error| {
            Unanswered(format!("{} {}: {http} without the envelope: {error}", request.method, request.path))
        })?;
        Ok(answer(http, &headers, envelope))
    }

    /// Sends `request` to a server that knows no envelope (the sandbox), and gives its JSON.
    pub(crate) async fn plain(&self, request: &Request) -> Result<Value, Unanswered> {
        let response = self.respond(request, &Tokens::default()).await?;
        let http = response.status();
        let body = read(response).await?;
        if !http.is_success() {
            return Err(Unanswered(format!("{}: {http} {}", request.path, String::from_utf8_lossy(&body))));
        }
        serde_json::from_slice(&body).map_err(|error| Unanswered(format!("{}: {error}", request.path)))
    }

    async fn respond(&self, request: &Request, tokens: &Tokens) -> Result<Response, Unanswered> {
        let url = self.base_url.join(&request.path).map_err(|error| Unanswered(error.to_string()))?;
        let mut builder = self.client.request(request.method.clone(), url);
        builder = match &request.body {
            Body::Nothing => builder,
            Body::Json(json) => builder.json(json),
            Body::Text(text) => builder.header(CONTENT_TYPE, "text/plain").body(text.clone()),
            Body::Upload { fields, file } => builder.multipart(form(fields, file)),
        };
        let headers = [
            (ACCESS_TOKEN, tokens.access.as_deref()),
            (REFRESH_TOKEN, tokens.refresh.as_deref()),
            ("Idempotency-Key", request.key.as_deref()),
            ("Prefer", request.respond_async.then_some("respond-async")),
        ];
        for (name, value) in headers {
            if let Some(value) = value {
                builder = builder.header(name, value);
            }
        }
        builder.send().await.map_err(|error| Unanswered(with_causes(&error)))
    }
}

fn form(fields: &[(&'static str, String)], file: &[u8]) -> Form {
    let texts = fields.iter().fold(Form::new(), |form, (name, value)| form.text(*name, value.clone()));
    texts.part("file", Part::bytes(file.to_vec()).file_name("gifticon.png"))
}

async fn read(mut response: Response) -> Result<Vec<u8>, Unanswered> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| Unanswered(with_causes(&error)))? {
        if body.len() + chunk.len() > MAX_ANSWER_BYTES {
            return Err(Unanswered(format!("an answer of more than {MAX_ANSWER_BYTES} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn answer(http: StatusCode, headers: &HeaderMap, envelope: Envelope) -> Answer {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(ToOwned::to_owned);
    Answer {
        http: http.as_u16(),
        code: envelope.code,
        data: envelope.data,
        command: text(HEADER_COMMAND_ID).and_then(|id| id.parse().ok()),
        location: text(LOCATION.as_str()),
        retry_after: text(RETRY_AFTER.as_str()).and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs),
        tokens: Tokens { access: text(ACCESS_TOKEN), refresh: text(REFRESH_TOKEN) },
    }
}

/// The error and what caused it: "error sending request" alone helps nobody.
fn with_causes(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
