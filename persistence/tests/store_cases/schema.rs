//! Cases about the tables themselves.

use super::Case;
use crate::store_support::paying::paid_order;
use crate::store_support::{contents, execute, number, position};
use son7shop_engine::payment::{GatewayRef, GivenBack, MAX_ANSWER_BYTES};
use son7shop_engine::{
    CustomerId, Event, LineRequest, Lines, MAX_NAME_BYTES, MAX_QUANTITY, MAX_UNITS, OrderId, OrderStatus, PartitionId,
    PricedLine, Record, RequestKey, SaleTerms, Sku, StepRef, Time, Won,
};
use son7shop_persistence::store::{self, Batch, StoreError, as_stored};

const KEY: RequestKey = RequestKey { key: [0; 16], request: [0; 16] };

pub(super) async fn largest(case: Case) {
    let sku = Sku::parse(&"Z".repeat(Sku::MAX)).unwrap();
    let customer = CustomerId::parse(&"|".repeat(CustomerId::MAX)).unwrap();
    let partition = PartitionId(u16::MAX);
    let id = OrderId::new(Time(0x7fff_ffff_ffff), u64::MAX, partition);
    let terms = SaleTerms {
        opens_at: Time(i64::MIN),
        closes_at: Time::NEVER,
        price: Won::MAX_PRICE,
        per_customer_limit: u32::MAX,
    };
    let line = PricedLine { sku: sku.clone(), quantity: MAX_QUANTITY, unit_price: Won::MAX_PRICE, sale: u32::MAX };
    let total = Won(i64::MAX);
    let reason = "이".repeat(200).as_str().into();
    let events = [
        Event::ProductCreated {
            sku: sku.clone(),
            name: "n".repeat(MAX_NAME_BYTES).as_str().into(),
            price: Won::MAX_PRICE,
            on_hand: MAX_UNITS,
            key: None,
        },
        Event::StockAdjusted { sku: sku.clone(), delta: -1, reason, key: KEY },
        Event::SaleSet { sku: sku.clone(), terms, number: u32::MAX },
        Event::OrderPlaced {
            id,
            customer: customer.clone(),
            key: KEY,
            lines: [line.clone()].into_iter().collect(),
            total,
            deadline: Time::NEVER,
        },
    ];
    let records = events.map(|event| Record { at: Time::NEVER, event });
    let batch = Batch { partition, before: None, after: position(4), records: &records };
    case.store.apply(&batch).await.unwrap();
    let shown = contents(&*case.store).await;
    let (product, order) = (&shown.products[0], &shown.orders[0]);
    assert_eq!((&product.sku, product.name.len(), product.partition), (&sku, MAX_NAME_BYTES, partition));
    assert_eq!(product.stock.supplied, MAX_UNITS - 1);
    let sale = product.sale.unwrap();
    assert_eq!((sale.number, sale.terms.per_customer_limit, sale.terms.price), (u32::MAX, u32::MAX, Won::MAX_PRICE));
    assert_eq!((sale.terms.opens_at, sale.terms.closes_at), (as_stored(terms.opens_at), as_stored(terms.closes_at)));
    assert_eq!((order.id, &order.customer, order.total), (id, &customer, total));
    assert_eq!(order.lines[..], [line]);
    assert_eq!((order.placed_at, order.deadline), (as_stored(Time::NEVER), as_stored(Time::NEVER)));
}

