//! Which letters are meant, and how they look in groups. Plain values.

use super::letter::{Letter, LetterId};
use crate::words;
use contracts::{UnixMs, topology::Role};
use serde::Serialize;
use std::collections::BTreeMap;

/// Errors that a group names.
const ERRORS_OF_A_GROUP: usize = 3;

/// Which letters are meant: those to which everything applies that is said.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Filter {
    /// One of these, unless there are none.
    #[serde(serialize_with = "words::texts")]
    pub ids: Vec<LetterId>,
    /// Of this role's queue.
    #[serde(serialize_with = "words::perhaps")]
    pub role: Option<Role>,
    /// Set aside for this reason; as the letter has it, which may be of another version.
    pub reason: Option<String>,
    /// Of this kind, likewise.
    pub kind: Option<String>,
    /// Whose error contains this.
    pub error: Option<String>,
    /// That failed last before this instant.
    pub failed_before: Option<UnixMs>,
    /// That failed last at this instant or later.
    pub failed_since: Option<UnixMs>,
    /// No more than these many, oldest first.
    pub at_most: Option<usize>,
}

impl Filter {
    /// One letter, or the letters of one command.
    pub fn of(id: LetterId) -> Self {
        Self { ids: vec![id], ..Self::default() }
    }

    /// Whether it leaves nothing out.
    pub fn means_everything(&self) -> bool {
        let Self { ids, role, reason, kind, error, failed_before, failed_since, at_most } = self;
        ids.is_empty()
            && role.is_none()
            && reason.is_none()
            && kind.is_none()
            && error.is_none()
            && failed_before.is_none()
            && failed_since.is_none()
            && at_most.is_none()
    }

    /// Whether `letter` is meant (as long as there are no more than `at_most`).
    pub fn means(&self, letter: &Letter) -> bool {
        let failed_at = letter.last_failed_at;
        (self.ids.is_empty() || self.ids.iter().any(|id| letter.is(*id)))
            && self.role.is_none_or(|role| letter.role == role)
            && self.reason.as_ref().is_none_or(|reason| letter.reason == *reason)
            && self.kind.as_ref().is_none_or(|kind| letter.kind == *kind)
            && self.error.as_ref().is_none_or(|error| letter.error.contains(error))
            && self.failed_before.is_none_or(|end| failed_at.is_some_and(|at| at < end))
            && self.failed_since.is_none_or(|begin| failed_at.is_some_and(|at| at >= begin))
    }

    /// The roles whose queues must be looked into.
    pub fn roles(&self) -> impl Iterator<Item = Role> {
        let only = self.role;
        Role::ALL.into_iter().filter(move |role| only.is_none_or(|only| *role == only))
    }
}

/// Letters of one cause, as far as can be told.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Group {
    /// Whose queue they lie on.
    #[serde(serialize_with = "words::text")]
    pub role: Role,
    /// Why they were set aside.
    pub reason: String,
    /// What was asked.
    pub kind: String,
    /// How many.
    pub letters: u64,
    /// Milliseconds since the one that has lain there longest failed last.
    pub oldest_ms: Option<i64>,
    /// Milliseconds since the latest one failed.
    pub newest_ms: Option<i64>,
    /// The most frequent errors, with numbers and ids left out, and how often each was met.
    pub errors: Vec<(String, u64)>,
    /// One of them.
    #[serde(serialize_with = "words::text")]
    pub example: LetterId,
    /// What to do next.
    pub next: String,
}

/// Groups letters by role, reason and kind; the largest group first.
pub fn group<'a>(letters: impl IntoIterator<Item = &'a Letter>, now: UnixMs) -> Vec<Group> {
    let mut groups: BTreeMap<(Role, &str, &str), Vec<&Letter>> = BTreeMap::new();
    for letter in letters {
        groups.entry((letter.role, &letter.reason, &letter.kind)).or_default().push(letter);
    }
    let mut groups: Vec<Group> = groups.into_values().filter_map(|letters| of_one_cause(&letters, now)).collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.letters));
    groups
}

