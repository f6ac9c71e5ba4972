//! One keep-alive connection: writes what it is given, reads one answer at a time.

use crate::answer::{AnswerError, Parsed, parse};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// A loopback server that does not accept within this time is not going to.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The connection could not be opened anew.
    #[error("the connection could not be opened")]
    Connect(#[source] std::io::Error),
    /// The server closed the connection before it had answered.
    #[error("the server closed the connection without an answer")]
    Closed,
    /// Reading or writing failed.
    #[error("the connection broke")]
    Broken(#[source] std::io::Error),
    /// Bytes came that no request had asked for, or more than the answer.
    #[error("the server sent bytes that nobody asked for")]
    Unasked,
    /// What came is not an answer.
    #[error("the answer is broken")]
    Answer(#[source] AnswerError),
}

/// Where a connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Open, nothing under way.
    Idle,
    /// A request is under way.
    Waiting,
    /// Its request will be sent again later.
    Pausing,
    /// Its next request is due later.
    Thinking,
    /// It sends nothing more.
    Done,
}

/// One connection.
pub(super) struct Connection {
    /// None after a failure, until it is opened anew.
    pub(super) stream: Option<TcpStream>,
    pub(super) standing: Standing,
    /// When the request under way was sent first, or was due.
    pub(super) since: Instant,
    /// What has come of an answer that is not all here yet.
    inbox: Vec<u8>,
    /// What the socket did not take of a request.
    outbox: Vec<u8>,
}

/// What reading brought.
pub(super) enum Got {
    /// Nothing, or not all of an answer.
    Nothing,
    /// A whole answer; its bytes are in the scratch buffer up to the answer's end, or in the inbox.
    Whole { parsed: Parsed, in_inbox: bool },
}

/// Opens a socket that does not block and does not delay small writes.
pub(super) fn open(address: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, CONNECT_TIMEOUT)?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}

impl Connection {
    pub(super) fn new(stream: TcpStream, now: Instant) -> Self {
        Self { stream: Some(stream), standing: Standing::Idle, since: now, inbox: Vec::new(), outbox: Vec::new() }
    }

    /// Writes a request; what the socket does not take is kept and written when it has room.
    pub(super) fn send(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let Some(mut stream) = self.stream.as_ref() else { return Err(Failure::Closed) };
        let taken = match stream.write(bytes) {
            Ok(taken) => taken,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(error) => return Err(Failure::Broken(error)),
        };
        if taken < bytes.len() {
            self.outbox.extend_from_slice(&bytes[taken..]);
        }
        Ok(())
    }

    /// Writes what was kept, as far as the socket takes it.
    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        let Some(mut stream) = self.stream.as_ref() else { return Ok(()) };
        while !self.outbox.is_empty() {
            match stream.write(&self.outbox) {
                Ok(taken) => drop(self.outbox.drain(..taken)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(Failure::Broken(error)),
            }
        }
        Ok(())
    }

    /// Reads an answer. Reading stops at a whole answer: the server has nothing more to say until
    /// the next request, so the read that would only find the socket empty is saved.
    pub(super) fn receive(&mut self, scratch: &mut [u8]) -> Result<Got, Failure> {
        let Some(mut stream) = self.stream.as_ref() else { return Ok(Got::Nothing) };
        loop {
            let count = match stream.read(scratch) {
                Ok(0) => return Err(Failure::Closed),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Got::Nothing),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(Failure::Broken(error)),
            };
            let in_inbox = !self.inbox.is_empty();
            let bytes = if in_inbox {
                self.inbox.extend_from_slice(&scratch[..count]);
                &self.inbox[..]
            } else {
                &scratch[..count]
            };
            if let Some(parsed) = parse(bytes).map_err(Failure::Answer)? {
                if parsed.len != bytes.len() {
                    return Err(Failure::Unasked);
                }
                return Ok(Got::Whole { parsed, in_inbox });
            }
            if !in_inbox {
                self.inbox.extend_from_slice(&scratch[..count]);
            }
        }
    }

    /// The bytes of an answer that did not come in one piece.
    pub(super) fn inbox(&self) -> &[u8] {
        &self.inbox
    }

    /// Makes ready for the next answer.
    pub(super) fn clear_inbox(&mut self) {
        self.inbox.clear();
    }

    /// Closes the socket and forgets what was under way on it.
    pub(super) fn close(&mut self) {
        self.stream = None;
        self.inbox.clear();
        self.outbox.clear();
    }
}
