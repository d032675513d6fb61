//! Reads over HTTP: what front ends ask for, on markets with few and with many bids and trades.

use crate::{
    Failure,
    bench::{Bench, Size},
    fleet::Role,
    http::{self, Rhythm, Tokens},
    market::{PRODUCTS, READERS, now},
    runs::refuse_strays,
    statistics::{milliseconds, percentile},
};

/// Requests of one read that are measured, and those before them.
const MEASURED: usize = 2_000;
const WARM_UP: usize = 200;
/// Keep-alive connections.
const CONNECTIONS: usize = 8;

/// A read, as in the figures' names.
pub(crate) struct Read {
    pub(crate) name: &'static str,
    /// As people call it.
    pub(crate) what: &'static str,
    /// `{product}` stands for each product in turn.
    path: &'static str,
    /// Whether it is about the reader's own.
    own: bool,
}

const fn of_all(name: &'static str, what: &'static str, path: &'static str) -> Read {
    Read { name, what, path, own: false }
}

const fn of_ones_own(name: &'static str, what: &'static str, path: &'static str) -> Read {
    Read { name, what, path, own: true }
}

/// Every read that is measured.
pub(crate) const READS: [Read; 12] = [
    of_all("products", "product list", "/api/products"),
    of_all("search", "product list, searched and paged", "/api/products?name=2&sort=price,desc&page=0&size=20"),
    of_all("product", "product", "/api/products/{product}"),
    of_all("sell_levels", "price levels, selling", "/api/products/{product}/sell"),
    of_all("buy_levels", "price levels, buying", "/api/products/{product}/buy"),
    of_all("trades", "trades of a product", "/api/products/{product}/trade"),
    of_all("late_trades", "trades of a product, page 100", "/api/products/{product}/trade?page=100&size=20"),
    of_all("daily_prices", "daily prices", "/api/products/{product}/prices"),
    of_ones_own("bought", "own purchases, first page", "/api/buy/history/end?page=0&size=20"),
    of_ones_own("buying", "own open buy bids", "/api/buy/history/onprogress"),
    of_ones_own("sold", "own sales, first page", "/api/sell/history/end?page=0&size=20"),
    of_ones_own("selling", "own open sell bids", "/api/sell/history/onprogress"),
];

impl Bench {
    /// Every read, on one market.
    pub(crate) async fn reads(&mut self, size: Size) -> Result<(), Failure> {
        let market = self.market(size)?;
        self.fleet.start(Role::Scheduler, &market.url).await?;
        market.rolled_up().await?;
        self.fleet.stop(Role::Scheduler).await?;
        self.fleet.start(Role::Api, &market.url).await?;
        let tokens = Tokens::sign(self.config.auth.jwt_secret.expose(), READERS, now())?;
        for read in &READS {
            self.read(read, size, &tokens).await?;
        }
        self.fleet.stop_all().await
    }

    async fn read(&mut self, read: &Read, size: Size, tokens: &Tokens) -> Result<(), Failure> {
        let host = self.host();
        let mut requests = Vec::with_capacity(WARM_UP + MEASURED);
        for (product, reader) in PRODUCTS.cycle().zip(READERS.cycle()).take(WARM_UP + MEASURED) {
            let token = if read.own { Some(tokens.of(reader)?) } else { None };
            let path = read.path.replace("{product}", &product.to_string());
            requests.push(http::read(&host, &path, token));
        }
        let measured = requests.split_off(WARM_UP);
        http::send(&host, CONNECTIONS, requests, Rhythm::Eager).await?;
        let answers = http::send(&host, CONNECTIONS, measured, Rhythm::Eager).await?;
        refuse_strays(read.name, &answers, |status| status == 200)?;

        let name = format!("read_{}_{}", read.name, size.name());
        self.figures.add(format!("{name}_per_s"), answers.per_s());
        print!("  {name:<28} {:>9.0} /s  ", answers.per_s());
        for (quantile, per_mille) in [("p50", 500), ("p99", 990)] {
            let latency = milliseconds(percentile(&answers.latencies, per_mille).ok_or("no answers")?);
            self.figures.add(format!("{name}_{quantile}_ms"), latency);
            print!(" {quantile} {latency:.1} ms");
        }
        println!();
        Ok(())
    }
}
