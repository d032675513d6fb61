//! One run of each kind.

use crate::{
    Failure, arrivals,
    bare::{Manner, Supply},
    bench::{Bench, Size},
    broker::{self, Message, Target},
    fleet::Role,
    http::{self, Answers, Rhythm, Tokens, Wait},
    market::{CROWD, HOT_PRODUCT, Market, PRODUCTS, Stock, VISITORS, now},
    meter::{self, Pace},
    mix::{self, HTTP_CANCELS, HTTP_DECK, QUEUE_CANCELS, QUEUE_DECK},
    orders::Crowd,
    statistics::{milliseconds, number, percentile},
};
use contracts::UnixMs;
use std::time::Duration;

/// After a worker says that it is ready, its lanes still subscribe.
const SETTLING: Duration = Duration::from_millis(400);
/// Answers that were no outcome, of a thousand, beyond which a run over HTTP does not count.
const MOST_WITHOUT_OUTCOME: usize = 5;
/// Bids of each kind that a product has before a run: on the queue, commands come in order, and a deck takes no more
/// than it places; over HTTP they overtake each other.
const QUEUE_STOCK: usize = 3;
const HTTP_STOCK: usize = 30;
/// Requests before a run over HTTP is measured.
const WARM_UP_REQUESTS: usize = 2_000;

/// How the shipped worker is run.
pub(crate) struct Shipped<'a> {
    /// As in the figures' names.
    pub(crate) name: &'a str,
    pub(crate) size: Size,
    pub(crate) hot: bool,
    pub(crate) supply: Supply,
    pub(crate) unix: bool,
    pub(crate) commands: usize,
}

impl Bench {
    /// Messages for the queue, and when they were accepted; what they take is in stock.
    async fn queue_messages(
        &mut self,
        market: &Market,
        hot: bool,
        count: usize,
    ) -> Result<(Vec<Message>, UnixMs), Failure> {
        let products: Vec<u64> = if hot { vec![HOT_PRODUCT] } else { PRODUCTS.collect() };
        let acts = mix::acts(&QUEUE_DECK, QUEUE_CANCELS, count, &products, &mut self.luck);
        let stock = Stock { each: QUEUE_STOCK, cancels: mix::cancels(&acts) };
        let kept = market.stock_up(&products, &CROWD, stock, &mut self.luck).await?;
        let asks = Crowd { users: CROWD, kept }.asks(&acts, &mut self.luck)?;
        let at = now();
        Ok((broker::messages(asks, market.partitions, at, &mut self.luck)?, at))
    }

    /// The yardstick.
    pub(crate) async fn bare(&mut self, name: &str, manner: Manner, supply: Supply) -> Result<(), Failure> {
        let market = self.market(Size::Usual)?;
        let count = match manner {
            Manner::Batched => self.arguments.commands,
            Manner::OneByOne => self.arguments.slow_commands,
        };
        let (messages, _) = self.queue_messages(&market, false, count).await?;
        let before = self.cpu_times()?;
        let pace = self.yardstick.run(manner, supply, messages).await?;
        if supply == Supply::Beside {
            self.note_cpu(name, &before, count)?;
        }
        self.note_pace(name, supply, pace);
        Ok(())
    }

