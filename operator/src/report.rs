//! A day and its audit in one: what is printed at the end, and what `.gream/report.json` holds.

use crate::AuditReport;
use contracts::Kind;
use serde::Serialize;
use serde_json::Value;
use std::{fmt, fs, io, path::Path};

/// The kinds of commands that the market itself sends on any day: no client sees how many they were.
const OWN_KINDS: [Kind; 2] = [Kind::ExpireBids, Kind::CancelCharge];

/// The whole.
#[derive(Clone, Debug, Serialize)]
pub struct FinalReport {
    /// Whether the day kept every promise, the audit found nothing, and nothing was left under way.
    pub holds: bool,
    /// What the clients of the day measured, as they tell it.
    pub day: Value,
    /// Whether that is as it should be, by the day's own judgement.
    pub day_holds: bool,
    /// What the market's own commands lack to a whole day.
    pub too_few: Vec<String>,
    /// The comparison of everything.
    pub audit: AuditReport,
}

impl FinalReport {
    /// `min_of_kind`: as many of each kind of the market's own commands belong to a whole day.
    pub fn new(day: Value, day_holds: bool, audit: AuditReport, min_of_kind: u64) -> Self {
        let too_few: Vec<String> = OWN_KINDS.iter().filter_map(|kind| lacking(&audit, *kind, min_of_kind)).collect();
        Self { holds: day_holds && too_few.is_empty() && audit.holds_at_rest(), day, day_holds, too_few, audit }
    }

    /// Writes it as JSON: the file is the old one or the new one, never half of it.
    ///
    /// # Errors
    /// The system's own.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let next = path.with_extension("next");
        fs::write(&next, serde_json::to_vec_pretty(self)?)?;
        fs::rename(&next, path)
    }
}

fn lacking(audit: &AuditReport, kind: Kind, at_least: u64) -> Option<String> {
    let count: u64 = audit.figures.commands.get(kind.as_str()).map_or(0, |states| states.values().sum());
    (count < at_least).then(|| format!("{kind}: {count} of at least {at_least}"))
}

impl fmt::Display for FinalReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.audit)?;
        for kind in OWN_KINDS {
            let states = self.audit.figures.commands.get(kind.as_str());
            writeln!(f, "  {kind}: {}", states.map_or(0, |states| states.values().sum::<u64>()))?;
        }
        for what in &self.too_few {
            writeln!(f, "  TOO FEW  {what}")?;
        }
        let verdict = if self.holds { "The report holds." } else { "THE REPORT DOES NOT HOLD." };
        writeln!(f, "{verdict}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use audit::{Check, Figures, Pending};
    use contracts::UnixMs;
    use std::collections::BTreeMap;

    fn audit(own_commands: u64) -> AuditReport {
        let done = BTreeMap::from([("done".to_owned(), own_commands)]);
        let commands = OWN_KINDS.iter().map(|kind| (kind.as_str().to_owned(), done.clone())).collect();
        AuditReport {
            taken_at: UnixMs(1),
            took_ms: 1,
            checks: vec![Check::new("a", "b")],
            not_compared: Vec::new(),
            pending: Pending::default(),
            figures: Figures { commands, ..Figures::default() },
        }
    }

    #[test]
    fn it_holds_only_if_everything_does() {
        let holds = |day_holds, audit| FinalReport::new(Value::Null, day_holds, audit, 100).holds;
        assert!(holds(true, audit(100)));
        assert!(!holds(false, audit(100)));
        assert!(!holds(true, audit(99)));
        let mut moving = audit(100);
        moving.pending.outbox_rows = 1;
        assert!(!holds(true, moving));
        let mut broken = audit(100);
        broken.checks[0].findings.add("x");
        assert!(!holds(true, broken));
    }

    #[test]
    fn the_file_holds_the_figures_of_both() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        let report = FinalReport::new(serde_json::json!({"accepted": 5}), true, audit(7), 100);
        report.write(&path).unwrap();
        let read: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert_eq!((&read["holds"], &read["day"]["accepted"]), (&Value::Bool(false), &Value::from(5)));
        assert_eq!(read["audit"]["figures"]["commands"]["expire_bids"]["done"], 7);
        assert!(report.to_string().contains("TOO FEW  cancel_charge: 7 of at least 100"));
    }
}
