//! Who follows what: a limited number of places, each of which hears when there is something newer.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::{Notify, watch};

/// How many may follow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// All together.
    pub(crate) streams: usize,
    /// Of one key.
    pub(crate) of_one: usize,
    /// Keys.
    pub(crate) keys: usize,
}

/// Which limit is reached.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// All together.
    Everybody,
    /// That of one key.
    OfOne,
}

struct Followed<T> {
    newest: watch::Sender<T>,
    streams: usize,
}

/// The followers of each key, who share its newest value.
pub(crate) struct Followers<K, T> {
    limits: Limits,
    book: Mutex<(usize, HashMap<K, Followed<T>>)>,
    /// Somebody follows a key that nobody followed.
    pub(crate) joined: Notify,
}

/// One follower's place, free again when it is dropped.
pub(crate) struct Place<K: Eq + Hash + Clone, T> {
    followers: Arc<Followers<K, T>>,
    key: K,
    pub(crate) newest: watch::Receiver<T>,
}

impl<K: Eq + Hash + Clone, T: Clone> Followers<K, T> {
    pub(crate) fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self { limits, book: Mutex::new((0, HashMap::new())), joined: Notify::new() })
    }

    fn book(&self) -> MutexGuard<'_, (usize, HashMap<K, Followed<T>>)> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place, beginning with `value` where nobody followed `key` yet.
    pub(crate) fn join(self: &Arc<Self>, key: K, value: T) -> Result<Place<K, T>, Full> {
        let mut book = self.book();
        let (all, keys) = &mut *book;
        if *all >= self.limits.streams || (keys.len() >= self.limits.keys && !keys.contains_key(&key)) {
            return Err(Full::Everybody);
        }
        let followed =
            keys.entry(key.clone()).or_insert_with(|| Followed { newest: watch::Sender::new(value), streams: 0 });
        if followed.streams >= self.limits.of_one {
            return Err(Full::OfOne);
        }
        followed.streams += 1;
        *all += 1;
        let newest = followed.newest.subscribe();
        drop(book);
        self.joined.notify_one();
        Ok(Place { followers: self.clone(), key, newest })
    }

    /// Everything that is followed, with what is known of it.
    pub(crate) fn followed(&self) -> Vec<(K, T)> {
        self.book().1.iter().map(|(key, followed)| (key.clone(), followed.newest.borrow().clone())).collect()
    }

    /// Tells the followers of `key`, if `value` is news.
    pub(crate) fn tell(&self, key: &K, value: T, is_news: impl FnOnce(&T, &T) -> bool) {
        if let Some(followed) = self.book().1.get(key) {
            followed.newest.send_if_modified(|known| {
                let news = is_news(known, &value);
                if news {
                    *known = value;
                }
                news
            });
        }
    }

    /// How many streams there are.
    pub(crate) fn count(&self) -> usize {
        self.book().0
    }
}

impl<K: Eq + Hash + Clone, T> Drop for Place<K, T> {
    fn drop(&mut self) {
        let mut book = self.followers.book.lock().unwrap_or_else(PoisonError::into_inner);
        let (all, keys) = &mut *book;
        *all -= 1;
        if let Some(followed) = keys.get_mut(&self.key) {
            followed.streams -= 1;
            if followed.streams == 0 {
                keys.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_limited_and_come_back() {
        let followers = Followers::new(Limits { streams: 3, of_one: 2, keys: 2 });
        let first = followers.join(1, 0).unwrap();
        let _second = followers.join(1, 0).unwrap();
        assert_eq!(followers.join(1, 0).err(), Some(Full::OfOne));
        drop(first);
        let _third = followers.join(1, 0).unwrap();
        let fourth = followers.join(2, 0).unwrap();
        assert_eq!(followers.join(2, 0).err(), Some(Full::Everybody));
        drop(fourth);
        assert_eq!(followers.followed(), [(1, 0)]);
        assert_eq!(followers.count(), 2);
    }

    #[test]
    fn followers_hear_news_only() {
        let followers = Followers::new(Limits { streams: 3, of_one: 2, keys: 2 });
        let place = followers.join("a", 5).unwrap();
        followers.tell(&"a", 5, |known, new| new > known);
        assert!(!place.newest.has_changed().unwrap());
        followers.tell(&"a", 6, |known, new| new > known);
        assert!(place.newest.has_changed().unwrap());
    }
}
