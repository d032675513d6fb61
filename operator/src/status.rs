//! How the market is: the scheduler's duties, the queues, and what waits in MySQL. Read-only, and cheap enough to be asked
//! every second.
//!
//! Doesn't: know how long a queue's messages have waited (that needs more than one look: the monitor's metrics have it), or
//! judge: `deploy/prometheus/gream.rules.yml` does.

use contracts::{Place, UnixMs};
use platform::{
    database::within,
    rabbitmq::{ManagementPage, PageError, QueueFigures},
};
use serde::Serialize;
use sqlx::MySqlPool;
use std::{
    collections::BTreeMap,
    fmt::{self, Display},
    time::Duration,
};

/// More bids or outbox rows than this are not counted.
const MAX_COUNTED: i64 = 1_000;

/// Findings of the live audit that are listed.
const MAX_LISTED: i64 = 10;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// The database cannot be asked.
    #[error("the database cannot be read: {0}. Check database.url, and that `gream migrate` has run")]
    Database(#[from] sqlx::Error),
    /// RabbitMQ's page cannot be asked.
    #[error("{0}. Check the page's address, user and password")]
    Page(#[from] PageError),
}

/// The whole, at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// The market's time.
    pub at: UnixMs,
    /// The scheduler's duties.
    pub duties: Vec<DutyStatus>,
    /// Messages by role; nothing where RabbitMQ's page was not named.
    pub queues: Option<BTreeMap<&'static str, RoleQueues>>,
    /// Open bids past their deadline.
    pub overdue_bids: Waiting,
    /// What committed and was not published yet.
    pub outbox: Waiting,
    /// Charges about which Toss and we disagree.
    pub differences: i64,
    /// What the live audit has found.
    pub audit: LiveAudit,
}

/// What the scheduler's audit of the live system has come to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LiveAudit {
    /// When each walk last came by everything; none before its first round ended.
    pub walks: BTreeMap<String, Option<UnixMs>>,
    /// How many findings there are.
    pub findings: i64,
    /// The oldest of them.
    pub listed: Vec<AuditFinding>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditFinding {
    /// The rule that is broken.
    pub check: String,
    /// By what.
    pub finding: String,
    /// When it was first seen.
    pub found_at: UnixMs,
}

/// Something that should not be there for long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Waiting {
    /// How many; a thousand at most.
    pub count: i64,
    /// For how long the oldest.
    pub oldest_ms: Option<i64>,
}

/// What a duty did last. Without `last_run_at` no scheduler ever did it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DutyStatus {
    /// Its name.
    pub duty: String,
    /// When its last run ended.
    pub last_run_at: Option<UnixMs>,
    /// When its last good run ended.
    pub last_success_at: Option<UnixMs>,
    /// How long it took.
    pub duration_ms: i64,
    /// What it sent, wrote or deleted.
    pub items: i64,
    /// How long the oldest thing that was due had been waiting, where the duty can tell.
    pub lag_ms: Option<i64>,
    /// When it means to run again.
    pub next_run_at: Option<UnixMs>,
    /// Why its last run failed, if it did.
    pub error: Option<String>,
    /// Whose run it was.
    pub process: String,
}

/// Messages of one role's queues.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RoleQueues {
    /// To be carried out, those in a worker's hands included.
    pub waiting: u64,
    /// Of those, in a worker's hands.
    pub unacked: u64,
    /// To be tried again later.
    pub retrying: u64,
    /// Dead letters.
    pub dead: u64,
    /// Queues with messages that nobody consumes.
    pub unconsumed: u64,
}

/// Asks. `duties` are those that a scheduler should do; each question takes at most `limit`.
///
/// # Errors
/// When the database, or the page that is named, cannot be read.
pub async fn status(
    database: &MySqlPool,
    page: Option<&ManagementPage>,
    duties: &[&str],
    at: UnixMs,
    limit: Duration,
) -> Result<Status, StatusError> {
    let figures = match page {
        Some(page) => Some(page.queues(&reqwest::Client::new()).await?),
        None => None,
    };
    status_with(database, figures.as_deref(), duties, at, limit).await
}

/// The same, of queues that were asked for already.
pub(crate) async fn status_with(
    database: &MySqlPool,
    figures: Option<&[QueueFigures]>,
    duties: &[&str],
    at: UnixMs,
    limit: Duration,
) -> Result<Status, StatusError> {
    Ok(Status {
        at,
        duties: within(limit, read_duties(database, duties)).await?,
        queues: figures.map(by_role),
        overdue_bids: within(limit, overdue_bids(database, at)).await?,
        outbox: within(limit, outbox(database, at)).await?,
        differences: within(limit, differences(database)).await?,
        audit: within(limit, live_audit(database)).await?,
    })
}

