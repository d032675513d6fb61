//! A client of the API: HTTP only, like any other. Every answer it gets is checked to be in the contract's envelope.

use crate::{Market, process::Process};
use contracts::result_code::status_name;
use reqwest::{
    Client, RequestBuilder,
    header::HeaderMap,
    multipart::{Form, Part},
};
use serde_json::{Value, json};

/// A 1×1 picture.
pub const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89\0\0\0\r\
    IDATx\xdac\xf8\xcf\xc0\xf0\x1f\0\x05\0\x01\xffV\xc7/\r\0\0\0\0IEND\xaeB`\x82";
/// Everybody's password.
pub const PASSWORD: &str = "abcdefg1";

/// An answer in the envelope.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Answer {
    pub fn code(&self) -> u64 {
        self.body["code"].as_u64().unwrap_or(u64::MAX)
    }

    pub fn data(&self) -> &Value {
        &self.body["data"]
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// HTTP status and code, together.
    pub fn is(&self, status: u16, code: u64) -> bool {
        (self.status, self.code()) == (status, code)
    }

    /// The data of a 200, or a failed test.
    #[track_caller]
    pub fn ok(self) -> Value {
        assert!(self.is(200, 0), "{} {}", self.status, self.body);
        self.body["data"].clone()
    }

    /// A failed test unless status and code are these.
    #[track_caller]
    pub fn refused(&self, status: u16, code: u64) {
        assert!(self.is(status, code), "wanted {status} {code}: {} {}", self.status, self.body);
    }
}

/// Somebody with a browser, or without.
#[derive(Clone, Debug)]
pub struct Visitor {
    pub client: Client,
    pub base: String,
    pub access: Option<String>,
    pub refresh: Option<String>,
}

/// Starts the API of `market` and waits until it is ready.
pub async fn start_api(market: &Market) -> (Process, Visitor) {
    let mut process = market.spawn(&["api"]);
    process.ready().await;
    let base = format!("http://{}", process.address("http").await);
    (process, Visitor { client: Client::new(), base, access: None, refresh: None })
}

impl Visitor {
    /// Signs up and logs in.
    pub async fn join(&self, login_id: &str) -> Visitor {
        let body = json!({"loginId": login_id, "nickname": login_id, "password": PASSWORD});
        self.post("/api/users/signup", &body).await.ok();
        self.log_in(login_id).await
    }

    /// Logs in.
    pub async fn log_in(&self, login_id: &str) -> Visitor {
        let answer = self.post("/api/users/login", &json!({"loginId": login_id, "password": PASSWORD})).await;
        let (access, refresh) = (answer.header("access-token").to_owned(), answer.header("refresh-token").to_owned());
        answer.ok();
        Visitor { access: Some(access), refresh: Some(refresh), ..self.clone() }
    }

    /// Joins, and is made an administrator by an operator.
    pub async fn join_as_administrator(&self, market: &Market, login_id: &str) -> Visitor {
        let body = json!({"loginId": login_id, "nickname": login_id, "password": PASSWORD});
        self.post("/api/users/signup", &body).await.ok();
        sqlx::query("UPDATE users SET role = 'administrator' WHERE login_id = ?")
            .bind(login_id)
            .execute(&market.database)
            .await
            .expect("a role");
        self.log_in(login_id).await
    }

    /// A request with the visitor's tokens, to be completed and sent by [`send`].
    pub fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let method = method.parse().expect("a method");
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        for (name, token) in [("Access-Token", &self.access), ("Refresh-Token", &self.refresh)] {
            if let Some(token) = token {
                request = request.header(name, token);
            }
        }
        request
    }

    pub async fn get(&self, path: &str) -> Answer {
        send(self.request("GET", path)).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        send(self.request("POST", path).json(body)).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        send(self.request("DELETE", path)).await
    }

    /// A form with a picture.
    pub async fn upload(&self, path: &str, fields: &[(&str, &str)], picture: &[u8]) -> Answer {
        send(self.request("POST", path).multipart(form(fields, Some(picture)))).await
    }

    pub async fn points(&self) -> i64 {
        self.get("/api/users/points").await.ok()["point"].as_i64().expect("a number")
    }
}

/// A multipart body.
pub fn form(fields: &[(&str, &str)], picture: Option<&[u8]>) -> Form {
    let mut form = Form::new();
    for (name, value) in fields {
        form = form.text((*name).to_owned(), (*value).to_owned());
    }
    match picture {
        Some(bytes) => form.part("file", Part::bytes(bytes.to_vec()).file_name("gifticon.png")),
        None => form,
    }
}

/// Sends a request; whatever comes back must be in the envelope.
pub async fn send(request: RequestBuilder) -> Answer {
    let answer = request.send().await.expect("the API answers");
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    let text = answer.text().await.expect("a body");
    let body: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{status}: not an envelope: {text}"));
    assert_eq!(body["status"], status_name(status), "{body}");
    for (field, is_there) in
        [("code", body["code"].is_u64()), ("message", body["message"].is_string()), ("data", !body["data"].is_null())]
    {
        assert!(is_there, "{field} is missing: {body}");
    }
    Answer { status, headers, body }
}
