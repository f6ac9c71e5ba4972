//! A small blocking client, for what is not load: making products, reading stock and orders,
//! and tests. One connection, kept alive; nothing is ever sent twice on its own account.

use crate::answer::{self, AnswerError, headers, parse};
use crate::request::Request;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A server that says nothing for so long is taken for dead.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(1);

/// Why there is no answer. After any of these but `Connect` the request may have had its effect.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nothing listens there.
    #[error("{address} cannot be reached")]
    Connect {
        /// Where to.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The connection broke, or the server was silent for too long.
    #[error("the connection broke before the answer was here")]
    Broken(#[source] std::io::Error),
    /// What came is not an answer.
    #[error("the answer is broken")]
    Answer(#[source] AnswerError),
    /// The body is not JSON.
    #[error("the answer's body is not JSON")]
    Json(#[source] serde_json::Error),
}

/// An answer with everything in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Header lines in their order; names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// The first header of this name, in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    pub fn json(&self) -> Result<serde_json::Value, ClientError> {
        serde_json::from_slice(&self.body).map_err(ClientError::Json)
    }

    /// The body as text, for messages.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// One connection to a server.
#[derive(Debug)]
pub struct Client {
    address: SocketAddr,
    stream: Option<TcpStream>,
}

impl Client {
    /// Connects at the first request.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, stream: None }
    }

    /// Where it sends to, as the `Host` header says it.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// Sends a request and awaits its answer, on a new connection if the old one was closed.
    pub fn send(&mut self, request: &Request) -> Result<Response, ClientError> {
        let mut stream = match self.stream.take().filter(is_open) {
            Some(stream) => stream,
            None => connect(self.address)?,
        };
        stream.write_all(request.bytes()).map_err(ClientError::Broken)?;
        let (response, close) = receive(&mut stream)?;
        if !close {
            self.stream = Some(stream);
        }
        Ok(response)
    }

    /// `GET path`.
    pub fn get(&mut self, path: &str, token: Option<&str>) -> Result<Response, ClientError> {
        let request = Request::to("GET", &self.host(), path);
        self.send(&match token {
            Some(token) => request.bearer(token).empty(),
            None => request.empty(),
        })
    }
}

pub(crate) fn connect(address: SocketAddr) -> Result<TcpStream, ClientError> {
    let open = || {
        let stream = TcpStream::connect_timeout(&address, ANSWER_TIMEOUT)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        Ok(stream)
    };
    open().map_err(|source| ClientError::Connect { address, source })
}

/// Whether the server has not closed the connection while it was idle.
pub(crate) fn is_open(stream: &TcpStream) -> bool {
    let silent = stream.set_nonblocking(true).is_ok()
        && stream.peek(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
    silent && stream.set_nonblocking(false).is_ok()
}

fn receive(stream: &mut TcpStream) -> Result<(Response, bool), ClientError> {
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Err(ClientError::Broken(ErrorKind::UnexpectedEof.into())),
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(ClientError::Broken(error)),
        }
        if let Some(parsed) = parse(&bytes).map_err(ClientError::Answer)? {
            let answer::Answer { status, body, .. } = parsed.answer(&bytes);
            let response = Response { status, headers: headers(&bytes), body: body.to_vec() };
            return Ok((response, parsed.close));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_connection_is_kept_and_a_closed_one_is_opened_anew() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let mut served = Vec::new();
            for requests in [2, 1] {
                let (mut stream, _) = listener.accept().unwrap();
                for _ in 0..requests {
                    served.push(stream.read(&mut [0; 1024]).unwrap() > 0);
                    stream.write_all(b"HTTP/1.1 200 OK\r\nETag: \"1\"\r\ncontent-length: 2\r\n\r\n{}").unwrap();
                }
            }
            served
        });
        let mut client = Client::new(address);
        for _ in 0..2 {
            let response = client.get("/", Some("token")).unwrap();
            assert_eq!((response.status, response.header("etag")), (200, Some("\"1\"")));
            assert_eq!(response.json().unwrap(), serde_json::json!({}));
        }
        // The server closes after two: wait until that can be seen, then ask again.
        while client.stream.as_ref().is_some_and(is_open) {
            std::thread::yield_now();
        }
        assert_eq!(client.get("/", None).unwrap().status, 200);
        assert_eq!(server.join().unwrap(), [true; 3]);
    }
}
