//! Which dead letters a call means.

use super::Refusal;
use contracts::UnixMs;
use operator::dlq::{DlqError, Filter, LetterId};
use serde::Deserialize;

/// One call acts on, or looks into, no more letters; the rest is asked for again.
pub(super) const MAX_LETTERS: usize = 5_000;
const MAX_IDS: usize = 500;

/// Those to which all of it applies.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Selection {
    ids: Vec<String>,
    role: Option<String>,
    reason: Option<String>,
    kind: Option<String>,
    error: Option<String>,
    older_than_ms: Option<i64>,
    newer_than_ms: Option<i64>,
    at_most: Option<usize>,
    /// Every dead letter; must be said where something is done to them.
    all: bool,
}

impl Selection {
    /// For who only looks.
    pub(super) fn for_looking(self, now: UnixMs) -> Result<Filter, Refusal> {
        if self.ids.len() > MAX_IDS {
            return Err(Refusal::bad(format!("name at most {MAX_IDS} letters")));
        }
        let text = |text: Option<String>| text.filter(|text| !text.is_empty());
        let ids = self.ids.iter().map(|id| id.parse()).collect::<Result<Vec<LetterId>, _>>().map_err(Refusal::bad)?;
        let role = text(self.role).map(|role| role.parse()).transpose().map_err(Refusal::bad::<String>)?;
        Ok(Filter {
            ids,
            role,
            reason: text(self.reason),
            kind: text(self.kind),
            error: text(self.error),
            failed_before: self.older_than_ms.map(|ms| now.plus_ms(-ms)),
            failed_since: self.newer_than_ms.map(|ms| now.plus_ms(-ms)),
            at_most: self.at_most,
        })
    }

    /// For who acts: something is said, and no more is meant than one act may.
    pub(super) fn for_acting(self, now: UnixMs) -> Result<Filter, Refusal> {
        let all = self.all;
        let filter = self.for_looking(now)?;
        if filter.means_everything() && !all {
            return Err(DlqError::Everything.into());
        }
        let at_most = filter.at_most.unwrap_or(MAX_LETTERS).min(MAX_LETTERS);
        Ok(Filter { at_most: Some(at_most), ..filter })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use contracts::topology::Role;
    use serde_json::{Value, json};

    fn read(selection: Value) -> Selection {
        serde_json::from_value(selection).unwrap()
    }

    #[test]
    fn an_act_is_bounded_and_never_means_everything_by_mistake() {
        let now = UnixMs(10_000);
        assert!(read(json!({})).for_acting(now).is_err());
        assert!(read(json!({"reason": "", "kind": ""})).for_acting(now).is_err(), "empty fields say nothing");
        let bounded = |selection| read(selection).for_acting(now).unwrap().at_most;
        assert_eq!(bounded(json!({"all": true})), Some(MAX_LETTERS));
        assert_eq!(bounded(json!({"kind": "buy_now", "at_most": 7})), Some(7));
        assert_eq!(bounded(json!({"all": true, "at_most": 100_000})), Some(MAX_LETTERS));
    }

    #[test]
    fn what_is_said_is_meant() {
        let id = "0190aaaa-bbbb-7ccc-8ddd-eeeeeeeeeeee";
        let asked = json!({"ids": [id], "role": "payment", "reason": "of tomorrow", "older_than_ms": 4_000});
        let filter = read(asked).for_looking(UnixMs(10_000)).unwrap();
        assert_eq!((filter.role, filter.reason.as_deref()), (Some(Role::Payment), Some("of tomorrow")));
        assert_eq!((filter.ids.len(), filter.failed_before), (1, Some(UnixMs(6_000))));
        for wrong in [json!({"ids": ["x"]}), json!({"role": "cook"}), json!({"ids": vec![id; 501]})] {
            assert!(read(wrong).for_looking(UnixMs(0)).is_err());
        }
        assert!(serde_json::from_value::<Selection>(json!({"reasons": "x"})).is_err(), "a misspelt field is no filter");
    }
}
