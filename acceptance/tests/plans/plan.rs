//! How the server would carry a statement out. What `EXPLAIN` looks like on MySQL and on MariaDB is known here alone.

use super::crowd::Tables;
use sqlx::{AssertSqlSafe, MySqlPool, Row, mysql::MySqlRow};
use std::fmt;

/// An index that is read in order up to a limit reads less than this share of its table.
const SHARE_OF_A_SCAN: u64 = 10;

/// One line of a plan: how one table is read.
#[derive(Clone, Debug)]
pub struct Access {
    pub table: String,
    /// `const`, `ref`, `range`, …; `ALL` and `index` read a whole table or index, unless a limit ends it.
    kind: String,
    key: String,
    rows: u64,
    table_rows: u64,
}

/// See the module's words.
pub struct Plan(Vec<Access>);

impl Plan {
    pub async fn of(database: &MySqlPool, tables: &Tables, statement: &str) -> Self {
        let explain = AssertSqlSafe(format!("EXPLAIN FORMAT = TRADITIONAL {statement}"));
        let lines = sqlx::raw_sql(explain).fetch_all(database).await;
        let lines = lines.unwrap_or_else(|error| panic!("{error}: {statement}"));
        let words: Vec<&str> = statement.split(|c: char| !(c.is_alphanumeric() || c == '_')).collect();
        Self(lines.iter().filter_map(|line| access(line, tables, &words)).collect())
    }

    pub fn scans(&self) -> impl Iterator<Item = &Access> {
        self.0.iter().filter(|access| access.is_scan())
    }
}

impl Access {
    fn is_scan(&self) -> bool {
        self.kind == "ALL" || self.kind == "index" && self.rows > self.table_rows / SHARE_OF_A_SCAN
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { table, kind, key, rows, table_rows } = self;
        write!(f, "{table}: {kind} by '{key}', {rows} of {table_rows} rows")
    }
}

/// `None` for what is no read of a table: rows that are inserted, constants, unions, and what other lines have made.
fn access(line: &MySqlRow, tables: &Tables, words: &[&str]) -> Option<Access> {
    if text(line, "select_type") == "INSERT" {
        return None;
    }
    let table = table_of(&text(line, "table"), tables, words)?;
    let table_rows = tables[&table];
    Some(Access { table, kind: text(line, "type"), key: text(line, "key"), rows: number(line, "rows"), table_rows })
}

/// A plan names the alias. In the statement it stands behind its table, with or without `AS`.
fn table_of(alias: &str, tables: &Tables, words: &[&str]) -> Option<String> {
    if tables.contains_key(alias) {
        return Some(alias.to_owned());
    }
    let words: Vec<_> = words.iter().filter(|word| !word.is_empty() && **word != "AS").collect();
    let pair = words.windows(2).find(|pair| *pair[1] == alias && tables.contains_key(*pair[0]));
    match pair {
        Some(pair) => Some((*pair[0]).to_owned()),
        None if alias.is_empty() || alias.starts_with('<') || alias == "w" => None,
        None => panic!("which table is {alias}? {words:?}"),
    }
}

/// Empty for NULL.
fn text(line: &MySqlRow, column: &str) -> String {
    line.try_get_unchecked::<Option<String>, _>(column).expect(column).unwrap_or_default()
}

/// MariaDB gives the number as text; both are the same over the text protocol.
fn number(line: &MySqlRow, column: &str) -> u64 {
    text(line, column).parse().unwrap_or_default()
}
