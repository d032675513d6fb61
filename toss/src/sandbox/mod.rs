//! A server that behaves like Toss, with faults on request: for the demo and for tests.
//!
//! Promises: what it says it did, it wrote to its journal first, so that its money can be audited and survives a
//! kill -9; a repeated idempotency key is answered with the very bytes of the first answer; the windows (30 minutes
//! to authenticate, 10 to confirm, 7 days to deposit) pass with the injected clock.
//! Doesn't: forget (every payment since the journal began is in memory), or limit rates. Faults, mixes, counters, and
//! the webhooks' address and queue are gone after a restart.
//!
//! As Toss, behind `Authorization: Basic`:
//!
//! ```text
//! POST /v1/payments/confirm            takes the money, or issues the virtual account
//! GET  /v1/payments/{paymentKey}       GET /v1/payments/orders/{orderId}
//! POST /v1/payments/{paymentKey}/cancel
//! GET  /v1/transactions?startDate&endDate&startingAfter&limit      a day's movements: see `transactions`
//! ```
//!
//! The payer, whom everybody may play:
//!
//! ```text
//! GET  /checkout?orderId&amount&orderName&successUrl&failUrl       a page to click through: see `checkout`
//! POST /checkout                       its form
//! POST /sandbox/checkout               {orderId, amount, authenticate?: true, method?: card | virtual_account}
//! POST /sandbox/checkout/{paymentKey}  {method?}: authenticates in a window that was left open
//! POST /sandbox/deposits/{paymentKey}  pays into the virtual account: DONE
//! POST /sandbox/deposits/{paymentKey}/error   the bank takes it back: WAITING_FOR_DEPOSIT
//! ```
//!
//! Control:
//!
//! ```text
//! POST | GET | DELETE /sandbox/faults  {match: {path, orderId?, paymentKey?}, times?: 1, fault}; GET counts `struck`
//! PUT    /sandbox/mixes/{path}         {seed, none, faults: [{name?, weight, fault}]}: each call draws one or none
//! GET | DELETE /sandbox/mixes          GET counts `applied` a fault, and `spared`
//! PUT | GET | DELETE /sandbox/webhooks {url, minute_ms?: 60000, answer_within_ms?: 10000}; GET counts: see `webhooks`
//! GET    /sandbox/journal?after=N&limit=M     every effect so far
//! GET    /sandbox/calls                how often each call of Toss's arrived
//! GET    /sandbox/health
//! ```
//!
//! A `path` is `confirm`, `cancel`, `payment` (look-ups by key or order), `transactions` or `webhook`. Faults
//! ([`fault`]):
//!
//! ```text
//! {"delay_ms": N}                            carried out and answered so much later
//! {"hang_ms": N}                             carried out, silence, then a reset
//! {"reset": "before" | "after"}              the connection is reset, without or with the effect
//! {"status": S, "effect": B, "retry_after_s": N}    a gateway's 4xx or 5xx (429 too), without or with the effect
//! {"code": "…", "http": 400, "effect": B}    any error of Toss's, without or with the effect
//! {"wrong_amount": N}                        carried out; the answer's amounts are wrong by N
//! {"duplicates": N}                          the call arrives N times more
//! {"webhook": "duplicate" | "reorder" | "loss"}     at path `webhook` only
//! ```
//!
//! Beside them the header `TossPayments-Test-Code` brings its code for one call, as with Toss's test keys.

mod answer;
mod book;
mod call;
mod carry_out;
pub mod checkout;
mod connection;
mod control;
pub mod fault;
pub mod journal;
pub mod mix;
mod payer;
mod record;
mod render;
pub mod transactions;
mod v1;
pub mod webhooks;

pub use render::PAYERS_ACCOUNT;

use crate::SecretKey;
use axum::{
    Router,
    extract::DefaultBodyLimit,
    routing::{get, post, put},
};
use carry_out::{Sandbox, Shared};
use connection::{Connection, SeverableListener};
use contracts::UnixMs;
use journal::{Journal, JournalError};
use std::{collections::HashSet, fmt, future::Future, path::PathBuf, sync::Arc, time::Duration};
use tokio::{net::TcpListener, sync::oneshot};
use webhooks::{InvalidWebhooks, WebhookOptions, Webhooks};

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
    /// Webhooks cannot be sent like that.
    #[error("the sandbox's webhooks: {0}")]
    Webhooks(#[from] InvalidWebhooks),
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
    serve_with_webhooks(listener, options, None, shutdown).await
}

/// Serves until `shutdown` completes, and sends webhooks from the start.
///
/// # Errors
/// When the journal cannot be read or opened, the webhooks' address is none, or the listener fails.
pub async fn serve_with_webhooks(
    listener: TcpListener,
    options: SandboxOptions,
    webhooks: Option<WebhookOptions>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), SandboxError> {
    let sandbox = Arc::new(take_up(options)?);
    if let Some(webhooks) = webhooks {
        sandbox.shared().webhooks.send_to(webhooks)?;
    }
    tokio::spawn(webhooks::deliver(sandbox.clone()));
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
        mixes: mix::Mixes::default(),
        webhooks: Webhooks::default(),
        calls: call::Calls::default(),
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
        .route("/v1/transactions", get(v1::transactions))
        .route("/checkout", get(checkout::show).post(checkout::choose))
        .route("/sandbox/checkout", post(control::open))
        .route("/sandbox/checkout/{payment_key}", post(control::authenticate))
        .route("/sandbox/faults", post(control::add_fault).get(control::list_faults).delete(control::clear_faults))
        .route("/sandbox/deposits/{payment_key}", post(control::deposit))
        .route("/sandbox/deposits/{payment_key}/error", post(control::deposit_error))
        .route("/sandbox/mixes", get(control::list_mixes).delete(control::clear_mixes))
        .route("/sandbox/mixes/{path}", put(control::set_mix))
        .route(
            "/sandbox/webhooks",
            get(control::show_webhooks).put(control::set_webhooks).delete(control::stop_webhooks),
        )
        .route("/sandbox/journal", get(control::journal))
        .route("/sandbox/calls", get(control::calls))
        .route("/sandbox/health", get(|| async { "ok" }))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(sandbox)
}
