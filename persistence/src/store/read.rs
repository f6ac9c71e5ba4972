//! Reading what is there: positions, orders, and all of it for an audit.

use super::link::Link;
use super::statements::{
    CUSTOMER_NEWEST, CUSTOMER_OLDER, LINES_AUDIT, ORDER, ORDERS_AUDIT, ORDERS_NEWEST, ORDERS_OLDER, POSITION,
    POSITIONS, PRODUCTS_AUDIT, SALES_AUDIT,
};
use super::values::{Cells, Values};
use super::{AuditRow, AuditSink, OrdersPage, ProductRow, SaleRow, StoreError, read_paying};
use crate::{JournalId, Position};
use son7shop_engine::{
    CustomerId, Lsn, OrderId, OrderStatus, OrderView, PartitionId, PricedLine, PricedLines, SaleTerms, Sku, Stock, Won,
};
use std::fmt::Write;

/// Rows read at a time by an audit.
const AUDIT_ROWS: i64 = 1000;

pub(super) async fn position<L: Link>(link: &mut L, partition: PartitionId) -> Result<Option<Position>, StoreError> {
    let mut values = L::Values::with_capacity(1);
    values.int(partition.0.into());
    let rows = link.read(POSITION, values).await?;
    rows.first().map(|row| Ok(position_row(row)?.1)).transpose()
}

pub(super) async fn positions<L: Link>(link: &mut L) -> Result<Vec<(PartitionId, Position)>, StoreError> {
    let rows = link.read(POSITIONS, L::Values::with_capacity(0)).await?;
    rows.iter().map(position_row).collect()
}

pub(super) async fn order<L: Link>(link: &mut L, id: OrderId) -> Result<Option<OrderView>, StoreError> {
    let mut values = L::Values::with_capacity(1);
    values.order(id);
    let rows = link.read(ORDER, values).await?;
    let mut orders: Vec<OrderView> = rows.iter().map(order_row).collect::<Result<_, _>>()?;
    add_lines(link, &mut orders).await?;
    read_paying::add(link, &mut orders).await?;
    Ok(orders.pop())
}

pub(super) async fn orders_page<L: Link>(link: &mut L, page: &OrdersPage<'_>) -> Result<Vec<OrderView>, StoreError> {
    let sql = match (page.customer, page.after) {
        (None, None) => ORDERS_NEWEST,
        (None, Some(_)) => ORDERS_OLDER,
        (Some(_), None) => CUSTOMER_NEWEST,
        (Some(_), Some(_)) => CUSTOMER_OLDER,
    };
    let mut values = L::Values::with_capacity(5);
    if let Some(customer) = page.customer {
        values.text(customer.as_str());
    }
    if let Some(after) = page.after {
        values.time(after.placed_at);
        values.time(after.placed_at);
        values.order(after.id);
    }
    values.int(page.limit.into());
    let rows = link.read(sql, values).await?;
    let mut orders = rows.iter().map(order_row).collect::<Result<Vec<_>, _>>()?;
    add_lines(link, &mut orders).await?;
    read_paying::add(link, &mut orders).await?;
    Ok(orders)
}

/// Reads the lines of `orders`. A list is filled up to a size that there is a statement
/// for, with its last id: naming an order twice finds its lines once.
async fn add_lines<L: Link>(link: &mut L, orders: &mut [OrderView]) -> Result<(), StoreError> {
    let (sizes, sql) = (L::statements().rows, &L::statements().lines_of.sql);
    for orders in orders.chunks_mut(sizes[0]) {
        let Some(last) = orders.last().map(|order| order.id) else { continue };
        // The first size holds any chunk.
        let size = sizes.iter().rposition(|&size| size >= orders.len()).unwrap_or(0);
        let mut values = L::Values::with_capacity(sizes[size]);
        for order in orders.iter() {
            values.order(order.id);
        }
        for _ in orders.len()..sizes[size] {
            values.order(last);
        }
        let rows = link.read(&sql[size], values).await?;
        let mut by_order = rows.iter().map(line_row).collect::<Result<Vec<_>, _>>()?;
        by_order.reverse();
        let mut order: Vec<usize> = (0..orders.len()).collect();
        order.sort_unstable_by_key(|&at| orders[at].id);
        for at in order {
            let order = &mut orders[at];
            while let Some((_, line)) = by_order.pop_if(|(id, _)| *id == order.id) {
                order.lines.push(line);
            }
        }
    }
    Ok(())
}

/// Shows everything to `sink`; the caller has begun a transaction that sees one state.
pub(super) async fn audit<L: Link>(link: &mut L, sink: AuditSink<'_>) -> Result<(), StoreError> {
    for (partition, position) in positions(link).await? {
        if sink(AuditRow::Position(partition, position)).is_break() {
            return Ok(());
        }
    }
    if audit_products(link, sink).await?.is_break() {
        return Ok(());
    }
    audit_orders(link, sink).await
}

async fn audit_products<L: Link>(link: &mut L, sink: AuditSink<'_>) -> Result<std::ops::ControlFlow<()>, StoreError> {
    let mut after = String::new();
    loop {
        let mut values = L::Values::with_capacity(2);
        values.text(&after);
        values.int(AUDIT_ROWS);
        let rows = link.read(PRODUCTS_AUDIT, values).await?;
        let mut products = rows.iter().map(product_row).collect::<Result<Vec<_>, _>>()?;
        let Some(last) = products.last().map(|product| product.sku.to_string()) else {
            return Ok(std::ops::ControlFlow::Continue(()));
        };
        let mut values = L::Values::with_capacity(2);
        values.text(&after);
        values.text(&last);
        let rows = link.read(SALES_AUDIT, values).await?;
        for (sku, sale) in rows.iter().map(sale_row).collect::<Result<Vec<_>, _>>()? {
            if let Ok(at) = products.binary_search_by(|product| product.sku.cmp(&sku)) {
                products[at].sale = Some(sale);
            }
        }
        for product in products {
            if sink(AuditRow::Product(product)).is_break() {
                return Ok(std::ops::ControlFlow::Break(()));
            }
        }
        after = last;
    }
}

