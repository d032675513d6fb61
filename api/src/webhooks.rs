//! `POST /api/payments/toss/webhook`: Toss says that something happened to a payment.
//!
//! ```text
//!  any JSON object ──► of a known event? ──► a charge of ours? ──► its secret? ──► new? ──► within limits? ──► FollowPayment
//!                        └ no ─────────────────┴ no, or nobody     └ another's     └ no ─────► 200    └ no ──► 429
//!                                                has paid
//! ```
//! Promises: a webhook is a hint and nothing more: whoever forges one has us look a payment up, at most as often as the
//! rate limits allow, and learns nothing but that an order exists, if a 429 tells them. Whoever proves by its secret
//! that they are Toss shares no limit with those who don't. What Toss repeats is dropped by its transmission id. Answered
//! within [`ANSWER_WITHIN`], because it is only put on the queue; not accepted (503, 429), it is sent again by Toss.
//! Doesn't: call Toss, or change a charge. That is the payment worker's (`workers/src/payment/follow`).

use crate::{
    client_address::ClientAddress,
    context::{Api, Shared},
    envelope::{Answer, Envelope, Failure, Nothing},
    openapi::bodies,
    payments::is_order_id,
    request::json::read_body,
};
use axum::{
    extract::{Request, State},
    http::HeaderMap,
};
use contracts::{Command, CommandId, ResultCode, UserId};
use domain::payment;
use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::time::Duration;

/// Toss waits ten seconds; nobody should.
const ANSWER_WITHIN: Duration = Duration::from_millis(900);
/// By what Toss's repeats are known.
const TRANSMISSION_ID: &str = "tosspayments-webhook-transmission-id";
/// `toss_webhooks.transmission_id`'s width.
const MAX_TRANSMISSION_ID_BYTES: usize = 128;
/// What the comparison of secrets is signed for.
const PURPOSE: &str = "gream toss webhook secret v1";

const STATUS_CHANGED: &str = "PAYMENT_STATUS_CHANGED";
const DEPOSIT_CALLBACK: &str = "DEPOSIT_CALLBACK";

/// What is read of a webhook.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Hint {
    /// Missing: a `DEPOSIT_CALLBACK`.
    #[serde(default)]
    event_type: Option<String>,
    #[serde(default)]
    data: Value,
    #[serde(default)]
    order_id: Option<String>,
    #[serde(default)]
    secret: Option<String>,
}

impl Hint {
    /// A JSON object in which what is read has the right types; whatever else it holds.
    fn read(body: &[u8]) -> Result<Self, Failure> {
        let refuse = |error: serde_json::Error| Failure::invalid("body", format!("웹훅이 아닙니다. ({error})"));
        let object: Map<String, Value> = serde_json::from_slice(body).map_err(refuse)?;
        serde_json::from_value(object.into()).map_err(refuse)
    }

    /// The event's name, where it is one that we know; also for metrics.
    fn event(&self) -> &'static str {
        match self.event_type.as_deref() {
            Some(STATUS_CHANGED) => STATUS_CHANGED,
            Some(DEPOSIT_CALLBACK) => DEPOSIT_CALLBACK,
            None if self.secret.is_some() => DEPOSIT_CALLBACK,
            _ => "other",
        }
    }

    /// Which of our orders it may be about.
    fn order_id(&self) -> Option<&str> {
        let named = match self.event() {
            STATUS_CHANGED => self.data.get("orderId").and_then(Value::as_str),
            DEPOSIT_CALLBACK => self.order_id.as_deref(),
            _ => None,
        };
        named.filter(|order_id| is_order_id(order_id))
    }
}

/// Takes a webhook of Toss's.
#[utoipa::path(
    post,
    path = "/api/payments/toss/webhook",
    operation_id = "toss_webhook",
    tag = "payments",
    params(("tosspayments-webhook-transmission-id" = Option<String>, Header, description = "Repeats have the same")),
    request_body = bodies::TossWebhook,
    responses((status = 200, description = "Taken note of, or of no interest", body = Envelope<Nothing>)),
)]
pub(crate) async fn receive(
    State(api): State<Shared>,
    client: ClientAddress,
    request: Request,
) -> Result<Answer<Nothing>, Failure> {
    let (headers, body) = (request.headers().clone(), read_body(request, &()).await?);
    let hint = Hint::read(&body)?;
    let result = tokio::time::timeout(ANSWER_WITHIN, api.take(client, &headers, &body, &hint)).await;
    let result = result.unwrap_or_else(|_| Err(Failure::from(ResultCode::NotAccepted)));
    let word = result.as_ref().map_or("not_accepted", |word| *word);
    metrics::counter!("gream_toss_webhooks_total", "event" => hint.event(), "result" => word).increment(1);
    result.map(|_| Answer(Nothing {}))
}

