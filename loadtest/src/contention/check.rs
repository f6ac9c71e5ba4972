//! Whether the shop kept its promises: what every buyer was told, against the stock and the orders
//! that the shop shows afterwards. Pure; it asks nobody. A promise that is broken is named with the
//! numbers that show it.

use crate::api::{Order, Stock};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

/// What a buyer was told in the end, for one sending of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The units are theirs; the order's id.
    Accepted(String),
    /// A refusal that belongs to contention; its code.
    Refused(String),
    /// Anything else.
    Unexpected(String),
}

/// One sending and what was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Whose key it is.
    pub customer: usize,
    /// The key's number; sendings with the same one are repeats.
    pub key: u64,
    /// The answer.
    pub outcome: Outcome,
}

/// Everything that is known after a run. Every order asks for one unit.
#[derive(Debug, Clone)]
pub struct Evidence {
    /// Units that there were to sell.
    pub units: u64,
    /// Units that one customer may have, if there is a limit.
    pub limit: Option<u64>,
    /// Different keys that each customer was to send; the position is the customer.
    pub demand: Vec<u64>,
    /// What the buyers were told.
    pub told: Vec<Told>,
    /// The stock afterwards.
    pub stock: Stock,
    /// The orders afterwards, as the list gave them.
    pub orders: Vec<Order>,
    /// The product.
    pub sku: String,
    /// The unit price in won.
    pub price: i64,
}

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violation {
    /// An answer that contention does not explain.
    Unexpected {
        /// What it said.
        answer: String,
        /// How often the like came.
        times: u64,
    },
    /// A key was not answered as often as it was sent, or never sent.
    KeysUnanswered {
        /// Keys that were to be sent.
        demanded: u64,
        /// Keys with an answer.
        answered: u64,
    },
    /// One key has two orders.
    TwoOrders {
        /// Whose key.
        customer: usize,
        /// The key's number.
        key: u64,
        /// The orders.
        ids: Vec<String>,
    },
    /// A repeat was refused though the key has an order; no unit came back meanwhile.
    RepeatDiffers {
        /// Whose key.
        customer: usize,
        /// The key's number.
        key: u64,
        /// The order.
        id: String,
        /// The refusal's code.
        code: String,
    },
    /// One order was given to two keys.
    SharedOrder {
        /// The order.
        id: String,
    },
    /// More or fewer units went than the demand and the supply allow.
    WrongSale {
        /// min(units, demand within the limits).
        expected: u64,
        /// Orders accepted.
        accepted: u64,
    },
    /// A customer has more than the limit.
    LimitBroken {
        /// Who.
        customer: usize,
        /// Units.
        has: u64,
        /// Units allowed.
        limit: u64,
    },
    /// An acknowledged order is not in the list.
    Lost {
        /// The order.
        id: String,
    },
    /// An order is in the list that nobody was told of.
    Invented {
        /// The order.
        id: String,
    },
    /// An order is in the list twice.
    ListedTwice {
        /// The order.
        id: String,
    },
    /// The list shows two customers' orders as one's, or one's as two's.
    WrongOwner {
        /// The order.
        id: String,
        /// Whose it is, by the list.
        listed: String,
        /// Who was told of it.
        customer: usize,
    },
    /// An order in the list is not what was asked for.
    WrongOrder {
        /// The order.
        order: Order,
    },
    /// available + held + sold is not what was supplied, or on hand is not available + held.
    NotConserved {
        /// Units supplied.
        units: u64,
        /// The stock as shown.
        stock: Stock,
    },
    /// Units held and sold are not those of the orders.
    StockAgainstOrders {
        /// Units held and sold, by the stock.
        taken: u64,
        /// Units of the listed orders.
        ordered: u64,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unexpected { answer, times } => {
                write!(f, "{times} answers that contention does not explain: {answer}")
            }
            Self::KeysUnanswered { demanded, answered } => {
                write!(f, "{demanded} keys were to be sent, {answered} were answered")
            }
            Self::TwoOrders { customer, key, ids } => {
                write!(f, "exactly once: key {key} of customer {customer} has {} orders: {}", ids.len(), ids.join(", "))
            }
            Self::RepeatDiffers { customer, key, id, code } => {
                write!(f, "exactly once: key {key} of customer {customer} has order {id}, and a repeat was told {code}")
            }
            Self::SharedOrder { id } => write!(f, "exactly once: order {id} was given to two keys"),
            Self::WrongSale { expected, accepted } if accepted > expected => {
                write!(f, "no oversell: {accepted} orders accepted, {expected} could be")
            }
            Self::WrongSale { expected, accepted } => {
                write!(f, "no undersell: {accepted} orders accepted, {expected} should be")
            }
            Self::LimitBroken { customer, has, limit } => {
                write!(f, "limit: customer {customer} has {has} units, {limit} are allowed")
            }
            Self::Lost { id } => write!(f, "no lost answer: order {id} was acknowledged and is not in the list"),
            Self::Invented { id } => write!(f, "order {id} is in the list and nobody was told of it"),
            Self::ListedTwice { id } => write!(f, "order {id} is in the list twice"),
            Self::WrongOwner { id, listed, customer } => {
                write!(f, "order {id} was acknowledged to customer {customer} and is listed as {listed}'s")
            }
            Self::WrongOrder { order } => write!(f, "an order that nobody asked for: {order:?}"),
            Self::NotConserved { units, stock } => {
                write!(f, "conservation: {units} supplied, the stock says {stock:?}")
            }
            Self::StockAgainstOrders { taken, ordered } => {
                write!(f, "conservation: {taken} units held and sold, the orders have {ordered}")
            }
        }
    }
}

