//! RabbitMQ's management page, asked for its queues: what AMQP itself does not tell (unacked messages, acks so far,
//! limits), in one question for all of them.
//!
//! Doesn't: know what a queue is for. Its figures are up to [`STATISTICS_AGE`] old.

use super::vhost_of;
use crate::Secret;
use reqwest::{Client, Url};
use serde::Deserialize;
use std::time::Duration;

/// RabbitMQ counts a queue's messages every five seconds: a count may be that old.
pub const STATISTICS_AGE: Duration = Duration::from_secs(6);
/// How long it may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// What is asked of each queue; the whole answer would be a hundred times longer.
const COLUMNS: &str = "columns=name,messages,messages_unacknowledged,consumers,message_stats.ack,message_stats.ack_details.rate,\
     message_stats.publish_details.rate,effective_policy_definition";

/// How to ask RabbitMQ's management page.
#[derive(Clone, Debug)]
pub struct ManagementPage {
    /// Its address, such as `http://127.0.0.1:15672`.
    pub base_url: Url,
    /// The virtual host.
    pub vhost: String,
    /// A user that may read it (tag `monitoring` or `management`).
    pub user: String,
    /// Their password.
    pub password: Secret,
}

/// The address is none that carries a user and password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("RabbitMQ's page is named as http://user:password@host:port")]
pub struct InvalidPage;

/// The page could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// Its address cannot have paths behind it.
    #[error("{0} is no web address")]
    NoAddress(Url),
    /// It did not answer, or not with what it should. The address, which may hold a password, is left out.
    #[error("RabbitMQ's page: {0}")]
    Http(reqwest::Error),
}

/// What is known of a queue.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct QueueFigures {
    /// Its name.
    pub name: String,
    /// All messages, those with a consumer included. Missing until they were counted for the first time.
    #[serde(default)]
    pub messages: u64,
    /// Those that a consumer has and has not acked.
    #[serde(default)]
    pub messages_unacknowledged: u64,
    /// Who consumes it.
    #[serde(default)]
    pub consumers: u64,
    #[serde(default)]
    message_stats: MessageStats,
    #[serde(default)]
    effective_policy_definition: Limits,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
struct MessageStats {
    #[serde(default)]
    ack: u64,
    #[serde(default)]
    ack_details: Details,
    #[serde(default)]
    publish_details: Details,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
struct Details {
    #[serde(default)]
    rate: f64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
struct Limits {
    #[serde(rename = "max-length")]
    max_length: Option<u64>,
}

impl QueueFigures {
    /// How many messages were acked since the broker began to count.
    pub fn acked(&self) -> u64 {
        self.message_stats.ack
    }

    /// Messages that arrived a second, lately.
    pub fn published_per_s(&self) -> f64 {
        self.message_stats.publish_details.rate
    }

    /// Messages that were acked a second, lately.
    pub fn acked_per_s(&self) -> f64 {
        self.message_stats.ack_details.rate
    }

    /// How many messages the policies in force allow.
    pub fn max_messages(&self) -> Option<u64> {
        self.effective_policy_definition.max_length
    }
}

impl ManagementPage {
    /// From `http://user:password@host:port`.
    ///
    /// # Errors
    /// When the address has another form.
    pub fn at(address: &str, vhost: &str) -> Result<Self, InvalidPage> {
        let mut base_url = Url::parse(address).map_err(|_| InvalidPage)?;
        let (user, password) = (base_url.username().to_owned(), base_url.password().map(str::to_owned));
        let password = Secret::new(password.ok_or(InvalidPage)?);
        base_url.set_username("").map_err(|()| InvalidPage)?;
        base_url.set_password(None).map_err(|()| InvalidPage)?;
        Ok(Self { base_url, vhost: vhost.to_owned(), user, password })
    }

    /// The page of the broker that AMQP is spoken with at `amqp_url`: its path is the virtual host.
    ///
    /// # Errors
    /// When one of the addresses has another form.
    pub fn beside(address: &str, amqp_url: &str) -> Result<Self, InvalidPage> {
        Self::at(address, &vhost_of(amqp_url).ok_or(InvalidPage)?)
    }

    /// Every queue of the virtual host.
    ///
    /// # Errors
    /// When the page does not answer with a list.
    pub async fn queues(&self, http: &Client) -> Result<Vec<QueueFigures>, PageError> {
        let failed = |error: reqwest::Error| PageError::Http(error.without_url());
        let mut url = self.base_url.clone();
        match url.path_segments_mut() {
            Ok(mut segments) => drop(segments.pop_if_empty().extend(["api", "queues", self.vhost.as_str()])),
            Err(()) => return Err(PageError::NoAddress(self.base_url.clone())),
        }
        url.set_query(Some(COLUMNS));
        let request = http.get(url).timeout(ANSWER_LIMIT).basic_auth(&self.user, Some(self.password.expose()));
        let response = request.send().await.map_err(failed)?.error_for_status().map_err(failed)?;
        response.json().await.map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_page_leaves_out_is_nothing() {
        let told = r#"[{"name": "payment"}, {"name": "bid.00", "messages": 7, "messages_unacknowledged": 2, "consumers": 1,
            "message_stats": {"ack": 12, "ack_details": {"rate": 2.4}}, "effective_policy_definition": {"max-length": 100, "delivery-limit": 5}}]"#;
        let queues: Vec<QueueFigures> = serde_json::from_str(told).unwrap();
        let (fresh, busy) = (&queues[0], &queues[1]);
        assert_eq!((fresh.messages, fresh.acked(), fresh.max_messages()), (0, 0, None));
        assert_eq!((busy.messages, busy.acked(), busy.max_messages()), (7, 12, Some(100)));
        assert!((busy.acked_per_s() - 2.4).abs() < 1e-9 && busy.published_per_s().abs() < 1e-9);
    }

    #[test]
    fn an_address_carries_a_user_and_a_password() {
        let nodes = "amqp://a:b@127.0.0.1:5672/gream,amqp://a:b@127.0.0.1:5673/gream";
        let page = ManagementPage::beside("http://u:p@127.0.0.1:15672", nodes).unwrap();
        assert_eq!((page.user.as_str(), page.vhost.as_str()), ("u", "gream"));
        assert!(!page.base_url.as_str().contains('@'));
        for wrong in ["", "http://127.0.0.1:15672", "http://u@127.0.0.1:15672"] {
            assert!(ManagementPage::at(wrong, "gream").is_err(), "{wrong}");
        }
    }
}
