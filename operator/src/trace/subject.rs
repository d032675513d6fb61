//! What is traced, and which commands it leads to.

use super::{MAX_COMMANDS, TraceError};
use crate::{
    dlq::{invalid, signed},
    moment::utc,
};
use contracts::{CommandId, UnixMs};
use sqlx::MySqlPool;
use std::{collections::BTreeSet, fmt, str::FromStr};

/// Longest order id.
const MAX_ORDER_ID: usize = 64;

/// What is traced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A command.
    Command(CommandId),
    /// A bid.
    Bid(u64),
    /// A trade.
    Order(u64),
    /// A charge, by its order id.
    Payment(String),
    /// A refund.
    Refund(u64),
    /// A user.
    User(u64),
    /// A number alone: a bid, a trade, a refund or a user.
    Number(u64),
}

/// Not the name of anything that is traced.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} names nothing: write a command's id, bid:N, order:N, refund:N, user:N or payment:ORDER_ID (a number or an order id \
     alone will do where it is clear)"
)]
pub struct UnknownSubject(String);

impl FromStr for Subject {
    type Err = UnknownSubject;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || UnknownSubject(text.chars().take(80).collect());
        let number = |digits: &str| digits.parse::<u64>().map_err(|_| wrong());
        if let Ok(command) = text.parse() {
            return Ok(Self::Command(command));
        }
        match text.split_once(':') {
            Some(("command", id)) => id.parse().map(Self::Command).map_err(|_| wrong()),
            Some(("bid", id)) => number(id).map(Self::Bid),
            Some(("order", id)) => number(id).map(Self::Order),
            Some(("refund", id)) => number(id).map(Self::Refund),
            Some(("user", id)) => number(id).map(Self::User),
            Some(("payment", id)) if is_order_id(id) => Ok(Self::Payment(id.to_owned())),
            None if text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() => {
                number(text).map(Self::Number)
            }
            None if is_order_id(text) => Ok(Self::Payment(text.to_owned())),
            _ => Err(wrong()),
        }
    }
}

fn is_order_id(text: &str) -> bool {
    (6..=MAX_ORDER_ID).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::Command(id) => write!(f, "command:{id}"),
            Subject::Bid(id) => write!(f, "bid:{id}"),
            Subject::Order(id) => write!(f, "order:{id}"),
            Subject::Payment(id) => write!(f, "payment:{id}"),
            Subject::Refund(id) => write!(f, "refund:{id}"),
            Subject::User(id) => write!(f, "user:{id}"),
            Subject::Number(id) => write!(f, "{id}"),
        }
    }
}

/// A subject that exists, with its commands, oldest first.
pub(super) struct Found {
    pub(super) subject: Subject,
    pub(super) about: Vec<String>,
    pub(super) commands: Vec<CommandId>,
}

/// Everything that a name may mean.
pub(super) struct Candidates {
    asked: Subject,
    found: Vec<Found>,
}

impl Candidates {
    pub(super) fn into_one(mut self) -> Result<Found, TraceError> {
        match (self.found.len(), &self.asked) {
            (0, _) => Err(TraceError::Unknown(self.asked)),
            (2.., Subject::Number(number)) => Err(TraceError::Ambiguous {
                number: *number,
                choices: self.found.iter().map(|found| found.subject.to_string()).collect(),
            }),
            _ => Ok(self.found.swap_remove(0)),
        }
    }
}

