//! Verbs about paying: start, return, refund, timeline, and what operators do.

use crate::calls::{decide, read};
use crate::owner::{Owner, Reply};
use crate::shop::{Done, Shop};
use crate::{Payments, ReturnHandle, ShopError};
use compact_str::CompactString;
use son7shop_engine::payment::{Nonce, PaymentMethod, Proof, Why};
use son7shop_engine::{
    Act, Answer, AttemptStatus, Command, CustomerId, Lsn, OrderId, OrderStatus, OrderView, Outcome, PartitionId,
    RecalledOrder, RefundRequest, Refusal, RequestKey, Requester, Step, StepRef, StepState, Timeline,
};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How long a caller waits for the gateway to begin: longer than a gateway may take to answer.
const BEGIN_WAIT: Duration = Duration::from_secs(20);
/// The pause before an order is watched again whose owner was rebuilt.
const REBUILT: Duration = Duration::from_millis(100);

/// Open steps, and where the list of them goes on.
#[derive(Debug, Clone)]
pub struct StepsPage {
    /// By partition, the oldest first.
    pub steps: Vec<Step>,
    /// Partitions whose steps belong on this page and are not known: they do not serve.
    pub missing: Vec<PartitionId>,
    /// Where the next page begins; `None` on the last.
    pub next: Option<(PartitionId, Lsn)>,
}

impl Shop {
    /// How the shop is paid.
    #[must_use]
    pub fn payments(&self) -> &Payments {
        &self.inner.payments
    }

    /// Starts an attempt at paying an order, and waits until the gateway has begun it: the number of
    /// the attempt, and the order as it is then.
    ///
    /// # Errors
    ///
    /// [`ShopError::PaymentNotBegun`]: the gateway would not; another key may be tried.
    /// [`ShopError::GatewaySilent`]: it has not answered yet; ask again with the same key.
    pub async fn start_payment(
        &self,
        order: OrderId,
        by: Requester,
        method: PaymentMethod,
        key: RequestKey,
    ) -> Result<Done<(OrderView, u32)>, ShopError> {
        if self.inner.payments.gateway(method).is_none() {
            return Err(ShopError::NoGateway { method });
        }
        let nonce = Nonce(rand::random());
        let command = Command::StartPayment { order, by: by.clone(), method, key, nonce };
        let Done { value: number, repeated } = self.begun(order, &by, command).await?;
        let begun = |view: &OrderView| {
            let attempt = view.payment.as_ref()?.attempts.get(number as usize - 1)?;
            (attempt.status != AttemptStatus::Preparing).then_some(attempt.status)
        };
        match self.until(order, BEGIN_WAIT, begun).await? {
            (_, None) => Err(ShopError::GatewaySilent),
            (_, Some(AttemptStatus::Ended(Why::NotBegun))) => Err(ShopError::PaymentNotBegun),
            (view, Some(_)) => Ok(Done { value: (view, number), repeated }),
        }
    }

    /// Reports that somebody came to an attempt's return address; with a proof, that they brought one.
    /// A hint and no more: what follows, the gateway says.
    pub async fn report_return(&self, handle: ReturnHandle, proof: Option<Proof>) -> Result<(), ShopError> {
        let ReturnHandle { order, attempt, nonce } = handle;
        done_with(decide(self.home(order)?, Command::ReportReturn { order, attempt, nonce, proof }).await)
    }

    /// Waits until nothing is under way with the order's payment, at most for `wait`: the order as it is then.
    pub async fn settled_order(&self, order: OrderId, wait: Duration) -> Result<OrderView, ShopError> {
        let settled = |view: &OrderView| (!is_under_way(view)).then_some(());
        self.until(order, wait, settled).await.map(|(view, _)| view)
    }

    /// Asks for money to be given back: the number of the refund, and the order as it is then.
    pub async fn request_refund(
        &self,
        order: OrderId,
        refund: RefundRequest,
    ) -> Result<Done<(OrderView, u32)>, ShopError> {
        let command = Command::RequestRefund { order, refund: Box::new(refund) };
        let begun = match self.begun(order, &Requester::Admin, command.clone()).await {
            // The owner may have forgotten it: money can be given back long after that.
            Err(ShopError::Refused(Refusal::WrongState { status: OrderStatus::Confirmed })) => {
                self.recall(order).await?;
                self.begun(order, &Requester::Admin, command).await
            }
            begun => begun,
        };
        let Done { value: number, repeated } = begun?;
        let view = self.order(order, Requester::Admin).await?;
        Ok(Done { value: (view, number), repeated })
    }

    /// What happened to the order so far, and what is due.
    pub async fn timeline(&self, order: OrderId, by: Requester) -> Result<Timeline, ShopError> {
        let found = read(self.home(order)?, move |owner| owner.timeline(order, &by)).await?;
        found.ok_or_else(|| Refusal::UnknownOrder { order }.into())
    }