fn of_one_cause(letters: &[&Letter], now: UnixMs) -> Option<Group> {
    let first = letters.first()?;
    let mut errors: BTreeMap<String, u64> = BTreeMap::new();
    for letter in letters {
        *errors.entry(without_particulars(&letter.error)).or_default() += 1;
    }
    let mut errors: Vec<(String, u64)> = errors.into_iter().collect();
    errors.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    errors.truncate(ERRORS_OF_A_GROUP);
    let ages = || letters.iter().filter_map(|letter| Some(now.ms_since(letter.last_failed_at?)));
    Some(Group {
        role: first.role,
        reason: first.reason.clone(),
        kind: first.kind.clone(),
        letters: letters.len() as u64,
        oldest_ms: ages().max(),
        newest_ms: ages().min(),
        errors,
        example: first.id(),
        next: first.next.clone(),
    })
}

/// An error without what tells one case from another: words with a digit in them become `…`.
fn without_particulars(error: &str) -> String {
    let is_of_word = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    let mut text = String::with_capacity(error.len());
    let mut rest = error;
    while let Some(first) = rest.chars().next() {
        let length =
            if is_of_word(first) { rest.find(|c| !is_of_word(c)).unwrap_or(rest.len()) } else { first.len_utf8() };
        let (word, behind) = rest.split_at(length);
        text.push_str(if word.contains(|c: char| c.is_ascii_digit()) { "…" } else { word });
        rest = behind;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{
        super::letter::tests::{buy, letter},
        *,
    };
    use proptest::prelude::*;

    fn letters() -> Vec<Letter> {
        let attempts =
            |n: i64| letter(&buy(&n.to_string()).encode(), "out_of_attempts", &format!("row {n} too long"), n * 100);
        (1..=4).map(attempts).chain([letter(b"x", "undecodable", "not JSON", 50)]).collect()
    }

    #[test]
    fn groups_are_of_one_cause_with_count_ages_and_errors() {
        let groups = group(&letters(), UnixMs(1_000));
        let [many, one] = groups.as_slice() else { panic!("{groups:?}") };
        assert_eq!((many.letters, many.reason.as_str(), many.kind.as_str()), (4, "out_of_attempts", "buy_now"));
        assert_eq!((many.oldest_ms, many.newest_ms), (Some(900), Some(600)));
        assert_eq!(many.errors, [("row … too long".to_owned(), 4)]);
        assert_eq!((one.letters, one.reason.as_str(), one.kind.as_str()), (1, "undecodable", "unknown"));
    }

    #[test]
    fn a_filter_means_what_all_of_it_applies_to() {
        let letters = letters();
        let count = |filter: Filter| letters.iter().filter(|letter| filter.means(letter)).count();
        assert!(Filter::default().means_everything());
        assert_eq!(count(Filter::default()), 5);
        assert_eq!(count(Filter { reason: Some("out_of_attempts".into()), ..Filter::default() }), 4);
        assert_eq!(count(Filter { kind: Some("cancel_bid".into()), ..Filter::default() }), 0);
        assert_eq!(count(Filter { error: Some("row 2".into()), ..Filter::default() }), 1);
        assert_eq!(count(Filter { failed_before: Some(UnixMs(200)), ..Filter::default() }), 2);
        assert_eq!(count(Filter { failed_since: Some(UnixMs(200)), ..Filter::default() }), 3);
        assert_eq!(count(Filter { role: Some(Role::Refund), ..Filter::default() }), 0);
        assert_eq!(count(Filter::of(letters[4].id())), 1);
        assert_eq!(
            Filter { role: Some(Role::Refund), ..Filter::default() }.roles().collect::<Vec<_>>(),
            [Role::Refund]
        );
    }

    proptest! {
        #[test]
        fn each_letter_is_in_exactly_one_group(causes in proptest::collection::vec((0_u8..3, 0_u8..3), 0..40)) {
            let letters: Vec<Letter> = causes
                .iter()
                .map(|(reason, error)| letter(&buy("a").encode(), &format!("r{reason}"), &format!("e{error}"), 1))
                .collect();
            let groups = group(&letters, UnixMs(2));
            prop_assert_eq!(groups.iter().map(|group| group.letters).sum::<u64>(), letters.len() as u64);
            let reasons: std::collections::BTreeSet<u8> = causes.iter().map(|(reason, _)| *reason).collect();
            prop_assert_eq!(groups.len(), reasons.len());
            prop_assert!(groups.iter().all(|group| group.errors.iter().map(|(_, count)| count).sum::<u64>() == group.letters));
        }
    }
}
