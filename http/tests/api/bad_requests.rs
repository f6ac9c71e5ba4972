//! Every wrong field, header, token, id, state and size: the right problem, and nothing
//! changes.

use crate::world::{Request, Who, World, get, lines_of, order, post};
use Who::{Admin, Kim, Lee, Nobody};
use serde_json::json;
use std::time::{Duration, Instant};

/// Within this everything must be as it was.
const PATIENCE: Duration = Duration::from_secs(20);

const LONG_AGO: &str = "2001-01-01T00:00:00Z";
const AGO: &str = "2002-01-01T00:00:00Z";
const AHEAD: &str = "9000-01-01T00:00:00Z";
const FAR_AHEAD: &str = "9001-01-01T00:00:00Z";

/// A request, the status and code that it must be answered with.
type Case = (Request, u16, &'static str);

struct Shelf {
    world: World,
    /// Orders of Kim's: held, cancelled, confirmed.
    held: String,
    cancelled: String,
    confirmed: String,
}

/// A shop with products and orders in every state.
fn shelf() -> Shelf {
    let world = World::start(&[]);
    world.product("apple", 1000, 10);
    world.product("pear", 10_000_000_000, 1_000_000_000_000);
    world.product("gone", 5, 0);
    world.on_sale("open", 100, LONG_AGO, FAR_AHEAD);
    world.on_sale("early", 100, AHEAD, FAR_AHEAD);
    world.on_sale("over", 100, LONG_AGO, AGO);
    let held = world.placed("held", &[("apple", 1)]);
    let cancelled = world.placed("cancelled", &[("apple", 2)]);
    world.check(&post(format!("/v1/orders/{cancelled}/cancel"), Kim), 200, "");
    let confirmed = world.placed("confirmed", &[("apple", 3)]);
    world.check(&post(format!("/v1/orders/{confirmed}/confirm"), Admin), 200, "");
    world.placed("limit", &[("open", 1)]);
    Shelf { world, held, cancelled, confirmed }
}

/// Checks every case, and that all of them together changed nothing.
fn unchanged(shelf: &Shelf, cases: Vec<Case>) {
    let orders = [&shelf.held, &shelf.cancelled, &shelf.confirmed].map(Clone::clone);
    let before = shelf.world.everything(&orders);
    for (request, status, code) in cases {
        shelf.world.check(&request, status, code);
        // What a refused basket had held in other partitions is given back behind the answer.
        let until = Instant::now() + PATIENCE;
        let mut after = shelf.world.everything(&orders);
        while after != before && Instant::now() < until {
            after = shelf.world.everything(&orders);
        }
        assert_eq!(before, after, "{request:?} changed something");
    }
}

#[test]
fn whoever_may_not_is_told_so() {
    let shelf = shelf();
    let Shelf { held, world, .. } = &shelf;
    let kim = world.token(Kim).unwrap().to_owned();
    let mut cases: Vec<Case> = Vec::new();
    let bodies = [
        (post("/v1/orders", Nobody).key("k"), lines_of(&[("apple", 1)])),
        (post("/v1/products", Nobody), r#"{"sku":"new","name":"new","price":1,"on_hand":1}"#.to_owned()),
        (post("/v1/products/apple/stock", Nobody).key("k"), r#"{"delta":1,"reason":"more"}"#.to_owned()),
        (Request::new("PUT", "/v1/products/apple/sale", Nobody), sale(LONG_AGO, AHEAD, "1", "1")),
    ];
    let bare = [
        get("/v1/orders", Nobody),
        get(format!("/v1/orders/{held}"), Nobody),
        Request::new("HEAD", format!("/v1/orders/{held}"), Nobody),
        post(format!("/v1/orders/{held}/cancel"), Nobody),
        post(format!("/v1/orders/{held}/confirm"), Nobody),
        Request::new("DELETE", "/v1/products/open/sale", Nobody),
    ];
    let all = bodies.into_iter().map(|(request, body)| request.json(body)).chain(bare);
    for request in all {
        for header in [
            None,
            Some(String::new()),
            Some("Bearer".to_owned()),
            Some("Bearer ".to_owned()),
            Some("Bearer x".to_owned()),
            Some(format!("Bearer {kim}x")),
            Some(format!("Basic {kim}")),
            Some(format!("Bearer {}", kim.replacen('.', "..", 1))),
            Some(format!("Bearer {}", "x".repeat(5000))),
            Some("Bearer \u{e9}".to_owned()),
        ] {
            let request = match header {
                None => request.clone(),
                Some(header) => request.clone().header("authorization", &header),
            };
            cases.push((request, 401, "unauthorized"));
        }
        let twice = request.header("authorization", &format!("Bearer {kim}")).header("authorization", "Bearer x");
        cases.push((twice, 400, "invalid_header"));
    }
    let new = r#"{"sku":"new","name":"new","price":1,"on_hand":1}"#;
    cases.extend([
        (post("/v1/orders", Admin).key("k").json(lines_of(&[("apple", 1)])), 403, "forbidden"),
        (post("/v1/products", Kim).json(new), 403, "forbidden"),
        (post("/v1/products/apple/stock", Kim).key("k").json(r#"{"delta":1,"reason":"x"}"#), 403, "forbidden"),
        (Request::new("PUT", "/v1/products/apple/sale", Kim).json(sale(LONG_AGO, AHEAD, "1", "1")), 403, "forbidden"),
        (Request::new("DELETE", "/v1/products/open/sale", Kim), 403, "forbidden"),
        (post(format!("/v1/orders/{held}/confirm"), Kim), 403, "forbidden"),
        // Somebody else's order is none.
        (get(format!("/v1/orders/{held}"), Lee), 404, "unknown_order"),
        (Request::new("HEAD", format!("/v1/orders/{held}"), Lee), 404, "unknown_order"),
        (post(format!("/v1/orders/{held}/cancel"), Lee), 404, "unknown_order"),
    ]);
    unchanged(&shelf, cases);
    assert_eq!(shelf.world.check(&get("/v1/orders", Lee), 200, "").json()["orders"], json!([]));
}

#[test]
fn what_is_not_there_is_404_and_what_cannot_be_done_there_405() {
    let shelf = shelf();
    let nobody = "00000000-0000-7000-8000-000000000000";
    let elsewhere = "00000000-0000-7000-8000-00000000ffff";
    let mut cases: Vec<Case> = vec![
        (get(format!("/v1/orders/{nobody}"), Kim), 404, "unknown_order"),
        (get(format!("/v1/orders/{elsewhere}"), Admin), 404, "unknown_order"),
        (post(format!("/v1/orders/{nobody}/cancel"), Kim), 404, "unknown_order"),
        (post(format!("/v1/orders/{elsewhere}/confirm"), Admin), 404, "unknown_order"),
        (get("/v1/products/none", Nobody), 404, "unknown_product"),
        (order("k", &[("none", 1)]), 404, "unknown_product"),
        (order("k", &[("apple", 1), ("none", 1)]), 404, "unknown_product"),
        (post("/v1/products/none/stock", Admin).key("k").json(r#"{"delta":1,"reason":"x"}"#), 404, "unknown_product"),
        (Request::new("PUT", "/v1/products/none/sale", Admin).json(sale(AGO, AHEAD, "1", "1")), 404, "unknown_product"),
        (Request::new("DELETE", "/v1/products/none/sale", Admin), 404, "unknown_product"),
        (Request::new("DELETE", "/v1/products/apple/sale", Admin), 404, "no_sale"),
    ];
    for path in ["x", "-", "123", "0000", "%00", "%ff", "%2F", &nobody[1..], "00000000x0000-7000-8000-000000000000"] {
        cases.push((get(format!("/v1/orders/{path}"), Kim), 400, "invalid_parameter"));
        cases.push((post(format!("/v1/orders/{path}/cancel"), Kim), 400, "invalid_parameter"));
        cases.push((post(format!("/v1/orders/{path}/confirm"), Admin), 400, "invalid_parameter"));
    }
    let long = "a".repeat(65);
    for sku in ["a%20b", "%ED%95%9C", "a%2Fb", "%00", "a+b", "%", "%zz", "~", &long] {
        cases.push((get(format!("/v1/products/{sku}"), Nobody), 400, "invalid_parameter"));
        let stock = post(format!("/v1/products/{sku}/stock"), Admin).key("k").json(r#"{"delta":1,"reason":"x"}"#);
        cases.push((stock, 400, "invalid_parameter"));
        cases.push((Request::new("DELETE", format!("/v1/products/{sku}/sale"), Admin), 400, "invalid_parameter"));
        let put = Request::new("PUT", format!("/v1/products/{sku}/sale"), Admin);
        cases.push((put.json(sale(AGO, AHEAD, "1", "1")), 400, "invalid_parameter"));
    }
    for path in [
        "/",
        "//",
        "/v1",
        "/v1/",
        "/v1/orders//",
        "/v1/products//",
        "/v1/products/apple//",
        "/v1/orders/x/cancel//",
        "/v1//orders",
        "//v1/orders",
        "/V1/orders",
        "/v1/Orders",
        "/v1/orders/x/refund",
        "/v1/products/apple/stock/x",
        "/v2/orders",
        "/metrics//",
        "/healthz/x",
        "/openapi.jso",
        "/v1/../metrics",
        "/%76%31/orders",
    ] {
        for method in ["GET", "HEAD", "POST", "DELETE", "OPTIONS"] {
            cases.push((Request::new(method, path, Admin), 404, "not_found"));
        }
    }
    for (_, _, template) in shelf.world.document.operations() {
        let path = template.replace("{id}", nobody).replace("{order}", nobody).replace("{sku}", "apple");
        let path = path.replace("{step}", "attempt-1").replace("{handle}", "x").replace("{outcome}", "approved");
        let allowed = shelf.world.document.allowed(&path);
        for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "QUERY", "BREW", "get"] {
            if !allowed.iter().any(|known| known == method) {
                cases.push((Request::new(method, path.clone(), Admin), 405, "method_not_allowed"));
            }
        }
    }
    unchanged(&shelf, cases);
}

#[test]
fn wrong_headers_and_sizes_are_refused() {
    let shelf = shelf();
    let good = lines_of(&[("apple", 1)]);
    let place = || post("/v1/orders", Kim).key("k");
    let padded = |length: usize| format!("{good}{}", " ".repeat(length - good.len()));
    let new = r#"{"sku":"new","name":"new","price":1,"on_hand":1}"#;
    let stock = || post("/v1/products/apple/stock", Admin).json(r#"{"delta":1,"reason":"more"}"#);
    let mut cases: Vec<Case> = vec![
        (post("/v1/orders", Kim).json(&good), 400, "idempotency_key_missing"),
        (stock(), 400, "idempotency_key_missing"),
        (place().body(&good), 415, "unsupported_media_type"),
        (place().json(&good).header("content-type", "application/json"), 400, "invalid_header"),
        (place().json(padded(65_537)), 413, "body_too_large"),
        (place().json(padded(65_537)).chunked(), 413, "body_too_large"),
        (place().json(padded(3_000_000)), 413, "body_too_large"),
        (place().json(padded(3_000_000)).chunked(), 413, "body_too_large"),
        (post("/v1/products", Admin).json(vec![b' '; 65_537]), 413, "body_too_large"),
        (stock().key("k").body(vec![b'x'; 70_000]), 413, "body_too_large"),
        (Request::new("PUT", "/v1/products/apple/sale", Admin).json(vec![b'{'; 70_000]), 413, "body_too_large"),
        // A limit is looked at behind the token.
        (post("/v1/orders", Nobody).key("k").json(padded(65_537)), 401, "unauthorized"),
    ];
    for content_type in
        ["text/plain", "", "application/x-www-form-urlencoded", "application/json; charset=euc-kr", "json", "*/*"]
    {
        cases.push((place().header("content-type", content_type).body(&good), 415, "unsupported_media_type"));
        let create = post("/v1/products", Admin).header("content-type", content_type).body(new);
        cases.push((create, 415, "unsupported_media_type"));
    }
    for key in ["", " ", "a b", "\u{e9}", "a\tb", &"k".repeat(256), &"k".repeat(5000)] {
        cases.push((post("/v1/orders", Kim).key(key).json(&good), 400, "idempotency_key_invalid"));
        cases.push((stock().key(key), 400, "idempotency_key_invalid"));
        cases.push((post("/v1/products", Admin).key(key).json(new), 400, "idempotency_key_invalid"));
    }
    cases.push((place().key("k").json(&good), 400, "invalid_header"));
    for tag in ["x", "", "\"a", "\"a\" \"b\"", "W/", "*, \"a\""] {
        cases.push((get("/v1/products/apple", Nobody).header("if-none-match", tag), 400, "invalid_header"));
        let edit = Request::new("DELETE", "/v1/products/open/sale", Admin).header("if-match", tag);
        cases.push((edit, 400, "invalid_header"));
    }
    for query in ["limit=0", "limit=101", "limit=-1", "limit=1.5", "limit=", "limit=x", "limit=99999999999999999999"] {
        cases.push((get(format!("/v1/products?{query}"), Nobody), 400, "invalid_parameter"));
        cases.push((get(format!("/v1/orders?{query}"), Kim), 400, "invalid_parameter"));
    }
    for query in ["limit=1&limit=1", "offset=1", "x", "=", "LIMIT=1", "after=a&after=b"] {
        cases.push((get(format!("/v1/products?{query}"), Nobody), 400, "invalid_parameter"));
        cases.push((get(format!("/v1/orders?{query}"), Kim), 400, "invalid_parameter"));
    }
    for cursor in ["", "x", "AAAA", "%00", "AXBhcHBsZQ==", "%ED%95%9C", &"A".repeat(2000)] {
        cases.push((get(format!("/v1/products?after={cursor}"), Nobody), 400, "invalid_cursor"));
        cases.push((get(format!("/v1/orders?after={cursor}"), Kim), 400, "invalid_cursor"));
    }
    let other_list = shelf.world.check(&get("/v1/products?limit=1", Nobody), 200, "").json();
    let cursor = other_list["next_cursor"].as_str().unwrap().to_owned();
    cases.push((get(format!("/v1/orders?after={cursor}"), Kim), 400, "invalid_cursor"));
    unchanged(&shelf, cases);
}

#[test]
fn wrong_bodies_are_refused() {
    let shelf = shelf();
    let mut cases: Vec<Case> = Vec::new();
    let place = || post("/v1/orders", Kim).key("k");
    let create = || post("/v1/products", Admin).key("k");
    let stock = || post("/v1/products/apple/stock", Admin).key("k");
    let set = || Request::new("PUT", "/v1/products/apple/sale", Admin);
    let good = lines_of(&[("apple", 1)]);
    for cut in [0, 1, 2, 10, good.len() / 2, good.len() - 2, good.len() - 1] {
        cases.push((place().json(&good[..cut]), 400, "malformed_json"));
    }
    for bad in ["{", "nul", "{]", "{\"lines\":[}]", "'{}'", "{} {}", "\u{feff}{}", "{\"a\":01}"] {
        for request in [place(), create(), stock(), set()] {
            cases.push((request.json(bad), 400, "malformed_json"));
        }
    }
    cases.push((place().json(b"{\"lines\":\"\xff\"}"), 400, "malformed_json"));
    cases.push((place().json("[".repeat(60_000)), 400, "malformed_json"));
    for bad in ["null", "true", "1", "\"x\"", "[]", "[[]]", "[{\"sku\":\"apple\",\"quantity\":1}]"] {
        for request in [place(), create(), stock(), set()] {
            cases.push((request.json(bad), 400, "invalid_field"));
        }
    }
    for request in [place(), create(), stock(), set()] {
        cases.push((request.json("{}"), 400, "missing_field"));
    }
    cases.extend(order_cases().into_iter().map(|(body, code)| (place().json(body), 400, code)));
    cases.extend(product_cases().into_iter().map(|(body, code)| (create().json(body), 400, code)));
    cases.extend(stock_cases().into_iter().map(|(body, code)| (stock().json(body), 400, code)));
    cases.extend(sale_cases().into_iter().map(|(body, code)| (set().json(body), 400, code)));
    unchanged(&shelf, cases);
}

/// What no whole number from 1 to 100,000 is.
const NO_QUANTITY: [&str; 18] = [
    "0",
    "-1",
    "-0",
    "100001",
    "4294967295",
    "4294967296",
    "4294967297",
    "18446744073709551617",
    "1e99",
    "1e1",
    "1.0",
    "1.5",
    "\"1\"",
    "null",
    "true",
    "[]",
    "{}",
    "123456789012345678901234567890123456789012345678901234567890",
];

fn order_cases() -> Vec<(String, &'static str)> {
    let line = |line: &str| format!("{{\"lines\":[{line}]}}");
    let mut cases = vec![
        (r#"{"lines":null}"#.to_owned(), "invalid_field"),
        (r#"{"lines":{}}"#.to_owned(), "invalid_field"),
        (line(""), "invalid_field"),
        (line("1"), "invalid_field"),
        (line("null"), "invalid_field"),
        (line(r#"["apple",1]"#), "invalid_field"),
        (line("{}"), "missing_field"),
        (line(r#"{"sku":"apple"}"#), "missing_field"),
        (line(r#"{"quantity":1}"#), "missing_field"),
        (line(r#"{"sku":"apple","quantity":1,"price":1}"#), "unknown_field"),
        (line(r#"{"sku":"apple","quantity":1,"quantity":1}"#), "duplicate_field"),
        (line(r#"{"sku":"apple","sku":"apple","quantity":1}"#), "duplicate_field"),
        (r#"{"lines":[{"sku":"apple","quantity":1}],"total":1}"#.to_owned(), "unknown_field"),
        (r#"{"lines":[{"sku":"apple","quantity":1}],"lines":[]}"#.to_owned(), "duplicate_field"),
        (lines_of(&[("apple", 1); 51]), "invalid_field"),
        // The same sku is summed, and the sum has the same limit.
        (lines_of(&[("pear", 60_000), ("pear", 40_001)]), "invalid_field"),
        (lines_of(&[("pear", 100_000); 50]), "invalid_field"),
    ];
    for quantity in NO_QUANTITY {
        cases.push((line(&format!(r#"{{"sku":"apple","quantity":{quantity}}}"#)), "invalid_field"));
    }
    let long = format!("\"{}\"", "a".repeat(65));
    for sku in ["\"\"", "1", "null", "[\"apple\"]", "\"a b\"", "\"\u{d55c}\"", "\"a\\u0000\"", "\"a/b\"", &long] {
        cases.push((line(&format!(r#"{{"sku":{sku},"quantity":1}}"#)), "invalid_field"));
    }
    cases
}

fn product_cases() -> Vec<(String, &'static str)> {
    let product = |sku: &str, name: &str, price: &str, on_hand: &str| {
        format!(r#"{{"sku":{sku},"name":{name},"price":{price},"on_hand":{on_hand}}}"#)
    };
    let (sku, name) = ("\"new\"", "\"new\"");
    let (long_sku, long_name) = (format!("\"{}\"", "a".repeat(65)), format!("\"{}\"", "a".repeat(201)));
    let mut cases = vec![
        (r#"{"sku":"new","name":"new","price":1}"#.to_owned(), "missing_field"),
        (r#"{"sku":"new","name":"new","price":1,"on_hand":1,"held":1}"#.to_owned(), "unknown_field"),
        (r#"{"sku":"new","name":"new","price":1,"on_hand":1,"price":2}"#.to_owned(), "duplicate_field"),
    ];
    for bad in ["\"\"", "\"a b\"", "1", "null", &long_sku] {
        cases.push((product(bad, name, "1", "1"), "invalid_field"));
    }
    for bad in ["\"\"", "\" \"", "\"a\\nb\"", "\"a\\u0000\"", "\"a\\ud800\"", "1", "null", &long_name] {
        cases.push((product(sku, bad, "1", "1"), "invalid_field"));
    }
    for bad in ["0", "-1", "10000000001", "1.5", "\"1\"", "null", "9223372036854775808", "1e400"] {
        cases.push((product(sku, name, bad, "1"), "invalid_field"));
    }
    for bad in ["-1", "1000000000001", "1.5", "\"1\"", "null", "18446744073709551616"] {
        cases.push((product(sku, name, "1", bad), "invalid_field"));
    }
    cases
}

fn stock_cases() -> Vec<(String, &'static str)> {
    let long = format!(r#"{{"delta":1,"reason":"{}"}}"#, "a".repeat(201));
    let mut cases = vec![
        (r#"{"delta":1}"#.to_owned(), "missing_field"),
        (r#"{"reason":"x"}"#.to_owned(), "missing_field"),
        (r#"{"delta":1,"reason":"x","by":"me"}"#.to_owned(), "unknown_field"),
        (r#"{"delta":1,"delta":1,"reason":"x"}"#.to_owned(), "duplicate_field"),
        (r#"{"delta":1,"reason":""}"#.to_owned(), "invalid_field"),
        (r#"{"delta":1,"reason":" "}"#.to_owned(), "invalid_field"),
        (r#"{"delta":1,"reason":1}"#.to_owned(), "invalid_field"),
        (long, "invalid_field"),
    ];
    for delta in ["0", "1000000000001", "-1000000000001", "1.5", "\"1\"", "null", "-9223372036854775809"] {
        cases.push((format!(r#"{{"delta":{delta},"reason":"x"}}"#), "invalid_field"));
    }
    cases
}

fn sale(opens_at: &str, closes_at: &str, price: &str, limit: &str) -> String {
    format!(r#"{{"opens_at":"{opens_at}","closes_at":"{closes_at}","price":{price},"per_customer_limit":{limit}}}"#)
}

fn sale_cases() -> Vec<(String, &'static str)> {
    let mut cases = vec![
        (sale(AHEAD, AGO, "1", "1"), "invalid_field"),
        (sale(AGO, AGO, "1", "1"), "invalid_field"),
        (sale(AGO, AHEAD, "1", "1").replace('}', ",\"name\":\"x\"}"), "unknown_field"),
        (sale(AGO, AHEAD, "1", "1").replace("price", "cost"), "unknown_field"),
        (sale(AGO, AHEAD, "1", "1").replace("\"price\":1,", ""), "missing_field"),
        (sale(AGO, AHEAD, "1", "1").replace("price\":1", "price\":1,\"price\":1"), "duplicate_field"),
    ];
    for bad in ["", "now", "2030-01-01", "2030-01-01T00:00:00", "1969-12-31T23:59:59Z", "2030-02-30T00:00:00Z", "1"] {
        cases.push((sale(bad, AHEAD, "1", "1"), "invalid_field"));
        cases.push((sale(AGO, bad, "1", "1"), "invalid_field"));
    }
    for bad in ["0", "-1", "10000000001", "1.5", "\"1\"", "null"] {
        cases.push((sale(AGO, AHEAD, bad, "1"), "invalid_field"));
    }
    for bad in NO_QUANTITY {
        cases.push((sale(AGO, AHEAD, "1", bad), "invalid_field"));
    }
    cases
}

#[test]
fn refusals_have_their_code_and_say_what_was_there() {
    let shelf = shelf();
    let Shelf { cancelled, confirmed, world, .. } = &shelf;
    let new = |sku: &str| json!({"sku": sku, "name": "n", "price": 1, "on_hand": 1}).to_string();
    let stock = |delta: i64| json!({"delta": delta, "reason": "count"}).to_string();
    let adjust = |sku: &str, delta| post(format!("/v1/products/{sku}/stock"), Admin).key("s").json(stock(delta));
    unchanged(
        &shelf,
        vec![
            (order("k", &[("gone", 1)]), 409, "sold_out"),
            (order("k", &[("apple", 7)]), 409, "sold_out"),
            (order("k", &[("apple", 4), ("apple", 3)]), 409, "sold_out"),
            (order("k", &[("apple", 1), ("gone", 1), ("pear", 1)]), 409, "sold_out"),
            (order("k", &[("open", 2)]), 409, "limit_reached"),
            (order("k", &[("early", 1)]), 409, "sale_not_open"),
            (order("k", &[("over", 1)]), 410, "sale_over"),
            (order("k", &[("apple", 1), ("over", 1)]), 410, "sale_over"),
            (order("held", &[("apple", 2)]), 422, "idempotency_key_reused"),
            (order("held", &[("pear", 1)]), 422, "idempotency_key_reused"),
            (post(format!("/v1/orders/{cancelled}/confirm"), Admin), 409, "wrong_state"),
            (post(format!("/v1/orders/{confirmed}/cancel"), Kim), 409, "wrong_state"),
            (post("/v1/products", Admin).json(new("apple")), 409, "product_exists"),
            (adjust("apple", -7), 409, "stock_out_of_range"),
            (adjust("gone", -1), 409, "stock_out_of_range"),
            (adjust("pear", 1), 409, "stock_out_of_range"),
        ],
    );
    let said = world.check(&order("k", &[("apple", 7)]), 409, "sold_out").json();
    assert_eq!((&said["sku"], &said["requested"], &said["available"]), (&json!("apple"), &json!(7), &json!(6)));
    let said = world.check(&order("k", &[("open", 2)]), 409, "limit_reached").json();
    assert_eq!((&said["limit"], &said["taken"], &said["requested"]), (&json!(2), &json!(1), &json!(2)));
    let said = world.check(&order("k", &[("early", 1)]), 409, "sale_not_open").json();
    assert_eq!(said["opens_at"], "9000-01-01T00:00:00.000Z");
    let said = world.check(&order("k", &[("over", 1)]), 410, "sale_over").json();
    assert_eq!(said["closed_at"], "2002-01-01T00:00:00.000Z");
    let said = world.check(&post(format!("/v1/orders/{confirmed}/cancel"), Kim), 409, "wrong_state").json();
    assert_eq!(said["order_status"], "confirmed");
    let said = world.check(&adjust("apple", -7), 409, "stock_out_of_range").json();
    assert_eq!((&said["on_hand"], &said["held"]), (&json!(7), &json!(1)));
    let long_line = lines_of(&[("apple", 1), ("pear", 0)]);
    let said = world.check(&post("/v1/orders", Kim).key("k").json(long_line), 400, "invalid_field").json();
    assert_eq!(said["field"], "lines[1].quantity");
}
