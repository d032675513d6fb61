//! The nodes of a cluster, and in which order they are tried.
//!
//! Promises: every node is tried before a connection is given up, beginning at one that the caller picks at random: so that connections
//! spread, and not all of them meet a dead node first. Doesn't: know which node leads a queue; the cluster passes on.

/// The nodes in `rabbitmq.url`, comma separated.
pub(super) fn listed(url: &str) -> impl Iterator<Item = &str> {
    url.split(',').map(str::trim).filter(|node| !node.is_empty())
}

/// All of them once, from the `first` on (counted around).
pub(super) fn in_turn<'a>(nodes: &[&'a str], first: usize) -> Vec<&'a str> {
    let mut nodes = nodes.to_vec();
    if !nodes.is_empty() {
        let first = first % nodes.len();
        nodes.rotate_left(first);
    }
    nodes
}

/// What every node has in common: of any address, what stands behind the host.
pub fn vhost_of(url: &str) -> Option<String> {
    let node = reqwest::Url::parse(listed(url).next()?).ok()?;
    Some(node.path().trim_start_matches('/').to_owned())
}

/// Why these cannot be nodes of one cluster; nothing where they can.
pub(crate) fn fault(url: &str) -> Option<&'static str> {
    let mut shared = None;
    for node in listed(url) {
        let Ok(node) = reqwest::Url::parse(node) else {
            return Some(
                "rabbitmq.url has a node that is no address: list them as amqp://user:password@host:port/vhost,amqp://…",
            );
        };
        if !matches!(node.scheme(), "amqp" | "amqps") {
            return Some("rabbitmq.url has a node that is not spoken to by AMQP: each begins with amqp:// or amqps://");
        }
        let of_this = (node.path().to_owned(), node.username().to_owned(), node.password().map(str::to_owned));
        if shared.get_or_insert_with(|| of_this.clone()) != &of_this {
            return Some(
                "rabbitmq.url has nodes with different users, passwords or vhosts: the nodes of one cluster share them",
            );
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_node_is_tried_once_and_each_may_be_first() {
        let nodes = ["a", "b", "c"];
        for first in 0..7 {
            let order = in_turn(&nodes, first);
            assert_eq!(order[0], nodes[first % 3]);
            assert_eq!(order.iter().copied().collect::<BTreeSet<_>>(), BTreeSet::from(nodes));
            assert_eq!(order.len(), 3);
        }
        assert!(in_turn(&[], 5).is_empty());
    }

    #[test]
    fn nodes_are_told_apart_from_what_is_none() {
        let one = "amqp://u:p@a:5672/gream";
        assert_eq!(listed(&format!("{one}, amqp://u:p@b:5672/gream,")).count(), 2);
        assert_eq!(fault(&format!("{one},amqp://u:p@b:5673/gream")), None);
        assert_eq!(vhost_of(&format!("{one},amqp://u:p@b:5673/gream")).as_deref(), Some("gream"));
        for (second, what) in [
            ("b:5672", "by AMQP"),
            ("nonsense", "no address"),
            ("http://u:p@b/gream", "by AMQP"),
            ("amqp://u:p@b/other", "share them"),
            ("amqp://u:x@b/gream", "share them"),
            ("amqp://v:p@b/gream", "share them"),
        ] {
            let sentence = fault(&format!("{one},{second}")).unwrap();
            assert!(sentence.contains(what), "{second}: {sentence}");
        }
    }
}
