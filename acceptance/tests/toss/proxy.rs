//! A TCP proxy before a server, so that a test can take that server away from one process, and give it back.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// See the module's words.
pub struct Proxy {
    pub address: String,
    open: watch::Sender<bool>,
    refused: Arc<AtomicU64>,
}

impl Proxy {
    /// Before `target`, open.
    pub async fn before(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (open, watching) = watch::channel(true);
        let refused = Arc::new(AtomicU64::new(0));
        let count = refused.clone();
        tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                if *watching.borrow() {
                    tokio::spawn(carry(stream, target.clone(), watching.clone()));
                } else {
                    count.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        Self { address, open, refused }
    }

    /// Cuts every connection, and each new one at once.
    pub fn shut(&self) {
        self.open.send_replace(false);
    }

    pub fn reopen(&self) {
        self.open.send_replace(true);
    }

    /// How many connections were tried while it was shut.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

async fn carry(mut client: TcpStream, target: String, mut open: watch::Receiver<bool>) {
    let Ok(mut server) = TcpStream::connect(target).await else { return };
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => (),
        _ = open.wait_for(|open| !open) => (),
    }
}
