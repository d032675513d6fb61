//! The checkout page: Toss's payment window, as a page that a person (or a browser test) can go through.
//!
//! `GET /checkout?orderId&amount&orderName&successUrl&failUrl` shows it; other parameters are ignored.
//! `POST /checkout` is its form with the payer's `choice`, and sends the browser (303) on:
//!
//! | choice | what happens | to |
//! |---|---|---|
//! | `card` | opened and authenticated | successUrl with `paymentType, paymentKey, orderId, amount` |
//! | `virtual_account` | opened, and a virtual account chosen | the same |
//! | `fail` | opened and aborted | failUrl with `code=PAY_PROCESS_ABORTED, message, orderId` |
//! | `close` | opened, and left to expire | failUrl with `code=PAY_PROCESS_CANCELED, message`, without orderId |
//!
//! Promises: looking at the page has no effect; it needs nothing from anywhere, runs no script, and whatever it was
//! given is text on it; the browser is sent to http and https addresses only.
//! Doesn't: keep a window of its own apart from the form. Going back and choosing again opens another payment, as a
//! payer who tries again does.

use super::{
    answer::Refuse,
    carry_out::{Sandbox, Shared, random_key},
    payer::{self, Method},
};
use axum::{
    Form,
    extract::{Query, State, rejection::FormRejection, rejection::QueryRejection},
    http::{HeaderValue, StatusCode, header},
    response::{Html, IntoResponse, Redirect, Response},
};
use contracts::{UnixMs, Won};
use reqwest::Url;
use serde::Deserialize;
use std::{fmt::Write, sync::Arc};

/// The longest address to be sent on to.
pub const MAX_URL_LENGTH: usize = 2_000;
/// Toss's limit for the name of an order, in characters.
const MAX_ORDER_NAME_LENGTH: usize = 100;
const FAILED: (&str, &str) = ("PAY_PROCESS_ABORTED", "결제 진행 중 승인에 실패하여 결제가 중단되었습니다.");
const CLOSED: (&str, &str) = ("PAY_PROCESS_CANCELED", "사용자에 의해 결제가 취소되었습니다.");

/// What the merchant's page asks for.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Asked {
    order_id: String,
    amount: i64,
    #[serde(default)]
    order_name: String,
    success_url: String,
    fail_url: String,
}

/// The form: what was asked, and what the payer made of it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Chosen {
    order_id: String,
    amount: i64,
    success_url: String,
    fail_url: String,
    choice: Choice,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Choice {
    Card,
    VirtualAccount,
    Fail,
    Close,
}

/// Why there is no page.
#[derive(Debug)]
pub(super) struct NoPage(Refuse);

impl From<Refuse> for NoPage {
    fn from(refuse: Refuse) -> Self {
        Self(refuse)
    }
}

impl IntoResponse for NoPage {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.http).unwrap_or(StatusCode::BAD_REQUEST);
        (status, format!("{}: {}", self.0.code, self.0.message)).into_response()
    }
}

/// `GET /checkout`
pub(super) async fn show(asked: Result<Query<Asked>, QueryRejection>) -> Result<Response, NoPage> {
    let Query(asked) = asked.map_err(|error| incomplete(&error.body_text()))?;
    payer::check(&asked.order_id, Won(asked.amount))?;
    if asked.order_name.chars().count() > MAX_ORDER_NAME_LENGTH {
        return Err(Refuse::new(400, "INVALID_ORDER_NAME", "the order's name is too long").into());
    }
    address(&asked.success_url)?;
    address(&asked.fail_url)?;
    let nonce = random_key("n");
    // Forms may go anywhere: a browser holds `form-action` against every redirect after this one, too, and those are
    // the merchant's to choose.
    let policy = format!("default-src 'none'; style-src 'nonce-{nonce}'; base-uri 'none'");
    let mut response = Html(page(&asked, &nonce)).into_response();
    let headers = response.headers_mut();
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(response)
}

