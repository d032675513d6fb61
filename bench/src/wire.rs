//! The cheapest HTTP client there is: one keep-alive connection, requests that are bytes already, and of an answer only
//! its status and body. The load shares two cores with what it measures.

use crate::Failure;
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// One connection.
pub(crate) struct Wire {
    stream: TcpStream,
    received: Vec<u8>,
}

/// What was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) body: &'a [u8],
}

/// Where in the received bytes an answer lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    retry_after: Option<Duration>,
    body_at: usize,
    length: usize,
}

impl Wire {
    pub(crate) async fn connect(address: &str) -> Result<Self, Failure> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, received: Vec::with_capacity(4096) })
    }

    /// Sends `request`, and reads its answer.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> Result<Answer<'_>, Failure> {
        self.received.clear();
        self.stream.write_all(request).await?;
        loop {
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Err("the server ended the connection".into());
            }
            let Some(head) = head(&self.received)? else { continue };
            let end = head.body_at + head.length;
            while self.received.len() < end {
                if self.stream.read_buf(&mut self.received).await? == 0 {
                    return Err("the server ended the connection within an answer".into());
                }
            }
            let Head { status, retry_after, .. } = head;
            return Ok(Answer { status, retry_after, body: &self.received[head.body_at..end] });
        }
    }
}

/// One `GET`, on a connection of its own.
pub(crate) async fn get(address: &str, path: &str) -> Result<(u16, Vec<u8>), Failure> {
    let mut wire = Wire::connect(address).await?;
    let answer = wire.ask(format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes()).await?;
    Ok((answer.status, answer.body.to_vec()))
}

/// `None` while the head is not whole.
fn head(received: &[u8]) -> Result<Option<Head>, Failure> {
    let Some(end) = received.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(&received[..end])?;
    let status = text.get(9..12).ok_or("no status")?.parse()?;
    let field = |wanted: &str| {
        let mut fields = text.lines().filter_map(|line| line.split_once(':'));
        fields.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.trim())
    };
    let length = field("content-length").ok_or("an answer without a length")?.parse()?;
    let retry_after = field("retry-after").and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
    Ok(Some(Head { status, retry_after, body_at: end + 4, length }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_its_status_and_its_length() {
        let bytes = b"HTTP/1.1 202 Accepted\r\ncontent-type: x\r\nContent-Length: 5\r\n\r\nhello";
        assert_eq!(
            head(bytes).unwrap(),
            Some(Head { status: 202, retry_after: None, body_at: bytes.len() - 5, length: 5 })
        );
        assert_eq!(head(&bytes[..30]).unwrap(), None);
        let later = head(b"HTTP/1.1 503 No\r\nretry-after: 2\r\ncontent-length: 0\r\n\r\n").unwrap().unwrap();
        assert_eq!((later.status, later.retry_after), (503, Some(Duration::from_secs(2))));
        assert!(head(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
    }
}
