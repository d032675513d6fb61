//! A virtual host of the test's own, made and filled through RabbitMQ's management page.

use audit::ManagementPage;
use platform::Secret;
use reqwest::{Client, Method, Url};
use serde_json::{Value, json};

pub struct Vhost {
    http: Client,
    base_url: Url,
    name: String,
    user: String,
    password: String,
}

impl Vhost {
    pub async fn make(name: &str, queues: &[&str]) -> Self {
        let address = std::env::var("GREAM_TEST_RABBITMQ_HTTP")
            .expect("GREAM_TEST_RABBITMQ_HTTP is not set: run the tests by `make test`, or see dev/test");
        let mut base_url: Url = address.parse().unwrap();
        let user = base_url.username().to_owned();
        let password = base_url.password().unwrap().to_owned();
        base_url.set_username("").unwrap();
        base_url.set_password(None).unwrap();
        let vhost = Self { http: Client::new(), base_url, name: name.to_owned(), user, password };
        vhost.send(Method::PUT, &format!("vhosts/{name}"), json!({})).await;
        let all = json!({"configure": ".*", "write": ".*", "read": ".*"});
        vhost.send(Method::PUT, &format!("permissions/{name}/{}", vhost.user), all).await;
        for queue in queues {
            vhost.send(Method::PUT, &format!("queues/{name}/{queue}"), json!({"durable": true})).await;
        }
        vhost
    }

    pub fn page(&self) -> ManagementPage {
        ManagementPage {
            base_url: self.base_url.clone(),
            vhost: self.name.clone(),
            user: self.user.clone(),
            password: Secret::new(&self.password),
        }
    }

    pub async fn publish(&self, queue: &str) {
        let message = json!({"properties": {}, "routing_key": queue, "payload": "{}", "payload_encoding": "string"});
        self.send(Method::POST, &format!("exchanges/{}/amq.default/publish", self.name), message).await;
    }

    pub async fn drop(self) {
        self.send(Method::DELETE, &format!("vhosts/{}", self.name), json!({})).await;
    }

    async fn send(&self, method: Method, path: &str, body: Value) {
        let url = self.base_url.join(&format!("/api/{path}")).unwrap();
        let request = self.http.request(method, url).basic_auth(&self.user, Some(&self.password)).json(&body);
        request.send().await.unwrap().error_for_status().unwrap();
    }
}
