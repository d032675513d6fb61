//! What the page's calls work with.

use super::{Refusal, acts::Acts};
use crate::context::{Api, Shared};
use operator::{
    StatusError,
    dlq::DeadLetters,
    pipeline::{AskBreaker, Pipeline, Sight},
    trace::Tracer,
};
use platform::rabbitmq::{InvalidPage, ManagementPage};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{Mutex, OwnedMutexGuard},
    time::Instant,
};

/// One look at the pipeline serves everybody who asks within this.
const LOOK_AGE: Duration = Duration::from_secs(1);
/// Who wants to read dead letters while another call reads them waits so long.
const HAND_LIMIT: Duration = Duration::from_secs(20);

/// What only the workers' code knows, from whoever puts the processes together.
#[derive(Clone)]
pub struct Watched {
    /// What a scheduler should do.
    pub duties: Vec<&'static str>,
    /// Asks for the breaker.
    pub breaker: AskBreaker,
}

/// See the module's words.
pub(crate) struct Desk {
    pub(super) api: Shared,
    pub(super) letters: DeadLetters,
    pub(super) acts: Acts,
    sight: Sight,
    seen: Mutex<Option<(Instant, Arc<Pipeline>)>>,
    hand: Arc<Mutex<()>>,
}

/// The right to take dead letters in hand. What one call holds another would not see, so there is one for all of them.
pub(super) type Hand = OwnedMutexGuard<()>;

impl Desk {
    /// # Errors
    /// When `monitor.rabbitmq_page` is no address of RabbitMQ's page.
    pub(crate) fn new(api: Shared, watched: Watched) -> Result<Self, InvalidPage> {
        let config = &api.config;
        let page = Some(config.monitor.rabbitmq_page.expose()).filter(|page| !page.is_empty());
        let page = page.map(|page| ManagementPage::beside(page, config.rabbitmq.url.expose())).transpose()?;
        let sight = Sight {
            database: api.database.clone(),
            page,
            http: reqwest::Client::new(),
            duties: watched.duties,
            breaker: watched.breaker,
            clock: api.clock.clone(),
            partitions: api.partitions,
            limit: limit(&api),
        };
        let connections = (api.database.clone(), api.publisher.clone());
        let letters = DeadLetters::new(config, connections, api.partitions, &format!("{} operators", api.instance));
        Ok(Self { letters, sight, acts: Acts::default(), seen: Mutex::default(), hand: Arc::default(), api })
    }

    /// The pipeline, as it is or was a moment ago: any number of watchers cost one look.
    pub(super) async fn pipeline(&self) -> Result<Arc<Pipeline>, StatusError> {
        let mut seen = self.seen.lock().await;
        if let Some((_, pipeline)) = seen.as_ref().filter(|(at, _)| at.elapsed() < LOOK_AGE) {
            return Ok(pipeline.clone());
        }
        let pipeline = Arc::new(self.sight.look().await?);
        *seen = Some((Instant::now(), pipeline.clone()));
        Ok(pipeline)
    }

    /// Waits for the turn to take dead letters in hand; refused at once while an act has them.
    pub(super) async fn hand(&self) -> Result<Hand, Refusal> {
        if self.acts.is_one_under_way() {
            return Err(Refusal::busy("an act on dead letters is under way: wait until it has ended, or stop it"));
        }
        let turn = tokio::time::timeout(HAND_LIMIT, self.hand.clone().lock_owned()).await;
        turn.map_err(|_| Refusal::busy("somebody else reads the dead letters: try again"))
    }

    /// For a trace, which does not need the dead letters: it leaves them out while they are in another's hand.
    pub(super) fn tracer(&self) -> (Tracer, Option<Hand>) {
        let hand = self.hand.clone().try_lock_owned().ok();
        let tracer = Tracer {
            database: self.api.database.clone(),
            limit: limit(&self.api),
            dead_letters: hand.as_ref().map(|_| self.letters.clone()),
            partitions: self.api.partitions,
        };
        (tracer, hand)
    }
}

fn limit(api: &Api) -> Duration {
    Duration::from_millis(api.config.database.statement_timeout_ms)
}
