//! A wire between a process and one of its servers, which a test may cut, unplug, hold, slow down, lose, or whose answers
//! it may lose.
//!
//! Of our own: the one crate that could do it, noxious, has rested since April 2021, and toxiproxy is a server of its own, in Go.

use reqwest::Url;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::{AbortHandle, JoinSet},
};

#[derive(Clone, Copy, Debug)]
struct State {
    weather: Weather,
    /// Connections with a lower number are closed.
    closed: u32,
    /// Connections with a lower number carry nothing any more.
    lost: u32,
}

/// How bytes travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weather {
    Fair,
    Slow(Duration),
    Held,
    /// What is asked arrives, and no answer does.
    Mute,
    Unplugged,
}

/// See the module's words. Its connections end with it.
#[derive(Debug)]
pub struct Wire {
    state: watch::Sender<State>,
    accepted: Arc<AtomicU32>,
    answers_lost: Arc<AtomicU32>,
    open: Arc<()>,
    task: AbortHandle,
}

impl Wire {
    /// A wire to the server of `url`, and the address that leads through it.
    pub async fn to(url: &str) -> (Self, String) {
        let mut url = Url::parse(url).expect("a URL");
        let server = format!("{}:{}", url.host_str().expect("a host"), url.port().expect("a port"));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        url.set_port(Some(listener.local_addr().expect("its address").port())).expect("a URL with a host");
        let state = watch::Sender::new(State { weather: Weather::Fair, closed: 0, lost: 0 });
        let accepted = Arc::new(AtomicU32::new(0));
        let answers_lost = Arc::new(AtomicU32::new(0));
        let open = Arc::new(());
        let counts = (accepted.clone(), answers_lost.clone());
        let run = run(listener, server, state.subscribe(), counts, open.clone());
        let task = tokio::spawn(run).abort_handle();
        (Self { state, accepted, answers_lost, open, task }, url.into())
    }

    /// How many connections it was asked for so far.
    pub fn accepted(&self) -> u32 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// How many connections it carries, lost ones among them.
    pub fn open(&self) -> usize {
        Arc::strong_count(&self.open) - 2
    }

    /// How many pieces of answers were lost so far.
    pub fn answers_lost(&self) -> u32 {
        self.answers_lost.load(Ordering::Relaxed)
    }

    /// From now on what is asked arrives, and is carried out, but no answer comes back. When it is mended, what there was is
    /// closed: nobody will ever hear of it.
    pub fn lose_answers(&self) {
        self.state.send_modify(|state| state.weather = Weather::Mute);
    }

    /// Closes every connection. New ones are carried.
    pub fn cut(&self) {
        self.state.send_modify(|state| state.closed = self.accepted());
    }

    /// Closes every connection, and every new one, until it is mended.
    pub fn unplug(&self) {
        self.state.send_modify(|state| state.weather = Weather::Unplugged);
    }

    /// From now on nothing arrives, and nobody is told; until it is mended.
    pub fn hold(&self) {
        self.state.send_modify(|state| state.weather = Weather::Held);
    }

    /// What there is carries nothing any more, and neither side is told: a peer that vanished without a word. New
    /// connections are carried.
    pub fn lose(&self) {
        self.state.send_modify(|state| state.lost = self.accepted());
    }

    /// Each piece takes this long.
    pub fn slow_down(&self, by: Duration) {
        self.state.send_modify(|state| state.weather = Weather::Slow(by));
    }

    /// As at the beginning; what was held arrives, what was lost stays so.
    pub fn mend(&self) {
        let accepted = self.accepted();
        self.state.send_modify(|state| {
            if state.weather == Weather::Mute {
                state.closed = accepted;
            }
            state.weather = Weather::Fair;
        });
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(
    listener: TcpListener,
    server: String,
    state: watch::Receiver<State>,
    (accepted, answers_lost): (Arc<AtomicU32>, Arc<AtomicU32>),
    open: Arc<()>,
) {
    // Dropped with this task, and with it every connection.
    let mut connections = JoinSet::new();
    loop {
        let (client, _) = listener.accept().await.expect("a connection");
        let number = accepted.fetch_add(1, Ordering::Relaxed);
        let carried = connection(client, server.clone(), number, state.clone(), answers_lost.clone());
        let open = open.clone();
        connections.spawn(async move {
            carried.await;
            drop(open);
        });
        while connections.try_join_next().is_some() {}
    }
}

/// One connection; it ends when either side ends it, or the state says so.
async fn connection(
    client: TcpStream,
    server: String,
    number: u32,
    mut state: watch::Receiver<State>,
    answers_lost: Arc<AtomicU32>,
) {
    if state.borrow().weather == Weather::Unplugged {
        return;
    }
    let Ok(server) = TcpStream::connect(server).await else { return };
    for stream in [&client, &server] {
        stream.set_nodelay(true).expect("a socket option");
    }
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let (out, back) = (state.clone(), state.clone());
    tokio::select! {
        () = carry(from_client, to_server, number, out, None) => (),
        () = carry(from_server, to_client, number, back, Some(&answers_lost)) => (),
        _ = state.wait_for(|state| number < state.closed || state.weather == Weather::Unplugged) => (),
    }
}

/// `losing` counts the answers that are lost; what is asked is not.
async fn carry(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    number: u32,
    mut state: watch::Receiver<State>,
    losing: Option<&AtomicU32>,
) {
    let mut buffer = vec![0; 65_536];
    loop {
        let Ok(length @ 1..) = from.read(&mut buffer).await else { return };
        let carries = |state: &State| state.weather != Weather::Held && number >= state.lost;
        let Ok(weather) = state.wait_for(carries).await.map(|state| state.weather) else { return };
        match (weather, losing) {
            (Weather::Slow(by), _) => tokio::time::sleep(by).await,
            (Weather::Mute, Some(lost)) => {
                lost.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            _ => {}
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
