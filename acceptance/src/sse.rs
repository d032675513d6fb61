//! A client of server-sent events, like a browser's.

use crate::{Visitor, wait::PATIENCE};
use serde_json::Value;

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub id: Option<i64>,
    pub name: String,
    pub data: Value,
}

/// An open stream.
pub struct Stream {
    response: reqwest::Response,
    unread: String,
}

impl Stream {
    /// Opens it; `after` is the number of the last event that the client has.
    pub async fn open(visitor: &Visitor, path: &str, after: Option<i64>) -> Self {
        let mut request = visitor.request("GET", path);
        if let Some(after) = after {
            request = request.header("Last-Event-ID", after);
        }
        let response = request.send().await.expect("the API answers");
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self::of(response)
    }

    /// The body of an answer that was 200.
    pub fn of(response: reqwest::Response) -> Self {
        Self { response, unread: String::new() }
    }

    /// The next event; `None` once the stream has ended.
    pub async fn next(&mut self) -> Option<Event> {
        tokio::time::timeout(PATIENCE, self.read()).await.expect("an event, or the end")
    }

    async fn read(&mut self) -> Option<Event> {
        loop {
            while let Some((block, rest)) = self.unread.split_once("\n\n") {
                let event = parse(block);
                let rest = rest.len();
                self.unread.drain(..self.unread.len() - rest);
                if event.is_some() {
                    return event;
                }
            }
            let chunk = self.response.chunk().await.ok().flatten()?;
            self.unread.push_str(std::str::from_utf8(&chunk).expect("UTF-8, in whole events"));
        }
    }

    /// The next event of this name and its data; others are passed over.
    pub async fn next_of(&mut self, name: &str) -> Value {
        loop {
            let event = self.next().await.unwrap_or_else(|| panic!("the stream ended before {name}"));
            if event.name == name {
                return event.data;
            }
        }
    }

    /// The numbers of the next `count` events that have one and are no `ready`.
    pub async fn numbers(&mut self, count: usize) -> Vec<i64> {
        let mut numbers = Vec::with_capacity(count);
        while numbers.len() < count {
            let event = self.next().await.unwrap_or_else(|| panic!("the stream ended after {numbers:?}"));
            numbers.extend(event.id.filter(|_| event.name != "ready"));
        }
        numbers
    }
}

/// An event, or nothing where there is only a comment.
fn parse(block: &str) -> Option<Event> {
    let field =
        |name: &str| block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim_start);
    let data = serde_json::from_str(field("data")?).expect("JSON");
    Some(Event { id: field("id").map(|id| id.parse().expect("a number")), name: field("event")?.to_owned(), data })
}
