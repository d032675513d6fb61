//! A server that behaves like Toss, with faults on request: for the demo and for tests.
//!
//! Promises: what it says it did, it wrote to its journal first, so that its money can be audited and survives a
//! kill -9; a repeated idempotency key is answered with the very bytes of the first answer; the windows (30 minutes
//! to authenticate, 10 to confirm) pass with the injected clock.
//! Doesn't: forget (every payment since the journal began is in memory), send webhooks, or limit rates. Faults and
//! call counters are gone after a restart.
//!
//! ```text
//! POST   /v1/payments/confirm                  as Toss        POST /sandbox/checkout        the payer's browser
//! GET    /v1/payments/{key}                    as Toss        POST /sandbox/checkout/{key}  the payer authenticates
//! GET    /v1/payments/orders/{id}              as Toss        POST | GET | DELETE /sandbox/faults
//! POST   /v1/payments/{key}/cancel             as Toss        GET  /sandbox/journal?after=N&limit=M
//!                                                             GET  /sandbox/calls, /sandbox/health
//! ```

mod answer;
mod book;
mod carry_out;
mod connection;
mod control;
pub mod fault;
pub mod journal;
mod render;
mod v1;

use crate::SecretKey;
use axum::{
    Router,
    extract::DefaultBodyLimit,
    routing::{get, post},
};
use carry_out::{Sandbox, Shared};
use connection::{Connection, SeverableListener};
use contracts::UnixMs;
use journal::{Journal, JournalError};
use std::{collections::HashSet, fmt, future::Future, path::PathBuf, sync::Arc, time::Duration};
use tokio::{net::TcpListener, sync::oneshot};

/// A request body larger than this is refused.
pub const MAX_BODY_BYTES: usize = 16 * 1024;
/// After the shutdown signal, requests in flight (a hanging one, say) get this long.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(2);

/// Tells the sandbox the time.
pub type Now = Arc<dyn Fn() -> UnixMs + Send + Sync>;

/// What a sandbox needs.
#[derive(Clone)]
pub struct SandboxOptions {
    /// The key that clients must show.
    pub secret_key: SecretKey,
    /// The journal file: made when missing, taken up where it ends when not.
    pub journal: PathBuf,
    /// The clock.
    pub now: Now,
}

impl fmt::Debug for SandboxOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SandboxOptions").field("journal", &self.journal).finish_non_exhaustive()
    }
}

/// Why a sandbox could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The listener failed.
    #[error("the sandbox cannot serve: {0}")]
    Serve(#[from] std::io::Error),
}

/// Serves until `shutdown` completes.
///
/// # Errors
/// When the journal cannot be read or opened, or the listener fails.
pub async fn serve(
    listener: TcpListener,
    options: SandboxOptions,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), SandboxError> {
    let sandbox = Arc::new(take_up(options)?);
    let app = router(sandbox.clone()).into_make_service_with_connect_info::<Connection>();
    let (stopping, stopped) = oneshot::channel();
    let serving = axum::serve(SeverableListener::new(listener), app).with_graceful_shutdown(async move {
        shutdown.await;
        let _ = stopping.send(());
    });
    let out_of_patience = async move {
        // An error here means that `serving` ended first; then nobody polls this any more.
        let _ = stopped.await;
        tokio::time::sleep(SHUTDOWN_GRACE).await;
    };
    let result = tokio::select! {
        result = serving => result,
        () = out_of_patience => {
            tracing::info!("the Toss sandbox leaves requests unanswered on shutdown");
            Ok(())
        }
    };
    sandbox.close();
    Ok(result?)
}

/// Reads the journal and rebuilds from it what the sandbox knew.
fn take_up(options: SandboxOptions) -> Result<Sandbox, JournalError> {
    let mut book = book::Book::default();
    let journal = Journal::open(&options.journal, |entry| book.apply(entry))?;
    let shared = Shared {
        book,
        journal,
        faults: fault::Faults::default(),
        calls: carry_out::Calls::default(),
        processing: HashSet::new(),
        closed: false,
    };
    Ok(Sandbox::new(options.secret_key, options.now, shared))
}

fn router(sandbox: Arc<Sandbox>) -> Router {
    Router::new()
        .route("/v1/payments/confirm", post(v1::confirm))
        .route("/v1/payments/orders/{order_id}", get(v1::payment_by_order))
        .route("/v1/payments/{payment_key}", get(v1::payment))
        .route("/v1/payments/{payment_key}/cancel", post(v1::cancel))
        .route("/sandbox/checkout", post(control::open))
        .route("/sandbox/checkout/{payment_key}", post(control::authenticate))
        .route("/sandbox/faults", post(control::add_fault).get(control::list_faults).delete(control::clear_faults))
        .route("/sandbox/journal", get(control::journal))
        .route("/sandbox/calls", get(control::calls))
        .route("/sandbox/health", get(|| async { "ok" }))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(sandbox)
}
