//! 503: nothing happened, or ask again with the same key; each with its `Retry-After`.

use crate::said::read_to_close;
use crate::world::{Who, World, get, order, post};
use std::io::{Read, Write};
use std::net::TcpStream;

#[test]
fn out_of_credits_is_overloaded_and_nothing_happened() {
    // Each round sends so many orders at once that one credit cannot be enough for all; a
    // machine that answers each before the next arrives gets more rounds.
    const AT_ONCE: usize = 64;
    const ROUNDS: usize = 50;
    let world = World::start(&[("SON7_ORDERS_MAX", "1"), ("SON7_PARTITIONS", "1")]);
    world.product("apple", 1, 1_000_000);
    let (mut placed, mut refused) = (0, 0);
    for round in 0..ROUNDS {
        let mut streams: Vec<_> = (0..AT_ONCE).map(|_| TcpStream::connect(world.address()).unwrap()).collect();
        for (at, stream) in streams.iter_mut().enumerate() {
            let placing = order(&format!("{round}-{at}"), &[("apple", 1)]);
            stream.write_all(&world.bytes(&placing)).unwrap();
        }
        for (at, mut stream) in streams.into_iter().enumerate() {
            let answer = read_to_close(&mut stream).unwrap();
            let placing = order(&format!("{round}-{at}"), &[("apple", 1)]);
            let said = world.judge(&placing, &answer);
            if said.status == 201 {
                placed += 1;
            } else {
                assert_eq!((said.status, &said.json()["code"]), (503, &"overloaded".into()), "{said}");
                refused += 1;
            }
        }
        if refused > 0 {
            break;
        }
    }
    assert!(placed > 0 && refused > 0, "{placed} placed, {refused} refused");
    let stock = world.check(&get("/v1/products/apple", Who::Nobody), 200, "").json();
    assert_eq!(stock["stock"]["held"], placed);
}

#[test]
fn while_the_database_is_away_lists_are_503_and_selling_goes_on() {
    // Nothing listens on port 1 of the loopback.
    let world = World::start(&[("SON7_DATABASE_URL", "mysql://shop@127.0.0.1:1/shop")]);
    world.product("apple", 1, 10);
    let id = world.placed("one", &[("apple", 1)]);
    world.check(&get("/v1/orders", Who::Kim), 503, "database_unavailable");
    world.check(&get(format!("/v1/orders/{id}"), Who::Kim), 200, "");
    world.check(&get("/v1/products", Who::Kim), 200, "");
    world.check(&post(format!("/v1/orders/{id}/cancel"), Who::Kim), 200, "");
    let unknown = "00000000-0000-7000-8000-000000000000";
    world.check(&get(format!("/v1/orders/{unknown}"), Who::Kim), 503, "database_unavailable");
}

#[test]
fn a_stopping_shop_says_that_it_is_not_ready() {
    let mut world = World::start(&[]);
    let address = world.address();
    // A request that is half here keeps its connection, and with it the process, while
    // everything else drains.
    let mut stream = TcpStream::connect(address).unwrap();
    let head = b"GET /readyz HTTP/1.1\r\nhost: shop\r\nexpect: 100-continue\r\ncontent-length: 1\r\n\r\n";
    stream.write_all(head).unwrap();
    // The server asks for the body: it has the head.
    let mut interim = [0; 25];
    stream.read_exact(&mut interim).unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    let program = world.program.take().unwrap();
    program.signal(rustix::process::Signal::TERM);
    // Nobody is accepted any more once the signal has been seen.
    while TcpStream::connect(address).is_ok() {
        std::thread::yield_now();
    }
    stream.write_all(b"x").unwrap();
    let answer = read_to_close(&mut stream).unwrap();
    let said = world.judge(&get("/readyz", Who::Nobody), &answer);
    assert_eq!((said.status, &said.json()["code"]), (503, &"not_ready".into()), "{said}");
}
