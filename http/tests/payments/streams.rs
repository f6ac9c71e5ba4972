//! How long a stream of events lives, and how many there are.

use crate::till::{PATIENCE, Till, read_to_end, read_until};
use crate::world::{Request, Who, get};
use std::io::Read as _;
use std::time::{Duration, Instant};

fn events(id: &str, who: Who) -> Request {
    get(format!("/v1/orders/{id}/events"), who)
}

#[test]
fn a_stream_ends_with_its_readers_token() {
    let till = Till::open(&[]);
    let id = till.order(1);
    // A machine so slow that the token was over when it came gets one that is good for longer.
    for seconds in [2, 8, 32] {
        let token = format!("Bearer {}", till.world.brief_token(seconds));
        let mut stream = till.streamed(&events(&id, Who::Nobody).header("authorization", &token));
        let said = read_to_end(&mut stream);
        if said.starts_with("HTTP/1.1 200") {
            assert!(said.contains("event:order_placed") && said.ends_with("0\r\n\r\n"), "{said}");
            return;
        }
        assert!(said.starts_with("HTTP/1.1 401"), "{said}");
    }
    panic!("no token was good for long enough");
}

#[test]
fn a_customer_has_so_many_streams_and_takes_none_from_others() {
    const EACH: usize = 16;
    let till = Till::open(&[]);
    let id = till.order(1);
    let mut streams: Vec<_> = (0..EACH).map(|_| till.stream(&id, 0)).collect();
    for stream in &mut streams {
        read_until(stream, "order_placed");
    }
    let answer = read_to_end(&mut till.streamed(&events(&id, Who::Kim)));
    let said = till.world.judge(&events(&id, Who::Kim), answer.as_bytes());
    assert_eq!((said.status, &said.json()["code"]), (503, &"too_many_streams".into()), "{said}");
    assert_eq!(said.json()["limit"], EACH, "{said}");
    read_until(&mut till.streamed(&events(&id, Who::Admin)), "order_placed");
    // Who leaves makes room, once the shop has noticed.
    streams.pop();
    let by = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < by, "the place of a reader who left is not free");
        let mut stream = till.stream(&id, 0);
        let mut status = [0; 12];
        stream.read_exact(&mut status).unwrap();
        match &status {
            b"HTTP/1.1 200" => break,
            b"HTTP/1.1 503" => std::thread::sleep(Duration::from_millis(20)),
            other => panic!("{}", String::from_utf8_lossy(other)),
        }
    }
}