/// Everything that is wrong; empty when every promise was kept.
pub fn check(evidence: &Evidence) -> Vec<Violation> {
    let mut violations = Vec::new();
    let owners = check_answers(&evidence.demand, &evidence.told, &mut violations);
    check_sale(evidence, &owners, &mut violations);
    let is_as_asked = |order: &Order| {
        matches!(&order.lines[..], [line] if line.sku == evidence.sku && line.quantity == 1)
            && order.total == evidence.price
            && order.status == "held"
    };
    check_list(&owners, &evidence.orders, is_as_asked, &mut violations);
    check_conserved(evidence.units, evidence.stock, &mut violations);
    let lines = evidence.orders.iter().flat_map(|order| &order.lines);
    let ordered = lines.filter(|line| line.sku == evidence.sku).map(|line| line.quantity).sum();
    check_ordered(evidence.stock, ordered, &mut violations);
    violations
}

/// What is wrong among the answers, without the shop's account.
pub fn check_told(demand: &[u64], told: &[Told]) -> Vec<Violation> {
    let mut violations = Vec::new();
    check_answers(demand, told, &mut violations);
    violations
}

/// How many units could go: each customer's demand within the limit, and no more than there are.
pub fn sellable(units: u64, limit: Option<u64>, demand: &[u64]) -> u64 {
    demand.iter().map(|wanted| limit.map_or(*wanted, |limit| limit.min(*wanted))).sum::<u64>().min(units)
}

/// What all sendings of one key were told.
#[derive(Default)]
struct Answers<'a> {
    /// Different orders.
    ids: Vec<&'a str>,
    /// The last refusal's code.
    refusal: Option<&'a str>,
}

