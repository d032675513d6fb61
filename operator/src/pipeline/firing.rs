//! Which conditions of the alert rules hold now, as far as one look can tell. Pure.
//!
//! Named as the alerts are, with their thresholds (without `for:`), so that each has its page in `docs/runbook`.

use super::Pipeline;
use crate::{moment::length, status::DutyStatus};
use contracts::UnixMs;
use serde::Serialize;

const OUTBOX_MS: i64 = 30_000;
const OVERDUE_MS: i64 = 900_000;
const DUTY_LATE_MS: i64 = 60_000;
/// The duty that asks Toss for whole days, and how late it may be.
const SLOW_DUTY: (&str, i64) = ("compare_days", 7_200_000);
const DUTY_BEHIND_MS: i64 = 600_000;
const FULL: f64 = 0.8;
/// A pause that is longer was forgotten.
const PAUSE_MS: i64 = 3_600_000;

/// A condition that holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Firing {
    /// The alert's name, and that of its page in the runbook.
    pub alert: &'static str,
    /// Whether somebody should be woken for it.
    pub is_urgent: bool,
    /// What is so.
    pub says: String,
}

pub(super) fn firing(pipeline: &Pipeline) -> Vec<Firing> {
    let mut firing: Vec<Firing> =
        [queues(pipeline), books(pipeline), duties(pipeline), pauses(pipeline)].into_iter().flatten().collect();
    if !pipeline.breaker.passes {
        firing.push(urgent("GreamTossAway", pipeline.breaker.told.clone()));
    }
    firing.sort_by_key(|firing| !firing.is_urgent);
    firing
}

fn urgent(alert: &'static str, says: String) -> Firing {
    Firing { alert, is_urgent: true, says }
}

fn ticket(alert: &'static str, says: String) -> Firing {
    Firing { alert, is_urgent: false, says }
}

fn queues(pipeline: &Pipeline) -> Vec<Firing> {
    let Some(roles) = &pipeline.status.queues else {
        let why = pipeline.queues_unknown.as_deref().unwrap_or("nobody asked");
        return vec![ticket("GreamMonitorBlind", format!("nothing is known of the queues: {why}"))];
    };
    let mut firing = Vec::new();
    for (role, queues) in roles {
        if queues.dead > 0 {
            firing.push(ticket("GreamDeadLetters", format!("{} dead letters of role {role}", queues.dead)));
        }
        let flow = pipeline.flows.get(role).copied().unwrap_or_default();
        if flow.fullness > FULL {
            firing.push(urgent(
                "GreamQueueFilling",
                format!("a queue of role {role} is {:.0} % full", flow.fullness * 100.0),
            ));
        }
        // Payment workers stop consuming while the breaker is open.
        let is_meant = *role == "payment" && !pipeline.breaker.passes;
        if is_meant || *role == "other" || is_paused(pipeline, role) {
            continue;
        }
        if flow.consumers == 0 {
            firing.push(urgent("GreamRoleMissing", format!("nobody consumes the queues of role {role}")));
        } else if queues.unconsumed > 0 {
            firing.push(urgent(
                "GreamQueueUnconsumed",
                format!("{} queues of role {role} have messages and no consumer", queues.unconsumed),
            ));
        }
    }
    firing
}

fn books(pipeline: &Pipeline) -> Vec<Firing> {
    let status = &pipeline.status;
    let mut firing = Vec::new();
    if let Some(ms) = status.outbox.oldest_ms.filter(|ms| *ms > OUTBOX_MS) {
        firing.push(urgent("GreamOutboxLags", format!("the outbox's first row has waited {}", length(ms))));
    }
    if let Some(ms) = status.overdue_bids.oldest_ms.filter(|ms| *ms > OVERDUE_MS) {
        firing.push(ticket("GreamBidsOverdue", format!("a bid is open {} past its deadline", length(ms))));
    }
    if status.differences > 0 {
        let says = format!("{} charges differ between our books and Toss", status.differences);
        firing.push(urgent("GreamDifferences", says));
    }
    if status.audit.findings > 0 {
        let first =
            status.audit.listed.first().map_or(String::new(), |found| format!(": {}: {}", found.check, found.finding));
        firing
            .push(urgent("GreamAuditFindings", format!("{} findings of the live audit{first}", status.audit.findings)));
    }
    firing
}

/// Its processes live, but take nothing.
fn is_paused(pipeline: &Pipeline, role: &str) -> bool {
    pipeline.limits.iter().any(|turned| turned.role.as_str() == role && turned.limits.is_paused)
}

fn pauses(pipeline: &Pipeline) -> Vec<Firing> {
    let paused = pipeline.limits.iter().filter(|turned| turned.limits.is_paused);
    let long = paused.filter_map(|turned| {
        let last = turned.last.as_ref()?;
        let ms = pipeline.status.at.ms_since(last.at);
        let says = || format!("{} paused the role {} {} ago: {}", last.by, turned.role, length(ms), last.why);
        (ms > PAUSE_MS).then(|| ticket("GreamRolePaused", says()))
    });
    long.collect()
}

fn duties(pipeline: &Pipeline) -> Vec<Firing> {
    let mut firing = Vec::new();
    for duty in &pipeline.status.duties {
        match late_ms(duty, pipeline.status.at) {
            None => firing.push(ticket("GreamDutyLate", format!("no scheduler ever did {}", duty.duty))),
            Some(ms) => {
                let forgiven = if duty.duty == SLOW_DUTY.0 { SLOW_DUTY.1 } else { DUTY_LATE_MS };
                if ms > forgiven {
                    firing.push(ticket("GreamDutyLate", format!("{} is {} late", duty.duty, length(ms))));
                }
            }
        }
        if let Some(lag_ms) = duty.lag_ms.filter(|ms| *ms > DUTY_BEHIND_MS) {
            firing.push(ticket("GreamDutyBehind", format!("{} runs, but is {} behind", duty.duty, length(lag_ms))));
        }
    }
    firing
}

