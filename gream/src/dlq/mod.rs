//! `gream dlq` and `gream trace`: parsed, asked of `operator`, and shown.

pub mod arguments;
mod bar;
mod show;

use arguments::{DlqTask, Filters, Signature};
use bar::Bar;
use contracts::{CommandId, PartitionCount, UnixMs, topology::Topology};
use operator::{
    dlq::{Actor, DeadLetters, DlqError, Filter, LetterId},
    trace::{Subject, Tracer},
};
use platform::{Clock, Config, Shutdown, config::TelemetryConfig, database, rabbitmq::Publisher};
use serde::Serialize;
use serde_json::Value;
use sqlx::MySqlPool;
use std::{path::Path, process::ExitCode, time::Duration};

type Failure = Box<dyn std::error::Error>;

/// What the tasks work with.
struct Desk {
    letters: DeadLetters,
    database: MySqlPool,
    limit: Duration,
    partitions: PartitionCount,
    now: UnixMs,
    stop: Shutdown,
}

impl Desk {
    async fn open() -> Result<Self, Failure> {
        let config = Config::load()?;
        // What goes wrong behind the scenes, and nothing else: the answer is what was asked for.
        platform::telemetry::start_logging(&TelemetryConfig { log_filter: "warn".into(), ..config.telemetry.clone() });
        let partitions =
            PartitionCount::new(config.partitions.count).ok_or("partitions.count must be between 1 and 256")?;
        let database = database::pool(&config.database)?;
        // Before anything is declared at the broker: with a wrong number it would be queues that nobody reads.
        database::check_installation(&database, partitions).await?;
        let stop = Shutdown::new();
        stop.on_signals(Duration::ZERO)?;
        let ladder = config.payment_worker.ladder().ok_or("payment_worker.ladder_ms is no ladder")?;
        let name = format!("dlq-{}", std::process::id());
        let topology = Topology::new(partitions, &ladder);
        let publisher = Publisher::start(config.rabbitmq.clone(), topology, name.clone(), &stop);
        platform::halt::arm(&config.test);
        Ok(Self {
            letters: DeadLetters::new(&config, (database.clone(), publisher), partitions, &name),
            database,
            limit: Duration::from_millis(config.database.statement_timeout_ms),
            partitions,
            now: Clock::configured(&config.clock).now(),
            stop,
        })
    }

    fn filter(&self, filters: Filters, must_say: bool) -> Result<Filter, Failure> {
        let all = filters.all;
        let filter = filters.at(self.now);
        if must_say && !all && filter.means_everything() {
            return Err(DlqError::Everything.into());
        }
        Ok(filter)
    }
}

/// `gream dlq`
pub async fn run(task: DlqTask) -> Result<ExitCode, Failure> {
    let desk = Desk::open().await?;
    match task {
        DlqTask::List { filter, json } => {
            let listing = desk.letters.list(&desk.filter(filter, false)?).await?;
            tell(json, &listing, || show::listing(&listing))
        }
        DlqTask::Show { id, json } => {
            let shown = desk.letters.show(id).await?;
            tell(json, &shown, || show::letters(&shown))
        }
        DlqTask::Replay { filter, dry_run: true, json, .. } => {
            let dry_run = desk.letters.dry_run(&desk.filter(filter, false)?).await?;
            tell(json, &dry_run, || show::dry_run(&dry_run))
        }
        DlqTask::Replay { filter, rate, signature, json, .. } => {
            let (filter, actor) = (desk.filter(filter, true)?, actor(&signature)?);
            let bar = Bar::new("replaying");
            let replayed = desk.letters.replay(&filter, &actor, rate, bar.sender(), &desk.stop).await;
            bar.finish();
            let replayed = replayed?;
            tell(json, &replayed, || show::replayed(&replayed))
        }
        DlqTask::Edit { id, body, set, kind, signature } => {
            let actor = actor(&signature)?;
            let body = new_body(&desk, id, body.as_deref(), &set).await?;
            let edited = desk.letters.edit(id, kind.map(contracts::Kind::as_str), &body, &actor).await?;
            tell(false, &edited, || show::edited(&edited))
        }
        DlqTask::Discard { filter, signature, json } => {
            let (filter, actor) = (desk.filter(filter, true)?, actor(&signature)?);
            let bar = Bar::new("discarding");
            let discarded = desk.letters.discard(&filter, &actor, bar.sender(), &desk.stop).await;
            bar.finish();
            let discarded = discarded?;
            tell(json, &discarded, || show::discarded("discarded", &discarded))
        }
        DlqTask::Restore { id, signature } => {
            let restored = desk.letters.restore(id, &actor(&signature)?).await?;
            tell(false, &restored, || show::discarded("restored", &restored))
        }
        DlqTask::Actions { at_most, json } => {
            let actions = desk.letters.actions(at_most).await?;
            tell(json, &actions, || show::actions(&actions))
        }
    }
}

