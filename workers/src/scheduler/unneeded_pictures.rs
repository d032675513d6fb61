//! Destroys pictures that nobody needs any more. Of gifticons: those of refused commands, of cancelled and expired offers,
//! and those that a client's retry left behind. Of products: those that were stored for one that was then refused.
//!
//! ```text
//! the gifticon's command     names this picture      then
//! has no row                 –                       kept, until no message of that age can be carried out any more
//! has not ended, suspended   –                       kept: it, or its dead letter, may still need it
//! discarded lately           –                       kept: that can be undone
//! ended                      no                      destroyed
//! ended                      yes: sold, or open      kept
//! ended                      yes: cancelled, expired destroyed, and marked so
//!
//! a product's picture        is named by a product   then
//! any                        yes                     kept
//! younger than a day         no                      kept: the request that stored it may be about to name it
//! older                      no                      destroyed: nobody else ever names it
//! ```
//! The store itself is the list of what to look at, one of its 257 folders a time: what is destroyed is not looked at again.
//! Nothing goes within the grace period after it was stored: whoever stored it may still be about to send its command again.
//! Ages are judged by the machine's clock, as the store's are, not by the market's, which a demo moves.
//! Promises: every reason to destroy is final, so nothing need be locked, any number of schedulers may do it, and after a
//! crash between mark and deed the deed is done next time. Doesn't: judge a picture that is not named as ours are, or see
//! that somebody wrote a picture's whole address into another product's row.

use super::{
    Scheduler,
    duty::{Done, Duty, DutyName},
};
use contracts::{CommandId, CommandState, UnixMs, dead_letter::DISCARDED_KEPT_MS};
use futures_util::TryStreamExt;
use platform::{
    Clock,
    database::within,
    pictures::{
        GIFTICON_FOLDERS, HomeError, Listing, PRODUCT_FOLDER, PictureStore, StoreError, Stored, command_of,
        gifticon_folder, is_home, product_name_of,
    },
};
use sqlx::{MySqlPool, QueryBuilder};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// Rows of `commands` live this long, longer than any dead letter: a command that has no row when it is older was never
/// accepted, or is over.
const INBOX_RETENTION_MS: i64 = 45 * 86_400_000;
/// A request that adds a product ends long before, whatever the store's clock says.
const PRODUCT_REQUEST_MS: i64 = 86_400_000;
/// Half written for so long: by a process that is no more.
const LEFTOVER_AGE: Duration = Duration::from_hours(24);
/// Gifticons', and behind them products'.
const FOLDERS: u32 = GIFTICON_FOLDERS + 1;

#[derive(Debug, thiserror::Error)]
enum SweepError {
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Home(#[from] HomeError),
}

/// How far the look has come.
struct Progress {
    folder: u32,
    /// Begun, and not read to its end.
    listing: Option<Listing>,
}

impl Progress {
    fn go_on(&mut self) {
        *self = Self { folder: (self.folder + 1) % FOLDERS, listing: None };
    }