pub(super) async fn find(database: &MySqlPool, asked: &Subject) -> Result<Candidates, sqlx::Error> {
    let found = match asked {
        // A command may have no row yet, so every id has a life.
        Subject::Command(id) => {
            vec![Found { subject: asked.clone(), about: Vec::new(), commands: vec![*id] }]
        }
        Subject::Bid(id) => bid(database, *id).await?.into_iter().collect(),
        Subject::Order(id) => order(database, *id).await?.into_iter().collect(),
        Subject::Payment(id) => payment(database, id).await?.into_iter().collect(),
        Subject::Refund(id) => refund(database, *id).await?.into_iter().collect(),
        Subject::User(id) => user(database, *id).await?.into_iter().collect(),
        Subject::Number(id) => {
            let mut all = Vec::new();
            all.extend(bid(database, *id).await?);
            all.extend(order(database, *id).await?);
            all.extend(refund(database, *id).await?);
            all.extend(user(database, *id).await?);
            // An order id of a charge may consist of digits alone.
            all.extend(payment(database, &id.to_string()).await?);
            all
        }
    };
    Ok(Candidates { asked: asked.clone(), found })
}

async fn bid(database: &MySqlPool, id: u64) -> Result<Option<Found>, sqlx::Error> {
    let found = sqlx::query!(
        "SELECT side, product_id, user_id, price, hold, state, placed_at_ms, deadline_ms, command_id FROM bids
         WHERE bid_id = ?",
        signed(id)
    )
    .fetch_optional(database)
    .await?;
    let Some(row) = found else { return Ok(None) };
    let mut commands = vec![command_id(&row.command_id)?];
    // Cancelling, expiring and trading release what it held.
    commands.extend(booked_for(database, row.user_id, &format!("bid:{id}")).await?);
    let traded = sqlx::query!(
        "SELECT order_id, command_id FROM orders WHERE buy_bid_id = ? UNION ALL
         SELECT order_id, command_id FROM orders WHERE sell_bid_id = ?",
        signed(id),
        signed(id)
    )
    .fetch_all(database)
    .await?;
    let mut about = vec![format!(
        "{} bid of user {} for product {} at {} won (holds {}), {}; placed {}, ends {}",
        row.side,
        row.user_id,
        row.product_id,
        row.price,
        row.hold,
        row.state,
        utc(UnixMs(row.placed_at_ms)),
        utc(UnixMs(row.deadline_ms))
    )];
    for order in traded {
        about.push(format!("traded as order {}", order.order_id));
        commands.push(command_id(&order.command_id)?);
    }
    Ok(Some(Found { subject: Subject::Bid(id), about, commands: each_once(commands) }))
}

async fn order(database: &MySqlPool, id: u64) -> Result<Option<Found>, sqlx::Error> {
    let found = sqlx::query!(
        "SELECT product_id, buyer_id, seller_id, buy_bid_id, sell_bid_id, price, final_price, command_id, traded_at_ms
         FROM orders WHERE order_id = ?",
        signed(id)
    )
    .fetch_optional(database)
    .await?;
    let Some(row) = found else { return Ok(None) };
    let mut commands = Vec::new();
    for bid in [row.buy_bid_id, row.sell_bid_id].into_iter().flatten() {
        let placed =
            sqlx::query_scalar!("SELECT command_id FROM bids WHERE bid_id = ?", bid).fetch_optional(database).await?;
        commands.extend(placed.as_deref().map(command_id).transpose()?);
    }
    commands.push(command_id(&row.command_id)?);
    let bid = |id: Option<i64>| id.map_or_else(|| "at once".to_owned(), |id| format!("by bid {id}"));
    let about = vec![format!(
        "product {}: user {} sold ({}) to user {} ({}) at {} won, paid {}, {}",
        row.product_id,
        row.seller_id,
        bid(row.sell_bid_id),
        row.buyer_id,
        bid(row.buy_bid_id),
        row.price,
        row.final_price,
        utc(UnixMs(row.traded_at_ms))
    )];
    Ok(Some(Found { subject: Subject::Order(id), about, commands: each_once(commands) }))
}

