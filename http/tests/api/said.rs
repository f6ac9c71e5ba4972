//! One request, one answer, over a socket of its own; nothing of a client in between, so
//! that requests may be as wrong as a test wants them.

use serde_json::Value;
use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A server that says nothing for so long has failed.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(1);

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Said {
    /// The header of this name, in lower case; it must not stand twice.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(header, _)| header == name).map(|(_, value)| value.as_str());
        let first = found.next();
        assert_eq!(found.next(), None, "{name} stands twice:\n{self}");
        first
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("no JSON ({error}):\n{self}"))
    }

    /// Reads an answer that is all here.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut head = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(length) = head.parse(bytes).ok()? else { return None };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let headers = head.headers.iter().map(|h| (h.name.to_ascii_lowercase(), text(h.value))).collect();
        Some(Self { status: head.code?, headers, body: bytes[length..].to_vec() })
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.status)?;
        for (name, value) in &self.headers {
            writeln!(f, "{name}: {value}")?;
        }
        write!(f, "\n{}", String::from_utf8_lossy(&self.body))
    }
}

/// Sends these bytes and reads until the server closes. The error says what came instead
/// of an answer.
pub(crate) fn exchange(address: SocketAddr, bytes: &[u8]) -> Result<Said, String> {
    let mut stream = TcpStream::connect(address).map_err(|error| error.to_string())?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT)).map_err(|error| error.to_string())?;
    // A server that has answered early may close before it has read everything.
    let sent = stream.write_all(bytes);
    let answer = read_to_close(&mut stream)?;
    Said::read(&answer).ok_or_else(|| format!("sent: {sent:?}; came: {:?}", String::from_utf8_lossy(&answer)))
}

/// What comes until the server closes the connection, orderly or not.
pub(crate) fn read_to_close(stream: &mut TcpStream) -> Result<Vec<u8>, String> {
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => Ok(answer),
        Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(answer),
        Err(error) => Err(format!("{error}; came: {:?}", String::from_utf8_lossy(&answer))),
    }
}
