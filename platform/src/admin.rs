//! A process's own little server: `/metrics`, `/health/live`, `/health/ready`, and what a process adds (the API: the
//! operators' page). Never on the public port.

use crate::{gauges, shutdown::Shutdown, telemetry};
use axum::{Router, http::StatusCode, routing::get};
use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

/// A named question that readiness asks.
pub type Check = (&'static str, Arc<dyn Fn() -> futures_util::future::BoxFuture<'static, bool> + Send + Sync>);

/// No single check may hold the answer up for longer.
const CHECK_LIMIT: Duration = Duration::from_secs(3);
/// How often the checks are made for the metrics.
const CHECK_EVERY: Duration = Duration::from_secs(5);

/// Names a check.
pub fn check<F>(name: &'static str, ask: impl Fn() -> F + Send + Sync + 'static) -> Check
where
    F: Future<Output = bool> + Send + 'static,
{
    (name, Arc::new(move || Box::pin(ask())))
}

/// Serves until shutdown.
///
/// # Errors
/// When the address is taken.
pub async fn serve(listen: SocketAddr, checks: Vec<Check>, shutdown: &Shutdown) -> std::io::Result<SocketAddr> {
    serve_with(listen, checks, Router::new(), shutdown).await
}

/// The same, and `more` beside it, which may ask for the peer's address (`ConnectInfo<SocketAddr>`).
///
/// # Errors
/// When the address is taken.
pub async fn serve_with(
    listen: SocketAddr,
    checks: Vec<Check>,
    more: Router,
    shutdown: &Shutdown,
) -> std::io::Result<SocketAddr> {
    let metrics = telemetry::metrics();
    let listener = tokio::net::TcpListener::bind(listen).await.map_err(|error| {
        std::io::Error::new(
            error.kind(),
            format!("admin.listen {listen}: {error}. Set GREAM__ADMIN__LISTEN to a free address"),
        )
    })?;
    let address = listener.local_addr()?;
    let checks = Arc::new(checks);
    let checks_shown = checks.clone();
    let stopping = shutdown.clone();
    let router = Router::new()
        .route(
            "/metrics",
            get(move || async move {
                gauges::read();
                metrics.render()
            }),
        )
        .route("/health/live", get(|| async { "live\n" }))
        .route(
            "/health/ready",
            get(move || {
                let (checks, stopping) = (checks.clone(), stopping.clone());
                async move { readiness(&checks, stopping.is_leaving()).await }
            }),
        )
        .merge(more)
        .into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(show_checks(checks_shown, shutdown.clone()));
    let shutdown = shutdown.clone();
    tokio::spawn(async move {
        let stop = async move { shutdown.requested().await };
        if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stop).await {
            tracing::error!(%error, "the admin server ended");
        }
    });
    tokio::spawn(async move {
        // The recorder keeps histograms' raw values until somebody tidies up.
        loop {
            tokio::time::sleep(Duration::from_secs(5)).await;
            metrics.run_upkeep();
        }
    });
    Ok(address)
}

/// The same checks as a metric: whoever watches a whole fleet does not ask each process for its readiness.
async fn show_checks(checks: Arc<Vec<Check>>, shutdown: Shutdown) {
    loop {
        for (name, ask) in checks.iter() {
            let ok = tokio::time::timeout(CHECK_LIMIT, ask()).await.unwrap_or(false);
            metrics::gauge!("gream_check_ok", "check" => *name).set(if ok { 1.0 } else { 0.0 });
        }
        if !shutdown.sleep(CHECK_EVERY).await {
            return;
        }
    }
}

async fn readiness(checks: &[Check], stopping: bool) -> (StatusCode, axum::Json<BTreeMap<&'static str, bool>>) {
    let mut answers = BTreeMap::new();
    for (name, ask) in checks {
        let ok = tokio::time::timeout(CHECK_LIMIT, ask()).await.unwrap_or(false);
        answers.insert(*name, ok);
    }
    answers.insert("not_stopping", !stopping);
    let ready = answers.values().all(|ok| *ok);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, axum::Json(answers))
}
