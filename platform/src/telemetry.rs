//! Logs and metrics. Nothing here knows what is measured.

use crate::config::{LogFormat, TelemetryConfig};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::sync::OnceLock;
use tracing_subscriber::EnvFilter;

/// Bounds of every histogram in seconds: from a fast statement to a slow call at Toss.
const SECONDS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// Bounds of histograms that count things in a batch.
const ITEMS: [f64; 10] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0];

static METRICS: OnceLock<PrometheusHandle> = OnceLock::new();

/// Log lines to standard error, as people or machines read them. A second call changes nothing.
pub fn start_logging(config: &TelemetryConfig) {
    let filter = EnvFilter::try_new(&config.log_filter).unwrap_or_else(|_| EnvFilter::new("info"));
    // A line that cannot be written (the disk is full) is lost. Told of it, the subscriber would `eprintln!`, which panics when
    // standard error is what cannot be written: then every request that logs anything would end without an answer.
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).log_internal_errors(false);
    // An error only says that logging was started already.
    drop(match config.log_format {
        LogFormat::Human => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
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
