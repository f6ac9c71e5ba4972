//! Waiting until a server answers: not only the port, but its first words.

use super::process::Process;
use super::{Kind, ServerError};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// How long a start may take, recovery after a kill included.
const START_LIMIT: Duration = Duration::from_secs(90);
const PAUSE: Duration = Duration::from_millis(20);
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// Waits until the server on `port` answers as its kind does.
pub(super) fn wait(kind: Kind, port: u16, process: &mut Process) -> Result<(), ServerError> {
    let since = Instant::now();
    while since.elapsed() < START_LIMIT {
        // First, so that another program on the port is not taken for ours.
        if process.ended()? {
            return Err(ServerError::Ended { kind: kind.name(), log: process.log_end() });
        }
        if answers(kind, port).unwrap_or(false) {
            return Ok(());
        }
        std::thread::sleep(PAUSE);
    }
    Err(ServerError::TooSlow {
        kind: kind.name(),
        what: "answer",
        seconds: START_LIMIT.as_secs(),
        log: process.log_end(),
    })
}

fn answers(kind: Kind, port: u16) -> std::io::Result<bool> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_LIMIT)?;
    stream.set_read_timeout(Some(ANSWER_LIMIT))?;
    match kind {
        Kind::MariaDb | Kind::MySql => {
            // A packet's header (three bytes of length, one of sequence), then version 10 of
            // the handshake; 255 would be an error instead.
            let mut greeting = [0; 5];
            stream.read_exact(&mut greeting)?;
            Ok(greeting[4] == 10)
        }
        Kind::Redis => {
            stream.write_all(b"PING\r\n")?;
            let mut pong = [0; 5];
            stream.read_exact(&mut pong)?;
            Ok(&pong == b"+PONG")
        }
    }
}