    /// The next pictures of the folder, and whether they are its last.
    async fn next(&mut self, store: &PictureStore, most: usize) -> Result<(Vec<Stored>, bool), StoreError> {
        let folder = self.folder;
        let listing = self.listing.get_or_insert_with(|| store.list(&name_of(folder)));
        let mut stored = Vec::new();
        while stored.len() < most {
            match listing.try_next().await? {
                Some(found) => stored.push(found),
                None => return Ok((stored, true)),
            }
        }
        Ok((stored, false))
    }
}

fn name_of(folder: u32) -> String {
    if folder < GIFTICON_FOLDERS { gifticon_folder(folder) } else { PRODUCT_FOLDER.to_owned() }
}

pub(super) async fn run(scheduler: &Scheduler) {
    let mut duty = Duty::new(scheduler, DutyName::UnneededPictures, scheduler.config.scheduler.sweep_interval_ms);
    // Not always from the first folder: a scheduler that is often started anew comes to the last one too.
    let mut progress = Progress { folder: rand::random_range(0..FOLDERS), listing: None };
    while duty.begins().await {
        let swept = sweep(scheduler, &mut progress).await;
        match &swept {
            Ok((destroyed, _)) => metrics::counter!("gream_pictures_destroyed_total").increment(*destroyed),
            // The next folder's turn: one that always fails must not hide the others.
            Err(_) => progress.go_on(),
        }
        // A folder is read to its end, however full it is.
        let done = |(destroyed, last): (u64, bool)| Done {
            more_after: (!last).then_some(Duration::ZERO),
            ..Done::items(destroyed)
        };
        duty.ended(swept.map(done)).await;
    }
}

/// One look: how many were destroyed, and whether the folder's end was seen. Each time anew it makes sure that it is the right store: another installation's
/// pictures would all look unneeded.
async fn sweep(scheduler: &Scheduler, progress: &mut Progress) -> Result<(u64, bool), SweepError> {
    if !is_home(&scheduler.pictures, &scheduler.database).await? {
        return Ok((0, true));
    }
    let most = scheduler.config.scheduler.sweep_batch_max;
    let (stored, last) = progress.next(&scheduler.pictures, most).await?;
    let known = Known::of(scheduler, &stored).await?;
    let (now, grace_ms) = (Clock::system().now(), scheduler.config.scheduler.sweep_grace_ms);
    let unneeded: Vec<&Stored> = stored.iter().filter(|stored| known.may_destroy(stored, grace_ms, now)).collect();
    known.mark(scheduler, &unneeded, scheduler.clock.now()).await?;
    for stored in &unneeded {
        scheduler.pictures.delete(&stored.key).await?;
        tracing::debug!(key = stored.key, "an unneeded picture was destroyed");
    }
    if last {
        scheduler.pictures.remove_leftovers(&name_of(progress.folder), LEFTOVER_AGE).await?;
        progress.go_on();
    }
    Ok((unneeded.len() as u64, last))
}

/// A gifticon that names its picture.
struct Named {
    gifticon: i64,
    /// Its offer was cancelled or has expired.
    is_over: bool,
}

/// What the database knows about some pictures.
#[derive(Default)]
struct Known {
    ended: BTreeMap<CommandId, bool>,
    named: BTreeMap<String, Named>,
    /// Whoever has a gifticon of theirs, whatever became of their rows.
    brought: BTreeSet<CommandId>,
    /// Products' pictures that a product names.
    of_products: BTreeSet<String>,
}

impl Known {
    async fn of(scheduler: &Scheduler, stored: &[Stored]) -> Result<Self, sqlx::Error> {
        let commands: BTreeSet<CommandId> = stored.iter().filter_map(|stored| command_of(&stored.key)).collect();
        let names: Vec<&str> = stored.iter().filter_map(|stored| product_name_of(&stored.key)).collect();
        let mut known = Self::default();
        let limit = Duration::from_millis(scheduler.config.database.statement_timeout_ms);
        if !names.is_empty() {
            within(limit, known.read_products(&scheduler.database, &names)).await?;
        }
        if !commands.is_empty() {
            // Gifticons last: whoever has ended by then has brought what they bring.
            within(limit, known.read_commands(&scheduler.database, &commands, scheduler.clock.now())).await?;
            within(limit, known.read_gifticons(&scheduler.database, &commands)).await?;
        }
        Ok(known)
    }

    async fn read_commands(
        &mut self,
        database: &MySqlPool,
        commands: &BTreeSet<CommandId>,
        now: UnixMs,
    ) -> Result<(), sqlx::Error> {
        let mut read = QueryBuilder::new("SELECT command_id, state, updated_at_ms FROM commands WHERE command_id IN (");
        list(&mut read, commands);
        let rows: Vec<(Vec<u8>, String, i64)> = read.build_query_as().persistent(false).fetch_all(database).await?;
        for (id, state, updated_at) in rows {
            // A state that this build does not know is no end.
            let ended = state.parse().is_ok_and(|state| has_ended(state, UnixMs(updated_at), now));
            self.ended.extend(CommandId::from_slice(&id).map(|id| (id, ended)));
        }
        Ok(())
    }

