//! The server's general log, as a table: every statement that its clients send, values included.

use super::shape;
use acceptance::Servers;
use sqlx::{Row, raw_sql};
use std::collections::BTreeMap;

/// See the module's words.
pub struct Record;

impl Record {
    /// From now on statements are recorded; earlier ones are forgotten.
    pub async fn begin(servers: &Servers) {
        set(servers, "SET GLOBAL general_log = 0; SET GLOBAL log_output = 'TABLE'; TRUNCATE TABLE mysql.general_log; SET GLOBAL general_log = 1").await;
    }

    /// What the application's user sent since, one statement for each shape: the longest, which asks most of a plan.
    pub async fn take(servers: &Servers) -> BTreeMap<String, String> {
        let mut administrator = servers.database_administrator().await;
        // Bytes, because parameters may be any.
        let sql = "SELECT CAST(argument AS BINARY) FROM mysql.general_log \
                   WHERE command_type IN ('Query', 'Execute') AND user_host LIKE 'gream%'";
        let rows = raw_sql(sql).fetch_all(&mut administrator).await.expect("the general log");
        let mut longest: BTreeMap<String, String> = BTreeMap::new();
        for row in rows {
            let packet: Vec<u8> = row.try_get(0).expect("a statement");
            let packet = String::from_utf8_lossy(&packet);
            for statement in shape::statements(&packet).into_iter().filter(|statement| has_a_plan(statement)) {
                let known = longest.entry(shape::of(statement)).or_default();
                if known.len() < statement.len() {
                    statement.clone_into(known);
                }
            }
        }
        longest
    }

    /// Back to the server's defaults.
    pub async fn end(servers: &Servers) {
        set(servers, "SET GLOBAL general_log = 0; SET GLOBAL log_output = 'FILE'; TRUNCATE TABLE mysql.general_log")
            .await;
    }
}

async fn set(servers: &Servers, sql: &'static str) {
    raw_sql(sql).execute(&mut servers.database_administrator().await).await.expect("an administrator may");
}

/// Statements about the market's rows; the harness itself looks into the server's lists.
fn has_a_plan(statement: &str) -> bool {
    ["SELECT", "INSERT", "UPDATE", "DELETE"].iter().any(|verb| statement.starts_with(verb))
        && !statement.to_ascii_lowercase().contains("information_schema")
}
