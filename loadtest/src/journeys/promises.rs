//! Whether the shop kept its promises to the shoppers: what they were told, against the stock and the orders
//! that it shows afterwards. Pure; what every sale promises is checked by [`crate::contention::check`].

use crate::api::{Order, Stock};
use crate::contention::check::{Violation, check_conserved, check_list, check_ordered};
use std::collections::{BTreeMap, HashMap};

/// States of an order that has its units.
const HAS_UNITS: [&str; 2] = ["held", "confirmed"];

/// An acknowledged order: what was asked for and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledged {
    /// Who was told of it.
    pub customer: usize,
    /// The product.
    pub sku: String,
    /// Units.
    pub quantity: u64,
    /// Its state by the last answer; none while a change was sent of which nobody knows whether it happened.
    pub status: Option<&'static str>,
}

/// An order that was sent and of which nobody knows whether it was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown {
    /// Who sent it.
    pub customer: usize,
    /// The product.
    pub sku: String,
    /// Units.
    pub quantity: u64,
}

/// What the shoppers were told about orders.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Books {
    /// Acknowledged orders by id.
    pub orders: BTreeMap<String, Acknowledged>,
    /// Ids that were given to two orders.
    pub twice: Vec<String>,
    /// Orders of unknown outcome.
    pub unknown: Vec<Unknown>,
}

impl Books {
    /// An order was acknowledged.
    pub fn acknowledge(&mut self, id: String, order: Acknowledged) {
        if self.orders.insert(id.clone(), order).is_some() {
            self.twice.push(id);
        }
    }

    /// Adds another thread's.
    pub fn add(&mut self, part: Self) {
        for (id, order) in part.orders {
            self.acknowledge(id, order);
        }
        self.twice.extend(part.twice);
        self.unknown.extend(part.unknown);
    }
}

/// What the shop shows afterwards.
#[derive(Debug, Clone)]
pub struct Account {
    /// Units of each product that were supplied.
    pub units: u64,
    /// The unit price in won.
    pub price: i64,
    /// The products' stock.
    pub stocks: Vec<(String, Stock)>,
    /// Every order of them, if orders are to be compared.
    pub orders: Option<Vec<Order>>,
}

impl Account {
    /// Units sold beyond what there was.
    pub fn oversold(&self) -> u64 {
        self.stocks.iter().map(|(_, stock)| (stock.held + stock.sold).saturating_sub(self.units)).sum()
    }
}

/// Every promise that was broken, in words.
pub fn check(books: &Books, account: &Account) -> Vec<String> {
    let mut broken: Vec<String> =
        books.twice.iter().map(|id| Violation::SharedOrder { id: id.clone() }.to_string()).collect();
    if let Some(orders) = &account.orders {
        broken.extend(check_orders(books, orders, account.price));
    }
    for (sku, stock) in &account.stocks {
        let mut violations = Vec::new();
        check_conserved(account.units, *stock, &mut violations);
        if let Some(orders) = &account.orders {
            let with_units = orders.iter().filter(|order| HAS_UNITS.contains(&order.status.as_str()));
            let lines = with_units.flat_map(|order| &order.lines).filter(|line| line.sku == *sku);
            check_ordered(*stock, lines.map(|line| line.quantity).sum(), &mut violations);
        }
        broken.extend(violations.iter().map(|violation| format!("{sku}: {violation}")));
    }
    broken
}

fn check_orders(books: &Books, orders: &[Order], price: i64) -> Vec<String> {
    let owners: HashMap<&str, usize> = books.orders.iter().map(|(id, order)| (id.as_str(), order.customer)).collect();
    let is_as_asked = |order: &Order| {
        // What nobody was told of is looked for by its customer, product and units.
        let Some(expected) = books.orders.get(&order.id) else { return true };
        is_order_of(order, &expected.sku, expected.quantity)
            && expected.status.is_none_or(|status| status == order.status)
            && i64::try_from(expected.quantity).is_ok_and(|quantity| order.total == quantity * price)
    };
    let mut violations = Vec::new();
    check_list(&owners, orders, is_as_asked, &mut violations);
    let excused = excused(books, &owners, orders);
    violations.retain(|violation| !matches!(violation, Violation::Invented { id } if excused.contains(&id.as_str())));
    let in_words = |violation: &Violation| match violation {
        Violation::WrongOrder { order } => format!("acknowledged {:?}, listed {order:?}", books.orders.get(&order.id)),
        other => other.to_string(),
    };
    violations.iter().map(in_words).collect()
}

fn is_order_of(order: &Order, sku: &str, quantity: u64) -> bool {
    matches!(&order.lines[..], [line] if line.sku == sku && line.quantity == quantity)
}

