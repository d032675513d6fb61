//! The accept loop: connections bounded in number and in how long they may take to say something.

use crate::client_address::Peer;
use axum::{Extension, Router};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto::Builder, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use platform::Shutdown;
use std::{sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tower::Layer;

/// Connections at once; more wait in the listener's backlog.
const MAX_CONNECTIONS: usize = 4_096;
/// A connection that sends no complete request head for this long is closed.
const HEAD_LIMIT: Duration = Duration::from_mins(1);
/// After a failed accept (too many open files, say).
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(100);

/// Serves until shutdown is requested, then lets what is in flight finish, at most for `grace`.
pub(crate) async fn run(listener: TcpListener, router: Router, shutdown: &Shutdown, grace: Duration) {
    // Not HTTP/2: a load balancer speaks it to browsers, and here one connection is one answer at a time, which bounds
    // what answers that nobody fetches can hold.
    let mut server = Builder::new(TokioExecutor::new()).http1_only();
    server.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_LIMIT);
    let connections = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &places) => accepted,
            () = shutdown.requested() => break,
        };
        let (stream, peer, place) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
                continue;
            }
        };
        let service = TowerToHyperService::new(Extension(peer).layer(router.clone()));
        let connection = server.serve_connection(TokioIo::new(stream), service).into_owned();
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            // Clients that break off are not worth a line.
            drop(connection.await);
            drop(place);
        });
    }
    drop(listener);
    if tokio::time::timeout(grace, connections.shutdown()).await.is_err() {
        tracing::warn!("some requests did not finish within shutdown.grace_ms");
    }
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, Peer, OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await.map_err(std::io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    // Answers are small and must not wait for company.
    stream.set_nodelay(true)?;
    Ok((stream, Peer(peer.ip()), place))
}