async fn payment(database: &MySqlPool, id: &str) -> Result<Option<Found>, sqlx::Error> {
    let found = sqlx::query!(
        "SELECT user_id, amount, state, payment_key, command_id, attempt, cancelled_amount, reversed_amount, failure_code,
                created_at_ms
         FROM payments WHERE order_id = ?",
        id
    )
    .fetch_optional(database)
    .await?;
    let Some(row) = found else { return Ok(None) };
    let mut commands: Vec<CommandId> = row.command_id.as_deref().map(command_id).transpose()?.into_iter().collect();
    commands.extend(booked_for(database, row.user_id, id).await?);
    let about = vec![format!(
        "charge of user {} over {} won, {} since the request of {}; payment key {}, {} idempotency keys, {} cancelled, {} \
         reversed{}",
        row.user_id,
        row.amount,
        row.state,
        utc(UnixMs(row.created_at_ms)),
        row.payment_key.as_deref().unwrap_or("none"),
        row.attempt,
        row.cancelled_amount,
        row.reversed_amount,
        row.failure_code.map_or_else(String::new, |code| format!("; last refusal {code}"))
    )];
    Ok(Some(Found { subject: Subject::Payment(id.to_owned()), about, commands: each_once(commands) }))
}

async fn refund(database: &MySqlPool, id: u64) -> Result<Option<Found>, sqlx::Error> {
    let found = sqlx::query!(
        "SELECT user_id, amount, state, command_id, decision_id, created_at_ms FROM refunds WHERE refund_id = ?",
        signed(id)
    )
    .fetch_optional(database)
    .await?;
    let Some(row) = found else { return Ok(None) };
    let mut commands = vec![command_id(&row.command_id)?];
    commands.extend(row.decision_id.as_deref().map(command_id).transpose()?);
    let mut about = vec![format!(
        "refund of user {} over {} won, {}; asked for {}",
        row.user_id,
        row.amount,
        row.state,
        utc(UnixMs(row.created_at_ms))
    )];
    let legs = sqlx::query!(
        "SELECT leg_no, route, order_id, amount, state, attempt, failure_code, command_id FROM refund_legs
         WHERE refund_id = ? ORDER BY leg_no",
        signed(id)
    )
    .fetch_all(database)
    .await?;
    for leg in legs {
        about.push(format!(
            "leg {}: {} of {} won{}, {}{}",
            leg.leg_no,
            leg.route,
            leg.amount,
            leg.order_id.map_or_else(String::new, |order| format!(" of charge {order}")),
            leg.state,
            leg.failure_code.map_or_else(String::new, |code| format!("; last refusal {code}"))
        ));
        commands.push(command_id(&leg.command_id)?);
    }
    Ok(Some(Found { subject: Subject::Refund(id), about, commands: each_once(commands) }))
}

/// Of a user's commands those that moved points, placed a bid, or are about a charge or a refund: the inbox has no index
/// by user, because every command would pay for it.
async fn user(database: &MySqlPool, id: u64) -> Result<Option<Found>, sqlx::Error> {
    let found =
        sqlx::query!("SELECT nickname, role, created_at_ms, withdrawn_at_ms FROM users WHERE user_id = ?", signed(id))
            .fetch_optional(database)
            .await?;
    let Some(row) = found else { return Ok(None) };
    let points = sqlx::query!("SELECT available, held FROM balances WHERE user_id = ?", signed(id))
        .fetch_optional(database)
        .await?;
    let most = u32::try_from(MAX_COMMANDS).unwrap_or(u32::MAX);
    let mut commands = Vec::new();
    let booked = sqlx::query_scalar!(
        "SELECT command_id FROM ledger_entries WHERE user_id = ? ORDER BY entry_id DESC LIMIT ?",
        signed(id),
        most
    );
    commands.extend(booked.fetch_all(database).await?);
    let placed = sqlx::query_scalar!(
        "SELECT command_id FROM bids WHERE user_id = ? ORDER BY bid_id DESC LIMIT ?",
        signed(id),
        most
    );
    commands.extend(placed.fetch_all(database).await?);
    let charged = sqlx::query_scalar!(
        r#"SELECT command_id AS "command_id!" FROM payments WHERE user_id = ? AND command_id IS NOT NULL
           ORDER BY created_at_ms DESC LIMIT ?"#,
        signed(id),
        most
    );
    commands.extend(charged.fetch_all(database).await?);
    let refunded = sqlx::query_scalar!(
        "SELECT command_id FROM refunds WHERE user_id = ? ORDER BY refund_id DESC LIMIT ?",
        signed(id),
        most
    );
    commands.extend(refunded.fetch_all(database).await?);
    let commands = commands.iter().map(|id| command_id(id)).collect::<Result<Vec<_>, _>>()?;
    let about = vec![
        format!("{} ({}), since {}", row.nickname, row.role, utc(UnixMs(row.created_at_ms))),
        match (points, row.withdrawn_at_ms) {
            (Some(points), _) => format!("{} points available, {} held", points.available, points.held),
            (None, Some(at)) => format!("has left, {}", utc(UnixMs(at))),
            (None, None) => "has no balance: run `gream audit`".to_owned(),
        },
        "commands that were refused, or changed neither points nor bids, are not found by their user".to_owned(),
    ];
    // Each table's latest ones; together they may be a little more than a trace has room for.
    Ok(Some(Found { subject: Subject::User(id), about, commands: oldest_first(database, commands).await? }))
}

