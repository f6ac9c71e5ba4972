//! What must be true after a crash, by what was sent and what was acknowledged.

use crate::load::{Assortment, Change, End, Fate, Happened, Placed, Wish};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Something that may not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Finding {
    /// Acknowledged, and not there.
    Lost { id: String, said: String },
    /// Acknowledged, and there with another content.
    Differs { id: String, acknowledged: String, recovered: String },
    /// One key, two orders.
    Twice { key: String, first: String, second: String },
    /// There, and never sent.
    Invented { id: String },
    /// A product's units do not add up.
    Stock { sku: String, expected: Units, found: Units },
    /// An answer that may not come.
    Unexpected(String),
}

/// A product's units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Units {
    pub(crate) on_hand: i64,
    pub(crate) held: i64,
    pub(crate) sold: i64,
    pub(crate) available: i64,
}

/// An order that exists, and what it may be.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) wish: Wish,
    pub(crate) placed: Placed,
    /// What it was when it was last certain.
    pub(crate) status: &'static str,
    /// An end that was asked for without an answer.
    pub(crate) perhaps: Option<End>,
}

/// Everything that was sent in all rounds, and what came of it.
#[derive(Debug, Default)]
pub(crate) struct Books {
    /// Orders that exist, by id.
    pub(crate) orders: HashMap<String, Known>,
    /// By customer and key.
    ids: HashMap<(usize, String), String>,
    /// Sent, and perhaps there.
    pub(crate) unknown: HashMap<(usize, String), Wish>,
    /// Sent, and perhaps done.
    pub(crate) unknown_changes: Vec<Change>,
    /// What was put in less what was taken out, by product.
    supplied: BTreeMap<String, i64>,
    /// Orders that the last crash may have touched.
    pub(crate) touched: HashSet<String>,
    pub(crate) findings: Vec<Finding>,
    /// Things sent that were not answered.
    pub(crate) doubts: u64,
}

impl Books {
    /// The books of a shop that has just been filled.
    pub(crate) fn new(assortment: &Assortment) -> Self {
        let supplied = assortment.products().map(|(sku, units)| (sku.clone(), units.cast_signed())).collect();
        Self { supplied, ..Self::default() }
    }

    /// Enters what one connection saw.
    pub(crate) fn enter(&mut self, happened: Vec<Happened>) {
        for one in happened {
            let in_doubt = match &one {
                Happened::Order(_, fate) => *fate == Fate::Unknown,
                Happened::End(_, _, fate) | Happened::Stock(_, fate) => *fate == Fate::Unknown,
                Happened::Unexpected(_) => false,
            };
            self.doubts += u64::from(in_doubt);
            match one {
                Happened::Order(wish, fate) => self.enter_order(wish, fate),
                Happened::End(id, end, fate) => self.enter_end(&id, end, &fate),
                Happened::Stock(change, fate) => self.enter_change(change, &fate),
                Happened::Unexpected(said) => self.findings.push(Finding::Unexpected(said)),
            }
        }
    }

    /// Enters an order's fate. A refusal is not remembered by the shop: an acknowledgement of
    /// the same key before or after it counts.
    pub(crate) fn enter_order(&mut self, wish: Wish, fate: Fate<Placed>) {
        let at = (wish.customer, wish.key.clone());
        match fate {
            Fate::Done(placed) => {
                self.unknown.remove(&at);
                self.enter_placed(at, wish, placed);
            }
            Fate::Unknown if !self.ids.contains_key(&at) => {
                self.unknown.insert(at, wish);
            }
            Fate::Unknown | Fate::Refused => {}
        }
    }

    fn enter_placed(&mut self, at: (usize, String), wish: Wish, placed: Placed) {
        let id = placed.id.clone();
        self.touched.insert(id.clone());
        match self.ids.get(&at).cloned() {
            None => {
                self.check_content(&wish, &placed);
                self.ids.insert(at, id.clone());
                self.orders.insert(id, Known { wish, placed, status: "held", perhaps: None });
            }
            Some(first) if first != id => self.findings.push(Finding::Twice { key: at.1, first, second: id }),
            Some(first) => {
                let known = &self.orders[&first].placed;
                if *known != placed {
                    self.findings.push(differs(known, &placed));
                }
            }
        }
    }

