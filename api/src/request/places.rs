//! Places for uploads in memory: so many for all, and fewer for each user, so that nobody takes them all by sending slowly.
//!
//! Promises: a place is free again as soon as its upload is dropped, however that happens. Doesn't: hold across processes.

use contracts::UserId;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The places.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    all: Arc<Semaphore>,
    /// Only those who have one.
    of_users: Arc<Mutex<HashMap<UserId, usize>>>,
    most_of_a_user: usize,
}

/// A place that somebody has.
#[derive(Debug)]
pub(crate) struct Place {
    _of_all: OwnedSemaphorePermit,
    _of_user: Share,
}

/// A user's part of it.
#[derive(Debug)]
struct Share {
    user: UserId,
    of_users: Arc<Mutex<HashMap<UserId, usize>>>,
}

impl Places {
    pub(crate) fn new(all: usize, most_of_a_user: usize) -> Self {
        Self { all: Arc::new(Semaphore::new(all)), of_users: Arc::default(), most_of_a_user }
    }

    /// Waits for a place; `None`, at once, when the user has as many as anybody may have.
    pub(crate) async fn take(&self, user: UserId) -> Option<Place> {
        let share = self.share(user)?;
        // It is never closed.
        let of_all = self.all.clone().acquire_owned().await.ok()?;
        Some(Place { _of_all: of_all, _of_user: share })
    }

    fn share(&self, user: UserId) -> Option<Share> {
        let mut of_users = book(&self.of_users);
        let taken = of_users.entry(user).or_default();
        if *taken >= self.most_of_a_user {
            return None;
        }
        *taken += 1;
        Some(Share { user, of_users: self.of_users.clone() })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut of_users = book(&self.of_users);
        let Some(taken) = of_users.get_mut(&self.user) else { return };
        *taken -= 1;
        if *taken == 0 {
            of_users.remove(&self.user);
        }
    }
}

fn book(of_users: &Mutex<HashMap<UserId, usize>>) -> MutexGuard<'_, HashMap<UserId, usize>> {
    of_users.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    const ALICE: UserId = UserId(1);
    const BOB: UserId = UserId(2);

    #[test]
    fn nobody_takes_more_than_a_share_and_what_is_dropped_is_free() {
        let places = Places::new(3, 2);
        let now = |user| places.take(user).now_or_never();
        let first = now(ALICE).unwrap().unwrap();
        let second = now(ALICE).unwrap().unwrap();
        assert!(now(ALICE).unwrap().is_none(), "two are a user's share");
        let _bobs = now(BOB).unwrap().unwrap();
        assert!(now(BOB).is_none(), "bob may have another, and waits for it");
        drop(first);
        assert!(now(BOB).unwrap().is_some());
        drop(second);
        assert!(now(ALICE).unwrap().is_some());
        assert_eq!(book(&places.of_users).len(), 1, "who has none is forgotten");
    }
}