async fn oldest_first(database: &MySqlPool, commands: Vec<CommandId>) -> Result<Vec<CommandId>, sqlx::Error> {
    let mut dated = Vec::new();
    for id in each_once(commands) {
        let accepted = sqlx::query_scalar!("SELECT accepted_at_ms FROM commands WHERE command_id = ?", &id.bytes()[..])
            .fetch_optional(database)
            .await?;
        dated.push((accepted, id));
    }
    dated.sort_unstable();
    Ok(dated.into_iter().map(|(_, id)| id).collect())
}

/// The commands that booked something for a user with this reference.
async fn booked_for(database: &MySqlPool, user: i64, reference: &str) -> Result<Vec<CommandId>, sqlx::Error> {
    let most = u32::try_from(MAX_COMMANDS).unwrap_or(u32::MAX);
    let found = sqlx::query_scalar!(
        "SELECT command_id FROM ledger_entries WHERE user_id = ? AND reference = ? ORDER BY entry_id LIMIT ?",
        user,
        reference,
        most
    )
    .fetch_all(database)
    .await?;
    found.iter().map(|id| command_id(id)).collect()
}

fn each_once(commands: Vec<CommandId>) -> Vec<CommandId> {
    let mut seen = BTreeSet::new();
    commands.into_iter().filter(|id| seen.insert(*id)).collect()
}

fn command_id(bytes: &[u8]) -> Result<CommandId, sqlx::Error> {
    CommandId::from_slice(bytes).ok_or_else(|| invalid("a command id is 16 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_named_by_its_kind_or_by_what_it_looks_like() {
        let id = "0190aaaa-bbbb-7ccc-8ddd-eeeeeeeeeeee";
        for name in [id.to_owned(), format!("command:{id}")] {
            assert_eq!(name.parse(), Ok(Subject::Command(id.parse().unwrap())));
        }
        for (name, subject) in [
            ("bid:258", Subject::Bid(258)),
            ("order:7", Subject::Order(7)),
            ("refund:1", Subject::Refund(1)),
            ("user:2", Subject::User(2)),
            ("payment:order-1", Subject::Payment("order-1".into())),
            ("order-1", Subject::Payment("order-1".into())),
            ("17", Subject::Number(17)),
        ] {
            assert_eq!(name.parse(), Ok(subject.clone()));
            assert!(subject == Subject::Payment("order-1".into()) || subject.to_string() == name);
        }
        for wrong in ["", "x", "bid:x", "bid:", "cow:1", "payment:a b", "order:-1", "' OR 1"] {
            assert!(wrong.parse::<Subject>().is_err(), "{wrong}");
        }
    }
}
