//! The routes about paying, each answered well once: the document's promise that they can be.

use crate::till::{Button, Till};
use crate::world::{Who, World, get, post};
use serde_json::json;

/// Calls every operation about paying so that it succeeds.
pub(crate) fn all_succeed(world: World) -> World {
    let till = Till::over(world);
    let id = till.paid(2);
    till.world.check(&till.refund(&id, &json!({"restock": true, "reason": "small", "amount": 1})), 201, "");
    till.timeline(&id);
    let stream = till.follow(&id, 0, "order_confirmed");
    assert!(stream.contains("event:payment_captured"), "{stream}");
    till.world.saw("follow_order", 200);

    // Captures whose answers are lost, and a gateway that does not say what became of them.
    till.fault("approve", &json!({"kind": "drop_after_commit"}), 3);
    till.fault("order", &json!({"kind": "http_500"}), 1000);
    for act in ["retry", "compensate", "resolve"] {
        let id = till.order(1);
        let back = Till::press(&till.page(&id), Button::Pay);
        till.arrive_later(&back);
        till.step_when(&id, "retrying");
        let body = match act {
            "resolve" => json!({"reason": "asked them", "outcome": "paid", "receipt": "A1"}),
            _ => json!({"reason": "no use waiting"}),
        };
        let path = format!("/v1/operations/sagas/{id}/attempt-1/{act}");
        till.world.check(&post(path, Who::Admin).json(body.to_string()), 200, "");
    }
    till.world.check(&get("/v1/operations/sagas?state=retrying&limit=1", Who::Admin), 200, "");
    till.into_world()
}
