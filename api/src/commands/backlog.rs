//! How much was accepted here and has not been seen again: what is taken in is bounded by it, and shared fairly.
//!
//! ```text
//! of one role  >= commands.max_unresolved           ► 503: the pipeline is behind, whoever asks
//! of one user  >= commands.max_unresolved_per_user  ► 429: the others' turn
//! ```
//! Promises: nobody holds more than their share of the queues however fast they ask, and the queues' own limit (a hundred
//! thousand) is never what stops the intake. Doesn't: count what other instances accepted: each has limits of its own.

use contracts::{UserId, topology::Role};
use std::collections::HashMap;

/// The limits, as they are configured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) of_role: usize,
    pub(crate) of_user: usize,
}

/// Why a further command is not taken at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// Whoever carries such commands out is behind.
    Pipeline,
    /// This user has so many under way.
    User,
}

/// The counts. Nobody who has nothing under way is in them.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    of_role: HashMap<Role, usize>,
    of_user: HashMap<UserId, usize>,
}

impl Backlog {
    pub(super) fn admits(&self, role: Role, user: UserId, limits: Limits) -> Result<(), Full> {
        if self.of_role(role) >= limits.of_role {
            return Err(Full::Pipeline);
        }
        if self.of_user.get(&user).copied().unwrap_or(0) >= limits.of_user {
            return Err(Full::User);
        }
        Ok(())
    }

    pub(super) fn of_role(&self, role: Role) -> usize {
        self.of_role.get(&role).copied().unwrap_or(0)
    }

    pub(super) fn adds(&mut self, role: Role, user: UserId) {
        *self.of_role.entry(role).or_default() += 1;
        *self.of_user.entry(user).or_default() += 1;
    }

    pub(super) fn drops(&mut self, role: Role, user: UserId) {
        if let Some(count) = self.of_role.get_mut(&role) {
            *count = count.saturating_sub(1);
        }
        if let Some(count) = self.of_user.get_mut(&user) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.of_user.remove(&user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: Limits = Limits { of_role: 10, of_user: 4 };

    proptest! {
        #[test]
        fn nobody_has_more_than_their_share_and_all_together_no_more_than_there_is(
            steps in prop::collection::vec((0_u64..5, any::<bool>(), any::<bool>()), 1..300)
        ) {
            let mut backlog = Backlog::default();
            let mut under_way: Vec<(Role, UserId)> = Vec::new();
            for (user, is_bid, ends) in steps {
                let (role, user) = (if is_bid { Role::Bid } else { Role::Payment }, UserId(user));
                if ends {
                    if let Some(place) = under_way.iter().position(|one| *one == (role, user)) {
                        under_way.swap_remove(place);
                        backlog.drops(role, user);
                    }
                    continue;
                }
                let (of_role, of_user) = (
                    under_way.iter().filter(|one| one.0 == role).count(),
                    under_way.iter().filter(|one| one.1 == user).count(),
                );
                let wanted = if of_role >= 10 { Err(Full::Pipeline) } else if of_user >= 4 { Err(Full::User) } else { Ok(()) };
                prop_assert_eq!(backlog.admits(role, user, LIMITS), wanted);
                if wanted.is_ok() {
                    under_way.push((role, user));
                    backlog.adds(role, user);
                }
            }
            for (role, user) in under_way {
                backlog.drops(role, user);
            }
            prop_assert!(backlog.of_user.is_empty(), "nobody is remembered who has nothing under way");
        }
    }
}
