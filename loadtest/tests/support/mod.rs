//! A toy shop's server: reads requests, hands them to a closure, one at a time, and sends what it answers.
//! Knows nothing of shops.

#![allow(dead_code, reason = "not every test looks at everything that was asked")]

use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A request.
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    /// The value of `Authorization`.
    pub(crate) token: String,
    pub(crate) key: String,
    /// `null` where there was none.
    pub(crate) body: Value,
}

/// Status and body; none closes the connection without an answer, as a process does that dies.
pub(crate) type Answer = Option<(u16, Value)>;

/// Serves until the test's process ends. 503 comes with `Retry-After: 0`.
pub(crate) fn serve(answer: impl FnMut(&Asked) -> Answer + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answer = Arc::new(Mutex::new(answer));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let answer = Arc::clone(&answer);
            std::thread::spawn(move || while_open(stream.unwrap(), &*answer));
        }
    });
    address
}

fn while_open(mut stream: TcpStream, answer: &Mutex<impl FnMut(&Asked) -> Answer>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    while let Some(asked) = read(&mut reader) {
        let Some((status, body)) = (*answer.lock().unwrap())(&asked) else { return };
        let body = body.to_string();
        let retry = if status == 503 { "Retry-After: 0\r\n" } else { "" };
        let answer = format!("HTTP/1.1 {status} x\r\n{retry}Content-Length: {}\r\n\r\n{body}", body.len());
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn read(reader: &mut impl BufRead) -> Option<Asked> {
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return None;
        }
        if line == "\r\n" {
            break;
        }
        head.push(line.trim().to_owned());
    }
    let field = |name: &str| {
        let found = head.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        found.unwrap_or("").to_owned()
    };
    let mut body = vec![0; field("Content-Length").parse().unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    let mut words = head[0].split(' ').map(str::to_owned);
    let (method, path) = (words.next().unwrap(), words.next().unwrap());
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    Some(Asked { method, path, token: field("Authorization"), key: field("Idempotency-Key"), body })
}
