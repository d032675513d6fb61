//! Gauges that are read when somebody looks, because nothing happens in between that could set them.

use metrics::gauge;
use sqlx::MySqlPool;
use std::sync::{Mutex, PoisonError};

type Reading = Box<dyn Fn() + Send>;

static READINGS: Mutex<Vec<Reading>> = Mutex::new(Vec::new());

/// From now on `reading` sets its gauges before each answer of `/metrics`. It must be quick: nobody waits in it.
pub fn at_each_look(reading: impl Fn() + Send + 'static) {
    READINGS.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(reading));
}

/// Sets them all.
pub(crate) fn read() {
    READINGS.lock().unwrap_or_else(PoisonError::into_inner).iter().for_each(|reading| reading());
}

/// Shows how much of a pool is in use. `name` tells this process's pools apart.
pub fn show_pool(name: &'static str, pool: &MySqlPool) {
    let pool = pool.clone();
    at_each_look(move || {
        let idle = u32::try_from(pool.num_idle()).unwrap_or(u32::MAX);
        let used = pool.size().saturating_sub(idle);
        gauge!("gream_database_pool_connections", "pool" => name, "state" => "used").set(used);
        gauge!("gream_database_pool_connections", "pool" => name, "state" => "idle").set(idle);
        gauge!("gream_database_pool_max_connections", "pool" => name).set(pool.options().get_max_connections());
    });
}
