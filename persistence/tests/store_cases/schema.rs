//! Cases about the tables themselves.

use super::Case;
use crate::store_support::{contents, execute, number, position};
use son7shop_engine::{
    CustomerId, Event, MAX_NAME_BYTES, MAX_QUANTITY, MAX_UNITS, OrderId, PartitionId, PricedLine, Record, RequestKey,
    SaleTerms, Sku, Time, Won,
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
    let cut = if case.url.starts_with("sqlite") {
        // A migration is a transaction: nothing of one that was cut short is left.
        "DELETE FROM _sqlx_migrations; DROP TABLE payments; DROP TABLE refunds; DROP TABLE refund_lines; DROP TABLE positions; DROP TABLE timeline; DROP TABLE part_lines; \
         DROP TABLE order_lines; DROP TABLE orders; DROP TABLE sales; DROP TABLE stock_adjustments; DROP TABLE products"
    } else {
        "UPDATE _sqlx_migrations SET success = FALSE; DROP TABLE timeline, positions"
    };
    execute(&case.url, cut).await;
    let store = store::connect(&case.url).await.unwrap();
    assert_eq!(store.positions().await.unwrap(), []);
    assert_eq!(number(&case.url, "SELECT COUNT(*) FROM timeline").await, 0);
    store.close().await;
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
