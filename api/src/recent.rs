//! A small bounded memory of what was true a moment ago.
//!
//! Promises: never holds more than its limit, and never gives out as fresh what is older than its age.
//! Doesn't: know when something changed elsewhere. Choose the age by how long a stale value does no harm.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// Values by key, each with the instant it was learnt.
#[derive(Debug)]
pub(crate) struct Recent<K, V> {
    limit: usize,
    age: Duration,
    values: Mutex<HashMap<K, (Instant, V)>>,
}

impl<K: Eq + Hash, V: Clone> Recent<K, V> {
    pub(crate) fn new(limit: usize, age: Duration) -> Self {
        Self { limit, age, values: Mutex::default() }
    }

    fn values(&self) -> MutexGuard<'_, HashMap<K, (Instant, V)>> {
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was learnt within the age.
    pub(crate) fn fresh(&self, key: &K) -> Option<V> {
        self.values().get(key).filter(|(learnt, _)| learnt.elapsed() < self.age).map(|(_, value)| value.clone())
    }

    /// What was learnt last, however long ago.
    pub(crate) fn any(&self, key: &K) -> Option<V> {
        self.values().get(key).map(|(_, value)| value.clone())
    }

    /// Remembers `value`.
    pub(crate) fn learn(&self, key: K, value: V) {
        let mut values = self.values();
        if values.len() >= self.limit && !values.contains_key(&key) {
            values.retain(|_, (learnt, _)| learnt.elapsed() < self.age);
            if values.len() >= self.limit {
                // All of it is fresh: forgetting costs a few reads, a list of ages would cost every one.
                values.clear();
            }
        }
        values.insert(key, (Instant::now(), value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGE: Duration = Duration::from_secs(2);

    #[tokio::test(start_paused = true)]
    async fn what_is_old_is_no_longer_fresh_but_still_known() {
        let recent = Recent::new(10, AGE);
        recent.learn(1, "a");
        assert_eq!(recent.fresh(&1), Some("a"));
        tokio::time::advance(AGE).await;
        assert_eq!((recent.fresh(&1), recent.any(&1)), (None, Some("a")));
    }

    #[tokio::test(start_paused = true)]
    async fn it_never_grows_past_its_limit() {
        let recent = Recent::new(3, AGE);
        for key in 0..100 {
            recent.learn(key, key);
            assert!(recent.values().len() <= 3);
            assert_eq!(recent.fresh(&key), Some(key));
        }
    }
}
