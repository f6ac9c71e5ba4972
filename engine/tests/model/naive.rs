//! The model: a list of orders, from which held, sold and limits are added up anew at
//! every question. It must never learn from the engine.

use crate::SKUS;
use son7shop_engine::SaleTerms;

/// Where an order or part of the model stands.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Status {
    Held,
    Confirmed,
    Cancelled,
    Expired,
}

#[derive(Clone, Debug)]
pub(crate) struct Line {
    sku: usize,
    units: u32,
    price: i64,
    sale: usize,
}

#[derive(Clone, Debug)]
pub(crate) struct Taken {
    id: u64,
    customer: usize,
    key: Option<u8>,
    lines: Vec<Line>,
    status: Status,
    deadline: i64,
    ended_at: i64,
    forgotten: bool,
    part: bool,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Product {
    price: i64,
    pub(crate) supplied: i64,
    /// The sale's number and terms.
    sale: Option<(usize, SaleTerms)>,
}

#[derive(Default, Debug)]
pub(crate) struct Model {
    pub(crate) now: i64,
    pub(crate) products: [Option<Product>; SKUS.len()],
    taken: Vec<Taken>,
    /// Keys of adjustments: key, when, the units on the books that were answered.
    adjusted: Vec<(u8, i64, usize, i64)>,
    sales: usize,
}

impl Model {
    fn sum(&self, sku: usize, counts: impl Fn(&Taken) -> bool) -> i64 {
        let lines = self.taken.iter().filter(|taken| counts(taken)).flat_map(|taken| &taken.lines);
        lines.filter(|line| line.sku == sku).map(|line| i64::from(line.units)).sum()
    }

    pub(crate) fn held(&self, sku: usize) -> i64 {
        self.sum(sku, |taken| taken.status == Status::Held)
    }

    pub(crate) fn sold(&self, sku: usize) -> i64 {
        self.sum(sku, |taken| taken.status == Status::Confirmed)
    }

    fn in_sale(&self, sku: usize, customer: usize, number: usize) -> i64 {
        let counts =
            |taken: &&Taken| taken.customer == customer && matches!(taken.status, Status::Held | Status::Confirmed);
        let lines = self.taken.iter().filter(counts).flat_map(|taken| &taken.lines);
        lines.filter(|line| line.sku == sku && line.sale == number).map(|line| i64::from(line.units)).sum()
    }

    pub(crate) fn advance(&mut self, clock: i64) {
        self.now = self.now.max(clock);
        for taken in &mut self.taken {
            if !taken.part && taken.status == Status::Held && taken.deadline <= self.now {
                (taken.status, taken.ended_at) = (Status::Expired, self.now);
            }
        }
    }

    fn price(&self, customer: usize, wanted: &[(usize, u32)]) -> Result<Vec<Line>, &'static str> {
        let mut lines = Vec::new();
        for &(sku, units) in wanted {
            let product = self.products[sku].as_ref().ok_or("UnknownProduct")?;
            let mut line = Line { sku, units, price: product.price, sale: 0 };
            if let Some((number, terms)) = &product.sale {
                if self.now < terms.opens_at.0 {
                    return Err("SaleNotOpen");
                }
                if self.now >= terms.closes_at.0 {
                    return Err("SaleOver");
                }
                if self.in_sale(sku, customer, *number) + i64::from(units) > i64::from(terms.per_customer_limit) {
                    return Err("LimitReached");
                }
                (line.price, line.sale) = (terms.price.0, *number);
            }
            if product.supplied - self.held(sku) - self.sold(sku) < i64::from(units) {
                return Err("SoldOut");
            }
            lines.push(line);
        }
        Ok(lines)
    }

    fn find(&self, id: u64, part: bool) -> Option<usize> {
        self.taken.iter().position(|taken| taken.id == id && taken.part == part && !taken.forgotten)
    }

    fn key_is_known(&self, key: u8) -> Option<&Taken> {
        self.taken.iter().find(|taken| taken.key == Some(key) && !taken.forgotten)
    }
}

/// What is asked in a step; the words that both sides understand.
#[derive(Debug)]
pub(crate) enum Ask {
    Product { sku: usize, price: i64, units: u32 },
    Adjust { sku: usize, delta: i64, key: u8 },
    Sale { sku: usize, terms: SaleTerms },
    Unsale { sku: usize },
    Order { id: u64, customer: usize, key: u8, lines: Vec<(usize, u32)>, hold: i64 },
    Cancel { id: u64, by: Option<usize> },
    Confirm { id: u64 },
    HoldPart { id: u64, customer: usize, deadline: i64, lines: Vec<(usize, u32)> },
    EndPart { id: u64, sell: bool },
    Tick,
    Forget { ended_by: i64 },
}

/// Said by the model and by the partition: `yes`, `again`, or a refusal's name; then a number.
pub(crate) type Said = (String, i64);

pub(crate) fn yes(number: i64) -> Said {
    ("yes".to_owned(), number)
}

pub(crate) fn again(number: i64) -> Said {
    ("again".to_owned(), number)
}

pub(crate) fn no(why: &str) -> Said {
    (why.to_owned(), 0)
}

fn total(lines: &[Line]) -> i64 {
    lines.iter().map(|line| line.price * i64::from(line.units)).sum()
}

