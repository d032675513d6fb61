//! Traces: one story from an HTTP request through queues, retries and Toss, by W3C's headers, sent to a collector over
//! OTLP where one is configured.
//!
//! ```text
//! request ──traceparent──► message ──► command (each attempt) ──traceparent──► Toss
//!    ▲ the client's                       │
//!    └ traceparent, if it sent one        └──► outbox ──► message ──► …
//! ```
//! Promises: without a collector nothing is measured, and what a client sent still travels on as it came. A collector that
//! is away or slow holds nobody up: spans beyond [`WAITING_SPANS_MAX`] are dropped.
//! Doesn't: decide alone what is recorded. A client that sampled its request is followed; of the others, a part is.

mod context;
mod sender;

pub use context::{TRACEPARENT, TRACESTATE, TraceContext, follow};

use crate::config::TelemetryConfig;
use opentelemetry::{
    KeyValue,
    trace::{Span, SpanBuilder, SpanKind, TraceContextExt, Tracer, TracerProvider},
};
use opentelemetry_otlp::{WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    trace::{BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider},
};
use std::{
    sync::OnceLock,
    time::{Duration, SystemTime},
};
use tracing::Subscriber;
use tracing_subscriber::{Layer, registry::LookupSpan};

/// Spans that wait to be sent; more are dropped.
const WAITING_SPANS_MAX: usize = 4_096;
/// Spans in one request to the collector.
const SPANS_A_REQUEST: usize = 512;
/// A span waits this long for others to be sent along with.
const SEND_EVERY: Duration = Duration::from_secs(2);
/// How long the end of a process waits for the last spans to be sent.
const FAREWELL_LIMIT: Duration = Duration::from_secs(2);
/// The name of what makes the spans, beside that of the process.
const SCOPE: &str = "gream";

/// Where spans go. Empty: there is no collector.
static PROVIDER: OnceLock<SdkTracerProvider> = OnceLock::new();

/// Why no traces are sent.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// The configuration was not understood.
    #[error("telemetry.otlp_endpoint: {0}; set it to a collector's address (http://collector:4318), or to nothing")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
    /// The HTTP library refused.
    #[error("the HTTP client for the collector could not be made: {0}")]
    Http(#[from] reqwest::Error),
}

/// Sends spans of the process `service` to the configured collector, from the second call on to the same. `None`: there is
/// none configured. Call it in a Tokio runtime.
pub(crate) fn layer<S>(
    config: &TelemetryConfig,
    service: &str,
) -> Result<Option<Box<dyn Layer<S> + Send + Sync>>, TracesError>
where
    S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
{
    if config.otlp_endpoint.is_empty() {
        return Ok(None);
    }
    let provider = if let Some(provider) = PROVIDER.get() {
        provider
    } else {
        let provider = provider(config, service)?;
        PROVIDER.get_or_init(|| provider)
    };
    // Places in our code and threads say nothing to whoever reads a trace.
    let layer = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer(SCOPE))
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false);
    Ok(Some(Box::new(layer)))
}

fn provider(config: &TelemetryConfig, service: &str) -> Result<SdkTracerProvider, TracesError> {
    let timeout = Duration::from_millis(config.otlp_timeout_ms);
    let address = format!("{}/v1/traces", config.otlp_endpoint.trim_end_matches('/'));
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_http_client(sender::Sender::new(timeout)?)
        .with_endpoint(address)
        .with_timeout(timeout)
        .build()?;
    let batch = BatchConfigBuilder::default()
        .with_max_queue_size(WAITING_SPANS_MAX)
        .with_max_export_batch_size(SPANS_A_REQUEST)
        .with_scheduled_delay(SEND_EVERY)
        .build();
    Ok(SdkTracerProvider::builder()
        .with_span_processor(BatchSpanProcessor::builder(exporter).with_batch_config(batch).build())
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(config.otlp_sample_ratio))))
        .with_resource(
            Resource::builder_empty().with_attribute(KeyValue::new("service.name", service.to_owned())).build(),
        )
        .build())
}

/// Whether spans are sent anywhere.
pub fn are_sent() -> bool {
    PROVIDER.get().is_some()
}

/// Something that took from `began` until now, as a part of `parent`'s trace; nothing where that is not recorded. For work that many
/// commands share, which no span around it could show in each one's trace.
pub fn record(parent: &TraceContext, name: &'static str, began: SystemTime, counts: &[(&'static str, usize)]) {
    let Some(provider) = PROVIDER.get() else { return };
    let parent = parent.to_opentelemetry();
    if !parent.span().span_context().is_sampled() {
        return;
    }
    let attributes = counts.iter().map(|(name, count)| KeyValue::new(*name, i64::try_from(*count).unwrap_or(i64::MAX)));
    let builder =
        SpanBuilder::from_name(name).with_kind(SpanKind::Consumer).with_start_time(began).with_attributes(attributes);
    provider.tracer(SCOPE).build_with_context(builder, &parent).end();
}

/// Sends what waits, in bounded time. For the end of a process.
pub async fn finish() {
    let Some(provider) = PROVIDER.get() else { return };
    // It waits for a thread of its own.
    let farewell = tokio::task::spawn_blocking(|| provider.shutdown_with_timeout(FAREWELL_LIMIT));
    if let Ok(Err(error)) = farewell.await {
        tracing::warn!(%error, "the last spans were not sent");
    }
}