    /// The shipped worker from the queue, with relay and scheduler beside it.
    pub(crate) async fn shipped(&mut self, run: &Shipped<'_>) -> Result<(), Failure> {
        let (market, count, amqp) = (self.market(run.size)?, run.commands, self.amqp());
        let url = if run.unix { self.unix_url(&market)? } else { market.url.clone() };
        let (messages, at) = self.queue_messages(&market, run.hot, count).await?;
        self.figures.add(format!("{}_message_bytes", run.name), number(broker::mean_bytes(&messages)));
        let admin = self.fleet.admin(Role::Worker);
        let pace = match run.supply {
            Supply::Filled => {
                broker::publish(&amqp, Target::Partitions, &messages).await?;
                self.start_workers(&url).await?;
                meter::until(count, || Bench::carried_out(&admin)).await?
            }
            Supply::Beside => {
                self.start_workers(&url).await?;
                tokio::time::sleep(SETTLING).await;
                let before = self.cpu_times()?;
                let publisher =
                    tokio::spawn(async move { broker::publish(&amqp, Target::Partitions, &messages).await });
                let pace = meter::until(count, || Bench::carried_out(&admin)).await?;
                self.note_cpu(run.name, &before, count)?;
                publisher.await??;
                pace
            }
        };
        self.check_ended(run.name, &market, at..=at, count).await?;
        self.drain_outbox(run.name, &market).await?;
        self.fleet.stop_all().await?;
        self.note_pace(run.name, run.supply, pace);
        Ok(())
    }

    fn note_pace(&mut self, name: &str, supply: Supply, pace: Pace) {
        let per_s = if supply == Supply::Filled { pace.per_s_running } else { pace.per_s };
        println!("  {name:<28} {per_s:>9.0} /s   in {:.1} s", pace.took.as_secs_f64());
        self.figures.add(format!("{name}_per_s"), per_s);
    }

    fn unix_url(&self, market: &Market) -> Result<String, Failure> {
        let (head, database) = market.url.rsplit_once('/').ok_or("the database's address has no path")?;
        let (user, _) = head.rsplit_once('@').ok_or("the database's address has no user")?;
        Ok(format!("{user}@localhost/{database}?socket={}", self.arguments.socket))
    }

    /// Starts the API and everybody behind it.
    pub(crate) async fn open_doors(&mut self, market: &Market) -> Result<(), Failure> {
        self.fleet.start(Role::Api, &market.url).await?;
        self.start_workers(&market.url).await?;
        tokio::time::sleep(SETTLING).await;
        Ok(())
    }

    /// Requests for mixed commands; what they take is in stock.
    async fn requests(&mut self, market: &Market, wait: Wait, count: usize) -> Result<Vec<Vec<u8>>, Failure> {
        let products: Vec<u64> = PRODUCTS.collect();
        let acts = mix::acts(&HTTP_DECK, HTTP_CANCELS, count, &products, &mut self.luck);
        let stock = Stock { each: HTTP_STOCK, cancels: mix::cancels(&acts) };
        let kept = market.stock_up(&products, &VISITORS, stock, &mut self.luck).await?;
        let asks = Crowd { users: VISITORS, kept }.asks(&acts, &mut self.luck)?;
        let tokens = Tokens::sign(self.config.auth.jwt_secret.expose(), VISITORS, now())?;
        // What was written just now must not be taken for what is asked in this millisecond.
        tokio::time::sleep(Duration::from_millis(2)).await;
        http::requests(asks, &self.host(), &tokens, wait)
    }

    pub(crate) fn host(&self) -> String {
        self.config.http.listen.to_string()
    }

    /// Sends the first requests before anything is measured: processes that were started just now open their database
    /// connections, and meet every session for the first time.
    async fn warm_up(&self, requests: &mut Vec<Vec<u8>>) -> Result<(), Failure> {
        let first = requests.drain(..WARM_UP_REQUESTS.min(requests.len())).collect();
        let answers = self.send(first, Rhythm::Eager).await?;
        refuse_strays("warm-up", &answers, |status| status == 202 || outcome(status))
    }

    pub(crate) async fn send(&self, requests: Vec<Vec<u8>>, rhythm: Rhythm) -> Result<Answers, Failure> {
        http::send(&self.host(), self.arguments.connections, requests, rhythm).await
    }

