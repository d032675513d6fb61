//! What must not be read on the page: account numbers, and what leads to a voucher; and no secret of a server.

use super::Desk;
use acceptance::{Market, commands::sell, stage::Stage};
use contracts::topology::DEAD_EXCHANGE;
use serde_json::json;

#[tokio::test]
async fn neither_accounts_nor_vouchers_nor_passwords_are_told() {
    let stage = Stage::new("page_secrets").await;
    let (market, user) = (&stage.market, stage.market.user(7, 50_000).await);
    let offer = sell("v", user, stage.product, 900, market.now());
    let key = serde_json::to_value(&offer.command).unwrap()["body"]["picture"]["key"].as_str().unwrap().to_owned();
    let refund = json!({"id": "0190aaaa-bbbb-7ccc-8ddd-eeeeeeeeeeee", "kind": "request_refund", "user": 7, "version": 1,
        "body": {"point": 500, "bank": "bank", "account_cipher": "CIPHERED-ACCOUNT", "account_masked": "***-MASKED",
            "account_hash": "HASHED-ACCOUNT"}});
    for (role, body) in [
        ("bid", offer.encode()),
        ("refund", refund.to_string().into_bytes()),
        ("refund", b"{\"account_cipher\":\"CIPHERED-ACCOUNT".to_vec()),
    ] {
        market.broker.publish_bytes(DEAD_EXCHANGE, role, &body, &[]).await;
    }
    let desk = Desk::open(market).await;
    let everything = json!({});
    let (_, found) = desk.post("letters/find", &everything).await;
    assert_eq!(found["letters"].as_array().unwrap().len(), 3, "{found}");
    let mut told =
        vec![found.to_string(), desk.get("letters").await.to_string(), desk.get("pipeline").await.to_string()];
    for letter in found["letters"].as_array().unwrap() {
        told.push(desk.get(&format!("letters/{}", letter["key"].as_str().unwrap())).await.to_string());
        told.push(desk.get(&format!("trace/{}", offer.id)).await.to_string());
    }
    told.push(desk.post("letters/dry-run", &everything).await.1.to_string());
    told.push(desk.get("trace/user:7").await.to_string());
    assert!(told.iter().any(|told| told.contains("(hidden)")), "{told:?}");
    let mut secrets = vec![key, "CIPHERED-ACCOUNT".into(), "MASKED".into(), "HASHED-ACCOUNT".into()];
    secrets.extend(passwords(market));
    for secret in &secrets {
        assert!(!told.iter().any(|told| told.contains(secret.as_str())), "{secret} is told: {told:?}");
    }
}

/// What stands in the processes' configuration and must not leave it.
fn passwords(market: &Market) -> Vec<String> {
    let secret = |key: &str| key.ends_with("SECRET") || key.ends_with("__KEY") || key.ends_with("SECRET_KEY");
    let of_url = |url: &str| {
        url.split_once("://")?.1.split_once('@').map(|(who, _)| who.split_once(':').map(|(_, word)| word.to_owned()))?
    };
    let settings = market.environment.iter();
    let found = settings.filter_map(|(key, value)| if secret(key) { Some(value.clone()) } else { of_url(value) });
    found.filter(|secret| secret.len() >= 8).collect()
}
