//! Webhooks: what a good request gets, what a bad one is told, and who may ask.

use crate::world::{Request, Who, World, get, post};
use Who::{Admin, Kim, Nobody};
use serde_json::{Value, json};

/// Nobody listens there.
const NOWHERE: &str = "http://127.0.0.1:1/hook";
const KNOWN: &str = r#"{"url":"http://127.0.0.1:1/hook"}"#;

fn put(path: &str, who: Who) -> Request {
    Request::new("PUT", path, who)
}

/// Registers a webhook; its path.
fn registered(world: &World) -> String {
    world.check(&post("/v1/webhooks", Admin).json(KNOWN), 201, "").header("location").unwrap().to_owned()
}

/// Every operation once, as it should be.
pub(crate) fn all_succeed(world: &World) {
    let path = registered(world);
    world.check(&get("/v1/webhooks", Admin), 200, "");
    world.check(&put(&path, Admin).json(KNOWN), 200, "");
    world.check(&get(&path, Admin), 200, "");
    world.check(&post(format!("{path}/secret"), Admin), 200, "");
    world.check(&post(format!("{path}/test"), Admin), 202, "");
    world.check(&post(format!("{path}/replay"), Admin).json(r#"{"since":"2026-01-01T00:00:00Z"}"#), 202, "");
    world.check(&get(format!("{path}/deliveries"), Admin), 200, "");
    world.check(&Request::new("DELETE", path, Admin), 204, "");
}

#[test]
fn a_webhook_is_shown_as_it_was_registered_and_its_secret_once() {
    let world = World::start(&[]);
    let body = json!({
        "url": NOWHERE, "events": ["order.placed", "order.expired", "order.placed"], "description": "the \"warehouse\"",
    });
    let create = post("/v1/webhooks", Admin).key("once").json(body.to_string());
    let first = world.check(&create, 201, "");
    let again = world.check(&create, 201, "");
    assert_eq!((first.json(), again.header("idempotent-replayed")), (again.json(), Some("true")));
    let other = post("/v1/webhooks", Admin).key("once").json(KNOWN);
    world.check(&other, 422, "idempotency_key_reused");
    let mut made = first.json();
    let path = first.header("location").unwrap();
    assert_eq!(path, format!("/v1/webhooks/{}", made["id"].as_str().unwrap()));
    let secret = made.as_object_mut().unwrap().remove("secret").unwrap();
    assert_eq!(secret.as_str().unwrap().len(), "whsec_".len() + 44);
    assert_eq!((&made["events"], &made["disabled"]), (&json!(["order.expired", "order.placed"]), &json!(false)));
    assert_eq!((&made["description"], &made["url"]), (&body["description"], &json!(NOWHERE)));
    assert_eq!(world.check(&get(path, Admin), 200, "").json(), made);
    assert_eq!(world.check(&get("/v1/webhooks", Admin), 200, "").json(), json!({ "webhooks": [made] }));

    let off = json!({ "url": NOWHERE, "disabled": true }).to_string();
    let set = world.check(&put(path, Admin).json(off), 200, "").json();
    assert_eq!((&set["disabled"], &set["disabled_by"], &set["events"]), (&json!(true), &json!("admin"), &json!([])));
    world.check(&post(format!("{path}/test"), Admin), 409, "webhook_disabled");
    let replay = || post(format!("{path}/replay"), Admin);
    world.check(&replay().json(r#"{"since":"2026-01-01T00:00:00Z"}"#), 409, "webhook_disabled");
    world.check(&put(path, Admin).json(KNOWN), 200, "");

    world.check(&replay().json(r#"{"after_lsn":0}"#), 400, "invalid_field");
    world.check(&replay().json(r#"{"after_lsn":99,"partition":1}"#), 400, "invalid_field");
    world.check(&replay().json(r#"{"after_lsn":0,"partition":3}"#), 400, "invalid_field");
    let parts = world.check(&replay().json(r#"{"after_lsn":0,"partition":2}"#), 202, "").json();
    assert_eq!(parts, json!({ "partitions": [{ "partition": 2, "until_lsn": 0 }] }));
    let parts = world.check(&replay().json(r#"{"since":"2026-01-01T00:00:00Z"}"#), 202, "").json();
    assert_eq!(parts["partitions"].as_array().unwrap().len(), 3);

    let mut secrets = vec![secret];
    for _ in 0..3 {
        let rotated = world.check(&post(format!("{path}/secret"), Admin), 200, "").json()["secret"].clone();
        assert!(!secrets.contains(&rotated));
        secrets.push(rotated);
    }
    world.check(&post(format!("{path}/secret"), Admin), 409, "webhook_limit");
    for at in 1..32 {
        world.check(&post("/v1/webhooks", Admin).key(&at.to_string()).json(KNOWN), 201, "");
    }
    world.check(&post("/v1/webhooks", Admin).json(KNOWN), 409, "webhook_limit");
    world.check(&Request::new("DELETE", path, Admin), 204, "");
    world.check(&Request::new("DELETE", path, Admin), 404, "unknown_webhook");
    world.check(&post("/v1/webhooks", Admin).json(KNOWN), 201, "");
}

#[test]
fn bad_requests_about_webhooks_are_told_so_and_change_nothing() {
    let world = World::start(&[]);
    let path = registered(&world);
    let shown = || world.check(&get("/v1/webhooks", Admin), 200, "").json();
    let before = shown();
    let create = || post("/v1/webhooks", Admin);
    let (set, replay) = (|| put(&path, Admin), || post(format!("{path}/replay"), Admin));
    let operations = |path: &str, who| {
        [
            get(path, who),
            put(path, who).json(KNOWN),
            Request::new("DELETE", path, who),
            post(format!("{path}/secret"), who),
            get(format!("{path}/deliveries"), who),
            post(format!("{path}/replay"), who).json(r#"{"since":"2026-01-01T00:00:00Z"}"#),
            post(format!("{path}/test"), who),
        ]
    };
    for unknown in ["/v1/webhooks/wh_0", "/v1/webhooks/..%2F..", "/v1/webhooks/%00"] {
        for request in &operations(unknown, Admin) {
            world.check(request, 404, "unknown_webhook");
        }
    }
    for (who, status, code) in [(Nobody, 401, "unauthorized"), (Kim, 403, "forbidden")] {
        for request in &operations(&path, who) {
            world.check(request, status, code);
        }
        world.check(&get("/v1/webhooks", who), status, code);
        world.check(&post("/v1/webhooks", who).json(KNOWN), status, code);
    }
    world.check(&create().body(KNOWN), 415, "unsupported_media_type");
    world.check(&create().key("a b").json(KNOWN), 400, "idempotency_key_invalid");
    world.check(&create().json(vec![b' '; 70_000]), 413, "body_too_large");
    for query in ["limit=0", "limit=101", "x=1", "limit=1&limit=1"] {
        world.check(&get(format!("{path}/deliveries?{query}"), Admin), 400, "invalid_parameter");
    }
    world.check(&get(format!("{path}/deliveries?after=AAAA"), Admin), 400, "invalid_cursor");
    let with = |more: &str| KNOWN.replace('}', &format!(",{more}}}"));
    let long = format!("https://shop.example/{}", "x".repeat(500));
    let mut urls: Vec<String> = vec![json!(long).to_string(), "1".to_owned(), "null".to_owned(), "\"\"".to_owned()];
    let refused = [
        "shop.example",
        "ftp://shop.example",
        "http://shop.example/",
        "https://kim:x@shop.example/",
        "https://10.0.0.1/",
        "https://169.254.169.254/latest/meta-data",
        "https://[fd00::1]/",
        "https://0.0.0.0/",
        "https://shop.example/#x",
    ];
    urls.extend(refused.iter().map(|url| json!(url).to_string()));
    for url in urls {
        let body = format!(r#"{{"url":{url}}}"#);
        let said = world.check(&create().json(&body), 400, "invalid_field").json();
        assert_eq!(said["field"], "url", "{body}");
        world.check(&set().json(&body), 400, "invalid_field");
    }
    let fifty = format!("[{}]", vec!["\"order.placed\""; 51].join(","));
    let events = ["null", "\"order.placed\"", "[1]", "[\"order\"]", "[\"ping\"]", "[\"*\"]", "{}", &fifty];
    let texts = ["null", "1", "\"a\\nb\"", &json!("x".repeat(201)).to_string()].map(str::to_owned);
    let fields = events.iter().map(|bad| ("events", (*bad).to_owned()));
    for (field, bad) in fields.chain(texts.into_iter().map(|bad| ("description", bad))) {
        let body = with(&format!(r#""{field}":{bad}"#));
        let said = world.check(&create().json(&body), 400, "invalid_field").json();
        assert_eq!(said["field"], field, "{body}");
        world.check(&set().json(&body), 400, "invalid_field");
    }
    world.check(&create().json(with(r#""disabled":true"#)), 400, "unknown_field");
    world.check(&create().json(with(r#""secret":"whsec_""#)), 400, "unknown_field");
    world.check(&set().json(with(r#""disabled":1"#)), 400, "invalid_field");
    world.check(&set().json(with(r#""disabled":true,"disabled":true"#)), 400, "duplicate_field");
    for request in [create(), set(), replay()] {
        world.check(&request.clone().json("{}"), 400, "missing_field");
        world.check(&request.clone().json("[]"), 400, "invalid_field");
        world.check(&request.json("{"), 400, "malformed_json");
    }
    for bad in [
        r#"{"after_lsn":0,"partition":0,"since":"2026-01-01T00:00:00Z"}"#,
        r#"{"since":"today"}"#,
        r#"{"since":null}"#,
        r#"{"after_lsn":-1,"partition":0}"#,
        r#"{"after_lsn":"0","partition":0}"#,
        r#"{"after_lsn":0,"partition":1024}"#,
        r#"{"after_lsn":0,"partition":null}"#,
        r#"{"after_lsn":1e99,"partition":0}"#,
    ] {
        world.check(&replay().json(bad), 400, "invalid_field");
    }
    world.check(&replay().json(r#"{"since":"2026-01-01T00:00:00Z","until":1}"#), 400, "unknown_field");
    assert_eq!(shown(), before);
}

#[test]
fn addresses_of_private_networks_are_taken_where_a_setting_allows_them() {
    let world = World::start(&[("SON7_WEBHOOKS_PRIVATE", "1")]);
    // Disabled before anything happens: nobody is called.
    let body = json!({ "url": "https://10.0.0.1/hook", "events": ["sale.deleted"] });
    let made = world.check(&post("/v1/webhooks", Admin).json(body.to_string()), 201, "");
    world.check(&Request::new("DELETE", made.header("location").unwrap(), Admin), 204, "");
    world.check(&post("/v1/webhooks", Admin).json(r#"{"url":"https://0.0.0.0/"}"#), 400, "invalid_field");
}

#[test]
fn requests_about_webhooks_are_documented_as_strictly_as_they_are_read() {
    let world = World::start(&[]);
    for (name, required) in
        [("CreateWebhook", json!(["url"])), ("SetWebhook", json!(["url"])), ("ReplayWebhook", Value::Null)]
    {
        let schema = world.document.schema(name);
        assert_eq!((&schema["additionalProperties"], &schema["required"]), (&json!(false), &required), "{name}");
        for (field, property) in schema["properties"].as_object().unwrap() {
            let bounds = ["minimum", "maxLength", "maxItems", "format", "type"];
            assert!(
                bounds.iter().any(|bound| property.get(bound).is_some()),
                "{name}.{field} has no bounds: {property}"
            );
            assert!(property.get("example").is_some(), "{name}.{field} has no example");
        }
    }
}