    /// The whole way, as fast as it goes.
    pub(crate) async fn http(&mut self) -> Result<(), Failure> {
        let (market, count) = (self.market(Size::Usual)?, self.arguments.requests);
        let mut requests = self.requests(&market, Wait::Outcome, WARM_UP_REQUESTS + count).await?;
        self.open_doors(&market).await?;
        let began = now();
        self.warm_up(&mut requests).await?;
        let before = self.cpu_times()?;
        let answers = self.send(requests, Rhythm::Eager).await?;
        self.note_cpu("http", &before, count)?;
        refuse_strays("http", &answers, outcome)?;
        self.note_answers("http_to_outcome", &answers);
        self.check_ended("http", &market, began..=now(), WARM_UP_REQUESTS + count).await?;
        self.drain_outbox("http", &market).await?;
        self.fleet.stop_all().await
    }

    /// Accepting alone: the worker comes afterwards.
    pub(crate) async fn accept(&mut self) -> Result<(), Failure> {
        let (market, count) = (self.market(Size::Usual)?, self.arguments.requests);
        let mut requests = self.requests(&market, Wait::Accepted, WARM_UP_REQUESTS + count).await?;
        self.fleet.start(Role::Api, &market.url).await?;
        let began = now();
        self.warm_up(&mut requests).await?;
        let before = self.cpu_times()?;
        let answers = self.send(requests, Rhythm::Eager).await?;
        self.note_cpu("http_accept", &before, count)?;
        refuse_strays("http_accept", &answers, |status| status == 202)?;
        self.note_answers("http_accept", &answers);
        let ended = now();
        self.start_workers(&market.url).await?;
        let admin = self.fleet.admin(Role::Worker);
        let count = WARM_UP_REQUESTS + count;
        meter::until(count, || Bench::carried_out(&admin)).await?;
        self.check_ended("http_accept", &market, began..=ended, count).await?;
        self.drain_outbox("http_accept", &market).await?;
        self.fleet.stop_all().await
    }

    /// The whole way at half of what it can: latencies from the intended moments of sending.
    pub(crate) async fn latency(&mut self) -> Result<(), Failure> {
        let market = self.market(Size::Usual)?;
        let full = self.figures.median("http_to_outcome_per_s").ok_or("`latency` needs `http`: measure both")?;
        let half = full / 2.0;
        let arrivals =
            arrivals::during(half, Duration::from_secs(self.arguments.latency_seconds as u64), &mut self.luck);
        let count = WARM_UP_REQUESTS + arrivals.len();
        let mut requests = self.requests(&market, Wait::Outcome, count).await?;
        self.open_doors(&market).await?;
        let began = now();
        self.warm_up(&mut requests).await?;
        let answers = self.send(requests, Rhythm::At(arrivals)).await?;
        refuse_strays("http at half load", &answers, outcome)?;
        self.check_ended("http_half_load", &market, began..=now(), count).await?;
        for (name, per_mille) in [("http_p50_ms", 500), ("http_p99_ms", 990), ("http_max_ms", 1000)] {
            let latency = percentile(&answers.latencies, per_mille).ok_or("no answers")?;
            self.figures.add(name, milliseconds(latency));
            println!("  {name:<28} {:>9.1} ms at {half:.0} /s", milliseconds(latency));
        }
        self.figures.add("http_half_load_per_s", half);
        self.drain_outbox("http_half_load", &market).await?;
        self.fleet.stop_all().await
    }

    fn note_answers(&mut self, name: &str, answers: &Answers) {
        println!("  {name:<28} {:>9.0} /s   {:?}", answers.per_s(), answers.by_status);
        self.figures.add(format!("{name}_per_s"), answers.per_s());
    }
}

/// Done or refused by the rules.
fn outcome(status: u16) -> bool {
    matches!(status, 200 | 400 | 403 | 404 | 409 | 410)
}

pub(crate) fn refuse_strays(name: &str, answers: &Answers, wanted: impl Fn(u16) -> bool) -> Result<(), Failure> {
    let strays = answers.with(|status| !wanted(status));
    if strays * 1_000 > answers.latencies.len() * MOST_WITHOUT_OUTCOME {
        return Err(format!("{name}: too many other answers: {:?}", answers.by_status).into());
    }
    Ok(())
}
