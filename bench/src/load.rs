//! `make load`: ten thousand requests in the same moment, and a long time at four fifths of what the machine can.

use crate::{
    Failure, arrivals,
    bench::{Bench, Size},
    http::{self, Rhythm, Tokens, Wait},
    market::{PRODUCTS, Stock, VISITORS, now},
    mix::{self, BALANCED_DECK, HTTP_CANCELS, HTTP_DECK},
    orders::Crowd,
    patient,
    statistics::{milliseconds, number, percentile},
};
use std::{collections::BTreeMap, time::Duration};

/// Of what it can when requests come as fast as they are answered.
const SHARE: f64 = 0.8;
/// Requests are prepared for so long at a time, while those before are sent.
const SEGMENT: Duration = Duration::from_secs(15);
/// Bids of each kind on each product at the beginning: requests overtake each other.
const STOCK: usize = 30;
/// Memory at the end may be so much more than after the first third, in per cent: beyond it something grows.
const MOST_GROWTH_PERCENT: f64 = 10.0;

impl Bench {
    /// Everybody at once, on a connection each.
    pub(crate) async fn burst(&mut self) -> Result<(), Failure> {
        let (market, count) = (self.market(Size::Usual)?, self.arguments.burst);
        let products: Vec<u64> = PRODUCTS.collect();
        let acts = mix::acts(&HTTP_DECK, HTTP_CANCELS, count, &products, &mut self.luck);
        let stock = Stock { each: STOCK, cancels: mix::cancels(&acts) };
        let kept = market.stock_up(&products, &VISITORS, stock, &mut self.luck).await?;
        let asks = Crowd { users: VISITORS, kept }.asks(&acts, &mut self.luck)?;
        let tokens = Tokens::sign(self.config.auth.jwt_secret.expose(), VISITORS, now())?;
        tokio::time::sleep(Duration::from_millis(2)).await;
        let requests = http::keyed(http::requests(asks, &self.host(), &tokens, Wait::Outcome)?);
        self.open_doors(&market).await?;
        let began = now();
        let burst = patient::burst(&self.host(), requests).await?;
        println!(
            "  burst of {count}: all knew their outcome after {:.1} s; {:?}; sent again: {:?}; gave up: {}",
            burst.took.as_secs_f64(),
            burst.by_status,
            burst.again,
            burst.gave_up
        );
        let errors: usize = burst.by_status.iter().filter(|(status, _)| **status >= 500).map(|(_, n)| n).sum();
        self.figures.add("burst_errors", number(errors + burst.gave_up));
        self.figures.add("burst_sent_again", number(burst.again.values().sum()));
        self.figures.add("burst_took_s", burst.took.as_secs_f64());
        self.note_latencies("burst", &burst.latencies)?;
        if errors + burst.gave_up > 0 {
            return Err(format!("burst: {errors} errors, {} clients gave up", burst.gave_up).into());
        }
        self.check_ended("burst", &market, began..=now(), count).await?;
        self.drain_outbox("burst", &market).await?;
        self.fleet.stop_all().await
    }

