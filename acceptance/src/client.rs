//! An HTTP client of the API, as any front end would be.

use reqwest::{Method, Response, StatusCode, multipart};
use serde_json::{Value, json};

/// A client, with the tokens of one login.
#[derive(Clone, Debug)]
pub struct Client {
    base: String,
    http: reqwest::Client,
    access: Option<String>,
    refresh: Option<String>,
}

/// An answer: its status, headers, and envelope.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: reqwest::header::HeaderMap,
    pub body: Value,
}

impl Answer {
    async fn read(response: Response) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.expect("a body");
        let body = serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON: {status} {text}"));
        Self { status, headers, body }
    }

    pub fn code(&self) -> i64 {
        self.body["code"].as_i64().unwrap_or(-1)
    }

    pub fn data(&self) -> &Value {
        &self.body["data"]
    }

    /// `(HTTP status, result code)`
    pub fn ended(&self) -> (u16, i64) {
        (self.status.as_u16(), self.code())
    }
}

impl Client {
    pub fn new(address: &str) -> Self {
        platform::install_tls_provider();
        Self { base: format!("http://{address}/api"), http: reqwest::Client::new(), access: None, refresh: None }
    }

    /// Signs up and logs in.
    pub async fn signed_up(address: &str, login_id: &str) -> Self {
        let client = Self::new(address);
        let body = json!({"loginId": login_id, "nickname": login_id, "password": "password1"});
        let answer = client.post("/users/signup", &body).await;
        assert_eq!(answer.ended(), (200, 0), "{:?}", answer.body);
        client.logged_in(login_id, "password1").await
    }

    pub async fn logged_in(mut self, login_id: &str, password: &str) -> Self {
        let answer = self.post("/users/login", &json!({"loginId": login_id, "password": password})).await;
        assert_eq!(answer.ended(), (200, 0), "{:?}", answer.body);
        let token = |name: &str| Some(answer.headers.get(name)?.to_str().ok()?.to_owned());
        (self.access, self.refresh) = (token("access-token"), token("refresh-token"));
        assert!(self.access.is_some() && self.refresh.is_some());
        self
    }

    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if let (Some(access), Some(refresh)) = (&self.access, &self.refresh) {
            request = request.header("Access-Token", bearer(access)).header("Refresh-Token", bearer(refresh));
        }
        request
    }

    pub async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        Answer::read(request.send().await.expect("an answer")).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send(self.request(Method::DELETE, path)).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    /// With `Idempotency-Key`.
    pub async fn post_as(&self, key: &str, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::POST, path).header("Idempotency-Key", key).json(body)).await
    }

    /// A multipart form with a picture, unique for each `seed`.
    pub async fn upload(&self, path: &str, fields: &[(&str, &str)], seed: u64) -> Answer {
        self.send(self.request(Method::POST, path).multipart(form(fields, seed))).await
    }

    pub async fn points(&self) -> i64 {
        self.get("/users/points").await.data()["point"].as_i64().expect("points")
    }
}

fn bearer(token: &str) -> String {
    if token.starts_with("Bearer ") { token.to_owned() } else { format!("Bearer {token}") }
}

/// Fields and a picture file.
pub fn form(fields: &[(&str, &str)], seed: u64) -> multipart::Form {
    let mut picture = b"\x89PNG\r\n\x1a\n".to_vec();
    picture.extend(seed.to_be_bytes());
    let part = multipart::Part::bytes(picture).file_name("gifticon.png").mime_str("image/png").expect("a type");
    let form = multipart::Form::new().part("file", part);
    fields.iter().fold(form, |form, (name, value)| form.text((*name).to_owned(), (*value).to_owned()))
}