/// Orders that nobody was told of and that somebody sent without an answer, each sending once.
fn excused<'a>(books: &Books, owners: &HashMap<&str, usize>, orders: &'a [Order]) -> Vec<&'a str> {
    let names: HashMap<usize, &str> =
        orders.iter().filter_map(|order| Some((*owners.get(order.id.as_str())?, order.customer.as_str()))).collect();
    let mut unknown: Vec<&Unknown> = books.unknown.iter().collect();
    let mut excused = Vec::new();
    for order in orders.iter().filter(|order| !owners.contains_key(order.id.as_str())) {
        let is_it = |sent: &&Unknown| {
            is_order_of(order, &sent.sku, sent.quantity)
                && names.get(&sent.customer).is_none_or(|name| *name == order.customer)
        };
        if let Some(at) = unknown.iter().position(is_it) {
            unknown.swap_remove(at);
            excused.push(order.id.as_str());
        }
    }
    excused
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Line;

    const PRICE: i64 = 10;

    fn order(id: &str, customer: &str, status: &str, quantity: u64) -> Order {
        let total = i64::try_from(quantity).unwrap_or(0) * PRICE;
        let lines = vec![Line { sku: "a".to_owned(), quantity }];
        Order { id: id.to_owned(), customer: customer.to_owned(), status: status.to_owned(), lines, total }
    }

    /// Order 1 is customer 0's and held, 2 is 1's and confirmed, 3 is 0's and cancelled; 10 units were supplied.
    fn kept() -> (Books, Account) {
        let mut books = Books::default();
        for (id, customer, quantity, status) in
            [("1", 0, 2, "held"), ("2", 1, 1, "confirmed"), ("3", 0, 2, "cancelled")]
        {
            let sku = "a".to_owned();
            books.acknowledge(id.to_owned(), Acknowledged { customer, sku, quantity, status: Some(status) });
        }
        let stock = Stock { on_hand: 9, held: 2, sold: 1, available: 7 };
        let orders =
            vec![order("1", "kim", "held", 2), order("2", "lee", "confirmed", 1), order("3", "kim", "cancelled", 2)];
        (books, Account { units: 10, price: PRICE, stocks: vec![("a".to_owned(), stock)], orders: Some(orders) })
    }

    /// What is found after `plant` has changed what was kept; each part in its turn.
    fn check_planted(plant: impl FnOnce(&mut Books, &mut Vec<Order>, &mut Stock), expect: &[&str]) {
        let (mut books, mut account) = kept();
        let mut orders = account.orders.take().unwrap_or_default();
        plant(&mut books, &mut orders, &mut account.stocks[0].1);
        account.orders = Some(orders);
        let broken = check(&books, &account);
        assert_eq!(broken.len(), expect.len(), "{broken:?}");
        for (line, part) in broken.iter().zip(expect) {
            assert!(line.contains(part), "{broken:?}");
        }
    }

    #[test]
    fn every_broken_promise_is_found() {
        check_planted(|_, _, _| {}, &[]);
        check_planted(
            |books, _, _| {
                let again = books.orders["1"].clone();
                books.acknowledge("1".to_owned(), again);
            },
            &["order 1 was given to two keys"],
        );
        check_planted(
            |_, orders, _| orders.push(orders[0].clone()),
            &["order 1 is in the list twice", "a: conservation"],
        );
        check_planted(|_, orders, _| drop(orders.remove(2)), &["order 3 was acknowledged and is not in the list"]);
        check_planted(|_, orders, _| "cancelled".clone_into(&mut orders[0].status), &["listed", "a: conservation"]);
        check_planted(|_, orders, _| orders[0].total += 1, &["acknowledged"]);
        check_planted(
            |_, orders, _| "lee".clone_into(&mut orders[2].customer),
            &["order 3 was acknowledged to customer 0"],
        );
        check_planted(|_, orders, _| orders.push(order("4", "kim", "cancelled", 1)), &["nobody was told of it"]);
        check_planted(|_, _, stock| *stock = Stock { on_hand: 8, held: 1, sold: 2, available: 8 }, &["10 supplied"]);
        check_planted(
            |_, _, stock| *stock = Stock { on_hand: 8, held: 2, sold: 2, available: 6 },
            &["4 units held and sold"],
        );
    }

    #[test]
    fn an_order_of_unknown_outcome_may_be_there_once_and_as_it_was_sent() {
        let sent = |customer| Unknown { customer, sku: "a".to_owned(), quantity: 4 };
        let check = |customer: usize, listed: &[Order], expect: &[&str]| {
            check_planted(
                |books, orders, _| {
                    books.unknown.push(sent(customer));
                    orders.extend_from_slice(listed);
                },
                expect,
            );
        };
        let there = |id: &str, customer: &str, quantity| order(id, customer, "cancelled", quantity);
        check(0, &[], &[]);
        check(0, &[there("4", "kim", 4)], &[]);
        // Customer 2 has no other order: its name is not known.
        check(2, &[there("4", "park", 4)], &[]);
        check(0, &[there("4", "kim", 4), there("5", "kim", 4)], &["order 5"]);
        check(0, &[there("4", "lee", 4)], &["order 4"]);
        check(0, &[there("4", "kim", 3)], &["order 4"]);
    }

    #[test]
    fn without_the_orders_the_stock_is_checked_by_itself() {
        let (books, mut account) = kept();
        account.orders = None;
        assert_eq!(check(&books, &account), [""; 0]);
        account.stocks[0].1.sold = 9;
        assert_eq!((check(&books, &account).len(), account.oversold()), (1, 1));
    }
}
