//! Sagas, for operators: which steps are open, and what is done about one that does not succeed. Whatever
//! is done is in the journal with who did it and why.

use super::answer::Answer;
use super::call::Call;
use super::orders::order_id;
use super::page::{Cursor, Page, percent_decoded};
use super::problem::Problem;
use super::{json, shown, wire};
use compact_str::CompactString;
use son7shop_engine::payment::{Captured, GivenBack};
use son7shop_engine::{Act, OrderId, Requester, StepRef, StepState, Won};

/// The open steps of sagas: by partition, those that changed longest ago first.
///
/// `missing_partitions`: parts of the shop that do not serve at the moment, and whose steps are left out.
#[utoipa::path(
    get, path = "/v1/operations/sagas", tag = "operations", operation_id = "list_sagas",
    params(super::page::PageParameters,
        ("state" = Option<super::schema::StepState>, Query, description = "Only steps in this state; left out: all but those that wait for a shopper")),
    responses((status = 200, description = "A page of open steps", body = super::schema::Steps)),
    security(("bearer" = []))
)]
pub(super) async fn list(query: String, call: Call) -> Result<Answer, Problem> {
    call.admin()?;
    let (state, rest) = state_of(&query)?;
    let page = Page::read(&rest)?;
    let after = page.after.map(|cursor| Cursor::step(&cursor)).transpose()?;
    let states = state.map_or(vec![StepState::Open, StepState::Retrying, StepState::Parked], |state| vec![state]);
    let found = call.api.shop.steps(states, after, page.limit as usize).await?;
    let next = found.next.map(|(partition, lsn)| Cursor::of_step(partition, lsn));
    Ok(Answer::ok(shown::steps(&found, next.as_deref())))
}

/// The state that is asked for, and the rest of the query.
fn state_of(query: &str) -> Result<(Option<StepState>, String), Problem> {
    let (mut state, mut rest) = (None, Vec::new());
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if name != "state" {
            rest.push(pair);
            continue;
        }
        let named = StepState::parse(&percent_decoded(value))
            .ok_or_else(|| Problem::parameter("state", "must be open, waiting, retrying or parked"))?;
        if state.replace(named).is_some() {
            return Err(Problem::parameter("state", "must be sent once"));
        }
    }
    Ok((state, rest.join("&")))
}

/// Tries a step again at once. What may have been called before is asked for first.
#[utoipa::path(
    post, path = "/v1/operations/sagas/{order}/{step}/retry", tag = "operations", operation_id = "retry_step",
    request_body = wire::Operate, params(super::schema::StepInPath),
    responses((status = 200, description = "The order after it", body = super::schema::Order)),
    security(("bearer" = []))
)]
pub(super) async fn retry((order, step): (String, String), call: Call) -> Result<Answer, Problem> {
    operate(&order, &step, &call, Act::Retry).await
}

/// Gives a step up: an order that is being paid ends unpaid and its units go back. What the gateway
/// takes all the same is found later, and given back.
#[utoipa::path(
    post, path = "/v1/operations/sagas/{order}/{step}/compensate", tag = "operations", operation_id = "compensate_step",
    request_body = wire::Operate, params(super::schema::StepInPath),
    responses((status = 200, description = "The order after it", body = super::schema::Order)),
    security(("bearer" = []))
)]
pub(super) async fn compensate((order, step): (String, String), call: Call) -> Result<Answer, Problem> {
    operate(&order, &step, &call, Act::Compensate).await
}

async fn operate(order: &str, step: &str, call: &Call, act: Act) -> Result<Answer, Problem> {
    let admin = call.admin()?;
    let (order, step) = step_in_path(order, step)?;
    let wire::Operate { reason } = wire::read(call.json()?)?;
    let view = call.api.shop.operate(order, step, act, admin.subject, reason).await?;
    Ok(Answer::ok(json::order(&view)))
}

/// Says what the gateway did, where it can no longer be asked, and ends the step with it.
#[utoipa::path(
    post, path = "/v1/operations/sagas/{order}/{step}/resolve", tag = "operations", operation_id = "resolve_step",
    request_body = wire::Resolve, params(super::schema::StepInPath),
    responses((status = 200, description = "The order after it", body = super::schema::Order)),
    security(("bearer" = []))
)]
pub(super) async fn resolve((order, step): (String, String), call: Call) -> Result<Answer, Problem> {
    let admin = call.admin()?;
    let (order, step) = step_in_path(&order, &step)?;
    let wire::Resolve { outcome, receipt, reason } = wire::read(call.json()?)?;
    let amount = amount_of(&call, order, step).await?;
    let act = match outcome {
        wire::ResolvedAs::Paid => {
            let captured = Captured { amount, receipt, means: CompactString::default(), at: super::clock::now() };
            Act::ResolvePaid(Box::new(captured))
        }
        wire::ResolvedAs::NotPaid => Act::ResolveNotPaid,
        wire::ResolvedAs::Refunded => Act::ResolveRefunded(GivenBack { amount, receipt }),
        wire::ResolvedAs::NotRefunded => Act::ResolveNotRefunded,
    };
    let view = call.api.shop.operate(order, step, act, admin.subject, reason).await?;
    Ok(Answer::ok(json::order(&view)))
}

/// What the step is to take or to give back.
async fn amount_of(call: &Call, order: OrderId, step: StepRef) -> Result<Won, Problem> {
    let view = call.api.shop.order(order, Requester::Admin).await?;
    let payment = view.payment.as_deref();
    let amount = match step {
        StepRef::Attempt(number) => payment.and_then(|payment| {
            payment.attempts.iter().find(|attempt| attempt.number == number).map(|attempt| attempt.amount)
        }),
        StepRef::Refund(number) => payment.and_then(|payment| {
            let refund = payment.refunds.iter().find(|refund| refund.number == number)?;
            let whole = || {
                let attempt = payment.attempts.iter().find(|attempt| attempt.number == refund.attempt);
                attempt.and_then(|attempt| attempt.captured.as_ref()).map(|captured| captured.amount)
            };
            refund.amount.or_else(whole)
        }),
    };
    amount.ok_or_else(|| son7shop_engine::Refusal::NoSuchStep.into())
}

fn step_in_path(order: &str, step: &str) -> Result<(OrderId, StepRef), Problem> {
    let id = order_id(order)?;
    let step = shown::parse_step(step)
        .ok_or_else(|| Problem::parameter("step", "must be attempt-N or refund-N, as the list names it"))?;
    Ok((id, step))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::status::Code;

    #[test]
    fn a_state_is_read_as_it_may_be_sent_and_no_other_is_guessed() {
        let read = |query: &str| state_of(query).map_err(|problem| problem.code());
        let of = |state, rest: &str| Ok((state, rest.to_owned()));
        assert_eq!(read(""), of(None, ""));
        assert_eq!(read("limit=1&state=parked&after=a"), of(Some(StepState::Parked), "limit=1&after=a"));
        assert_eq!(read("state=%70arked"), of(Some(StepState::Parked), ""));
        assert_eq!(read("stated=parked"), of(None, "stated=parked"), "the page refuses it");
        for wrong in ["state", "state=", "state=Parked", "state=lost", "state=%", "state=%ff", "state=open&state=open"]
        {
            assert_eq!(read(wrong), Err(Code::InvalidParameter), "{wrong}");
        }
    }
}
