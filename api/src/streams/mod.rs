//! Server-sent events: an open answer that is filled as things happen.
//!
//! Promises: bounded (places per process and per whom; a few events waiting a stream); a client that takes nothing for
//! `notifications.send_timeout_ms` is let go. Doesn't: outlive the process's shutdown.

pub(crate) mod places;

use axum::response::{
    IntoResponse, Response, Sse,
    sse::{Event, KeepAlive},
};
use futures_util::stream;
use std::{convert::Infallible, time::Duration};
use tokio::sync::mpsc;

/// Events that wait for a client beyond what its connection takes.
const WAITING: usize = 16;

/// Where a stream's task writes.
pub(crate) struct Writer {
    events: mpsc::Sender<Event>,
    limit: Duration,
}

/// The client left, or takes nothing.
#[derive(Debug)]
pub(crate) struct Gone;

impl Writer {
    /// Waits until there is room, at most as long as a client may take.
    pub(crate) async fn send(&self, event: Event) -> Result<(), Gone> {
        self.events.send_timeout(event, self.limit).await.map_err(|_| {
            metrics::counter!("gream_streams_let_go_total").increment(1);
            Gone
        })
    }

    /// Ends when the client has left.
    pub(crate) async fn left(&self) {
        self.events.closed().await;
    }
}

/// A stream's two ends: what its task writes to, and the answer.
pub(crate) fn open(limit: Duration, heartbeat: Duration) -> (Writer, Response) {
    let (sender, receiver) = mpsc::channel(WAITING);
    let events = stream::unfold(receiver, |mut receiver| async move {
        let event = receiver.recv().await?;
        Some((Ok::<_, Infallible>(event), receiver))
    });
    let mut response = Sse::new(events).keep_alive(KeepAlive::new().interval(heartbeat)).into_response();
    // Proxies must not wait for more.
    response.headers_mut().insert("x-accel-buffering", axum::http::HeaderValue::from_static("no"));
    (Writer { events: sender, limit }, response)
}
