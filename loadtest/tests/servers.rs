//! Each server starts, answers on its port, keeps its data over a kill, and is gone after
//! its value is.

#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

use son7shop_loadtest::servers::{self, Server};
use std::net::TcpStream;

fn connects(server: &Server) -> bool {
    TcpStream::connect(("127.0.0.1", server.port())).is_ok()
}

fn check(mut server: Server) {
    assert!(connects(&server));
    let (port, pid) = (server.port(), server.pid().unwrap());
    server.kill().unwrap();
    assert!(!connects(&server), "killed, yet it answers");
    assert_eq!(server.pid(), None);
    server.start_again().unwrap();
    assert_eq!(server.port(), port);
    assert_ne!(server.pid().unwrap(), pid);
    assert!(connects(&server));
    server.stop().unwrap();
    assert!(!connects(&server));
    server.start_again().unwrap();
    let pid = server.pid().unwrap();
    drop(server);
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
}

#[test]
fn mariadb_starts_dies_and_comes_back() {
    check(servers::mariadb().unwrap());
}

#[test]
fn mysql_starts_dies_and_comes_back() {
    if let Some(server) = servers::mysql_or_say_so("mysql_starts_dies_and_comes_back").unwrap() {
        check(server);
    }
}

#[test]
fn redis_starts_dies_and_comes_back() {
    check(servers::redis().unwrap());
}

#[test]
fn two_servers_of_one_kind_do_not_meet() {
    let (one, other) = (servers::redis().unwrap(), servers::redis().unwrap());
    assert_ne!(one.port(), other.port());
    assert_ne!(one.url(), other.url());
}