pub(super) async fn widths(case: Case) {
    let columns = [
        ("products", "sku", Sku::MAX),
        ("products", "name", MAX_NAME_BYTES),
        ("stock_adjustments", "sku", Sku::MAX),
        ("sales", "sku", Sku::MAX),
        ("orders", "customer_id", CustomerId::MAX),
        ("order_lines", "sku", Sku::MAX),
        ("part_lines", "sku", Sku::MAX),
        ("part_lines", "customer_id", CustomerId::MAX),
        ("payments", "gateway_ref", GatewayRef::MAX),
        ("payments", "receipt", MAX_ANSWER_BYTES),
        ("payments", "means", MAX_ANSWER_BYTES),
        ("payments", "answer", MAX_ANSWER_BYTES),
        ("refunds", "receipt", MAX_ANSWER_BYTES),
        ("refunds", "reason", MAX_ANSWER_BYTES),
        ("refund_lines", "sku", Sku::MAX),
        ("timeline", "answer", MAX_ANSWER_BYTES),
        ("timeline", "actor", CustomerId::MAX),
    ];
    for (table, column, width) in columns {
        let sql = if case.url.starts_with("sqlite") {
            format!(
                "SELECT COUNT(*) FROM sqlite_schema WHERE name = '{table}' AND sql LIKE '%(length({column}) <= {width})%'"
            )
        } else {
            format!(
                "SELECT COUNT(*) FROM information_schema.columns WHERE table_schema = DATABASE() \
                 AND table_name = '{table}' AND column_name = '{column}' AND character_maximum_length = {width}"
            )
        };
        assert_eq!(number(&case.url, &sql).await, 1, "{table}.{column} is not {width} wide");
    }
}

pub(super) async fn newer(case: Case) {
    let row = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
               VALUES (4711, 'from the future', TRUE, x'00', 0)";
    execute(&case.url, row).await;
    let said = store::connect(&case.url).await;
    assert!(matches!(said, Err(StoreError::SchemaNewer { found: 4711, known: 2 })), "{said:?}");
    // Only looked at: nothing to undo, and no lock left behind.
    execute(&case.url, "DELETE FROM _sqlx_migrations WHERE version = 4711").await;
    store::connect(&case.url).await.unwrap().close().await;
}

pub(super) async fn altered(case: Case) {
    execute(&case.url, "UPDATE _sqlx_migrations SET checksum = x'00' WHERE version = 1").await;
    let said = store::connect(&case.url).await;
    assert!(matches!(said, Err(StoreError::SchemaAltered { version: 1 })), "{said:?}");
}

pub(super) async fn cut_short(case: Case) {
    let cuts: &[&str] = if case.url.starts_with("sqlite") {
        // A migration is a transaction: nothing of one that was cut short is left.
        &[
            "DELETE FROM _sqlx_migrations; DROP TABLE payments; DROP TABLE refunds; DROP TABLE refund_lines; \
             DROP TABLE positions; DROP TABLE timeline; DROP TABLE part_lines; DROP TABLE order_lines; \
             DROP TABLE orders; DROP TABLE sales; DROP TABLE stock_adjustments; DROP TABLE products",
            "DELETE FROM _sqlx_migrations WHERE version = 2; DROP TABLE payments; DROP TABLE refunds; \
             DROP TABLE refund_lines; ALTER TABLE timeline DROP COLUMN attempt; ALTER TABLE timeline DROP COLUMN refund; \
             ALTER TABLE timeline DROP COLUMN actor; ALTER TABLE timeline DROP COLUMN answer; \
             ALTER TABLE timeline DROP COLUMN next_at",
        ]
    } else {
        &[
            "DELETE FROM _sqlx_migrations WHERE version = 2; UPDATE _sqlx_migrations SET success = FALSE; \
             DROP TABLE payments, refunds, refund_lines, timeline, positions",
            "UPDATE _sqlx_migrations SET success = FALSE WHERE version = 2; DROP TABLE refunds, refund_lines; \
             ALTER TABLE timeline DROP COLUMN attempt, DROP COLUMN refund, DROP COLUMN actor, DROP COLUMN answer, \
             DROP COLUMN next_at",
            // Everything was done, but nobody wrote so.
            "UPDATE _sqlx_migrations SET success = FALSE WHERE version = 2",
        ]
    };
    for cut in cuts {
        execute(&case.url, cut).await;
        let store = store::connect(&case.url).await.unwrap();
        assert_eq!(store.positions().await.unwrap(), []);
        assert_eq!(number(&case.url, "SELECT COUNT(*) FROM timeline WHERE next_at IS NULL").await, 0);
        assert_eq!(number(&case.url, "SELECT COUNT(*) FROM refund_lines").await, 0);
        store.close().await;
    }
}

