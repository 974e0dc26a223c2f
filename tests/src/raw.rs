//! Requests byte by byte, for what no decent client sends.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A connection to the edge.
#[derive(Debug)]
pub struct Raw {
    stream: TcpStream,
}

/// A response, as text.
#[derive(Clone, Debug, Default)]
pub struct RawAnswer {
    /// Status code; 0 if none came.
    pub status: u16,
    /// Everything that came.
    pub text: String,
}

impl RawAnswer {
    fn read(text: String) -> Self {
        let status = text.split_whitespace().nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        Self { status, text }
    }

    /// What follows the head.
    pub fn body(&self) -> &str {
        self.text.split_once("\r\n\r\n").map_or("", |(_, body)| body)
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(self.body()).unwrap_or_default()
    }
}

/// Longest wait for bytes.
const PATIENCE: Duration = Duration::from_secs(60);

impl Raw {
    /// Connects.
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap_or_else(|error| panic!("cannot connect: {error}"));
        let _ = stream.set_nodelay(true);
        Self { stream }
    }

    /// Sends bytes. The other side may have closed already, which is for the answer to tell.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let _ = self.stream.write_all(bytes.as_ref()).await;
        let _ = self.stream.flush().await;
        self
    }

    /// Reads until this text came, or the connection ended.
    pub async fn read_until(&mut self, mark: &str) -> String {
        let mut all = Vec::new();
        let mut part = vec![0; 16 << 10];
        loop {
            let text = String::from_utf8_lossy(&all).into_owned();
            if text.contains(mark) {
                return text;
            }
            match tokio::time::timeout(PATIENCE, self.stream.read(&mut part)).await {
                Ok(Ok(count)) if count > 0 => all.extend_from_slice(&part[..count]),
                Ok(_) => return text,
                Err(_) => panic!("nothing more came for a minute; so far: {text:?}"),
            }
        }
    }

    /// Reads one whole response, or what comes before the end of the connection.
    pub async fn answer(&mut self) -> RawAnswer {
        let mut all = Vec::new();
        let mut part = vec![0; 16 << 10];
        loop {
            let text = String::from_utf8_lossy(&all).into_owned();
            if is_whole(&text) {
                return RawAnswer::read(text);
            }
            match tokio::time::timeout(PATIENCE, self.stream.read(&mut part)).await {
                Ok(Ok(count)) if count > 0 => all.extend_from_slice(&part[..count]),
                Ok(_) => return RawAnswer::read(text),
                Err(_) => panic!("no whole answer came for a minute; so far: {text:?}"),
            }
        }
    }
}

fn is_whole(text: &str) -> bool {
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    length.is_some_and(|length| body.len() >= length)
}

/// One request, one response.
pub async fn exchange(address: SocketAddr, bytes: impl AsRef<[u8]>) -> RawAnswer {
    Raw::connect(address).await.send(bytes).await.answer().await
}
