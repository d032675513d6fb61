//! The page that a payer clicks through.

use crate::stage::Stage;
use contracts::Won;
use reqwest::{Client, Response, Url};
use std::collections::BTreeMap;
use toss::{PaymentStatus, sandbox::journal::Effect};

const SUCCESS: &str = "http://shop.example/success?from=toss";
const FAIL: &str = "https://shop.example/fail#top";

/// A browser that shows where it is sent instead of going there.
fn browser() -> Client {
    crate::stage::install_tls();
    Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap()
}

fn asked<'a>(order_id: &'a str, changes: &[(&'a str, &'a str)]) -> BTreeMap<&'a str, &'a str> {
    let mut asked = BTreeMap::from([
        ("orderId", order_id),
        ("amount", "1000"),
        ("orderName", "포인트 충전"),
        ("successUrl", SUCCESS),
        ("failUrl", FAIL),
    ]);
    asked.extend(changes.iter().copied());
    asked
}

async fn look(stage: &Stage, order_id: &str, changes: &[(&str, &str)]) -> Response {
    let address = format!("http://{}/checkout", stage.address);
    let address = Url::parse_with_params(&address, asked(order_id, changes)).unwrap();
    browser().get(address).send().await.unwrap()
}

/// Presses a button; gives where the browser is sent, and with what.
async fn press(stage: &Stage, order_id: &str, choice: &str) -> (Url, BTreeMap<String, String>) {
    let form = asked(order_id, &[("choice", choice)]);
    let answer = browser().post(format!("http://{}/checkout", stage.address)).form(&form).send().await.unwrap();
    assert_eq!(answer.status(), 303);
    let to = Url::parse(answer.headers()["location"].to_str().unwrap()).unwrap();
    let parameters = to.query_pairs().into_owned().collect();
    (to, parameters)
}

#[tokio::test]
async fn the_page_shows_what_is_asked_as_text_and_runs_nothing() {
    let stage = Stage::new().await;
    let order_id = stage.next_order();
    let name = r#""><script>alert('x')</script>{nonce}"#;
    let page = look(&stage, &order_id, &[("orderName", name), ("customerKey", "ignored")]).await;
    assert_eq!(
        (page.status().as_u16(), page.headers()["content-type"].to_str().unwrap()),
        (200, "text/html; charset=utf-8")
    );
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    let html = page.text().await.unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'nonce-"), "{policy}");
    let nonce = policy.split('\'').nth(3).unwrap().strip_prefix("nonce-").unwrap();
    assert!(html.contains(&format!("<style nonce=\"{nonce}\">")) && html.matches(nonce).count() == 1);
    assert!(!html.contains("<script") && !html.contains("src=") && !html.contains("href="), "{html}");
    assert!(html.contains("&#34;&#62;&#60;script&#62;alert(&#39;x&#39;)"), "{html}");
    assert!(html.contains(&format!("name=\"orderId\" value=\"{order_id}\"")) && html.contains("1000 KRW"));
    for choice in ["card", "virtual_account", "fail", "close"] {
        assert!(html.contains(&format!("name=\"choice\" value=\"{choice}\"")), "{choice}");
    }
    assert!(stage.journal().await.is_empty(), "looking has no effect");
}

#[tokio::test]
async fn paying_leads_to_the_merchant_who_confirms() {
    let stage = Stage::new().await;
    for (choice, status) in [("card", PaymentStatus::Done), ("virtual_account", PaymentStatus::WaitingForDeposit)] {
        let order_id = stage.next_order();
        let (to, carried) = press(&stage, &order_id, choice).await;
        assert_eq!((to.host_str(), to.path()), (Some("shop.example"), "/success"));
        assert_eq!(carried.keys().collect::<Vec<_>>(), ["amount", "from", "orderId", "paymentKey", "paymentType"]);
        assert_eq!((carried["paymentType"].as_str(), &carried["orderId"]), ("NORMAL", &order_id));
        assert_eq!((carried["amount"].as_str(), carried["from"].as_str()), ("1000", "toss"));
        let payment = stage.client.confirm(&carried["paymentKey"], &order_id, Won(1_000), &order_id).await.unwrap();
        assert_eq!(payment.status, status);
    }
}

#[tokio::test]
async fn failing_and_closing_lead_back_with_a_code() {
    let stage = Stage::new().await;
    let (failed, closed) = (stage.next_order(), stage.next_order());
    let (to, carried) = press(&stage, &failed, "fail").await;
    assert_eq!((to.scheme(), to.path(), to.fragment()), ("https", "/fail", Some("top")));
    assert_eq!((carried["code"].as_str(), &carried["orderId"]), ("PAY_PROCESS_ABORTED", &failed));
    assert!(!carried["message"].is_empty());
    assert_eq!(stage.client.payment_by_order(&failed).await.unwrap().status, PaymentStatus::Aborted);

    let (_, carried) = press(&stage, &closed, "close").await;
    assert_eq!(carried.keys().collect::<Vec<_>>(), ["code", "message"], "Toss tells no orderId then");
    assert_eq!(carried["code"], "PAY_PROCESS_CANCELED");
    assert_eq!(stage.client.payment_by_order(&closed).await.unwrap().status, PaymentStatus::Ready);
    stage.advance_ms(30 * 60_000);
    assert_eq!(stage.client.payment_by_order(&closed).await.unwrap().status, PaymentStatus::Expired);
}

#[tokio::test]
async fn nobody_is_sent_to_what_is_no_web_address_nor_pays_what_cannot_be() {
    let stage = Stage::new().await;
    let long = format!("http://shop.example/{}", "x".repeat(2_000));
    let name = "x".repeat(101);
    let wrong = [
        ("successUrl", "javascript:alert(1)"),
        ("failUrl", "data:text/html,<b>x"),
        ("failUrl", "/relative"),
        ("successUrl", long.as_str()),
        ("amount", "99"),
        ("amount", "-5"),
        ("amount", "many"),
        ("orderId", "x"),
        ("orderId", "order<1>"),
        ("orderName", name.as_str()),
    ];
    for change in wrong {
        let answer = look(&stage, "order-1", &[change]).await;
        assert_eq!(answer.status(), 400, "{change:?}");
        assert_eq!(answer.headers()["content-type"], "text/plain; charset=utf-8", "{change:?}");
    }
    for change in wrong.into_iter().filter(|(field, _)| *field != "orderName").chain([("choice", "steal")]) {
        let mut form = asked("order-1", &[("choice", "card")]);
        form.extend([change]);
        let answer = browser().post(format!("http://{}/checkout", stage.address)).form(&form).send().await.unwrap();
        assert!((400..500).contains(&answer.status().as_u16()), "{change:?}");
        assert!(answer.headers().get("location").is_none(), "{change:?}");
    }
    assert!(!stage.journal().await.iter().any(|entry| matches!(entry.effect, Effect::Opened { .. })));
}
