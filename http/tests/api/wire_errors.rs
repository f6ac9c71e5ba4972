//! What is wrong below the API: requests that are no HTTP, bodies that do not come.

use crate::said::{exchange, read_to_close};
use crate::world::{Who, World, lines_of, order, post};
use std::io::Write;
use std::net::{Shutdown, TcpStream};

/// What hyper answers before a request exists: the status alone, as the document says.
fn check(world: &World, bytes: &[u8], status: u16) {
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
    let said = exchange(world.address(), bytes).unwrap_or_else(|error| panic!("{shown}: {error}"));
    assert_eq!(said.status, status, "{shown}\n{said}");
    assert!(said.body.is_empty(), "{said}");
}

#[test]
fn what_is_no_request_is_refused_with_its_status() {
    let world = World::start(&[]);
    world.product("apple", 1, 10);
    let before = world.everything(&[]);
    for bad in [
        "GARBAGE\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "GET /a b HTTP/1.1\r\nhost: shop\r\n\r\n",
        "POST /v1/orders HTTP/1.1\r\nhost: shop\r\ncontent-length: x\r\n\r\n",
        "POST /v1/orders HTTP/1.1\r\nhost: shop\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        "GET / HTTP/1.1\r\nbad header: x\r\n\r\n",
        "GET / HTTP/1.1\r\nname: a\u{0}b\r\n\r\n",
        "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\u{0}\u{1}\r\n\r\n",
    ] {
        check(&world, bad.as_bytes(), 400);
    }
    let line = format!("GET /{} HTTP/1.1\r\nhost: shop\r\n\r\n", "a".repeat(60_000));
    check(&world, line.as_bytes(), 431);
    let many = "x: y\r\n".repeat(200);
    check(&world, format!("GET /healthz HTTP/1.1\r\n{many}\r\n").as_bytes(), 431);
    for bytes in [60_000, 1_000_000] {
        let huge = format!("GET /healthz HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(bytes));
        check(&world, huge.as_bytes(), 431);
    }
    assert_eq!(world.everything(&[]), before);
}

#[test]
fn a_long_head_and_the_longest_body_are_taken() {
    let world = World::start(&[]);
    world.product("apple", 1, 10);
    let lines = lines_of(&[("apple", 1)]);
    let body = format!("{lines}{}", " ".repeat(64 * 1024 - lines.len()));
    let long = post("/v1/orders", Who::Kim).key("long").header("x", &"y".repeat(24_000)).json(body);
    world.check(&long, 201, "");
}

#[test]
fn a_body_that_does_not_come_changes_nothing() {
    let world = World::start(&[]);
    world.product("apple", 1, 10);
    let before = world.everything(&[]);
    // Whole JSON, but the length says that more comes; the sender falls silent.
    let silent = post("/v1/orders", Who::Kim).key("cut").json(lines_of(&[("apple", 1)])).cut_short();
    world.check(&silent, 400, "body_cut_short");
    // The sender closes its side in the middle.
    let head = format!(
        "POST /v1/orders HTTP/1.1\r\nhost: shop\r\nauthorization: Bearer {}\r\nidempotency-key: cut\r\n\
         content-type: application/json\r\n",
        world.token(Who::Kim).unwrap()
    );
    for body in ["content-length: 100\r\n\r\n{\"lines\":", "transfer-encoding: chunked\r\n\r\n5\r\n{\"lin\r\n"] {
        let mut stream = TcpStream::connect(world.address()).unwrap();
        stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let answer = String::from_utf8(read_to_close(&mut stream).unwrap()).unwrap();
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer}");
    }
    assert_eq!(world.everything(&[]), before);
    world.check(&order("cut", &[("apple", 1)]), 201, "");
}
