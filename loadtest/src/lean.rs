//! The client for threads that buy: one write and one read for a request, into a buffer that is
//! kept; of the answer only what decides. It must never send a request twice: after an error
//! the request may have had its effect, and only its sender knows whether it may be repeated.

use crate::answer::{Answer, Parsed, parse};
use crate::client::{ClientError, connect, is_open};
use crate::request::Request;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Room for an answer, in bytes; grows for longer ones.
const BUFFER_BYTES: usize = 4 << 10;
/// A connection that was idle for longer is looked at before it is used: servers close what is
/// idle for seconds, and a request that is written then has an unknown outcome for nothing.
const TRUSTED: Duration = Duration::from_secs(1);

/// One connection to a server, kept alive.
#[derive(Debug)]
pub struct LeanClient {
    address: SocketAddr,
    stream: Option<TcpStream>,
    used: Instant,
    buffer: Vec<u8>,
    parsed: Option<Parsed>,
}

impl LeanClient {
    /// Connects at once: what a connection costs belongs before the clock.
    pub fn connect(address: SocketAddr) -> Result<Self, ClientError> {
        let stream = Some(connect(address)?);
        Ok(Self { address, stream, used: Instant::now(), buffer: vec![0; BUFFER_BYTES], parsed: None })
    }

    /// Sends a request and awaits its answer, on a new connection if the old one broke or was
    /// seen to be closed.
    pub fn send(&mut self, request: &Request) -> Result<Answer<'_>, ClientError> {
        let mut stream = match self.stream.take() {
            Some(stream) if self.used.elapsed() < TRUSTED || is_open(&stream) => stream,
            _ => connect(self.address)?,
        };
        stream.write_all(request.bytes()).map_err(ClientError::Broken)?;
        let (parsed, filled) = receive(&mut stream, &mut self.buffer)?;
        // What nobody asked for must not be taken for the next request's answer.
        if !parsed.close && parsed.len == filled {
            self.stream = Some(stream);
            self.used = Instant::now();
        }
        Ok(self.parsed.insert(parsed).answer(&self.buffer))
    }
}

/// Reads one answer to the start of `buffer`; it, and how many bytes came.
fn receive(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<(Parsed, usize), ClientError> {
    let mut filled = 0;
    loop {
        if filled == buffer.len() {
            buffer.resize(2 * filled, 0);
        }
        match stream.read(&mut buffer[filled..]) {
            Ok(0) => return Err(ClientError::Broken(ErrorKind::UnexpectedEof.into())),
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(ClientError::Broken(error)),
        }
        if let Some(parsed) = parse(&buffer[..filled]).map_err(ClientError::Answer)? {
            return Ok((parsed, filled));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use std::net::TcpListener;

    const ANSWER: &str = "HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\n{}";

    /// A server that answers each request of each connection with these pieces, one write each,
    /// and then closes the connection; and a client of it.
    fn serve(connections: Vec<Vec<Vec<String>>>) -> (std::thread::JoinHandle<usize>, LeanClient, Request) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let mut asked = 0;
            for requests in connections {
                let (mut stream, _) = listener.accept().unwrap();
                stream.set_nodelay(true).unwrap();
                for pieces in requests {
                    asked += usize::from(stream.read(&mut [0; 4096]).unwrap() > 0);
                    for piece in pieces {
                        stream.write_all(piece.as_bytes()).unwrap();
                    }
                }
            }
            asked
        });
        let request = Request::to("POST", &address.to_string(), "/v1/orders").json("{}");
        (server, LeanClient::connect(address).unwrap(), request)
    }

    #[test]
    fn an_answer_in_pieces_and_one_that_is_longer_than_the_buffer() {
        let bytes = ANSWER.bytes().map(|byte| char::from(byte).to_string()).collect();
        let long =
            format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{}", 3 * BUFFER_BYTES, "x".repeat(3 * BUFFER_BYTES));
        let (server, mut client, request) = serve(vec![vec![bytes, vec![long], vec![ANSWER.to_owned()]]]);
        let answer = client.send(&request).unwrap();
        assert_eq!((answer.status, answer.body), (201, &b"{}"[..]));
        let answer = client.send(&request).unwrap();
        assert_eq!((answer.status, answer.body.len()), (200, 3 * BUFFER_BYTES));
        // The long one is no part of what follows.
        assert_eq!(client.send(&request).unwrap().body, b"{}");
        assert_eq!(server.join().unwrap(), 3);
    }

    #[test]
    fn an_answer_that_nobody_asked_for_is_no_answer_to_the_next_request() {
        let unasked = "HTTP/1.1 409 Conflict\r\ncontent-length: 0\r\n\r\n";
        let (server, mut client, request) =
            serve(vec![vec![vec![format!("{ANSWER}{unasked}")]], vec![vec![ANSWER.to_owned()]]]);
        assert_eq!(client.send(&request).unwrap().status, 201);
        assert_eq!(client.send(&request).unwrap().status, 201);
        assert_eq!(server.join().unwrap(), 2);
    }

    #[test]
    fn a_connection_that_breaks_after_the_request_is_an_error_and_nothing_is_sent_twice() {
        let half = ANSWER[..20].to_owned();
        let (server, mut client, request) = serve(vec![vec![vec![half]], vec![vec![ANSWER.to_owned()]]]);
        assert!(matches!(client.send(&request), Err(ClientError::Broken(_))));
        // The next request is another one, on a new connection.
        assert_eq!(client.send(&request).unwrap().status, 201);
        assert_eq!(server.join().unwrap(), 2);
    }

    #[test]
    fn a_server_that_says_close_is_believed() {
        let last = "HTTP/1.1 201 Created\r\nconnection: close\r\ncontent-length: 0\r\n\r\n".to_owned();
        let (server, mut client, request) = serve(vec![vec![vec![last]], vec![vec![ANSWER.to_owned()]]]);
        assert_eq!(client.send(&request).unwrap().body, b"");
        assert_eq!(client.send(&request).unwrap().body, b"{}");
        assert_eq!(server.join().unwrap(), 2);
    }
}
