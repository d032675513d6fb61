//! An OpenTelemetry collector as far as it listens: spans that arrive over OTLP are kept, for tests to look at.

use crate::wait::eventually;
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value},
    trace::v1::Span as Arrived,
};
use prost::Message;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};
use tokio::{net::TcpListener, task::AbortHandle};

/// What a trace's page would show of a span. Ids are hexadecimal, as in headers; no parent is an empty one.
#[derive(Clone, Debug)]
pub struct Span {
    pub service: String,
    pub trace: String,
    pub id: String,
    pub parent: String,
    pub name: String,
    pub attributes: BTreeMap<String, String>,
}

type Spans = Arc<Mutex<Vec<Span>>>;

/// The running collector.
pub struct Collector {
    pub address: String,
    spans: Spans,
    task: AbortHandle,
}

impl Collector {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("its address"));
        let spans = Spans::default();
        let router = Router::new().route("/v1/traces", post(take)).with_state(spans.clone());
        Self { address, spans, task: tokio::spawn(axum::serve(listener, router).into_future()).abort_handle() }
    }

    /// Every span so far.
    pub fn spans(&self) -> Vec<Span> {
        self.spans.lock().expect("whole").clone()
    }

    /// The spans of this name, as soon as there are `count`.
    pub async fn named(&self, name: &str, count: usize) -> Vec<Span> {
        let found = || self.spans().into_iter().filter(|span| span.name == name).collect::<Vec<_>>();
        eventually(&format!("{count} spans {name:?}"), || async { Some(found()).filter(|spans| spans.len() >= count) })
            .await
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn take(State(spans): State<Spans>, headers: HeaderMap, body: Bytes) -> StatusCode {
    assert_eq!(headers["content-type"], "application/x-protobuf");
    let request = ExportTraceServiceRequest::decode(body).expect("OTLP");
    for resource in request.resource_spans {
        let about = texts(resource.resource.map(|resource| resource.attributes).unwrap_or_default());
        let service = about["service.name"].clone();
        let arrived = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
        spans.lock().expect("whole").extend(arrived.map(|span| read(&service, span)));
    }
    StatusCode::OK
}

fn read(service: &str, span: Arrived) -> Span {
    Span {
        service: service.to_owned(),
        trace: hex(&span.trace_id),
        id: hex(&span.span_id),
        parent: hex(&span.parent_span_id),
        name: span.name,
        attributes: texts(span.attributes),
    }
}

fn texts(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |value: Value| match value {
        Value::StringValue(text) => text,
        Value::IntValue(number) => number.to_string(),
        other => format!("{other:?}"),
    };
    let pairs = attributes.into_iter().filter_map(|pair| Some((pair.key, text(pair.value?.value?))));
    pairs.collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}
