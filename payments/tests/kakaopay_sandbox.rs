//! The suite of the Kakao Pay client against the sandbox, through real sockets.

#![allow(clippy::unwrap_used, reason = "tests")]

use kakaopay_suite::{Stage, cases};
use son7shop_payments::sandbox::machine::SANDBOX_SECRET_KEY;
use son7shop_payments::sandbox::server::{Sandbox, SandboxSettings};

mod kakaopay_common;
mod kakaopay_suite;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_case_of_the_suite_holds_against_the_sandbox() {
    let mut failed = Vec::new();
    let cases = cases();
    assert!(cases.len() > 20);
    for (name, case) in cases {
        let sandbox = Sandbox::start(SandboxSettings::default()).await.unwrap();
        let stage = Stage {
            base: format!("{}/online/v1/payment", sandbox.api_url()),
            control: sandbox.control_url(),
            key: SANDBOX_SECRET_KEY.to_owned(),
        };
        // In a task of its own: one that fails does not hide the others.
        if tokio::spawn(case(stage)).await.is_err() {
            failed.push(name);
        }
        assert!(sandbox.stop().await, "{name}: the sandbox did not stop");
    }
    assert!(failed.is_empty(), "failed: {failed:#?}");
}