    async fn read_gifticons(
        &mut self,
        database: &MySqlPool,
        commands: &BTreeSet<CommandId>,
    ) -> Result<(), sqlx::Error> {
        let mut read = QueryBuilder::new(
            "SELECT g.command_id, g.gifticon_id, g.picture_key, b.state FROM gifticons g
             LEFT JOIN bids b ON b.bid_id = g.bid_id WHERE g.command_id IN (",
        );
        list(&mut read, commands);
        let rows: Vec<(Vec<u8>, i64, String, Option<String>)> =
            read.build_query_as().persistent(false).fetch_all(database).await?;
        for (command, gifticon, key, state) in rows {
            let is_over = state.is_some_and(|state| state == "cancelled" || state == "expired");
            self.named.insert(key, Named { gifticon, is_over });
            self.brought.extend(CommandId::from_slice(&command));
        }
        Ok(())
    }

    async fn read_products(&mut self, database: &MySqlPool, names: &[&str]) -> Result<(), sqlx::Error> {
        let mut read = QueryBuilder::new("SELECT image_url FROM products WHERE image_url IN (");
        let mut values = read.separated(", ");
        for name in names {
            values.push_bind(*name);
        }
        read.push(")");
        self.of_products.extend(read.build_query_scalar().persistent(false).fetch_all(database).await?);
        Ok(())
    }

    fn may_destroy(&self, stored: &Stored, grace_ms: i64, now: UnixMs) -> bool {
        if now.ms_since(stored.stored_at) < grace_ms {
            return false;
        }
        if let Some(name) = product_name_of(&stored.key) {
            return !self.of_products.contains(name) && now.ms_since(stored.stored_at) > PRODUCT_REQUEST_MS;
        }
        // Another version named it: not ours to judge.
        let Some(command) = command_of(&stored.key) else { return false };
        if let Some(named) = self.named.get(&stored.key) {
            return named.is_over;
        }
        match self.ended.get(&command) {
            Some(ended) => *ended,
            None => self.brought.contains(&command) || now.ms_since(stored.stored_at) > INBOX_RETENTION_MS,
        }
    }

    /// Before the deed, so that no row promises a picture that is gone.
    async fn mark(&self, scheduler: &Scheduler, unneeded: &[&Stored], now: UnixMs) -> Result<(), sqlx::Error> {
        let gifticons: Vec<i64> =
            unneeded.iter().filter_map(|stored| self.named.get(&stored.key)).map(|named| named.gifticon).collect();
        if gifticons.is_empty() {
            return Ok(());
        }
        let mut update = QueryBuilder::new("UPDATE gifticons SET picture_swept_at_ms = ");
        update.push_bind(now.0).push(" WHERE gifticon_id IN (");
        let mut ids = update.separated(", ");
        for gifticon in gifticons {
            ids.push_bind(gifticon);
        }
        update.push(")");
        let limit = Duration::from_millis(scheduler.config.database.statement_timeout_ms);
        within(limit, update.build().persistent(false).execute(&scheduler.database)).await.map(drop)
    }
}

/// Whether nothing brings it back any more.
fn has_ended(state: CommandState, since: UnixMs, now: UnixMs) -> bool {
    state.is_final() && (state != CommandState::Discarded || now.ms_since(since) > DISCARDED_KEPT_MS)
}

fn list(query: &mut QueryBuilder<sqlx::MySql>, commands: &BTreeSet<CommandId>) {
    let mut ids = query.separated(", ");
    for command in commands {
        ids.push_bind(command.bytes().to_vec());
    }
    query.push(")");
}

#[cfg(test)]
mod tests {
    use super::*;
    use contracts::UserId;
    use platform::pictures::{gifticon_key, product_key};