impl Api {
    /// What became of it, in a word for the metrics.
    async fn take(
        &self,
        client: ClientAddress,
        headers: &HeaderMap,
        body: &[u8],
        hint: &Hint,
    ) -> Result<&'static str, Failure> {
        self.count_webhook(client).await?;
        if hint.event() == "other" {
            return Ok("unknown_event");
        }
        let Some(order_id) = hint.order_id() else { return Ok("no_order") };
        let read = sqlx::query!("SELECT state, webhook_secret FROM payments WHERE order_id = ?", order_id);
        let Some(payment) = self.within(read.fetch_optional(&self.database)).await? else { return Ok("no_order") };
        if payment.state == payment::State::Requested.as_str() {
            return Ok("nothing_paid");
        }
        // Where no secret was seen yet, a callback is as good as any other hint.
        let secret = payment.webhook_secret.as_deref().filter(|_| hint.event() == DEPOSIT_CALLBACK);
        let is_proven = secret.is_some_and(|secret| self.proves(hint, secret));
        if secret.is_some() && !is_proven {
            return Ok("forged");
        }
        let transmission = transmission_id(headers, body);
        if self.is_known(&transmission).await? {
            return Ok("repeated");
        }
        self.count_webhook_about(order_id, is_proven).await?;
        // Noted afterwards: what was noted and not sent would be lost. Sent twice, it is one command.
        let id = CommandId::derived(UserId::SYSTEM, "toss_webhook", &transmission);
        self.send(id, Command::FollowPayment { order_id: order_id.to_owned() }).await?;
        self.note(&transmission).await?;
        Ok("followed")
    }

    /// Whether a deposit callback shows the secret that Toss gave us for this payment. Takes the same time wherever the
    /// two differ.
    fn proves(&self, hint: &Hint, ours: &str) -> bool {
        let Some(theirs) = hint.secret.as_deref() else { return false };
        self.signer.verify(PURPOSE, &[theirs], &self.signer.sign(PURPOSE, &[ours]))
    }

    async fn is_known(&self, transmission: &str) -> Result<bool, Failure> {
        let read =
            sqlx::query_scalar!("SELECT received_at_ms FROM toss_webhooks WHERE transmission_id = ?", transmission);
        Ok(self.within(read.fetch_optional(&self.database)).await?.is_some())
    }

    async fn note(&self, transmission: &str) -> Result<(), Failure> {
        let insert = sqlx::query!(
            "INSERT IGNORE INTO toss_webhooks (transmission_id, received_at_ms) VALUES (?, ?)",
            transmission,
            self.clock.now().0
        );
        self.within(insert.execute(&self.database)).await.map(drop)
    }
}

/// Without one that can be stored, the same body counts as the same transmission.
fn transmission_id(headers: &HeaderMap, body: &[u8]) -> String {
    let told = headers.get(TRANSMISSION_ID).and_then(|value| value.to_str().ok());
    let fits =
        |id: &&str| (1..=MAX_TRANSMISSION_ID_BYTES).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic());
    told.filter(fits).map_or_else(|| format!("{:x}", Sha256::digest(body)), ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn hint(body: Value) -> Hint {
        serde_json::from_value(body).unwrap()
    }

    #[test]
    fn only_the_order_is_read_and_only_of_events_that_we_know() {
        let changed = json!({"eventType": STATUS_CHANGED, "data": {"orderId": "order-1", "status": "DONE"}});
        assert_eq!(hint(changed).order_id(), Some("order-1"));
        let deposit = hint(json!({"secret": "s", "status": "DONE", "orderId": "order-1", "transactionKey": "t"}));
        assert_eq!((deposit.event(), deposit.order_id()), (DEPOSIT_CALLBACK, Some("order-1")));
        for (body, event) in [
            (json!({}), "other"),
            (json!({"orderId": "order-1"}), "other"),
            (json!({"eventType": "payout.changed", "data": {"orderId": "order-1"}}), "other"),
            (json!({"eventType": STATUS_CHANGED}), STATUS_CHANGED),
            (json!({"eventType": STATUS_CHANGED, "data": []}), STATUS_CHANGED),
            (json!({"eventType": STATUS_CHANGED, "data": {"orderId": "'; --"}}), STATUS_CHANGED),
            (json!({"eventType": STATUS_CHANGED, "orderId": "order-1"}), STATUS_CHANGED),
        ] {
            let hint = hint(body.clone());
            assert_eq!((hint.event(), hint.order_id()), (event, None), "{body}");
        }
    }

    #[test]
    fn what_is_no_object_or_of_another_type_is_refused() {
        for body in ["", "[]", "null", "{", r#"{"eventType": 5}"#, r#"{"orderId": []}"#] {
            assert!(Hint::read(body.as_bytes()).is_err(), "{body}");
        }
        assert!(Hint::read(br#"{"new": {"deep": [1]}, "eventType": "X"}"#).is_ok());
    }

    #[test]
    fn a_transmission_is_known_by_its_id_and_without_one_by_its_body() {
        let mut headers = HeaderMap::new();
        assert_eq!(transmission_id(&headers, b"a"), transmission_id(&headers, b"a"));
        assert_ne!(transmission_id(&headers, b"a"), transmission_id(&headers, b"b"));
        assert_eq!(transmission_id(&headers, b"a").len(), 64);
        headers.insert(TRANSMISSION_ID, "id-1".parse().unwrap());
        assert_eq!(transmission_id(&headers, b"a"), "id-1");
        for unfit in ["", "a b", &"a".repeat(129)] {
            headers.insert(TRANSMISSION_ID, unfit.parse().unwrap());
            assert_eq!(transmission_id(&headers, b"a").len(), 64, "{unfit}");
        }
    }
}