/// Tables of the version before, with rows in them, are brought up.
pub(super) async fn brought_up(case: Case) {
    let row = "INSERT INTO timeline (order_id, partition_id, lsn, at, event, detail) \
               VALUES ('01890a5d-ac96-774b-bcce-b302099a8057', 0, 1, '2023-11-14 22:13:20.007', 'placed', NULL)";
    let tables = "DROP TABLE payments; DROP TABLE refunds; DROP TABLE refund_lines";
    let columns = ["attempt", "refund", "actor", "answer", "next_at"];
    let columns = columns.map(|column| format!("ALTER TABLE timeline DROP COLUMN {column}")).join("; ");
    let version = "DELETE FROM _sqlx_migrations WHERE version = 2";
    execute(&case.url, &format!("{row}; {tables}; {columns}; {version}")).await;
    let store = store::connect(&case.url).await.unwrap();
    let rows = "SELECT COUNT(*) FROM timeline WHERE event = 'placed' AND attempt IS NULL AND next_at IS NULL";
    assert_eq!(number(&case.url, rows).await, 1);
    assert_eq!(number(&case.url, "SELECT COUNT(*) FROM payments").await, 0);
    store.close().await;
}

/// The largest values of a payment, and texts that are longer than any may be: those are cut.
pub(super) async fn largest_payment(case: Case) {
    let order = OrderId::new(Time(0x7fff_ffff_ffff), u64::MAX, PartitionId(u16::MAX));
    let sku = Sku::parse(&"Z".repeat(Sku::MAX)).unwrap();
    let customer = CustomerId::parse(&"|".repeat(CustomerId::MAX)).unwrap();
    let long = "x".repeat(MAX_ANSWER_BYTES + 1);
    let mut events = paid_order(order, &sku, &customer, &long);
    events.push(Event::OperatorActed {
        order,
        step: StepRef::Refund(1),
        by: customer.clone(),
        reason: long.as_str().into(),
        effect: Box::new(Event::RefundDone {
            order,
            refund: 1,
            attempt: 1,
            back: GivenBack { amount: Won(i64::MAX), receipt: long.as_str().into() },
            all: true,
            lines: [LineRequest { sku, quantity: MAX_QUANTITY }].into_iter().collect(),
            elsewhere: Lines::new(),
            parts: Vec::new(),
        }),
    });
    let records: Vec<Record> = events.into_iter().map(|event| Record { at: Time::NEVER, event }).collect();
    // One batch each: what is not inserted whole is changed.
    for (at, record) in records.chunks(1).enumerate() {
        let before = (at > 0).then(|| position(at as u64));
        let after = position(at as u64 + 1);
        let batch = Batch { partition: PartitionId(u16::MAX), before, after, records: record };
        case.store.apply(&batch).await.unwrap();
    }
    let shown = case.store.order(order).await.unwrap().unwrap();
    let payment = shown.payment.unwrap();
    let (attempt, refund) = (&payment.attempts[0], &payment.refunds[0]);
    let captured = attempt.captured.as_ref().unwrap();
    assert_eq!((shown.status, attempt.expires_at), (OrderStatus::Refunded, None));
    assert_eq!((captured.amount, attempt.refunded), (Won(i64::MAX), Won(i64::MAX)));
    assert_eq!(captured.at, as_stored(Time::NEVER));
    assert_eq!(attempt.reference.as_ref().unwrap().as_str().len(), GatewayRef::MAX);
    for text in [&captured.receipt, &captured.means, &refund.receipt, &refund.reason] {
        assert_eq!(text.as_str(), &long[..MAX_ANSWER_BYTES]);
    }
    assert_eq!(refund.lines[0].quantity, MAX_QUANTITY);
    let product = contents(&*case.store).await.products.remove(0);
    assert_eq!((product.stock.held, product.stock.sold), (0, 0));
}

pub(super) async fn reopened(case: Case) {
    let event =
        Event::ProductCreated { sku: Sku::parse("a").unwrap(), name: "A".into(), price: Won(1), on_hand: 1, key: None };
    let records = [Record { at: Time(5), event }];
    let batch = Batch { partition: PartitionId(0), before: None, after: position(1), records: &records };
    case.store.apply(&batch).await.unwrap();
    let before = contents(&*case.store).await;
    case.store.close().await;
    assert!(matches!(case.store.positions().await, Err(StoreError::Closed)));
    let again = store::connect(&case.url).await.unwrap();
    assert_eq!(contents(&*again).await, before);
    again.close().await;
}
