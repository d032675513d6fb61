//! What an audit found, as plain values: checks, figures, and what was still under way.

use contracts::UnixMs;
use serde::Serialize;
use std::{collections::BTreeMap, fmt};

/// Findings of one check that are listed; the others are only counted.
pub const MAX_LISTED: usize = 20;

/// What one check found wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Findings {
    /// How many.
    pub total: u64,
    /// The first [`MAX_LISTED`] of them, each naming what is wrong with what.
    pub listed: Vec<String>,
}

impl Findings {
    /// Notes one.
    pub fn add(&mut self, finding: impl Into<String>) {
        self.total += 1;
        if self.listed.len() < MAX_LISTED {
            self.listed.push(finding.into());
        }
    }
}

/// One rule, and how much was held against it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Its name, as tests and operators call it.
    pub name: &'static str,
    /// The rule as a sentence.
    pub rule: &'static str,
    /// How many rows, commands or payments were held against it.
    pub examined: u64,
    /// What broke it.
    pub findings: Findings,
}

impl Check {
    /// A check that has examined nothing yet.
    pub fn new(name: &'static str, rule: &'static str) -> Self {
        Self { name, rule, examined: 0, findings: Findings::default() }
    }

    /// Whether nothing broke the rule.
    pub fn holds(&self) -> bool {
        self.findings.total == 0
    }
}

/// What had been accepted but had not ended when the audit looked. Not wrong, unless nothing is coming in any more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Pending {
    /// Commands of the clients' journal without a row yet.
    pub journaled_without_row: u64,
    /// Commands whose row says `executing` or `retrying`.
    pub commands_under_way: u64,
    /// Payments that are `confirming`.
    pub payments_confirming: u64,
    /// Deposits that came or were taken back at Toss, and are not booked yet.
    pub deposits_unfollowed: u64,
    /// Cancels of charges that are planned or executing.
    pub cancels_under_way: u64,
    /// Rows that the relay has not published yet.
    pub outbox_rows: u64,
    /// Bids past their deadline that nobody has retired yet.
    pub stale_bids: u64,
    /// Messages on queues of commands, retries and replays.
    pub queued_messages: u64,
}

impl Pending {
    /// All of it.
    pub fn total(&self) -> u64 {
        self.named().iter().map(|(_, count)| count).sum()
    }

    /// Each part with its name.
    pub fn named(&self) -> [(&'static str, u64); 8] {
        [
            ("journaled commands without a row", self.journaled_without_row),
            ("commands executing or retrying", self.commands_under_way),
            ("payments confirming", self.payments_confirming),
            ("deposits not followed yet", self.deposits_unfollowed),
            ("cancels of charges under way", self.cancels_under_way),
            ("outbox rows", self.outbox_rows),
            ("bids past their deadline", self.stale_bids),
            ("messages on queues", self.queued_messages),
        ]
    }
}

/// Counts and sums for people; no rule is held against them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Figures {
    /// Commands by kind and state.
    pub commands: BTreeMap<String, BTreeMap<String, u64>>,
    /// Rejected commands by result code.
    pub rejected_by_code: BTreeMap<u32, u64>,
    /// Trades.
    pub trades: u64,
    /// Their prices together, before coupons.
    pub volume_won: i64,
    /// Charges credited.
    pub credited_won: i64,
    /// Of them cancelled again.
    pub cancelled_won: i64,
    /// Of them taken back by Toss without our asking.
    pub reversed_won: i64,
    /// What users owe of that.
    pub owed_won: i64,
    /// Differences between our books and Toss that a person must look at: rows of `differences`.
    pub differences_open: u64,
    /// What the sandbox says it took less what it gave back; none where no sandbox was asked.
    pub captured_less_cancelled_won: Option<i64>,
    /// Age of the oldest outbox row.
    pub outbox_oldest_ms: Option<i64>,
    /// Dead letters by queue.
    pub dead_letters: BTreeMap<String, u64>,
    /// Commands that are suspended, by role.
    pub suspended: BTreeMap<String, u64>,
}

/// A whole audit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditReport {
    /// The market's time when it began.
    pub taken_at: UnixMs,
    /// How long it took.
    pub took_ms: u64,
    /// Every check that was made.
    pub checks: Vec<Check>,
    /// What was not compared, and why.
    pub not_compared: Vec<String>,
    /// What was under way.
    pub pending: Pending,
    /// For people.
    pub figures: Figures,
}

impl AuditReport {
    /// Whether every rule holds. What is pending is no finding: the live system moves while it is read.
    pub fn holds(&self) -> bool {
        self.checks.iter().all(Check::holds)
    }

    /// Whether every rule holds and every accepted command has ended: what must be true once nothing comes in.
    pub fn holds_at_rest(&self) -> bool {
        self.holds() && self.pending.total() == 0
    }

    /// The checks that found something.
    pub fn broken(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|check| !check.holds())
    }
}

impl fmt::Display for AuditReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Audit ({} checks, {} ms)", self.checks.len(), self.took_ms)?;
        for check in &self.checks {
            let verdict = if check.holds() { "holds " } else { "BROKEN" };
            writeln!(f, "  {verdict} {:<46} {:>9} examined", check.name, check.examined)?;
            if !check.holds() {
                writeln!(f, "         rule: {}", check.rule)?;
                for finding in &check.findings.listed {
                    writeln!(f, "         - {finding}")?;
                }
                let more = check.findings.total - check.findings.listed.len() as u64;
                if more > 0 {
                    writeln!(f, "         - and {more} more")?;
                }
            }
        }
        for reason in &self.not_compared {
            writeln!(f, "  not compared: {reason}")?;
        }
        for (name, count) in self.pending.named().into_iter().filter(|(_, count)| *count > 0) {
            writeln!(f, "  under way: {count} {name}")?;
        }
        let dead: u64 = self.figures.dead_letters.values().sum();
        let Figures { owed_won, differences_open, .. } = self.figures;
        if owed_won > 0 || differences_open > 0 {
            writeln!(f, "  to look at: users owe {owed_won} won; {differences_open} differences with Toss are open")?;
        }
        writeln!(f, "  {} trades, {} won; {dead} dead letters", self.figures.trades, self.figures.volume_won)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_all_counted_and_the_first_listed() {
        let mut findings = Findings::default();
        (0..30).for_each(|n| findings.add(format!("finding {n}")));
        assert_eq!((findings.total, findings.listed.len()), (30, MAX_LISTED));
        assert_eq!(findings.listed[0], "finding 0");
    }

    #[test]
    fn what_is_under_way_breaks_only_rest() {
        let mut report = AuditReport {
            taken_at: UnixMs(0),
            took_ms: 1,
            checks: vec![Check::new("a", "b")],
            not_compared: Vec::new(),
            pending: Pending { outbox_rows: 2, ..Pending::default() },
            figures: Figures::default(),
        };
        assert!(report.holds() && !report.holds_at_rest());
        report.pending = Pending::default();
        assert!(report.holds_at_rest());
        report.checks[0].findings.add("user 7 owns what is not there");
        assert!(!report.holds());
        assert!(report.to_string().contains("user 7"));
    }
}