    /// So long at four fifths of the speed at which it answers as fast as it can.
    pub(crate) async fn sustained(&mut self) -> Result<(), Failure> {
        let market = self.market(Size::Usual)?;
        let products: Vec<u64> = PRODUCTS.collect();
        market.stock_up(&products, &VISITORS, Stock { each: STOCK, cancels: 0 }, &mut self.luck).await?;
        let tokens = Tokens::sign(self.config.auth.jwt_secret.expose(), VISITORS, now())?;
        self.open_doors(&market).await?;
        let began = now();

        let mut sent = self.arguments.requests;
        let requests = self.balanced(sent, &tokens)?;
        let full = self.send(requests, Rhythm::Eager).await?.per_s();
        let per_s = full * SHARE;
        let segments = (self.arguments.sustained_seconds as u64).div_ceil(SEGMENT.as_secs()).max(3);
        println!("  it can {full:.0} /s; {per_s:.0} /s for {} s", segments * SEGMENT.as_secs());
        let (mut latencies, mut statuses) = (Vec::new(), BTreeMap::<u16, usize>::new());
        let mut memory: Vec<BTreeMap<&'static str, u32>> = Vec::new();
        let mut arrivals = arrivals::during(per_s, SEGMENT, &mut self.luck);
        let mut requests = self.balanced(arrivals.len(), &tokens)?;
        for _ in 0..segments {
            let next_arrivals = arrivals::during(per_s, SEGMENT, &mut self.luck);
            sent += requests.len();
            let (host, connections) = (self.host(), self.arguments.connections);
            let sending = std::mem::take(&mut requests);
            let sending =
                tokio::spawn(async move { http::send(&host, connections, sending, Rhythm::At(arrivals)).await });
            requests = self.balanced(next_arrivals.len(), &tokens)?;
            let answers = sending.await??;
            latencies.extend(answers.latencies);
            for (status, times) in answers.by_status {
                *statuses.entry(status).or_default() += times;
            }
            memory.push(self.fleet.memory_now());
            arrivals = next_arrivals;
        }
        latencies.sort_unstable();
        let errors: usize =
            statuses.iter().filter(|(status, _)| **status == 429 || **status >= 500).map(|(_, n)| n).sum();
        println!("  sustained: {statuses:?}, {errors} errors");
        self.figures.add("sustained_capacity_per_s", full);
        self.figures.add("sustained_per_s", per_s);
        self.figures.add("sustained_s", number(usize::try_from(segments * SEGMENT.as_secs())?));
        self.figures.add("sustained_errors", number(errors));
        self.note_latencies("sustained", &latencies)?;
        self.check_ended("sustained", &market, began..=now(), sent).await?;
        self.note_growth(&memory)?;
        self.drain_outbox("sustained", &market).await?;
        self.fleet.stop_all().await
    }

    /// Requests that place what they take, so that the book stays as long as it was however many there are.
    fn balanced(&mut self, count: usize, tokens: &Tokens) -> Result<Vec<Vec<u8>>, Failure> {
        let products: Vec<u64> = PRODUCTS.collect();
        let acts = mix::acts(&BALANCED_DECK, 0, count, &products, &mut self.luck);
        let asks = Crowd { users: VISITORS, kept: Vec::new() }.asks(&acts, &mut self.luck)?;
        http::requests(asks, &self.host(), tokens, Wait::Outcome)
    }

    fn note_latencies(&mut self, name: &str, ascending: &[Duration]) -> Result<(), Failure> {
        for (part, per_mille) in [("p50", 500), ("p99", 990), ("max", 1000)] {
            let latency = milliseconds(percentile(ascending, per_mille).ok_or("no answers")?);
            println!("  {name}_{part}_ms {latency:>20.1}");
            self.figures.add(format!("{name}_{part}_ms"), latency);
        }
        Ok(())
    }

    /// What each process held after the first third, and in the end: caches fill at first.
    fn note_growth(&mut self, samples: &[BTreeMap<&'static str, u32>]) -> Result<(), Failure> {
        let third = samples.len() / 3;
        let Some(last) = samples.last() else { return Ok(()) };
        let mut growing = Vec::new();
        for name in last.keys() {
            let mean = |part: &[BTreeMap<&'static str, u32>]| {
                let held: Vec<f64> =
                    part.iter().filter_map(|sample| sample.get(name)).map(|kib| f64::from(*kib)).collect();
                held.iter().sum::<f64>() / number(held.len().max(1)) / 1024.0
            };
            let (before, after) = (mean(&samples[third..2 * third]), mean(&samples[2 * third..]));
            let growth = (after / before - 1.0) * 100.0;
            println!("  {name:<10} {before:>7.1} MB in the second third, {after:>7.1} in the last: {growth:+.1} %");
            self.figures.add(format!("sustained_mb_{name}_second_third"), before);
            self.figures.add(format!("sustained_mb_{name}_last_third"), after);
            if growth > MOST_GROWTH_PERCENT {
                growing.push(*name);
            }
        }
        if growing.is_empty() { Ok(()) } else { Err(format!("the memory of {growing:?} grows").into()) }
    }
}