    const NOW: UnixMs = UnixMs(1_800_000_000_000);

    #[test]
    fn what_was_discarded_lately_may_come_back() {
        let since = NOW.plus_ms(-DISCARDED_KEPT_MS);
        assert!(!has_ended(CommandState::Discarded, since, NOW));
        assert!(has_ended(CommandState::Discarded, since, NOW.plus_ms(1)));
        assert!(has_ended(CommandState::Rejected, NOW, NOW));
        assert!(!has_ended(CommandState::Suspended, UnixMs(0), NOW));
    }

    fn command(key: &str) -> CommandId {
        CommandId::derived(UserId(1), "sell", key)
    }

    fn stored(command: CommandId, days_ago: i64) -> Stored {
        Stored { key: gifticon_key(command, 7, "png"), stored_at: NOW.plus_ms(-days_ago * 86_400_000) }
    }

    fn known(command: CommandId, ended: Option<bool>, named: Option<bool>) -> Known {
        let named = named.map(|is_over| (stored(command, 0).key, Named { gifticon: 1, is_over }));
        Known {
            ended: ended.map(|ended| (command, ended)).into_iter().collect(),
            brought: named.iter().map(|_| command).collect(),
            named: named.into_iter().collect(),
            ..Known::default()
        }
    }

    #[test]
    fn a_picture_goes_only_when_nobody_can_need_it_any_more() {
        let it = command("it");
        for (ended, named, days_ago, destroyed) in [
            (None, None, 0, false),
            (None, None, 45, false),
            (None, None, 46, true),
            (Some(false), None, 400, false),
            (Some(true), None, 0, true),
            (Some(true), Some(false), 400, false),
            (Some(true), Some(true), 0, true),
            // The inbox has forgotten the command, the market has not.
            (None, Some(false), 400, false),
        ] {
            let found = known(it, ended, named).may_destroy(&stored(it, days_ago), 0, NOW);
            assert_eq!(found, destroyed, "{ended:?} {named:?} {days_ago}");
        }
    }

    #[test]
    fn whatever_it_is_it_stays_for_the_grace_period() {
        let it = command("it");
        let (known, stored) = (known(it, Some(true), Some(true)), stored(it, 0));
        assert!(!known.may_destroy(&stored, 1_000, NOW.plus_ms(999)));
        assert!(known.may_destroy(&stored, 1_000, NOW.plus_ms(1_000)));
    }

    #[test]
    fn what_a_retry_left_behind_goes_and_what_another_version_named_stays() {
        let it = command("it");
        let retried = Stored { key: gifticon_key(it, 8, "png"), stored_at: NOW };
        assert!(known(it, Some(true), Some(false)).may_destroy(&retried, 0, NOW));
        let former = Stored { key: "gifticons/ab/0123.png".to_owned(), stored_at: UnixMs(0) };
        assert!(!Known::default().may_destroy(&former, 0, NOW));
    }

    #[test]
    fn a_product_s_picture_goes_when_no_product_names_it_and_no_request_can_any_more() {
        let name = "0123456789abcdef0123456789abcdef.png";
        let named = Known { of_products: [name.to_owned()].into(), ..Known::default() };
        let stored = |days_ago: i64| Stored { key: product_key(name), stored_at: NOW.plus_ms(-days_ago * 86_400_000) };
        assert!(!named.may_destroy(&stored(400), 0, NOW));
        assert!(!Known::default().may_destroy(&stored(1), 0, NOW));
        assert!(Known::default().may_destroy(&stored(2), 0, NOW));
        let not_ours = Stored { key: product_key("logo.png"), stored_at: UnixMs(0) };
        assert!(!Known::default().may_destroy(&not_ours, 0, NOW));
    }
}
