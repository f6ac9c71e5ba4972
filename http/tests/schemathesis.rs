//! The API against its own OpenAPI, by a fuzzer made for that: schemathesis (PyPI), in a
//! virtual environment of its own in the build folder.
//!
//! Where Python or the package cannot be had it says `NOT RUN` and passes, unless
//! `SON7_REQUIRE_SCHEMATHESIS=1`. `SON7_SEED` repeats a run's requests.

#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use serde_json::json;
use son7shop_loadtest::client::Client;
use son7shop_loadtest::request::Request;
use son7shop_loadtest::shop::Shop;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// The release that the options below are written for.
const PACKAGE: &str = "schemathesis>=4.32,<5";
/// Requests for each operation in each phase.
const EXAMPLES: &str = "30";
const SEED: &str = "20261124";
/// Checks that this API can be held to. Not among them: that every request that fits its
/// schema is accepted, since what a shop accepts depends on its stock, sales and cursors.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
response_headers_conformance,response_schema_conformance,negative_data_rejection,missing_required_header,\
unsupported_method,allow_header_conformance,ignored_auth";

/// Runs a command to its end; what it said if it failed.
fn run(command: &mut Command) -> Result<(), String> {
    let shown = format!("{command:?}");
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{shown}: {error}"))?;
    let said = || format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() { Ok(()) } else { Err(format!("{shown} ({}):\n{}", output.status, said())) }
}

/// The fuzzer, installed where it is not yet.
fn fuzzer() -> Result<PathBuf, String> {
    let environment = Path::new(env!("CARGO_TARGET_TMPDIR")).join("schemathesis");
    let program = environment.join("bin/schemathesis");
    if run(Command::new(&program).arg("--version")).is_err() {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment))?;
        run(Command::new(environment.join("bin/pip")).args(["install", "--quiet", PACKAGE]))?;
        run(Command::new(&program).arg("--version"))?;
    }
    Ok(program)
}

fn send(client: &mut Client, token: &str, path: &str, key: &str, body: &serde_json::Value) {
    let request = Request::to("POST", &client.host(), path).bearer(token).header("idempotency-key", key);
    let said = client.send(&request.json(&body.to_string())).unwrap();
    assert_eq!(said.status, 201, "{}", said.text());
}

#[test]
fn the_fuzzer_finds_nothing() {
    let fuzzer = match fuzzer() {
        Ok(fuzzer) => fuzzer,
        Err(why) if std::env::var("SON7_REQUIRE_SCHEMATHESIS").is_ok_and(|set| set == "1") => panic!("{why}"),
        // To the terminal itself: what a passing test prints is not shown.
        Err(why) => {
            use std::io::Write as _;
            _ = writeln!(std::io::stderr(), "NOT RUN: schemathesis cannot be had: {why}");
            return;
        }
    };
    let seed = std::env::var("SON7_SEED").unwrap_or_else(|_| SEED.to_owned());
    println!("SON7_SEED={seed}");
    let folder = tempfile::tempdir().unwrap();
    let shop = Shop::new(Path::new(env!("CARGO_BIN_EXE_son7shop")), &folder.path().join("data"));
    let admin = shop.admin_token().unwrap();
    let customer = shop.customer_tokens("buyer", 1).unwrap().remove(0);
    let program = shop.start(Duration::from_mins(1)).unwrap();
    // The product of the document's examples.
    let mut client = Client::new(program.address());
    let product = json!({"sku": "air-90", "name": "Air 90", "price": 129_000, "on_hand": 1_000_000});
    send(&mut client, &admin, "/v1/products", "product", &product);
    send(&mut client, &customer, "/v1/orders", "order", &json!({"lines": [{"sku": "air-90", "quantity": 1}]}));
    let url = format!("http://{}", program.address());
    let fuzz = |token: &str, document: &str, more: &[&str]| {
        run(Command::new(&fuzzer)
            .current_dir(folder.path())
            .args(["run", "--no-color", "--seed", &seed, "--max-examples", EXAMPLES, "--checks", CHECKS])
            // They would have the shop call hosts that the fuzzer made up.
            .args(["--exclude-operation-id", "create_webhook", "--exclude-operation-id", "update_webhook"])
            // A stream that does not end: the fuzzer would read it for ever.
            .args(["--exclude-operation-id", "follow_order"])
            .args(["--generation-database", "none", "--warnings", "off", "--request-timeout", "30"])
            .args(["--header", &format!("Authorization: Bearer {token}"), "--url", &url])
            .args(more)
            .arg(document))
    };
    // A fuzzer that cannot tell a document that lies would prove nothing.
    let mut lie = client.get("/openapi.json", None).unwrap().json().unwrap();
    lie["paths"]["/v1/orders"]["post"]["responses"].as_object_mut().unwrap().remove("400").unwrap();
    std::fs::write(folder.path().join("lie.json"), lie.to_string()).unwrap();
    let found = fuzz(&customer, "lie.json", &["--include-operation-id", "place_order", "--phases", "coverage"]);
    assert!(found.as_ref().is_err_and(|said| said.contains("Undocumented status code")), "{found:?}");

    for (who, token) in [("admin", &admin), ("customer", &customer)] {
        if let Err(findings) = fuzz(token, &format!("{url}/openapi.json"), &[]) {
            panic!("SON7_SEED={seed}, as {who}:\n{findings}");
        }
    }
    assert!(client.get("/readyz", None).unwrap().status == 200, "the shop must still serve");
}
