//! `loadtest plain`, as a script would run it: its exit code says whether the server answered.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::net::TcpListener;
use std::process::Command;

#[test]
fn a_server_that_answers_nothing_is_a_failure() {
    // The kernel accepts connections for it; nobody reads what they send.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    for pace in [&[][..], &["--rate", "100"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_loadtest"));
        command.args(["plain", "--address", &address, "--clients", "2", "--warmup", "0", "--seconds", "0.1"]);
        let output = command.args(["--patience", "0.1"]).args(pace).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(said.contains("unanswered at the end 2"), "{said}");
    }
}
