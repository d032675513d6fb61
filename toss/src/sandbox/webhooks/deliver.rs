//! The task that sends webhooks and notices windows that passed: both happen without anybody's asking.

use super::{super::carry_out::Sandbox, Target, Transmission};
use reqwest::{StatusCode, header::CONTENT_TYPE};
use std::{sync::Arc, time::Duration};
use tokio::task::JoinSet;

/// The injected clock tells no one when it moves, so it is asked this often while webhooks are wanted…
const ASK_EVERY: Duration = Duration::from_millis(20);
/// …and this often while only windows can pass.
const ASK_SELDOM: Duration = Duration::from_millis(200);

/// Works until the sandbox is closed.
pub(in super::super) async fn deliver(sandbox: Arc<Sandbox>) {
    let mut under_way = JoinSet::new();
    loop {
        let pause = start_due(&sandbox, &mut under_way);
        tokio::select! {
            () = sandbox.closing() => return,
            Some(ended) = under_way.join_next() => {
                if let Ok((transmission, is_answered)) = ended {
                    let now = sandbox.now();
                    sandbox.shared().webhooks.settle(transmission, is_answered, now);
                }
            }
            () = tokio::time::sleep(pause) => {}
        }
    }
}

fn start_due(sandbox: &Sandbox, under_way: &mut JoinSet<(Transmission, bool)>) -> Duration {
    let now = sandbox.now();
    let mut shared = sandbox.shared();
    if let Err(error) = shared.note_lapsed(now)
        && !shared.closed
    {
        tracing::error!(%error, "the sandbox's journal cannot be written: expired payments are told to nobody");
        return ASK_SELDOM;
    }
    while let Some((target, transmission)) = shared.webhooks.next_due(now) {
        under_way.spawn(async move {
            let is_answered = target.send(&transmission).await;
            (transmission, is_answered)
        });
    }
    if shared.webhooks.are_wanted() { ASK_EVERY } else { ASK_SELDOM }
}

impl Target {
    /// Whether it was answered with 200, in time.
    async fn send(&self, transmission: &Transmission) -> bool {
        let time = super::super::render::seoul(transmission.made_at);
        let request = self
            .http
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("tosspayments-webhook-transmission-id", &transmission.id)
            .header("tosspayments-webhook-transmission-time", time)
            .header("tosspayments-webhook-transmission-retried-count", transmission.retried)
            .body(transmission.body.clone());
        request.send().await.is_ok_and(|answer| answer.status() == StatusCode::OK)
    }
}
