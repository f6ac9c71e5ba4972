//! The program while it opens the shop: it says that it lives, and that it does not sell yet.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::io::Read as _;
use std::net::{Ipv4Addr, TcpListener};
use std::process::Stdio;
use support::{Caller, Place, code, until};

/// A database that takes the connection and then says nothing holds the opening up.
#[test]
fn who_asks_while_the_shop_opens_is_told_so_and_served_afterwards() {
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    // Free for as long as nobody else asks the kernel for a port.
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let mut place = Place::new(2);
    place.set("SON7_LISTEN", &free.to_string());
    place.set("SON7_DATABASE_URL", &format!("mysql://shop:none@{}/shop", silent.local_addr().unwrap()));
    let admin = place.shop.admin_token().unwrap();
    let mut command = place.shop.command(&["serve"]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();

    let connection = silent.accept().unwrap();
    let mut caller = Caller::new(free, &admin);
    let health = caller.get("/healthz").unwrap();
    assert_eq!((health.status, health.text().as_str()), (200, r#"{"status":"ok"}"#));
    assert_eq!(caller.get("/metrics").unwrap().status, 200);
    let ready = caller.get("/readyz").unwrap();
    assert_eq!((ready.status, code(&ready).as_str(), ready.header("retry-after")), (503, "not_ready", Some("1")));
    let order = caller.order("early", "AIR-90", 1).unwrap();
    assert_eq!((order.status, code(&order).as_str()), (503, "not_ready"));

    // The database goes away: selling begins without it.
    drop((connection, silent));
    until("the shop", || Caller::new(free, &admin).get("/readyz").is_ok_and(|ready| ready.status == 200));
    let mut caller = Caller::new(free, &admin);
    caller.product("AIR-90", 129_000, 1);

    // By its id, and only this one.
    child.kill().unwrap();
    child.wait().unwrap();
    let mut said = String::new();
    child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(said, format!("listening on http://{free}\n"));
}
