//! Logs, metrics and traces. Nothing here knows what is measured.

use crate::{
    config::{LogFormat, TelemetryConfig},
    traces::{self, TracesError},
};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::sync::OnceLock;
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    layer::{Layered, SubscriberExt},
    util::SubscriberInitExt,
};

/// Bounds of every histogram in seconds: from a fast statement to a slow call at Toss.
const SECONDS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// Bounds of histograms that count things in a batch.
const ITEMS: [f64; 10] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0];

static METRICS: OnceLock<PrometheusHandle> = OnceLock::new();

/// Log lines to standard error, as people or machines read them; for a command that a person runs. A second call changes
/// nothing.
pub fn start_logging(config: &TelemetryConfig) {
    subscribe(config, None);
}

/// Log lines, metrics and, where a collector is configured, the traces of a long-running process. Call it in a Tokio runtime.
///
/// # Errors
/// When there can be no connection to the collector; not when it only is away.
pub fn start(config: &TelemetryConfig, service: &str) -> Result<(), TracesError> {
    let traces = traces::layer(config, &format!("gream-{service}"))?;
    subscribe(config, traces);
    metrics();
    Ok(())
}

/// What log lines and traces are made of.
type Filtered = Layered<EnvFilter, Registry>;

fn subscribe(config: &TelemetryConfig, traces: Option<Box<dyn Layer<Filtered> + Send + Sync>>) {
    let filter = EnvFilter::try_new(&config.log_filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let registry = tracing_subscriber::registry().with(filter).with(traces);
    // A line that cannot be written (the disk is full) is lost. Told of it, the subscriber would `eprintln!`, which panics when
    // standard error is what cannot be written: then every request that logs anything would end without an answer.
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).log_internal_errors(false);
    // An error only says that logging was started already.
    drop(match config.log_format {
        LogFormat::Human => registry.with(lines).try_init(),
        LogFormat::Json => registry.with(lines.json()).try_init(),
    });
}

/// The process's metrics. Installs the recorder at the first call.
pub fn metrics() -> &'static PrometheusHandle {
    METRICS.get_or_init(|| {
        let builder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
            .and_then(|builder| builder.set_buckets_for_metric(Matcher::Suffix("_items".to_owned()), &ITEMS))
            // Both lists are constant and not empty.
            .unwrap_or_else(|_| PrometheusBuilder::new());
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        // An error only says that another recorder is installed already.
        drop(metrics::set_global_recorder(recorder));
        handle
    })
}
