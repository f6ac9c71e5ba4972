//! What a good request gets.

use crate::said::exchange;
use crate::world::{Request, Who, World, get, lines_of, order, post};
use Who::{Admin, Kim, Lee, Nobody};
use serde_json::{Value, json};

fn stock_of(world: &World, sku: &str) -> Value {
    world.check(&get(format!("/v1/products/{sku}"), Nobody), 200, "").json()["stock"].clone()
}

#[test]
fn an_order_lives_and_answers_the_same_again() {
    let world = World::start(&[]);
    world.product("apple", 1000, 10);
    world.product("pear", 10_000_000_000, 1_000_000_000_000);
    let placing = order("one", &[("pear", 100_000), ("apple", 1), ("apple", 2)]);
    let first = world.check(&placing, 201, "");
    let made = first.json();
    assert_eq!(first.header("idempotent-replayed"), None);
    assert_eq!(first.header("location"), Some(format!("/v1/orders/{}", made["id"].as_str().unwrap()).as_str()));
    assert_eq!(made["status"], "held");
    assert_eq!((&made["total"], &made["currency"]), (&json!(1_000_000_000_003_000_i64), &json!("KRW")));
    let lines = json!([{"sku": "apple", "quantity": 3, "unit_price": 1000},
                       {"sku": "pear", "quantity": 100_000, "unit_price": 10_000_000_000_i64}]);
    assert_eq!(made["lines"], lines);
    assert_eq!(stock_of(&world, "apple"), json!({"on_hand": 10, "held": 3, "sold": 0, "available": 7}));

    // The same request in other words is the same request.
    let again = post("/v1/orders", Kim)
        .key("one")
        .json(" {\n\"lines\": [{\"quantity\":3, \"sku\":\"apple\"}, {\"sku\":\"\\u0070ear\",\"quantity\":100000}] } ");
    for request in [placing, again] {
        let said = world.check(&request, 201, "");
        assert_eq!((said.json(), said.header("idempotent-replayed")), (made.clone(), Some("true")));
        assert_eq!(said.header("location"), first.header("location"));
    }
    // Another customer's key is another key.
    let lee = post("/v1/orders", Lee).key("one").json(lines_of(&[("apple", 1)]));
    assert_ne!(world.check(&lee, 201, "").json()["id"], made["id"]);

    let path = format!("/v1/orders/{}", made["id"].as_str().unwrap());
    let cancel = post(format!("{path}/cancel"), Kim);
    let cancelled = world.check(&cancel, 200, "").json();
    assert_eq!(cancelled["status"], "cancelled");
    assert_eq!(world.check(&cancel, 200, "").json(), cancelled);
    assert_eq!(world.check(&get(path, Admin), 200, "").json(), cancelled);
    assert_eq!(stock_of(&world, "apple")["held"], 1);
    // A refusal is not remembered.
    let greedy = order("two", &[("apple", 10)]);
    world.check(&greedy, 409, "sold_out");
    let more = post("/v1/products/apple/stock", Admin).key("more").json(r#"{"delta":1,"reason":"found"}"#);
    world.check(&more, 200, "");
    let replayed = world.check(&more, 200, "");
    assert_eq!(replayed.header("idempotent-replayed"), Some("true"));
    let paid = world.check(&greedy, 201, "").json();
    let confirm = post(format!("/v1/orders/{}/confirm", paid["id"].as_str().unwrap()), Admin);
    let confirmed = world.check(&confirm, 200, "").json();
    assert_eq!((&confirmed["status"], world.check(&confirm, 200, "").json()), (&json!("confirmed"), confirmed.clone()));
    assert_eq!(stock_of(&world, "apple"), json!({"on_hand": 1, "held": 1, "sold": 10, "available": 0}));
    let other = post("/v1/products/apple/stock", Admin).key("more").json(r#"{"delta":2,"reason":"found"}"#);
    world.check(&other, 422, "idempotency_key_reused");
}

#[test]
fn a_product_is_made_once_under_its_key() {
    let world = World::start(&[]);
    let create = |name: &str| {
        let body = json!({"sku": "apple", "name": name, "price": 1, "on_hand": 0});
        post("/v1/products", Admin).key("new").json(body.to_string())
    };
    let name = "사과 \"🍎\" <b>\\";
    let made = world.check(&create(name), 201, "");
    assert_eq!((made.json()["name"].as_str(), made.header("location")), (Some(name), Some("/v1/products/apple")));
    let again = world.check(&create(name), 201, "");
    assert_eq!((again.json(), again.header("idempotent-replayed")), (made.json(), Some("true")));
    world.check(&create("other"), 422, "idempotency_key_reused");
}

#[test]
fn readers_and_editors_say_what_they_know() {
    let world = World::start(&[]);
    world.on_sale("open", 10, "2001-01-01T09:00:00.5+09:00", "9000-01-01T00:00:00Z");
    let path = "/v1/products/open";
    let read = world.check(&get(path, Nobody), 200, "");
    assert_eq!(read.json()["sale"]["opens_at"], "2001-01-01T00:00:00.500Z");
    let tag = read.header("etag").unwrap().to_owned();
    for known in [&tag, "*", &format!("\"x\", W/{tag}")] {
        for method in ["GET", "HEAD"] {
            let said = world.check(&Request::new(method, path, Nobody).header("if-none-match", known), 304, "");
            assert_eq!((said.header("etag"), said.body.len()), (Some(tag.as_str()), 0));
        }
    }
    let head = world.check(&Request::new("HEAD", path, Nobody), 200, "");
    assert_eq!(head.header("content-length"), Some(read.body.len().to_string().as_str()));

    let id = world.placed("one", &[("open", 1)]);
    let changed = world.check(&get(path, Nobody).header("if-none-match", &tag), 200, "");
    assert_ne!(changed.header("etag"), Some(tag.as_str()), "the stock has changed");

    let terms = |limit: u32| {
        json!({"opens_at": "2001-01-01T00:00:00Z", "closes_at": "9000-01-01T00:00:00Z", "price": 1,
               "per_customer_limit": limit})
    };
    let edit = |limit: u32| Request::new("PUT", "/v1/products/open/sale", Admin).json(terms(limit).to_string());
    let delete = || Request::new("DELETE", "/v1/products/open/sale", Admin);
    // Selling does not spoil an edit; another edit does.
    world.check(&edit(9).header("if-match", &tag), 200, "");
    let stale = world.check(&edit(8).header("if-match", &tag), 412, "precondition_failed").json();
    world.check(&delete().header("if-match", &tag), 412, "precondition_failed");
    world.check(&edit(8).header("if-none-match", "*"), 412, "precondition_failed");
    let now = world.check(&get(path, Nobody), 200, "");
    assert_eq!(now.json()["sale"]["per_customer_limit"], 9);
    assert_eq!(stale["etag"].as_str(), now.header("etag"));
    // A weak tag never allows an edit, and forbids one like any other.
    for condition in ["if-match", "if-none-match"] {
        let weak = format!("W/{}", now.header("etag").unwrap());
        world.check(&edit(8).header(condition, &weak), 412, "precondition_failed");
    }
    let deleted = world.check(&delete().header("if-match", "*"), 200, "").json();
    assert_eq!(deleted["sale"], Value::Null);
    world.check(&edit(7).header("if-match", "*"), 412, "precondition_failed");
    world.check(&edit(7).header("if-none-match", "*"), 200, "");

    let path = format!("/v1/orders/{id}");
    let read = world.check(&get(&path, Kim), 200, "");
    let tag = read.header("etag").unwrap();
    world.check(&get(&path, Kim).header("if-none-match", tag), 304, "");
    world.check(&get(&path, Admin).header("if-none-match", tag), 304, "");
    world.check(&get(&path, Lee).header("if-none-match", "*"), 404, "unknown_order");
}

#[test]
fn lists_are_read_to_their_end() {
    let world = World::start(&[]);
    let skus: Vec<String> = (0..7).map(|n| format!("p{n}")).collect();
    for sku in &skus {
        world.product(sku, 1, 100);
    }
    let mut ids: Vec<String> =
        (0..7).map(|n| world.placed(&format!("k{n}"), &[(&skus[n], 1), (&skus[(n + 1) % 7], 1)])).collect();
    ids.reverse();
    let read = |list: &str, name: &str, who: Who, limit: u32| {
        let (mut found, mut cursor) = (Vec::new(), String::new());
        for _ in 0..20 {
            let page = world.check(&get(format!("{list}?limit={limit}{cursor}"), who), 200, "").json();
            let field = if name == "products" { "sku" } else { "id" };
            found.extend(page[name].as_array().unwrap().iter().map(|item| item[field].as_str().unwrap().to_owned()));
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&after={next}"),
                None => return found,
            }
        }
        panic!("the list has no end: {found:?}");
    };
    for limit in [1, 2, 3, 7, 100] {
        assert_eq!(read("/v1/products", "products", Nobody, limit), skus);
        let mut kims = read("/v1/orders", "orders", Kim, limit);
        assert_eq!(read("/v1/orders", "orders", Admin, limit), kims);
        // Orders of one millisecond are listed by their id.
        kims.sort_unstable();
        let mut all = ids.clone();
        all.sort_unstable();
        assert_eq!(kims, all);
    }
    assert_eq!(read("/v1/orders", "orders", Lee, 1), Vec::<String>::new());
}

#[test]
fn a_trace_is_taken_over_and_operations_answer() {
    let world = World::start(&[]);
    let traced =
        get("/healthz", Nobody).header("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    assert_eq!(world.check(&traced, 200, "").header("trace-id"), Some("4bf92f3577b34da6a3ce929d0e0e4736"));
    assert_eq!(world.check(&get("/readyz", Nobody), 200, "").json(), json!({"status": "ready"}));
    world.product("apple", 1, 1);
    world.placed("one", &[("apple", 1)]);
    let figures = world.check(&get("/metrics", Nobody), 200, "");
    assert!(String::from_utf8(figures.body).unwrap().contains("son7_orders_placed_total"));
    for path in ["/healthz", "/readyz", "/metrics", "/openapi.json", "/v1/products"] {
        world.check(&Request::new("HEAD", path, Nobody), 200, "");
    }
    world.check(&Request::new("HEAD", "/v1/orders", Kim), 200, "");
    // Nor does one slash at the end make a difference.
    world.check(&get("/healthz/", Nobody), 200, "");
    world.check(&get("/v1/products/apple/", Nobody), 200, "");
    // A body that nobody asked for is no reason to refuse, nor is a query where none is read.
    world.check(&get("/healthz?x=1", Nobody).json("{"), 200, "");
    let mixed =
        exchange(world.address(), b"GET http://shop/healthz HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\r\n");
    assert_eq!(mixed.unwrap().status, 200, "a whole address is a path, too");
}