    /// Tells when the order has changed, and how it is then. Ends when its owner does: then it is asked for again.
    pub async fn watch_order(&self, order: OrderId) -> Result<watch::Receiver<Option<OrderView>>, ShopError> {
        read(self.home(order)?, move |owner| owner.watch(order)).await
    }

    /// Up to `limit` open steps in one of `states`. A partition that does not serve keeps nobody from the
    /// others' steps.
    pub async fn steps(
        &self,
        states: Vec<StepState>,
        after: Option<(PartitionId, Lsn)>,
        limit: usize,
    ) -> Result<StepsPage, ShopError> {
        let (first, mut seen) = after.unwrap_or((PartitionId(0), Lsn(0)));
        let (mut steps, mut missing) = (Vec::new(), Vec::new());
        'partitions: for partition in (first.0..self.partitions()).map(PartitionId) {
            // In pieces: selling goes on between them.
            loop {
                let (states, left) = (states.clone(), limit + 1 - steps.len());
                match read(self.gate(partition)?, move |owner| owner.steps_in(&states, seen, left)).await {
                    Ok((found, more)) => {
                        steps.extend(found);
                        if steps.len() > limit {
                            break 'partitions;
                        }
                        seen = match more {
                            Some(after) => after,
                            None => break,
                        };
                    }
                    Err(ShopError::PartitionClosed { .. }) => {
                        missing.push(partition);
                        break;
                    }
                    Err(error) => return Err(error),
                }
            }
            seen = Lsn(0);
        }
        let more = steps.len() > limit;
        steps.truncate(limit);
        let next = steps.last().filter(|_| more).map(|step: &Step| (step.order.home(), step.lsn));
        Ok(StepsPage { steps, missing, next })
    }

    /// Does what an operator wants about a step; the order as it is then.
    pub async fn operate(
        &self,
        order: OrderId,
        step: StepRef,
        act: Act,
        by: CustomerId,
        reason: CompactString,
    ) -> Result<OrderView, ShopError> {
        done_with(decide(self.home(order)?, Command::Operate { order, step, act, by, reason }).await)?;
        self.order(order, Requester::Admin).await
    }

    /// Has an order's home know it again that has forgotten it.
    async fn recall(&self, order: OrderId) -> Result<(), ShopError> {
        let view = self.forgotten_order(order, &Requester::Admin).await?;
        let status = view.status;
        let recalled = RecalledOrder::of(&view, self.partitions(), Nonce(rand::random()));
        let recalled = recalled.ok_or(match status {
            OrderStatus::Confirmed => Refusal::NothingToRefund,
            status => Refusal::WrongState { status },
        })?;
        done_with(decide(self.home(order)?, Command::RecallOrder(Box::new(recalled))).await)
    }

    /// The number that `command` led to.
    async fn begun(&self, order: OrderId, by: &Requester, command: Command) -> Result<Done<u32>, ShopError> {
        match decide(self.home(order)?, command).await? {
            Outcome::Accepted(Answer::Number(value)) => Ok(Done { value, repeated: false }),
            Outcome::Repeated(Answer::Number(value)) => Ok(Done { value, repeated: true }),
            // The owner may have forgotten it: then it ended long ago.
            Outcome::Refused(Refusal::UnknownOrder { .. }) => {
                let status = self.order(order, by.clone()).await?.status;
                Err(Refusal::WrongState { status }.into())
            }
            Outcome::Refused(refusal) => Err(refusal.into()),
            // An answer of another kind would be an owner's defect: its outcome is not known here.
            Outcome::Accepted(_) | Outcome::Repeated(_) => Err(ShopError::OutcomeUnknown),
        }
    }

    /// Waits until `seen` sees something in the order, at most for `wait`.
    async fn until<T>(
        &self,
        order: OrderId,
        wait: Duration,
        seen: impl Fn(&OrderView) -> Option<T>,
    ) -> Result<(OrderView, Option<T>), ShopError> {
        let by_then = Instant::now() + wait;
        loop {
            let watch = move |owner: &Owner| (owner.watch(order), owner.order(order));
            let (mut changes, Some(mut view)) = read(self.home(order)?, watch).await? else {
                // Its home has forgotten it: nothing will change.
                let view = self.order(order, Requester::Admin).await?;
                let found = seen(&view);
                return Ok((view, found));
            };
            loop {
                let left = by_then.saturating_duration_since(Instant::now());
                match seen(&view) {
                    None if !left.is_zero() => {}
                    found => return Ok((view, found)),
                }
                match tokio::time::timeout(left, changes.changed()).await {
                    Ok(Err(_)) => break,
                    Ok(Ok(())) => {
                        if let Some(changed) = changes.borrow_and_update().clone() {
                            view = changed;
                        }
                    }
                    Err(_) => {}
                }
            }
            tokio::time::sleep(REBUILT).await;
        }
    }
}

/// Whether somebody is at work on the order's payment: not the shopper.
fn is_under_way(view: &OrderView) -> bool {
    let newest = view.payment.as_ref().and_then(|payment| payment.attempts.last());
    let preparing = newest.is_some_and(|attempt| attempt.status == AttemptStatus::Preparing);
    view.status == OrderStatus::Approving || preparing
}