/// `gream trace`
pub async fn trace(subject: &Subject, json: bool) -> Result<ExitCode, Failure> {
    let desk = Desk::open().await?;
    let tracer = Tracer {
        database: desk.database,
        limit: desk.limit,
        dead_letters: Some(desk.letters),
        partitions: desk.partitions,
    };
    let trace = tracer.trace(subject).await?;
    tell(json, &trace, || trace.to_string())
}

fn actor(signature: &Signature) -> Result<Actor, DlqError> {
    Actor::new(signature.who.as_deref().unwrap_or_default(), signature.why.as_deref().unwrap_or_default())
}

fn tell(json: bool, value: &impl Serialize, text: impl FnOnce() -> String) -> Result<ExitCode, Failure> {
    if json {
        println!("{}", serde_json::to_string_pretty(value)?);
    } else {
        println!("{}", text().trim_end());
    }
    Ok(ExitCode::SUCCESS)
}

/// The body from a file, or the present one with some fields set.
async fn new_body(desk: &Desk, id: CommandId, file: Option<&Path>, set: &[String]) -> Result<Value, Failure> {
    if let Some(file) = file {
        let text = if file == Path::new("-") {
            std::io::read_to_string(std::io::stdin())?
        } else {
            std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?
        };
        return serde_json::from_str(&text).map_err(|error| format!("the new body is no JSON: {error}").into());
    }
    let shown = desk.letters.show(LetterId::Command(id)).await?;
    let newest = shown.iter().max_by_key(|shown| shown.letter.revision).ok_or("no such letter")?;
    let mut message: Value = serde_json::from_slice(&newest.letter.body)?;
    let mut body = message["body"].take();
    set.iter().try_for_each(|assignment| assign(&mut body, assignment))?;
    Ok(body)
}

/// `a.b=VALUE`, where VALUE is JSON, or else text.
fn assign(body: &mut Value, assignment: &str) -> Result<(), String> {
    let (field, value) = assignment.split_once('=').ok_or_else(|| format!("{assignment:?} is no FIELD=VALUE"))?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
    let place = field.split('.').try_fold(body, |place, name| {
        let fields = place.as_object_mut().ok_or_else(|| format!("{field}: {name} is a field of nothing"))?;
        Ok::<_, String>(fields.entry(name).or_insert(Value::Null))
    })?;
    *place = value;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_field_is_set_to_json_or_else_to_text() {
        let mut body = json!({"price": 1, "picture": {"key": "a"}});
        for assignment in ["price=500", "picture.key=b/c", "coupon=null", "bids=[1,2]"] {
            assign(&mut body, assignment).unwrap();
        }
        assert_eq!(body, json!({"price": 500, "picture": {"key": "b/c"}, "coupon": null, "bids": [1, 2]}));
        assert!(assign(&mut body, "price").is_err());
        assert!(assign(&mut body, "price.x=1").is_err());
    }
}
