//! A made-up history of one partition, always the same: products on sale, then orders of one line, half
//! of which end. Every event is what a real partition decided.

use anyhow::ensure;
use son7shop_engine::{
    Command, CustomerId, LineRequest, Lines, OrderId, Outcome, Partition, PartitionId, PlaceOrder, Record, RequestKey,
    Requester, SaleTerms, Sku, Time, Won,
};

/// Products, each on sale.
pub const PRODUCTS: u64 = 1_000;
/// How long an order holds its units.
pub const HOLD_MILLIS: i64 = 600_000;
const CUSTOMERS: u64 = 100_000;
const BEGINNING: Time = Time(1_790_000_000_000);

/// Gives every event of a history of `orders` orders, in order, and says how many there were. Of four
/// orders one is confirmed and one cancelled, some time later; two stay held.
pub fn tell(orders: u64, each: &mut dyn FnMut(&Record)) -> anyhow::Result<u64> {
    let mut partition = Partition::new(PartitionId(0), 7);
    let mut events = 0;
    let mut step = |now: Time, command: &Command| -> anyhow::Result<()> {
        let outcome = partition.step(now, command, |record| {
            events += 1;
            each(record);
        });
        ensure!(matches!(outcome, Outcome::Accepted(_)), "{command:?} had another outcome: {outcome:?}");
        Ok(())
    };
    let terms = SaleTerms { opens_at: Time(0), closes_at: Time::NEVER, price: Won(9_900), per_customer_limit: 100_000 };
    for n in 0..PRODUCTS {
        let name = format!("Air 90, size {n}").into();
        step(
            BEGINNING,
            &Command::CreateProduct { sku: sku(n)?, name, price: Won(129_000), on_hand: 1_000_000_000, key: None },
        )?;
        step(BEGINNING, &Command::SetSale { sku: sku(n)?, terms })?;
    }
    for n in 0..orders {
        // Ten orders a millisecond; an order that ends does so a hundred orders later.
        let now = BEGINNING.plus_millis(i64::try_from(n / 10)?);
        step(now, &place(n)?)?;
        let ended = n.wrapping_sub(100);
        match (n >= 100, ended % 4) {
            (true, 0) => step(now, &Command::ConfirmOrder { order: order_id(ended) })?,
            (true, 1) => step(now, &Command::CancelOrder { order: order_id(ended), by: Requester::Admin })?,
            _ => {}
        }
    }
    Ok(events)
}

fn place(n: u64) -> anyhow::Result<Command> {
    order(n, mixed(n) % PRODUCTS, 1)
}

/// The order `n`, of one unit each of `lines` products, the first of which is `first`.
pub fn order(n: u64, first: u64, lines: u64) -> anyhow::Result<Command> {
    let line = |n| Ok(LineRequest { sku: sku(n)?, quantity: 1 });
    Ok(Command::PlaceOrder(PlaceOrder {
        id: order_id(n),
        customer: CustomerId::parse(&format!("customer-{:06}", mixed(!n) % CUSTOMERS))?,
        key: RequestKey { key: digest(n), request: digest(n ^ 1 << 63) },
        lines: (first..first + lines).map(line).collect::<anyhow::Result<Lines>>()?,
        parts: Vec::new(),
        hold_millis: HOLD_MILLIS,
    }))
}

/// The name of the product `n`.
pub fn sku(n: u64) -> anyhow::Result<Sku> {
    Ok(Sku::parse(&format!("AIR-90-{n:04}"))?)
}

/// The id of the order `n`.
pub fn order_id(n: u64) -> OrderId {
    OrderId::new(BEGINNING, mixed(n), PartitionId(0))
}

fn digest(n: u64) -> [u8; 16] {
    (u128::from(mixed(n)) << 64 | u128::from(mixed(!n))).to_be_bytes()
}

/// A number that looks drawn: the same for the same `n` (splitmix64).
pub fn mixed(n: u64) -> u64 {
    let mut z = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn an_order_has_as_many_lines_as_are_wanted() {
        let Command::PlaceOrder(place) = order(7, 40, 3).unwrap() else { panic!("it is an order") };
        let skus: Vec<_> = place.lines.iter().map(|line| line.sku.as_str()).collect();
        assert_eq!((place.id, &skus[..]), (order_id(7), &["AIR-90-0040", "AIR-90-0041", "AIR-90-0042"][..]));
    }

    #[test]
    fn a_history_is_always_the_same() {
        let told = || {
            let mut records = Vec::new();
            let events = tell(400, &mut |record| records.push(record.clone())).unwrap();
            assert_eq!(events, records.len() as u64);
            records
        };
        let first = told();
        // Two events a product, one an order, and one for half of all orders but the last hundred.
        assert_eq!(first.len() as u64, 2 * PRODUCTS + 400 + 150);
        assert_eq!(first, told());
    }
}