/// How much longer than planned it was not done well; nothing if it never was.
fn late_ms(duty: &DutyStatus, at: UnixMs) -> Option<i64> {
    let (last_run, next_run) = (duty.last_run_at?, duty.next_run_at?);
    let pause_ms = next_run.ms_since(last_run);
    Some(at.ms_since(duty.last_success_at?).saturating_sub(pause_ms))
}

#[cfg(test)]
mod tests {
    use super::{
        super::{BreakerNow, Flow},
        *,
    };
    use crate::{
        limits::{LastTurn, TurnedRole},
        status::{LiveAudit, RoleQueues, Status, Waiting},
    };
    use platform::role_limits::{RoleLimits, WorkerRole};

    const AT: UnixMs = UnixMs(1_000_000_000);

    fn well() -> Pipeline {
        let duty = |name: &str| DutyStatus {
            duty: name.to_owned(),
            last_run_at: Some(AT.plus_ms(-2_000)),
            last_success_at: Some(AT.plus_ms(-2_000)),
            next_run_at: Some(AT.plus_ms(3_000)),
            ..DutyStatus::default()
        };
        let roles = ["bid", "payment", "refund", "relay"];
        Pipeline {
            status: Status {
                at: AT,
                duties: vec![duty("stale_bids"), duty("compare_days")],
                queues: Some(roles.map(|role| (role, RoleQueues { waiting: 9, ..RoleQueues::default() })).into()),
                overdue_bids: Waiting::default(),
                outbox: Waiting { count: 3, oldest_ms: Some(200) },
                differences: 0,
                audit: LiveAudit::default(),
            },
            flows: roles.map(|role| (role, Flow { consumers: 1, ..Flow::default() })).into(),
            partitions: Vec::new(),
            breaker: BreakerNow { passes: true, told: "closed".into() },
            limits: Vec::new(),
            queues_unknown: None,
            firing: Vec::new(),
        }
    }

    fn fires(change: impl FnOnce(&mut Pipeline)) -> Vec<&'static str> {
        let mut pipeline = well();
        change(&mut pipeline);
        firing(&pipeline).iter().map(|firing| firing.alert).collect()
    }

    fn role<'a>(pipeline: &'a mut Pipeline, role: &str) -> &'a mut RoleQueues {
        pipeline.status.queues.as_mut().unwrap().get_mut(role).unwrap()
    }

    #[test]
    fn a_market_that_is_well_is_silent() {
        assert_eq!(fires(|_| ()), [""; 0]);
    }

    #[test]
    fn each_condition_names_its_alert() {
        assert_eq!(fires(|all| role(all, "refund").dead = 1), ["GreamDeadLetters"]);
        assert_eq!(fires(|all| role(all, "bid").unconsumed = 2), ["GreamQueueUnconsumed"]);
        assert_eq!(fires(|all| all.flows.get_mut("relay").unwrap().consumers = 0), ["GreamRoleMissing"]);
        assert_eq!(fires(|all| all.flows.get_mut("bid").unwrap().fullness = 0.9), ["GreamQueueFilling"]);
        assert_eq!(fires(|all| all.status.queues = None), ["GreamMonitorBlind"]);
        assert_eq!(fires(|all| all.status.outbox.oldest_ms = Some(31_000)), ["GreamOutboxLags"]);
        assert_eq!(fires(|all| all.status.overdue_bids.oldest_ms = Some(901_000)), ["GreamBidsOverdue"]);
        assert_eq!(fires(|all| all.status.differences = 1), ["GreamDifferences"]);
        assert_eq!(fires(|all| all.status.audit.findings = 1), ["GreamAuditFindings"]);
        assert_eq!(fires(|all| all.status.duties[0].last_run_at = None), ["GreamDutyLate"]);
        assert_eq!(fires(|all| all.status.duties[0].last_success_at = Some(AT.plus_ms(-70_000))), ["GreamDutyLate"]);
        assert_eq!(fires(|all| all.status.duties[1].last_success_at = Some(AT.plus_ms(-70_000))), [""; 0]);
        assert_eq!(fires(|all| all.status.duties[0].lag_ms = Some(601_000)), ["GreamDutyBehind"]);
    }

    #[test]
    fn a_paused_role_is_not_missing_and_after_an_hour_it_was_forgotten() {
        let paused_for = |ms: i64| {
            fires(|all| {
                all.flows.get_mut("bid").unwrap().consumers = 0;
                role(all, "bid").unconsumed = 2;
                let last = LastTurn { by: "boss".into(), why: "maintenance".into(), at: AT.plus_ms(-ms) };
                let limits = RoleLimits { is_paused: true, ..RoleLimits::default() };
                all.limits.push(TurnedRole { role: WorkerRole::Bid, limits, last: Some(last) });
            })
        };
        assert_eq!(paused_for(3_600_000), [""; 0]);
        assert_eq!(paused_for(3_600_001), ["GreamRolePaused"]);
    }

    #[test]
    fn while_the_breaker_is_open_payment_workers_rest_on_purpose() {
        let firing = fires(|all| {
            all.breaker.passes = false;
            all.flows.get_mut("payment").unwrap().consumers = 0;
            role(all, "payment").unconsumed = 1;
            role(all, "bid").dead = 1;
        });
        assert_eq!(firing, ["GreamTossAway", "GreamDeadLetters"], "the urgent one first");
    }
}
