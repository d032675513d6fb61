//! What the answer to a call says about Toss, and about us.

use std::time::Instant;
use toss::{CallError, Payment};

/// See the module's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    /// It answered; be it with a no.
    Well,
    /// It did not answer, or speaks of its own ill health.
    Ill,
    /// It asks us to wait for so many milliseconds.
    AskedToWait(i64),
    /// Our configuration is wrong.
    KeysRefused,
}

pub(super) fn health(answer: &Result<Payment, CallError>) -> Health {
    match answer {
        Err(CallError::NoAnswer { .. }) => Health::Ill,
        Err(CallError::Refused(refusal)) if refusal.is_our_configuration() => Health::KeysRefused,
        Err(CallError::Refused(refusal)) if refusal.is_toss_ailing() => match refusal.retry_after_ms {
            Some(wait_ms) => Health::AskedToWait(i64::try_from(wait_ms).unwrap_or(i64::MAX)),
            None => Health::Ill,
        },
        // To say no, Toss must be well enough.
        Ok(_) | Err(CallError::Refused(_)) => Health::Well,
    }
}

/// Shows a call that has ended in the metrics.
pub(super) fn count(what: &'static str, answer: &Result<Payment, CallError>, started: Instant) {
    let result = match answer {
        Ok(_) => "ok",
        Err(CallError::NoAnswer { kind, .. }) => kind.as_str(),
        Err(CallError::Refused(_)) => "refused",
    };
    metrics::counter!("gream_toss_calls_total", "call" => what, "result" => result).increment(1);
    metrics::histogram!("gream_toss_call_seconds", "call" => what).record(started.elapsed().as_secs_f64());
}
