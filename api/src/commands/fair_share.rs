//! How fast one user's commands are taken, so that nobody's flood stands in everybody else's queue.
//!
//! Promises: `commands.user_burst` at once and `commands.user_per_s` a second in the long run for each user, at each API instance; whoever
//! is refused learns when to come back, and costs neither the broker nor a worker anything. Bounded in memory.
//! Doesn't: count over instances (that would cost each command a round trip); with N of them a user gets N times as much.
//! Nor limit what the market sends itself.
//!
//! It is the leaky bucket as one number a user (GCRA): `due`, when the user's bucket will have run empty.
//!
//! ```text
//!            now        due                now + burst × interval
//! ───────────┼──────────┼──────────────────┼────────► time
//!            └ in the   └ another one moves it on by an interval; past the end on the right it is refused
//!              bucket
//! ```

use contracts::UserId;
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Users whose buckets are not empty; beyond that, strangers are not counted until some are.
const USERS_MAX: usize = 100_000;

/// How much a user may send.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// Between two commands in the long run.
    interval: Duration,
    /// So many at once.
    burst: u32,
}

impl Pace {
    /// When the bucket will have run empty with one command more in it, or how long until there is room for it. Times count
    /// from any one instant.
    fn take(self, due: Duration, now: Duration) -> Result<Duration, Duration> {
        let next = due.max(now) + self.interval;
        match next.checked_sub(now + self.interval * self.burst) {
            Some(wait) if !wait.is_zero() => Err(wait),
            _ => Ok(next),
        }
    }
}

/// Everybody's buckets at this instance.
pub(crate) struct FairShare {
    pace: Option<Pace>,
    began: Instant,
    due: Mutex<HashMap<UserId, Duration>>,
}

impl FairShare {
    /// `per_s` 0: nobody is limited.
    pub(crate) fn new(per_s: u32, burst: u32) -> Self {
        let pace = (per_s > 0).then(|| Pace { interval: Duration::from_secs(1) / per_s, burst: burst.max(1) });
        Self { pace, began: Instant::now(), due: Mutex::default() }
    }

    /// Takes one command of `user`, or says how long they should wait.
    pub(crate) fn take(&self, user: UserId) -> Result<(), Duration> {
        self.take_at(user, self.began.elapsed())
    }

    fn take_at(&self, user: UserId, now: Duration) -> Result<(), Duration> {
        let Some(pace) = self.pace.filter(|_| user != UserId::SYSTEM) else { return Ok(()) };
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        if due.len() >= USERS_MAX && !due.contains_key(&user) {
            due.retain(|_, due| *due > now);
            if due.len() >= USERS_MAX {
                return Ok(());
            }
        }
        let of_user = due.entry(user).or_default();
        *of_user = pace.take(*of_user, now)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The textbook's bucket: what is in it leaks out at a steady rate.
    struct Bucket {
        filled: f64,
        at_s: f64,
    }

    impl Bucket {
        fn take(&mut self, per_s: u32, burst: u32, now_s: f64) -> bool {
            self.filled = (self.filled - (now_s - self.at_s) * f64::from(per_s)).max(0.0);
            self.at_s = now_s;
            let fits = self.filled + 1.0 <= f64::from(burst) + 1e-6;
            if fits {
                self.filled += 1.0;
            }
            fits
        }
    }

    proptest! {
        #[test]
        fn it_takes_what_a_leaking_bucket_has_room_for(
            per_s in prop::sample::select(vec![1_u32, 2, 5, 50, 100]),
            burst in 1_u32..20,
            pauses_ms in prop::collection::vec(0_u64..400, 1..200),
        ) {
            let (share, mut bucket) = (FairShare::new(per_s, burst), Bucket { filled: 0.0, at_s: 0.0 });
            let mut now = Duration::ZERO;
            for pause in pauses_ms {
                now += Duration::from_millis(pause);
                let taken = share.take_at(UserId(7), now);
                prop_assert_eq!(taken.is_ok(), bucket.take(per_s, burst, now.as_secs_f64()));
                if let Err(wait) = taken {
                    prop_assert!(share.take_at(UserId(7), now + wait.saturating_sub(Duration::from_micros(1))).is_err(), "not before");
                }
            }
        }
    }

    #[test]
    fn whoever_waits_as_told_is_served_and_others_are_served_meanwhile() {
        let share = FairShare::new(10, 3);
        let now = Duration::from_secs(100);
        let taken: Vec<bool> = (0..5).map(|_| share.take_at(UserId(1), now).is_ok()).collect();
        assert_eq!(taken, [true, true, true, false, false]);
        let wait = share.take_at(UserId(1), now).unwrap_err();
        assert_eq!(wait, Duration::from_millis(100));
        assert_eq!(share.take_at(UserId(2), now), Ok(()), "somebody else");
        assert_eq!(share.take_at(UserId::SYSTEM, now), Ok(()));
        assert_eq!(share.take_at(UserId(1), now + wait), Ok(()));
    }

    #[test]
    fn without_a_pace_nobody_is_limited() {
        let share = FairShare::new(0, 1);
        assert!((0..1_000).all(|_| share.take_at(UserId(1), Duration::ZERO).is_ok()));
        assert!(share.due.lock().unwrap().is_empty());
    }

    #[test]
    fn the_idle_are_forgotten_when_there_are_many() {
        let share = FairShare::new(1, 1);
        for user in 0..USERS_MAX as u64 {
            share.take_at(UserId(user + 1), Duration::ZERO).unwrap();
        }
        let stranger = UserId(u64::MAX >> 12);
        assert_eq!(share.take_at(stranger, Duration::ZERO), Ok(()), "uncounted");
        assert_eq!(share.due.lock().unwrap().len(), USERS_MAX);
        assert_eq!(share.take_at(stranger, Duration::from_secs(2)), Ok(()));
        assert_eq!(share.due.lock().unwrap().len(), 1);
    }
}
