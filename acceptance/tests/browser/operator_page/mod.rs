//! The operators' page, by its calls and in Chromium.

mod doors;
mod hostile;
mod keyboard;
mod secrets;
mod thousand;
mod views;

use crate::driver::Page;
use acceptance::{Market, process::Process};
use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use std::path::Path;

const BOSS: &str = "boss1";
const PASSWORD: &str = "password1";

/// An API with an administrator, seen from the operators' port.
struct Desk {
    api: Process,
    address: String,
    client: Client,
    cookie: String,
}

impl Desk {
    /// Starts an API, and signs its administrator in.
    async fn open(market: &Market) -> Self {
        api::create_administrator(&market.database, BOSS, &platform::Secret::new(PASSWORD), market.now())
            .await
            .unwrap();
        let mut api = market.spawn(&["api"]);
        let address = format!("http://{}", api.ready().await);
        let mut desk = Self { api, address, client: Client::new(), cookie: String::new() };
        let answer = desk.sign_in(BOSS, PASSWORD).await;
        assert_eq!(answer.status(), StatusCode::OK);
        let cookie = answer.headers()["set-cookie"].to_str().unwrap();
        for attribute in ["Path=/operator", "HttpOnly", "SameSite=Strict", "Max-Age=43200"] {
            assert!(cookie.split("; ").any(|part| part == attribute), "{cookie}");
        }
        cookie.split(';').next().unwrap().clone_into(&mut desk.cookie);
        desk
    }

    async fn sign_in(&self, login_id: &str, password: &str) -> reqwest::Response {
        let body = json!({"login_id": login_id, "password": password});
        self.strange("POST", "/operator/api/sign-in").header("Gream-Operator", "test").json(&body).send().await.unwrap()
    }

    /// A request of nobody.
    fn strange(&self, method: &str, path: &str) -> RequestBuilder {
        self.client.request(method.parse().unwrap(), format!("{}{path}", self.address))
    }

    /// A request as the page makes it.
    fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let path = format!("/operator/api/{path}");
        self.strange(method, &path).header("Gream-Operator", "test").header("Cookie", &self.cookie)
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.request("GET", path).send().await.unwrap();
        let status = answer.status();
        let told: Value = answer.json().await.unwrap();
        assert!(status.is_success(), "{path}: {status} {told}");
        told
    }

    async fn post(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        let answer = self.request("POST", path).json(body).send().await.unwrap();
        (answer.status(), answer.json().await.unwrap())
    }

    /// A browser on the page, signed in by its form.
    async fn browser(&self, folder: &Path) -> Page {
        let page = Page::open(&format!("{}/operator/", self.address), folder).await;
        page.until("!document.querySelector('#sign-in').hidden").await;
        page.click("#login-id").await;
        page.write(BOSS).await;
        page.click("#password").await;
        page.write(PASSWORD).await;
        page.click("#sign-in button").await;
        page.until("!document.querySelector('#content').hidden && document.querySelector('#content h1')").await;
        page
    }
}

/// Goes to a view.
async fn go(page: &Page, view: &str) {
    page.evaluate(&format!("(location.hash = {view:?}, true)")).await;
}