/// `POST /checkout`
pub(super) async fn choose(
    State(sandbox): State<Arc<Sandbox>>,
    chosen: Result<Form<Chosen>, FormRejection>,
) -> Result<Redirect, NoPage> {
    let Form(chosen) = chosen.map_err(|error| incomplete(&error.body_text()))?;
    let (success, fail) = (address(&chosen.success_url)?, address(&chosen.fail_url)?);
    let now = sandbox.now();
    let to = carry_out(&mut sandbox.shared(), &chosen, success, fail, now)?;
    Ok(Redirect::to(to.as_str()))
}

fn carry_out(shared: &mut Shared, chosen: &Chosen, success: Url, fail: Url, now: UnixMs) -> Result<Url, Refuse> {
    let opened = shared.open(&chosen.order_id, Won(chosen.amount), now)?;
    let order_id = opened.order_id.clone();
    match chosen.choice {
        Choice::Card => succeeded(shared, &opened.payment_key, Method::Card, success, now),
        Choice::VirtualAccount => succeeded(shared, &opened.payment_key, Method::VirtualAccount, success, now),
        Choice::Fail => {
            shared.fail(opened.payment_key, order_id.clone(), FAILED.0, now)?;
            Ok(with(fail, &[("code", FAILED.0), ("message", FAILED.1), ("orderId", &order_id)]))
        }
        Choice::Close => Ok(with(fail, &[("code", CLOSED.0), ("message", CLOSED.1)])),
    }
}

fn succeeded(shared: &mut Shared, payment_key: &str, method: Method, to: Url, now: UnixMs) -> Result<Url, Refuse> {
    let redirect = shared.choose(payment_key, method, now)?;
    let amount = redirect.amount.0.to_string();
    Ok(with(
        to,
        &[
            ("paymentType", redirect.payment_type),
            ("paymentKey", &redirect.payment_key),
            ("orderId", &redirect.order_id),
            ("amount", &amount),
        ],
    ))
}

/// The address with parameters added to those that it may have.
fn with(mut address: Url, parameters: &[(&str, &str)]) -> Url {
    address.query_pairs_mut().extend_pairs(parameters);
    address
}

fn incomplete(what: &str) -> Refuse {
    Refuse::new(400, "INVALID_REQUEST", what)
}

/// An address that a browser may be sent to. Everything else, `javascript:` above all, stays here.
fn address(text: &str) -> Result<Url, Refuse> {
    let refuse = || Refuse::new(400, "INVALID_URL", "successUrl and failUrl are http or https addresses");
    let url = if text.len() <= MAX_URL_LENGTH { Url::parse(text).ok() } else { None };
    url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host()).ok_or_else(refuse)
}

fn page(asked: &Asked, nonce: &str) -> String {
    let name = if asked.order_name.is_empty() { "결제" } else { &asked.order_name };
    format!(
        include_str!("checkout.html"),
        nonce = nonce,
        order_name = escaped(name),
        order_id = escaped(&asked.order_id),
        amount = asked.amount,
        success_url = escaped(&asked.success_url),
        fail_url = escaped(&asked.fail_url),
    )
}

/// As text or as a quoted attribute's value.
fn escaped(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, letter| {
        match letter {
            '&' | '<' | '>' | '"' | '\'' => {
                // Writing to a String does not fail.
                let _ = write!(out, "&#{};", u32::from(letter));
            }
            _ => out.push(letter),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_would_be_markup_is_text() {
        assert_eq!(escaped(r#"<a b="c" d='e'>&"#), "&#60;a b=&#34;c&#34; d=&#39;e&#39;&#62;&#38;");
        assert_eq!(escaped("커피 1+1"), "커피 1+1");
    }

    #[test]
    fn only_web_addresses_are_gone_to() {
        for bad in ["javascript:alert(1)", "data:text/html,x", "/relative", "ftp://host/", "", "http://"] {
            assert!(address(bad).is_err(), "{bad}");
        }
        assert!(address(&format!("http://host/{}", "x".repeat(MAX_URL_LENGTH))).is_err());
        let to = with(address("https://shop.example/back?from=toss#end").unwrap(), &[("message", "아니 &=?")]);
        assert_eq!(to.as_str(), "https://shop.example/back?from=toss&message=%EC%95%84%EB%8B%88+%26%3D%3F#end");
    }
}
