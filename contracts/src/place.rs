//! What a queue is for, in the few words that metrics and `gream status` have for it.

use crate::topology::{REPLAY_QUEUE, Role};

/// Whose queue it is, and for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// A [`Role`], or `relay`, or `other` for a queue that is none of ours.
    pub role: &'static str,
    /// [`Place::WAITING`], [`Place::RETRYING`] or [`Place::DEAD`].
    pub stage: &'static str,
}

impl Place {
    /// To be carried out.
    pub const WAITING: &'static str = "waiting";
    /// To be tried again, later.
    pub const RETRYING: &'static str = "retrying";
    /// Dead letters.
    pub const DEAD: &'static str = "dead";

    /// Where a queue belongs. Few places, whatever queues somebody makes.
    pub fn of(queue: &str) -> Self {
        let role = |name: &str| Role::ALL.into_iter().map(Role::as_str).find(|role| *role == name);
        let (head, rest) = queue.split_once('.').unwrap_or((queue, ""));
        let (role, stage) = match head {
            "dead" => (role(rest), Self::DEAD),
            "retry" => (role(rest.split('.').next().unwrap_or_default()), Self::RETRYING),
            REPLAY_QUEUE => (Some("relay"), Self::WAITING),
            head => (role(head), Self::WAITING),
        };
        Self { role: role.unwrap_or("other"), stage }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        PartitionCount,
        topology::{RETRY_LADDER_MS, Topology},
    };

    #[test]
    fn every_queue_of_ours_has_its_place() {
        for queue in Topology::new(PartitionCount::new(3).unwrap(), &RETRY_LADDER_MS).queues() {
            assert_ne!(Place::of(&queue.name).role, "other", "{}", queue.name);
        }
        let place = |name| (Place::of(name).role, Place::of(name).stage);
        assert_eq!(place("bid.07"), ("bid", "waiting"));
        assert_eq!(place("retry.refund.1150"), ("refund", "retrying"));
        assert_eq!(place("dead.payment"), ("payment", "dead"));
        assert_eq!(place("replay"), ("relay", "waiting"));
        for strange in ["somebodys", "dead.letters.of.another", "retry", ""] {
            assert_eq!(place(strange).0, "other", "{strange}");
        }
    }
}
