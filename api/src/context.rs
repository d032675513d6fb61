//! What every handler works with.

use crate::{
    Dependencies, ServeError,
    auth::{passwords::Passwords, sessions::Sessions, tokens::Tokens},
    commands::{vanished::Accepted, waiters::Waiters},
    envelope::Failure,
    notifications::{self, hub::Hub},
    pictures::Intake,
    products::{self, known::KnownProducts, stream::Watchers},
    request::{
        places::Places,
        upload::{MAX_UPLOADS, MAX_UPLOADS_OF_A_USER},
    },
    signature::Signer,
    users::kakao::Kakao,
};
use contracts::{PartitionCount, UserId};
use ipnet::IpNet;
use platform::{
    Clock, Config, Shutdown,
    cipher::{AccountCipher, BarcodeHasher},
    counters::Counters,
    database::Reads,
    pictures::PictureStore,
    rabbitmq::Publisher,
    user_streams::UserStreams,
};
use sqlx::MySqlPool;
use std::{sync::Arc, time::Duration};
use uuid::Uuid;

/// Handed to every handler.
pub(crate) type Shared = Arc<Api>;

/// One instance of the API.
pub(crate) struct Api {
    /// Its name: workers publish outcomes to it.
    pub(crate) instance: String,
    pub(crate) config: Arc<Config>,
    pub(crate) clock: Clock,
    pub(crate) database: MySqlPool,
    /// Where queries are read; what decides or changes something asks `database`.
    pub(crate) reads: Reads,
    pub(crate) publisher: Publisher,
    pub(crate) pictures: PictureStore,
    pub(crate) shutdown: Shutdown,
    pub(crate) partitions: PartitionCount,
    pub(crate) cipher: AccountCipher,
    pub(crate) barcodes: BarcodeHasher,
    pub(crate) signer: Signer,
    pub(crate) tokens: Tokens,
    pub(crate) passwords: Passwords,
    pub(crate) sessions: Sessions,
    pub(crate) counters: Counters,
    /// Whose `X-Forwarded-For` is believed.
    pub(crate) proxies: Vec<IpNet>,
    /// Nothing while login by Kakao is off.
    pub(crate) kakao: Option<Kakao>,
    pub(crate) products: KnownProducts,
    pub(crate) waiters: Arc<Waiters>,
    pub(crate) accepted: Accepted,
    pub(crate) uploads: Places,
    pub(crate) intake: Intake,
    /// Open streams of notifications.
    pub(crate) hub: Arc<Hub>,
    pub(crate) user_streams: UserStreams,
    /// Open streams of products.
    pub(crate) watchers: Arc<Watchers>,
}

impl Api {
    pub(crate) fn new(dependencies: Dependencies) -> Result<Self, ServeError> {
        let Dependencies { config, clock, database, publisher, pictures, shutdown, watched: _ } = dependencies;
        Ok(Self {
            instance: format!("api-{}", Uuid::from_u128(rand::random())),
            partitions: PartitionCount::new(config.partitions.count).ok_or(ServeError::PartitionCount)?,
            cipher: AccountCipher::new(config.account_cipher.key.expose()).ok_or(ServeError::CipherKey)?,
            barcodes: BarcodeHasher::new(config.account_cipher.key.expose()).ok_or(ServeError::CipherKey)?,
            signer: Signer::new(&config.auth.address_secret)?,
            tokens: Tokens::new(&config.auth),
            passwords: Passwords::new(config.auth.max_password_hashes).map_err(|_| ServeError::Passwords)?,
            sessions: Sessions::new(config.http.max_in_flight),
            counters: Counters::new(config.redis.clone()),
            proxies: config.http.proxies().unwrap_or_default(),
            kakao: Kakao::configured(&config.kakao)?,
            products: KnownProducts::new(),
            waiters: Arc::new(Waiters::new(config.http.max_in_flight)),
            accepted: Accepted::default(),
            uploads: Places::new(MAX_UPLOADS, MAX_UPLOADS_OF_A_USER),
            reads: Reads::new(&config, database.clone())?,
            intake: Intake::new(&config.pictures),
            hub: notifications::hub::hub(&config.notifications),
            user_streams: UserStreams::new(config.redis.clone(), database.clone()),
            watchers: products::stream::watchers(&config.product_streams),
            config,
            clock,
            database,
            publisher,
            pictures,
            shutdown,
        })
    }

    /// Reads for `user`, or for somebody unknown, from where that may be read; likewise bounded.
    pub(crate) async fn read<T, F>(&self, user: Option<UserId>, query: impl Fn(MySqlPool) -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, sqlx::Error>>,
    {
        self.within(self.reads.read(user, query)).await
    }

    /// Gives up on `work` after `database.statement_timeout_ms`: then, as when the database is away, 503.
    pub(crate) async fn within<T, E: Into<Failure>>(
        &self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Failure> {
        let limit = Duration::from_millis(self.config.database.statement_timeout_ms);
        let Ok(result) = tokio::time::timeout(limit, work).await else {
            tracing::warn!("the database did not answer within database.statement_timeout_ms");
            return Err(Failure::away());
        };
        result.map_err(Into::into)
    }
}