fn done_with(reply: Reply) -> Result<(), ShopError> {
    match reply? {
        Outcome::Accepted(_) | Outcome::Repeated(_) => Ok(()),
        Outcome::Refused(refusal) => Err(refusal.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::GateState;
    use crate::{NewProduct, Settings};
    use son7shop_engine::{LineRequest, Sku, Won, partition_of};
    use son7shop_payments::gateway::{
        BadReturn, BeginRequest, Call, Caps, CaptureRequest, Expected, LookUpRequest, PaymentGateway, Return,
        ReturnedTo,
    };
    use son7shop_persistence::journal::faults::MemoryStorage;
    use std::sync::Arc;

    const PARTITIONS: u16 = 3;

    /// A gateway that says nothing: a step that asks it stays open.
    struct Silent;

    impl PaymentGateway for Silent {
        fn begin<'a>(&'a self, _: &'a BeginRequest) -> Call<'a> {
            Box::pin(std::future::pending())
        }

        fn parse_return(&self, _: ReturnedTo, _: &str, _: &Expected) -> Result<Return, BadReturn> {
            Ok(Return::Quit)
        }

        fn capture<'a>(&'a self, _: &'a CaptureRequest) -> Call<'a> {
            Box::pin(std::future::pending())
        }

        fn look_up<'a>(&'a self, _: &'a LookUpRequest) -> Call<'a> {
            Box::pin(std::future::pending())
        }

        fn refund<'a>(&'a self, _: &'a son7shop_payments::gateway::RefundRequest) -> Call<'a> {
            Box::pin(std::future::pending())
        }

        fn caps(&self) -> Caps {
            Caps {
                native_idempotency: false,
                lookup_by_order: false,
                webhook: false,
                expiry_millis: 900_000,
                settle_millis: 15_000,
            }
        }
    }

    /// Has a payment of an order in this partition begin.
    async fn begin(shop: &Shop, partition: PartitionId, n: u8) {
        let mut skus = (0..1000).map(|at| Sku::parse(&format!("{n}-{at}")).unwrap());
        let sku = skus.find(|sku| partition_of(sku, PARTITIONS) == partition).unwrap();
        let product = NewProduct { sku: sku.clone(), name: "Air".into(), price: Won(1), on_hand: 1, key: None };
        shop.create_product(product).await.unwrap();
        let (kim, key) = (CustomerId::parse("kim").unwrap(), RequestKey { key: [n; 16], request: [n; 16] });
        let lines = vec![LineRequest { sku, quantity: 1 }];
        let order = shop.place_order(kim, key, lines).await.unwrap().value.id;
        let (method, nonce) = (PaymentMethod::KakaoPay, Nonce([n; 16]));
        let start = Command::StartPayment { order, by: Requester::Admin, method, key, nonce };
        shop.begun(order, &Requester::Admin, start).await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_partition_that_is_closed_hides_no_others_steps_and_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings {
            data_dir: "/shop".into(),
            database_url: format!("sqlite:{}", folder.path().join("shop.sqlite").display()),
            partitions: Some(PARTITIONS),
            payments: Payments::new("http://shop").with(PaymentMethod::KakaoPay, Arc::new(Silent)),
            ..Settings::default()
        };
        let shop = Shop::open(settings, Arc::new(MemoryStorage::new())).await.unwrap();
        for (partition, n) in [(0, 1), (0, 2), (1, 3), (2, 4)] {
            begin(&shop, PartitionId(partition), n).await;
        }
        let page = async |after, limit| {
            let page = shop.steps(vec![StepState::Open], after, limit).await.unwrap();
            let homes: Vec<u16> = page.steps.iter().map(|step| step.order.home().0).collect();
            let missing: Vec<u16> = page.missing.iter().map(|partition| partition.0).collect();
            (homes, missing, page.next)
        };
        assert_eq!(page(None, 10).await, (vec![0, 0, 1, 2], vec![], None));
        shop.inner.gates[1].close(GateState::Closed("burnt"));
        assert_eq!(page(None, 10).await, (vec![0, 0, 2], vec![1], None));
        // Page by page, the same steps; the partition is named where its steps would be.
        let (homes, missing, next) = page(None, 1).await;
        assert_eq!((homes, missing), (vec![0], vec![]));
        let (homes, missing, next) = page(next, 1).await;
        assert_eq!((homes, missing), (vec![0], vec![1]));
        assert_eq!(page(next, 1).await, (vec![2], vec![1], None));
        shop.inner.gates[0].close(GateState::Closed("burnt"));
        shop.inner.gates[2].close(GateState::Closed("burnt"));
        assert_eq!(page(None, 10).await, (vec![], vec![0, 1, 2], None), "and nothing fails as a whole");
        shop.close(Duration::from_secs(5)).await;
    }
}