    /// What was acknowledged is what was asked for.
    fn check_content(&mut self, wish: &Wish, placed: &Placed) {
        let lines: Vec<(String, u64)> = placed.lines.iter().map(|line| (line.sku.clone(), line.quantity)).collect();
        let total: i64 = placed.lines.iter().map(|line| line.unit_price * line.quantity.cast_signed()).sum();
        if lines != wish.lines || total != placed.total || placed.customer != customer_name(wish.customer) {
            self.findings.push(Finding::Unexpected(format!("{wish:?} led to {placed:?}")));
        }
    }

    fn enter_end(&mut self, id: &str, end: End, fate: &Fate<()>) {
        self.touched.insert(id.to_owned());
        let Some(known) = self.orders.get_mut(id) else { return };
        match fate {
            Fate::Done(()) => (known.status, known.perhaps) = (end.status(), None),
            Fate::Unknown => known.perhaps = Some(end),
            Fate::Refused => {}
        }
    }

    /// Enters a change's fate.
    pub(crate) fn enter_change(&mut self, change: Change, fate: &Fate<()>) {
        match fate {
            Fate::Done(()) => *self.supplied.entry(change.sku).or_default() += change.delta,
            Fate::Unknown => self.unknown_changes.push(change),
            Fate::Refused => {}
        }
    }

    /// Compares an acknowledged order with what the shop shows now, and settles an end that
    /// was uncertain.
    pub(crate) fn compare(&mut self, shown: &Placed, status: &str) {
        let Some(known) = self.orders.get_mut(&shown.id) else {
            self.findings.push(Finding::Invented { id: shown.id.clone() });
            return;
        };
        if known.placed != *shown {
            self.findings.push(differs(&known.placed, shown));
        }
        if let Some(end) = known.perhaps.take()
            && end.status() == status
        {
            known.status = end.status();
        }
        if known.status != status {
            let (acknowledged, recovered) = (known.status.to_owned(), status.to_owned());
            self.findings.push(Finding::Differs { id: shown.id.clone(), acknowledged, recovered });
        }
    }

    /// Whether an order was acknowledged for this.
    pub(crate) fn has(&self, wish: &Wish) -> bool {
        self.ids.contains_key(&(wish.customer, wish.key.clone()))
    }

    /// The order that was acknowledged for this; empty where none was.
    pub(crate) fn id_of(&self, wish: &Wish) -> String {
        self.ids.get(&(wish.customer, wish.key.clone())).cloned().unwrap_or_default()
    }

    /// The stock that all orders and changes add up to.
    pub(crate) fn expected(&self) -> BTreeMap<String, Units> {
        let units = |supplied: &i64| Units { on_hand: *supplied, ..Units::default() };
        let mut stock: BTreeMap<String, Units> =
            self.supplied.iter().map(|(sku, supplied)| (sku.clone(), units(supplied))).collect();
        for known in self.orders.values() {
            for line in &known.placed.lines {
                let units = stock.entry(line.sku.clone()).or_default();
                match known.status {
                    "held" => units.held += line.quantity.cast_signed(),
                    "confirmed" => {
                        units.on_hand -= line.quantity.cast_signed();
                        units.sold += line.quantity.cast_signed();
                    }
                    _ => {}
                }
            }
        }
        for units in stock.values_mut() {
            units.available = units.on_hand - units.held;
        }
        stock
    }
}

/// A customer's name, as the tokens say it.
pub(crate) fn customer_name(index: usize) -> String {
    format!("crash-{}", index + 1)
}

fn differs(acknowledged: &Placed, recovered: &Placed) -> Finding {
    Finding::Differs {
        id: acknowledged.id.clone(),
        acknowledged: format!("{acknowledged:?}"),
        recovered: format!("{recovered:?}"),
    }
}