async fn audit_orders<L: Link>(link: &mut L, sink: AuditSink<'_>) -> Result<(), StoreError> {
    let mut after = String::new();
    loop {
        let mut values = L::Values::with_capacity(2);
        values.text(&after);
        values.int(AUDIT_ROWS);
        let rows = link.read(ORDERS_AUDIT, values).await?;
        let mut orders = rows.iter().map(order_row).collect::<Result<Vec<_>, _>>()?;
        let Some(last) = orders.last().map(|order| order.id.to_string()) else { return Ok(()) };
        let mut values = L::Values::with_capacity(2);
        values.text(&after);
        values.text(&last);
        read_paying::add_between(link, &mut orders, &after, &last).await?;
        let rows = link.read(LINES_AUDIT, values).await?;
        let mut lines = rows.iter().map(line_row).collect::<Result<Vec<_>, _>>()?.into_iter().peekable();
        for mut order in orders {
            // Lines below are of no order at all: that, too, must be seen.
            while let Some((id, line)) = lines.next_if(|(id, _)| *id <= order.id) {
                if id != order.id {
                    let what = format!("'{id}' has lines but no order");
                    return Err(StoreError::BadRow { table: "order_lines", what });
                }
                order.lines.push(line);
            }
            if sink(AuditRow::Order(order)).is_break() {
                return Ok(());
            }
        }
        after = last;
    }
}

fn position_row<C: Cells>(row: &C) -> Result<(PartitionId, Position), StoreError> {
    let bad = |what: &str| StoreError::BadRow { table: "positions", what: what.to_owned() };
    let partition = PartitionId(number(row, 0, "positions")?);
    let journal = JournalId(unhex(row.text(1)?).ok_or_else(|| bad("journal_id is not 32 hexadecimal digits"))?);
    let chain = unhex(row.text(3)?).ok_or_else(|| bad("chain is not 64 hexadecimal digits"))?;
    Ok((partition, Position { journal, lsn: Lsn(number(row, 2, "positions")?), chain }))
}

fn order_row<C: Cells>(row: &C) -> Result<OrderView, StoreError> {
    let bad = |what: String| StoreError::BadRow { table: "orders", what };
    let id = row.text(0)?;
    let customer = row.text(1)?;
    let status = row.text(2)?;
    Ok(OrderView {
        id: OrderId::parse(id).map_err(|error| bad(format!("id '{id}' {error}")))?,
        customer: CustomerId::parse(customer).map_err(|error| bad(format!("customer_id '{customer}' {error}")))?,
        status: OrderStatus::parse(status).ok_or_else(|| bad(format!("status '{status}' of {id}")))?,
        lines: PricedLines::new(),
        total: Won(row.int(3)?),
        placed_at: row.time(4)?,
        deadline: row.time(5)?,
        ended_at: row.maybe_time(6)?,
        payment: None,
        lsn: Lsn(number(row, 7, "orders")?),
    })
}

fn line_row<C: Cells>(row: &C) -> Result<(OrderId, PricedLine), StoreError> {
    let order = order_id(row, "order_lines")?;
    let line = PricedLine {
        sku: sku(row, 1, "order_lines")?,
        quantity: number(row, 2, "order_lines")?,
        unit_price: Won(row.int(3)?),
        sale: number(row, 4, "order_lines")?,
    };
    Ok((order, line))
}

fn product_row<C: Cells>(row: &C) -> Result<ProductRow, StoreError> {
    Ok(ProductRow {
        sku: sku(row, 0, "products")?,
        partition: PartitionId(number(row, 1, "products")?),
        name: row.text(2)?.to_owned(),
        price: Won(row.int(3)?),
        stock: Stock {
            supplied: number(row, 4, "products")?,
            held: number(row, 5, "products")?,
            sold: number(row, 6, "products")?,
        },
        sale: None,
    })
}

fn sale_row<C: Cells>(row: &C) -> Result<(Sku, SaleRow), StoreError> {
    let terms = SaleTerms {
        opens_at: row.time(2)?,
        closes_at: row.time(3)?,
        price: Won(row.int(4)?),
        per_customer_limit: number(row, 5, "sales")?,
    };
    Ok((sku(row, 0, "sales")?, SaleRow { number: number(row, 1, "sales")?, terms }))
}

/// The order whose row it is, in the first column.
pub(super) fn order_id<C: Cells>(row: &C, table: &'static str) -> Result<OrderId, StoreError> {
    let id = row.text(0)?;
    OrderId::parse(id).map_err(|error| StoreError::BadRow { table, what: format!("order_id '{id}' {error}") })
}

pub(super) fn sku<C: Cells>(row: &C, column: usize, table: &'static str) -> Result<Sku, StoreError> {
    let text = row.text(column)?;
    Sku::parse(text).map_err(|error| StoreError::BadRow { table, what: format!("sku '{text}' {error}") })
}

pub(super) fn number<C: Cells, N: TryFrom<i64>>(row: &C, column: usize, table: &'static str) -> Result<N, StoreError> {
    let value = row.int(column)?;
    N::try_from(value).map_err(|_| StoreError::BadRow { table, what: format!("{value} is out of range") })
}

/// Bytes as hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; N];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(bytes)
}
