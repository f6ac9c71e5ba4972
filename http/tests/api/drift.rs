//! The document and the routes are the same set.

use crate::world::{Request, Who, World, get, order, post};
use serde_json::Value;
use std::collections::BTreeSet;

/// The routes as the code lists them, read out of its one screen of `path!(…)`.
fn routed() -> BTreeSet<(String, String)> {
    let source = include_str!("../../src/api/mod.rs");
    let routes = source.split("path!(").skip(1);
    routes
        .map(|route| {
            let (path, rest) = route.split_once(')').unwrap();
            let parts: Vec<_> = path
                .split('/')
                .map(str::trim)
                .map(|part| if part == "String" { "{}" } else { part.trim_matches('"') })
                .collect();
            let method = rest.trim_start().strip_prefix(".and(").unwrap().split('(').next().unwrap();
            let method = if method == "read" { "get" } else { method };
            (method.to_owned(), format!("/{}", parts.join("/")))
        })
        .collect()
}

#[test]
fn every_route_is_documented_and_every_documented_operation_is_routed() {
    let world = World::start(&[]);
    let nameless = |path: &str| {
        let parts = path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part });
        parts.collect::<Vec<_>>().join("/")
    };
    let documented: BTreeSet<_> =
        world.document.operations().map(|(_, method, path)| (method.to_owned(), nameless(path))).collect();
    assert_eq!(routed(), documented);
    let ids: BTreeSet<_> = world.document.operations().map(|(id, _, _)| id).collect();
    assert_eq!(ids.len(), documented.len(), "operation ids are distinct");
    for (id, method, path) in world.document.operations() {
        let method: &'static str =
            ["GET", "POST", "PUT", "DELETE"].into_iter().find(|m| m.eq_ignore_ascii_case(method)).unwrap();
        let path = path.replace("{outcome}", "approved");
        let path: Vec<_> = path.split('/').map(|part| if part.starts_with('{') { "x" } else { part }).collect();
        let said = world.send(&Request::new(method, path.join("/"), Who::Nobody));
        let code = if said.status >= 400 { said.json()["code"].clone() } else { Value::Null };
        // To whoever has no handle of the gateway's, a return address is nowhere.
        assert!(
            id == "return_from_gateway" || code != "not_found" && code != "method_not_allowed",
            "{id} is not routed: {said}"
        );
    }
}

#[test]
fn every_operation_can_succeed() {
    let world = World::start(&[]);
    world.on_sale("apple", 10, "2001-01-01T00:00:00Z", "9000-01-01T00:00:00Z");
    let (one, two) = (world.placed("one", &[("apple", 1)]), world.placed("two", &[("apple", 1)]));
    world.check(&post(format!("/v1/orders/{one}/cancel"), Who::Kim), 200, "");
    world.check(&post(format!("/v1/orders/{two}/confirm"), Who::Admin), 200, "");
    world.check(&post("/v1/products/apple/stock", Who::Admin).key("s").json(r#"{"delta":1,"reason":"x"}"#), 200, "");
    world.check(&Request::new("DELETE", "/v1/products/apple/sale", Who::Admin), 200, "");
    for path in ["/v1/orders", &format!("/v1/orders/{one}"), "/v1/products", "/v1/products/apple"] {
        world.check(&get(path, Who::Admin), 200, "");
    }
    for path in ["/healthz", "/readyz", "/metrics", "/openapi.json"] {
        world.check(&get(path, Who::Nobody), 200, "");
    }
    crate::webhooks::all_succeed(&world);
    let world = crate::payments::all_succeed(world);
    world.check(&order("three", &[("apple", 1)]), 201, "");
    let all: BTreeSet<_> = world.document.operations().map(|(id, _, _)| id.to_owned()).collect();
    assert_eq!(world.seen(|status| status < 300), all);
}

#[test]
fn requests_are_documented_as_strictly_as_they_are_read() {
    let world = World::start(&[]);
    for name in ["PlaceOrder", "LineRequest", "CreateProduct", "AdjustStock", "SetSale"] {
        let schema = world.document.schema(name);
        assert_eq!(schema["additionalProperties"], false, "{name}");
        let (required, properties) =
            (schema["required"].as_array().unwrap(), schema["properties"].as_object().unwrap());
        assert_eq!(required.len(), properties.len(), "{name}");
        for (field, property) in properties {
            let bounds = ["minimum", "minLength", "minItems", "format", "anyOf"];
            assert!(
                bounds.iter().any(|bound| property.get(bound).is_some()),
                "{name}.{field} has no bounds: {property}"
            );
            assert!(property.get("example").or(property.get("examples")).is_some(), "{name}.{field} has no example");
        }
    }
    for (id, _, _) in world.document.operations() {
        let operation = world.document.operation(id);
        let open = ["healthz", "readyz", "metrics", "openapi", "list_products", "show_product", "return_from_gateway"]
            .contains(&id);
        assert_eq!(operation.get("security").is_some(), !open, "{id}");
        assert_eq!(operation["responses"].get("401").is_some(), !open, "{id}");
    }
}
