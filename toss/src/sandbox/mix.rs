//! Random mixes of faults: every call (or webhook) of a kind draws one of several, or none, by weight.
//!
//! Promises: the n-th draw of a mix follows from its seed and its weights alone, and each is counted by what was drawn.
//! Doesn't: order the calls. Which of several concurrent ones draws first is theirs to race for; so a seed repeats a
//! storm's mixture exactly, and its course only as far as the callers do.

use super::fault::{Fault, FaultPath};
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The most faults in one mix.
pub const MAX_MIXED: usize = 64;
/// The largest weight.
pub const MAX_WEIGHT: u32 = 1_000_000;
/// The longest name of a mixed fault.
const MAX_NAME_LENGTH: usize = 64;

/// What `PUT /sandbox/mixes/{path}` takes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MixRequest {
    /// What the draws follow from.
    pub seed: u64,
    /// The weight of no fault at all.
    pub none: u32,
    /// What may be drawn otherwise.
    pub faults: Vec<Mixed>,
}

/// One fault of a mix.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mixed {
    /// What the report calls it; its kind, if nobody says otherwise.
    #[serde(default)]
    pub name: String,
    /// How often, compared with the others.
    pub weight: u32,
    /// What happens.
    pub fault: Fault,
}

/// A mix at work, and what it did so far.
#[derive(Debug, Serialize)]
struct Mix {
    seed: u64,
    none: u32,
    /// Calls that no fault of this mix struck.
    spared: u64,
    faults: Vec<Counted>,
    #[serde(skip)]
    random: StdRng,
}

#[derive(Debug, Serialize)]
struct Counted {
    /// Calls that it struck.
    applied: u64,
    #[serde(flatten)]
    mixed: Mixed,
}

/// The mixes, one a path.
#[derive(Debug, Default, Serialize)]
#[serde(transparent)]
pub(super) struct Mixes(BTreeMap<FaultPath, Mix>);

impl Mixes {
    /// Sets a path's mix in the place of the one it had; its counts begin anew. Otherwise says what is wrong with it.
    pub(super) fn set(&mut self, path: FaultPath, request: MixRequest) -> Result<(), String> {
        let MixRequest { seed, none, mut faults } = request;
        if faults.len() > MAX_MIXED {
            return Err(format!("at most {MAX_MIXED} faults"));
        }
        if u64::from(none) + faults.iter().map(|mixed| u64::from(mixed.weight)).sum::<u64>() == 0 {
            return Err("all weights are 0".to_owned());
        }
        for mixed in &mut faults {
            if mixed.name.is_empty() {
                mixed.name = mixed.fault.name();
            }
            let objection = (mixed.weight > MAX_WEIGHT).then(|| format!("a weight of at most {MAX_WEIGHT}"));
            let objection = objection.or_else(|| mixed.fault.objection(path));
            let too_long = || (mixed.name.len() > MAX_NAME_LENGTH).then(|| "too long a name".to_owned());
            if let Some(objection) = objection.or_else(too_long) {
                return Err(format!("{}: {objection}", mixed.name));
            }
        }
        let faults = faults.into_iter().map(|mixed| Counted { applied: 0, mixed }).collect();
        self.0.insert(path, Mix { seed, none, spared: 0, faults, random: StdRng::seed_from_u64(seed) });
        Ok(())
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Draws for one call; a fault that would spare it because it is a replay counts as none.
    pub(super) fn draw(&mut self, path: FaultPath, is_replay: bool) -> Option<Fault> {
        self.0.get_mut(&path)?.draw(is_replay)
    }
}

impl Mix {
    fn draw(&mut self, is_replay: bool) -> Option<Fault> {
        let total =
            self.faults.iter().map(|counted| u64::from(counted.mixed.weight)).sum::<u64>() + u64::from(self.none);
        let mut left = self.random.random_range(0..total);
        let drawn = self.faults.iter_mut().find(|counted| {
            let weight = u64::from(counted.mixed.weight);
            let is_hit = left < weight;
            left = left.saturating_sub(weight);
            is_hit
        });
        if let Some(counted) = drawn.filter(|counted| !(is_replay && counted.mixed.fault.spares_replays())) {
            counted.applied += 1;
            Some(counted.mixed.fault.clone())
        } else {
            self.spared += 1;
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn request(seed: u64) -> MixRequest {
        serde_json::from_value(json!({"seed": seed, "none": 70, "faults": [
            {"weight": 20, "fault": {"reset": "after"}},
            {"name": "ill", "weight": 10, "fault": {"code": "PROVIDER_ERROR"}},
            {"weight": 0, "fault": {"hang_ms": 5}},
        ]}))
        .unwrap()
    }

    fn draws(seed: u64, is_replay: bool) -> (Vec<Option<Fault>>, serde_json::Value) {
        let mut mixes = Mixes::default();
        mixes.set(FaultPath::Confirm, request(seed)).unwrap();
        assert_eq!(mixes.draw(FaultPath::Cancel, false), None);
        let drawn = (0..1_000).map(|_| mixes.draw(FaultPath::Confirm, is_replay)).collect();
        (drawn, json!(mixes)["confirm"].clone())
    }

    #[test]
    fn a_seed_draws_the_same_again_by_weight_and_counts_it() {
        let (first, counted) = draws(7, false);
        assert_eq!(draws(7, false).0, first);
        assert_ne!(draws(8, false).0, first);
        let applied = |index: usize| counted["faults"][index]["applied"].as_u64().unwrap();
        assert!((150..250).contains(&applied(0)) && (60..140).contains(&applied(1)), "{counted}");
        assert_eq!((applied(2), &counted["faults"][0]["name"]), (0, &json!("reset_after")));
        assert_eq!(counted["spared"].as_u64().unwrap() + applied(0) + applied(1), 1_000);
        let drawn = |fault: &Fault| first.iter().flatten().filter(|drawn| *drawn == fault).count() as u64;
        assert_eq!(drawn(&request(7).faults[1].fault), applied(1));
    }

    #[test]
    fn a_bound_answer_is_spared_by_codes_and_by_nothing_else() {
        let (drawn, counted) = draws(7, true);
        assert!(drawn.iter().flatten().all(|fault| matches!(fault, Fault::Reset { .. })));
        assert_eq!(counted["faults"][1]["applied"], 0);
        assert!(counted["faults"][0]["applied"].as_u64().unwrap() > 0);
    }

    #[test]
    fn a_mix_that_cannot_be_is_refused_by_name() {
        let mut mixes = Mixes::default();
        let mut set = |change: fn(&mut MixRequest)| {
            let mut request = request(1);
            change(&mut request);
            mixes.set(FaultPath::Confirm, request)
        };
        assert!(set(|mix| mix.faults[0].weight = MAX_WEIGHT + 1).unwrap_err().starts_with("reset_after: "));
        assert!(set(|mix| mix.faults[2].fault = Fault::Hang { hang_ms: u64::MAX }).unwrap_err().starts_with("hang: "));
        assert!(set(|mix| mix.faults = vec![mix.faults[0].clone(); MAX_MIXED + 1]).is_err());
        assert!(set(|mix| (mix.none, mix.faults) = (0, Vec::new())).is_err());
        assert!(set(|mix| mix.faults[1].name = "x".repeat(65)).is_err());
        assert!(set(|_| ()).is_ok());
    }
}