async fn read_duties(database: &MySqlPool, expected: &[&str]) -> Result<Vec<DutyStatus>, sqlx::Error> {
    let rows = sqlx::query!(
        "SELECT duty, last_run_at_ms, last_success_at_ms, duration_ms, last_items, lag_ms, pause_ms, error, process
         FROM scheduler_duties"
    )
    .fetch_all(database)
    .await?;
    let never = expected
        .iter()
        .map(|duty| ((*duty).to_owned(), DutyStatus { duty: (*duty).to_owned(), ..DutyStatus::default() }));
    let mut duties: BTreeMap<String, DutyStatus> = never.collect();
    for row in rows {
        let read = DutyStatus {
            duty: row.duty.clone(),
            last_run_at: Some(UnixMs(row.last_run_at_ms)),
            last_success_at: row.last_success_at_ms.map(UnixMs),
            duration_ms: row.duration_ms,
            items: row.last_items,
            lag_ms: row.lag_ms,
            next_run_at: Some(UnixMs(row.last_run_at_ms.saturating_add(row.pause_ms))),
            error: row.error,
            process: row.process,
        };
        duties.insert(row.duty, read);
    }
    Ok(duties.into_values().collect())
}

fn by_role(figures: &[QueueFigures]) -> BTreeMap<&'static str, RoleQueues> {
    let mut roles: BTreeMap<&'static str, RoleQueues> = BTreeMap::new();
    for queue in figures {
        let place = Place::of(&queue.name);
        let role = roles.entry(place.role).or_default();
        match place.stage {
            Place::DEAD => role.dead += queue.messages,
            Place::RETRYING => role.retrying += queue.messages,
            _ => {
                role.waiting += queue.messages;
                role.unacked += queue.messages_unacknowledged;
                role.unconsumed += u64::from(queue.consumers == 0 && queue.messages > 0);
            }
        }
    }
    roles
}

async fn overdue_bids(database: &MySqlPool, at: UnixMs) -> Result<Waiting, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT COUNT(*) AS "count!: i64", MIN(deadline_ms) AS "oldest: i64"
           FROM (SELECT deadline_ms FROM bids WHERE state = 'open' AND deadline_ms <= ? ORDER BY deadline_ms LIMIT ?)
                AS overdue"#,
        at.0,
        MAX_COUNTED
    )
    .fetch_one(database)
    .await?;
    Ok(Waiting { count: row.count, oldest_ms: row.oldest.map(|since| at.ms_since(UnixMs(since))) })
}

async fn outbox(database: &MySqlPool, at: UnixMs) -> Result<Waiting, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT COUNT(*) AS "count!: i64", MIN(created_at_ms) AS "oldest: i64"
           FROM (SELECT created_at_ms FROM outbox ORDER BY outbox_id LIMIT ?) AS unsent"#,
        MAX_COUNTED
    )
    .fetch_one(database)
    .await?;
    Ok(Waiting { count: row.count, oldest_ms: row.oldest.map(|since| at.ms_since(UnixMs(since))) })
}

async fn differences(database: &MySqlPool) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(r#"SELECT COUNT(*) AS "open!: i64" FROM differences WHERE gone_at_ms IS NULL"#)
        .fetch_one(database)
        .await
}

async fn live_audit(database: &MySqlPool) -> Result<LiveAudit, sqlx::Error> {
    let walks = sqlx::query!("SELECT walk, round_ended_at_ms FROM audit_walks").fetch_all(database).await?;
    let findings = sqlx::query_scalar!(r#"SELECT COUNT(*) AS "findings!: i64" FROM audit_findings"#);
    let listed = sqlx::query!(
        "SELECT check_name, finding, found_at_ms FROM audit_findings ORDER BY found_at_ms, check_name, finding LIMIT ?",
        MAX_LISTED
    );
    Ok(LiveAudit {
        walks: walks.into_iter().map(|row| (row.walk, row.round_ended_at_ms.map(UnixMs))).collect(),
        findings: findings.fetch_one(database).await?,
        listed: listed
            .fetch_all(database)
            .await?
            .into_iter()
            .map(|row| AuditFinding { check: row.check_name, finding: row.finding, found_at: UnixMs(row.found_at_ms) })
            .collect(),
    })
}

impl Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<18} {:>9} {:>9} {:>8} {:>8} {:>8}  LAST RESULT",
            "DUTY", "LAST RUN", "TOOK", "ITEMS", "LAG", "NEXT RUN"
        )?;
        for duty in &self.duties {
            self.write_duty(f, duty)?;
        }
        self.write_queues(f)?;
        for (what, Waiting { count, oldest_ms }) in [("overdue bids", self.overdue_bids), ("outbox rows", self.outbox)]
        {
            write!(f, "\n{what}: {count}")?;
            if let Some(oldest_ms) = oldest_ms {
                write!(f, ", the oldest for {}", Span(oldest_ms))?;
            }
        }
        writeln!(f, "\nopen differences with Toss: {}", self.differences)?;
        self.write_audit(f)
    }
}