impl Model {
    pub(crate) fn answer(&mut self, ask: &Ask) -> Said {
        match *ask {
            Ask::Product { sku, price, units } => {
                if self.products[sku].is_some() {
                    return no("ProductExists");
                }
                self.products[sku] = Some(Product { price, supplied: i64::from(units), sale: None });
                yes(i64::from(units))
            }
            Ask::Adjust { sku, delta, key } => self.adjust(sku, delta, key),
            Ask::Sale { sku, terms } => {
                let next = self.sales + 1;
                let Some(product) = &mut self.products[sku] else { return no("UnknownProduct") };
                match &mut product.sale {
                    Some((_, known)) if *known == terms => return again(product.supplied),
                    Some((_, known)) => *known = terms,
                    None => {
                        self.sales = next;
                        product.sale = Some((next, terms));
                    }
                }
                yes(product.supplied)
            }
            Ask::Unsale { sku } => {
                let Some(product) = &mut self.products[sku] else { return no("UnknownProduct") };
                if product.sale.take().is_some() { yes(product.supplied) } else { no("NoSale") }
            }
            Ask::Order { id, customer, key, ref lines, hold } => self.order(id, customer, key, lines, hold),
            Ask::Cancel { id, by } => self.end(id, by, Status::Cancelled),
            Ask::Confirm { id } => self.end(id, None, Status::Confirmed),
            Ask::HoldPart { id, customer, deadline, ref lines } => self.hold_part(id, customer, deadline, lines),
            Ask::EndPart { id, sell } => self.end_part(id, sell),
            Ask::Tick => again(0),
            Ask::Forget { ended_by } => self.forget(ended_by),
        }
    }

    fn adjust(&mut self, sku: usize, delta: i64, key: u8) -> Said {
        if self.key_is_known(key).is_some() {
            return no("KeyReused");
        }
        if let Some((.., known, supplied)) = self.adjusted.iter().find(|known| known.0 == key) {
            return if *known == sku { again(*supplied) } else { no("KeyReused") };
        }
        let taken = self.held(sku) + self.sold(sku);
        let Some(product) = &mut self.products[sku] else { return no("UnknownProduct") };
        if product.supplied + delta < taken {
            return no("StockOutOfRange");
        }
        product.supplied += delta;
        self.adjusted.push((key, self.now, sku, product.supplied));
        yes(product.supplied)
    }

    fn order(&mut self, id: u64, customer: usize, key: u8, wanted: &[(usize, u32)], hold: i64) -> Said {
        if let Some(known) = self.key_is_known(key) {
            return if known.customer == customer { again(total(&known.lines)) } else { no("KeyReused") };
        }
        if self.adjusted.iter().any(|known| known.0 == key) {
            return no("KeyReused");
        }
        if self.find(id, false).is_some() {
            return no("OrderIdTaken");
        }
        match self.price(customer, wanted) {
            Err(why) => no(why),
            Ok(lines) => {
                let sum = total(&lines);
                self.take(id, customer, Some(key), lines, self.now + hold);
                yes(sum)
            }
        }
    }

    fn take(&mut self, id: u64, customer: usize, key: Option<u8>, lines: Vec<Line>, deadline: i64) {
        let part = key.is_none();
        let (status, ended_at, forgotten) = (Status::Held, 0, false);
        self.taken.push(Taken { id, customer, key, lines, status, deadline, ended_at, forgotten, part });
    }

    fn end(&mut self, id: u64, by: Option<usize>, status: Status) -> Said {
        let Some(at) = self.find(id, false).filter(|at| by.is_none_or(|by| by == self.taken[*at].customer)) else {
            return no("UnknownOrder");
        };
        let now = self.now;
        let taken = &mut self.taken[at];
        let sum = total(&taken.lines);
        if taken.status == status {
            return again(sum);
        }
        if taken.status != Status::Held {
            return no("WrongState");
        }
        (taken.status, taken.ended_at) = (status, now);
        yes(sum)
    }

    fn hold_part(&mut self, id: u64, customer: usize, deadline: i64, wanted: &[(usize, u32)]) -> Said {
        if let Some(at) = self.find(id, true) {
            let known = &self.taken[at];
            return if known.status == Status::Held { again(total(&known.lines)) } else { no("PartEnded") };
        }
        if deadline <= self.now {
            return no("DeadlineBeforePlaced");
        }
        match self.price(customer, wanted) {
            Err(why) => no(why),
            Ok(lines) => {
                let sum = total(&lines);
                self.take(id, customer, None, lines, i64::MAX);
                yes(sum)
            }
        }
    }

    fn end_part(&mut self, id: u64, sell: bool) -> Said {
        let (now, status) = (self.now, if sell { Status::Confirmed } else { Status::Cancelled });
        let Some(at) = self.find(id, true) else {
            if sell {
                return no("UnknownOrder");
            }
            self.take(id, 0, None, Vec::new(), i64::MAX);
            let last = self.taken.len() - 1;
            (self.taken[last].status, self.taken[last].ended_at) = (status, now);
            return yes(0);
        };
        let taken = &mut self.taken[at];
        if taken.status == status {
            return again(0);
        }
        if taken.status != Status::Held {
            return no("PartEnded");
        }
        (taken.status, taken.ended_at) = (status, now);
        yes(0)
    }

    fn forget(&mut self, ended_by: i64) -> Said {
        let mut any = false;
        for taken in &mut self.taken {
            let old = taken.status != Status::Held && !taken.forgotten && taken.ended_at <= ended_by;
            taken.forgotten |= old;
            any |= old;
        }
        let before = self.adjusted.len();
        self.adjusted.retain(|known| known.1 > ended_by);
        if any || self.adjusted.len() < before { yes(0) } else { again(0) }
    }
}
