//! The broker, seen by a test: a vhost of its own, queue depths, publish counters, and publishing by hand.

use crate::servers::Servers;
use contracts::{
    Envelope, PartitionCount,
    dead_letter::HEADER_ORIGIN,
    topology::{COMMANDS_EXCHANGE, Topology, origin, routing_key},
};
use futures_util::StreamExt;
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties,
    message::{BasicGetMessage, Delivery},
    options::{
        BasicAckOptions, BasicConsumeOptions, BasicGetOptions, BasicPublishOptions, BasicQosOptions,
        ConfirmSelectOptions, QueueBindOptions,
    },
    types::{AMQPValue, FieldTable},
};
use serde_json::{Value, json};

/// A vhost.
#[derive(Clone, Debug)]
pub struct Broker {
    http: String,
    amqp: String,
    vhost: String,
    client: reqwest::Client,
}

impl Broker {
    /// Makes `vhost` with the shipped topology and policies.
    pub async fn create(servers: &Servers, vhost: &str, partitions: PartitionCount, ladder_ms: &[u32]) -> Self {
        let broker = Self {
            http: servers.rabbitmq_http.clone(),
            amqp: format!("{}/{vhost}", servers.rabbitmq_url),
            vhost: vhost.to_owned(),
            client: reqwest::Client::new(),
        };
        broker.put(&format!("vhosts/{vhost}"), &json!({})).await;
        let mut definitions = Topology::new(partitions, ladder_ms).definitions(vhost);
        definitions["vhosts"] = json!([]);
        let url = format!("{}/api/definitions", broker.http);
        let answer = broker.client.post(url).json(&definitions).send().await.expect("the management API answers");
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap_or_default());
        broker
    }

    async fn put(&self, path: &str, body: &Value) {
        let url = format!("{}/api/{path}", self.http);
        let answer = self.client.put(url).json(body).send().await.expect("the management API answers");
        assert!(answer.status().is_success(), "{path}: {}", answer.text().await.unwrap_or_default());
    }

    pub async fn remove(&self) {
        // A client of this runtime: the other one's connections belong to the test's.
        drop(reqwest::Client::new().delete(format!("{}/api/vhosts/{}", self.http, self.vhost)).send().await);
    }

    /// For the audit.
    pub fn page(&self) -> operator::ManagementPage {
        operator::ManagementPage::at(&self.http, &self.vhost).expect("an address with a user")
    }

    /// A policy, as an operator would set it.
    pub async fn set_policy(&self, name: &str, policy: &Value) {
        self.put(&format!("policies/{}/{name}", self.vhost), policy).await;
    }

    /// What the management API says about a queue.
    pub async fn queue(&self, name: &str) -> Value {
        let url = format!("{}/api/queues/{}/{name}", self.http, self.vhost);
        let answer = self.client.get(url).send().await.expect("the management API answers");
        answer.json().await.unwrap_or_default()
    }

    /// How many messages were ever published to `exchange`, as the management API counts (seconds late).
    pub async fn published_to(&self, exchange: &str) -> u64 {
        let url = format!("{}/api/exchanges/{}/{exchange}", self.http, self.vhost);
        let answer = self.client.get(url).send().await.expect("the management API answers");
        let exchange: Value = answer.json().await.unwrap_or_default();
        exchange["message_stats"]["publish_in"].as_u64().unwrap_or(0)
    }

    /// How many messages lie in `queue` now, asked over AMQP (the page's figures are seconds old).
    pub async fn depth(&self, queue: &str) -> u32 {
        depth_on(&self.channel().await, queue).await
    }

    /// Makes a queue that gets the commands of a routing key.
    pub async fn declare_bound(&self, queue: &str, routing_key: &str) {
        let channel = self.channel().await;
        let options = lapin::options::QueueDeclareOptions { durable: true, ..Default::default() };
        channel.queue_declare(queue.into(), options, FieldTable::default()).await.expect("a queue");
        channel
            .queue_bind(
                queue.into(),
                COMMANDS_EXCHANGE.into(),
                routing_key.into(),
                QueueBindOptions::default(),
                FieldTable::default(),
            )
            .await
            .expect("a binding");
    }

    /// How many consumers `queue` has now; `None` while there is no such queue.
    pub async fn consumers(&self, queue: &str) -> Option<u32> {
        let channel = self.channel().await;
        let options = lapin::options::QueueDeclareOptions { passive: true, ..Default::default() };
        let found = channel.queue_declare(queue.into(), options, FieldTable::default()).await;
        found.ok().map(|queue| queue.consumer_count())
    }

    /// A channel on a connection of its own.
    pub async fn channel(&self) -> Channel {
        let connection = Connection::connect(&self.amqp, ConnectionProperties::default())
            .await
            .expect("the broker takes connections");
        let channel = connection.create_channel().await.expect("a channel");
        channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms");
        channel
    }

    pub fn url(&self) -> &str {
        &self.amqp
    }

    /// Takes one message off `queue`, acked.
    pub async fn take(&self, queue: &str) -> Option<BasicGetMessage> {
        let channel = self.channel().await;
        channel.basic_get(queue.into(), BasicGetOptions { no_ack: true }).await.expect("basic.get")
    }

    /// Receives one message of a queue with a single active consumer (which `basic.get` cannot read), acked.
    pub async fn receive(&self, queue: &str) -> Delivery {
        let channel = self.channel().await;
        channel.basic_qos(1, BasicQosOptions::default()).await.expect("qos");
        let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
        let mut messages =
            channel.basic_consume(queue.into(), "".into(), options, arguments).await.expect("a consumer");
        let message = tokio::time::timeout(crate::wait::PATIENCE, messages.next()).await;
        let message = message.expect("a message in time").expect("a message").expect("an open channel");
        message.ack(BasicAckOptions::default()).await.expect("acked");
        // Or it would stay the active one.
        channel.close(200, "received".into()).await.expect("closed");
        message
    }

    /// Publishes commands in order, as the API does, each confirmed.
    pub async fn publish(&self, partitions: PartitionCount, envelopes: &[Envelope]) {
        let channel = self.channel().await;
        for envelope in envelopes {
            let key = routing_key(&envelope.command, partitions).expect("a queue for it");
            publish_raw(&channel, COMMANDS_EXCHANGE, &key, &envelope.encode(), &[(HEADER_ORIGIN, &origin(&key))]).await;
        }
    }

    /// Publishes any bytes.
    pub async fn publish_bytes(&self, exchange: &str, key: &str, payload: &[u8], headers: &[(&str, &str)]) {
        publish_raw(&self.channel().await, exchange, key, payload, headers).await;
    }
}