impl Status {
    fn write_queues(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(roles) = &self.queues else {
            return writeln!(
                f,
                "\nqueues: not asked; name RabbitMQ's page by --rabbitmq-page or monitor.rabbitmq_page"
            );
        };
        let titles = ["WAITING", "UNACKED", "RETRYING", "DEAD", "UNCONSUMED"];
        write!(f, "\n{:<18}", "QUEUES")?;
        titles.iter().try_for_each(|title| write!(f, " {title:>10}"))?;
        writeln!(f)?;
        for (role, RoleQueues { waiting, unacked, retrying, dead, unconsumed }) in roles {
            writeln!(f, "{role:<18} {waiting:>10} {unacked:>10} {retrying:>10} {dead:>10} {unconsumed:>10}")?;
        }
        Ok(())
    }

    fn write_audit(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "findings of the live audit: {}", self.audit.findings)?;
        for (walk, ended_at) in &self.audit.walks {
            match ended_at {
                Some(ended_at) => write!(f, "; {walk} all seen {} ago", Span(self.at.ms_since(*ended_at)))?,
                None => write!(f, "; {walk} not all seen yet")?,
            }
        }
        for AuditFinding { check, finding, .. } in &self.audit.listed {
            write!(f, "\n  {check}: {finding}")?;
        }
        Ok(())
    }

    fn write_duty(&self, f: &mut fmt::Formatter<'_>, duty: &DutyStatus) -> fmt::Result {
        let (Some(last), Some(next)) = (duty.last_run_at, duty.next_run_at) else {
            return writeln!(f, "{:<18} {:>9}", duty.duty, "never");
        };
        let lag = duty.lag_ms.map_or("-".to_owned(), |lag_ms| Span(lag_ms).to_string());
        let next_ms = next.ms_since(self.at);
        let next = if next_ms < 0 { format!("-{}", Span(-next_ms)) } else { Span(next_ms).to_string() };
        let ago = Span(self.at.ms_since(last)).to_string();
        let (took, result) = (
            Span(duty.duration_ms).to_string(),
            duty.error.as_ref().map_or("ok".to_owned(), |error| format!("FAILED: {error}")),
        );
        writeln!(f, "{:<18} {ago:>9} {took:>9} {:>8} {lag:>8} {next:>8}  {result}", duty.duty, duty.items)
    }
}

/// Milliseconds, for people.
struct Span(i64);

impl Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.max(0);
        match ms {
            0..=9_999 => write!(f, "{ms} ms"),
            10_000..=599_999 => write!(f, "{} s", ms / 1_000),
            600_000..=35_999_999 => write!(f, "{} min", ms / 60_000),
            _ => write!(f, "{} h", ms / 3_600_000),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_sees_what_failed_what_never_ran_and_what_is_late() {
        let at = UnixMs(1_000_000_000);
        let ran = |duty: &str, ago: i64, pause: i64, error: Option<&str>| DutyStatus {
            duty: duty.to_owned(),
            last_run_at: Some(at.plus_ms(-ago)),
            next_run_at: Some(at.plus_ms(pause - ago)),
            lag_ms: Some(12_000),
            error: error.map(str::to_owned),
            ..DutyStatus::default()
        };
        let never = DutyStatus { duty: "charges".to_owned(), ..DutyStatus::default() };
        let status = Status {
            at,
            duties: vec![
                ran("stale_bids", 2_000, 5_000, None),
                ran("compare_days", 900_000, 60_000, Some("Toss is away")),
                never,
            ],
            queues: Some([("bid", RoleQueues { waiting: 7, dead: 2, ..RoleQueues::default() })].into()),
            overdue_bids: Waiting { count: 3, oldest_ms: Some(700_000) },
            outbox: Waiting::default(),
            differences: 1,
            audit: LiveAudit {
                walks: [("users".to_owned(), Some(at.plus_ms(-60_000))), ("orders".to_owned(), None)].into(),
                findings: 1,
                listed: vec![AuditFinding {
                    check: "balances_equal_their_entries".to_owned(),
                    finding: "user 7: available is off by 1".to_owned(),
                    found_at: at,
                }],
            },
        };
        let shown = status.to_string();
        let line = |start: &str| -> String {
            let line = shown.lines().find(|line| line.starts_with(start)).unwrap();
            line.split_whitespace().collect::<Vec<&str>>().join(" ")
        };
        assert_eq!(line("stale_bids"), "stale_bids 2000 ms 0 ms 0 12 s 3000 ms ok");
        assert_eq!(line("compare_days"), "compare_days 15 min 0 ms 0 12 s -14 min FAILED: Toss is away");
        assert_eq!(line("charges"), "charges never");
        assert_eq!(line("bid "), "bid 7 0 0 2 0");
        assert_eq!(line("overdue bids"), "overdue bids: 3, the oldest for 11 min");
        assert_eq!(line("outbox rows"), "outbox rows: 0");
        let audit = "findings of the live audit: 1; orders not all seen yet; users all seen 60 s ago";
        assert_eq!(line("findings"), audit);
        assert!(shown.ends_with("\n  balances_equal_their_entries: user 7: available is off by 1"), "{shown}");
    }
}