/// One key, one answer. Gives the acknowledged orders, with whose they are.
fn check_answers<'a>(demand: &[u64], told: &'a [Told], violations: &mut Vec<Violation>) -> HashMap<&'a str, usize> {
    let mut unexpected: BTreeMap<&str, u64> = BTreeMap::new();
    let mut keys: BTreeMap<(usize, u64), Answers<'_>> = BTreeMap::new();
    for told in told {
        let Answers { ids, refusal } = keys.entry((told.customer, told.key)).or_default();
        match &told.outcome {
            Outcome::Accepted(id) if ids.contains(&id.as_str()) => {}
            Outcome::Accepted(id) => ids.push(id),
            Outcome::Refused(code) => *refusal = Some(code),
            Outcome::Unexpected(answer) => *unexpected.entry(answer).or_default() += 1,
        }
    }
    for (answer, times) in unexpected {
        violations.push(Violation::Unexpected { answer: answer.to_owned(), times });
    }
    let (demanded, answered) = (demand.iter().sum(), keys.len() as u64);
    if demanded != answered {
        violations.push(Violation::KeysUnanswered { demanded, answered });
    }
    let mut owners = HashMap::new();
    for ((customer, key), Answers { ids, refusal }) in keys {
        if ids.len() > 1 {
            let ids = ids.iter().map(|id| (*id).to_owned()).collect();
            violations.push(Violation::TwoOrders { customer, key, ids });
        }
        if let (Some(id), Some(code)) = (ids.first(), refusal) {
            let (id, code) = ((*id).to_owned(), code.to_owned());
            violations.push(Violation::RepeatDiffers { customer, key, id, code });
        }
        for id in ids {
            if owners.insert(id, customer).is_some() {
                violations.push(Violation::SharedOrder { id: id.to_owned() });
            }
        }
    }
    owners
}

/// As many as could be sold, and nobody more than allowed.
fn check_sale(evidence: &Evidence, owners: &HashMap<&str, usize>, violations: &mut Vec<Violation>) {
    let expected = sellable(evidence.units, evidence.limit, &evidence.demand);
    let accepted = owners.len() as u64;
    if accepted != expected {
        violations.push(Violation::WrongSale { expected, accepted });
    }
    let Some(limit) = evidence.limit else { return };
    let mut has: BTreeMap<usize, u64> = BTreeMap::new();
    for customer in owners.values() {
        *has.entry(*customer).or_default() += 1;
    }
    for (customer, has) in has {
        if has > limit {
            violations.push(Violation::LimitBroken { customer, has, limit });
        }
    }
}

/// The list has every acknowledged order once, as its customer's and as it was asked for, and nothing else.
pub(crate) fn check_list(
    owners: &HashMap<&str, usize>,
    orders: &[Order],
    is_as_asked: impl Fn(&Order) -> bool,
    violations: &mut Vec<Violation>,
) {
    let mut listed = HashSet::new();
    // Which name goes with which customer is learnt from the list; each has one and keeps it.
    let (mut name_of, mut customer_of) = (HashMap::new(), HashMap::new());
    for order in orders {
        if !listed.insert(order.id.as_str()) {
            violations.push(Violation::ListedTwice { id: order.id.clone() });
        } else if !owners.contains_key(order.id.as_str()) {
            violations.push(Violation::Invented { id: order.id.clone() });
        }
        if let Some(&customer) = owners.get(order.id.as_str()) {
            let name = order.customer.as_str();
            if *name_of.entry(customer).or_insert(name) != name
                || *customer_of.entry(name).or_insert(customer) != customer
            {
                violations.push(Violation::WrongOwner { id: order.id.clone(), listed: name.to_owned(), customer });
            }
        }
        if !is_as_asked(order) {
            violations.push(Violation::WrongOrder { order: order.clone() });
        }
    }
    let mut lost: Vec<_> = owners.keys().filter(|id| !listed.contains(**id)).collect();
    lost.sort_unstable();
    violations.extend(lost.into_iter().map(|id| Violation::Lost { id: (*id).to_owned() }));
}

/// The stock adds up to what was supplied.
pub(crate) fn check_conserved(units: u64, stock: Stock, violations: &mut Vec<Violation>) {
    let Stock { on_hand, held, sold, available } = stock;
    if available + held + sold != units || on_hand != available + held {
        violations.push(Violation::NotConserved { units, stock });
    }
}

/// What the stock lost is what the orders have that were not given back: `ordered` units.
pub(crate) fn check_ordered(stock: Stock, ordered: u64, violations: &mut Vec<Violation>) {
    let taken = stock.held + stock.sold;
    if taken != ordered {
        violations.push(Violation::StockAgainstOrders { taken, ordered });
    }
}

#[cfg(test)]
mod tests;