/// How many messages lie in `queue` now, for those who ask often: to connect takes longer than to ask.
pub async fn depth_on(channel: &Channel, queue: &str) -> u32 {
    let options = lapin::options::QueueDeclareOptions { passive: true, ..Default::default() };
    let found = channel.queue_declare(queue.into(), options, FieldTable::default()).await;
    found.expect("the queue exists").message_count()
}

async fn publish_raw(channel: &Channel, exchange: &str, key: &str, payload: &[u8], headers: &[(&str, &str)]) {
    let mut table = FieldTable::default();
    for (name, value) in headers {
        table.insert((*name).into(), AMQPValue::LongString((*value).into()));
    }
    let properties = BasicProperties::default().with_delivery_mode(2).with_headers(table);
    let options = BasicPublishOptions { mandatory: true, ..Default::default() };
    let confirm = channel
        .basic_publish(exchange.into(), key.into(), options, payload, properties)
        .await
        .expect("published")
        .await
        .expect("confirmed");
    assert!(matches!(confirm, Confirmation::Ack(None)), "{confirm:?}");
}

/// A header of a message, as text.
pub fn header(message: &lapin::message::Delivery, name: &str) -> Option<String> {
    platform::rabbitmq::header_text(message, name)
        .or_else(|| platform::rabbitmq::header_number(message, name).map(|number| number.to_string()))
}
