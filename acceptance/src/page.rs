//! RabbitMQ's management API, for what an operator may do to a running market.

use crate::Market;
use serde_json::Value;

/// The page of one market's vhost.
#[derive(Clone, Debug)]
pub struct Page {
    http: String,
    vhost: String,
    client: reqwest::Client,
}

impl Page {
    pub fn of(market: &Market) -> Self {
        Self {
            http: market.servers.rabbitmq_http.clone(),
            vhost: market.database_name.clone(),
            client: reqwest::Client::new(),
        }
    }

    pub async fn delete_queue(&self, queue: &str) {
        self.delete(&format!("queues/{}/{queue}", self.vhost)).await;
    }

    pub async fn delete_policy(&self, name: &str) {
        self.delete(&format!("policies/{}/{name}", self.vhost)).await;
    }

    /// Each consumer of the vhost: its queue and its prefetch count.
    pub async fn consumers(&self) -> Vec<(String, u64)> {
        let url = format!("{}/api/consumers/{}", self.http, self.vhost);
        let answer = self.client.get(url).send().await.expect("the management API answers");
        let found: Vec<Value> = answer.json().await.expect("a list");
        let consumer = |consumer: &Value| {
            Some((consumer["queue"]["name"].as_str()?.to_owned(), consumer["prefetch_count"].as_u64()?))
        };
        let mut consumers: Vec<_> = found.iter().filter_map(consumer).collect();
        consumers.sort();
        consumers
    }

    async fn delete(&self, path: &str) {
        let url = format!("{}/api/{path}", self.http);
        let answer = self.client.delete(url).send().await.expect("the management API answers");
        assert!(answer.status().is_success(), "{path}: {}", answer.text().await.unwrap_or_default());
    }
}
