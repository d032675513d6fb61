//! A TCP proxy in front of one server, so that a test can make the network stand still, or cut it, for one process.

use std::sync::Arc;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinSet,
};

/// What the network does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// Bytes pass.
    Up,
    /// Connections stay open, but nothing passes: as when packets are dropped.
    Still,
    /// Connections are closed at once.
    Cut,
}

/// A listening proxy. It ends with the test's runtime.
#[derive(Debug)]
pub struct Proxy {
    address: String,
    target: String,
    network: Arc<watch::Sender<Network>>,
}

impl Proxy {
    /// In front of the `host:port` that `url` names.
    pub async fn before(url: &str) -> Self {
        let after_scheme = url.split_once("://").expect("a URL").1;
        let authority = after_scheme.split(['/', '?']).next().expect("an authority");
        let target = authority.rsplit('@').next().expect("a host").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        let network = Arc::new(watch::Sender::new(Network::Up));
        tokio::spawn(accept(listener, target.clone(), network.clone()));
        Self { address, target, network }
    }

    /// `url`, leading here.
    pub fn instead_of(&self, url: &str) -> String {
        url.replace(&self.target, &self.address)
    }

    /// Changes the network, for open and for new connections.
    pub fn set(&self, network: Network) {
        self.network.send_replace(network);
    }
}

async fn accept(listener: TcpListener, target: String, network: Arc<watch::Sender<Network>>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        connections.spawn(carry(client, target.clone(), network.subscribe()));
        while connections.try_join_next().is_some() {}
    }
}

async fn carry(client: TcpStream, target: String, mut network: watch::Receiver<Network>) {
    let Ok(server) = TcpStream::connect(target).await else { return };
    let ((client_reads, client_writes), (server_reads, server_writes)) = (client.into_split(), server.into_split());
    let up = pass(client_reads, server_writes, network.clone());
    let down = pass(server_reads, client_writes, network.clone());
    tokio::select! {
        () = up => (),
        () = down => (),
        _ = network.wait_for(|network| *network == Network::Cut) => (),
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut network: watch::Receiver<Network>) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let Ok(count @ 1..) = from.read(&mut buffer).await else { return };
        if network.wait_for(|network| *network == Network::Up).await.is_err() {
            return;
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
