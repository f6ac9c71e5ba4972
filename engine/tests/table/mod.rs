//! A shop in lines of text. A line is an operation, what it must be answered with, and
//! the stock that must stand after it:
//!
//! ```text
//! @1000 order o1 ann k1 air*2 -> held 200 until 1600 | air 10/2/0
//! ```
//!
//! `@TIME` sets the clock first (it may run backwards). Stock is supplied/held/sold.
//! Operations:
//!
//! ```text
//! product SKU PRICE UNITS [KEY]            adjust SKU DELTA KEY
//! sale SKU OPENS..CLOSES PRICE LIMIT       unsale SKU
//! order ID CUSTOMER KEY LINES [pN:LINES…]  cancel ID WHO        confirm ID
//! accept ID [pN:PRICED…]                   refuse ID
//! hold-part ID CUSTOMER DEADLINE LINES     release-part ID      confirm-part ID
//! tick                                     forget LSN ENDED_BY  show ID
//! ```
//!
//! LINES are `sku*units` with commas, PRICED `sku*units@price`; a KEY is `k1`, or
//! `k1/other` for the same key with another request; WHO is a customer or `admin`.
//!
//! [`check`] runs every table three times at once: on a partition that lives on, on one
//! that is pictured and restored after every line, and at the end by replaying the
//! records. All three must agree, and the invariants hold after every line.

use son7shop_engine::{
    Answer, Command, CustomerId, LineRequest, Lsn, OrderId, OrderView, Outcome, PartHold, PartRequest, Partition,
    PartitionId, PartitionImage, PlaceOrder, PricedLine, Record, Refusal, RequestKey, Requester, SaleTerms, Sku, Time,
    Won, invariants,
};

/// How long an order of a table holds its units, in milliseconds.
pub(crate) const HOLD_MILLIS: i64 = 600;

/// Runs a table; panics with the line that went otherwise.
pub(crate) fn check(table: &str) {
    let mut shop = Shop::new();
    for (number, line) in table.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let (operation, expected) = line.split_once("->").unwrap_or_else(|| panic!("no '->' in line: {line}"));
        let (outcome, stock) = expected.split_once('|').unwrap_or((expected, ""));
        let got = shop.run(operation.trim());
        assert_eq!(got, outcome.trim(), "line {}: {line}", number + 1);
        for stock in stock.split(',').map(str::trim).filter(|text| !text.is_empty()) {
            let (sku, _) = stock.split_once(' ').expect("SKU SUPPLIED/HELD/SOLD");
            assert_eq!(shop.stock(sku), stock, "line {}: {line}", number + 1);
        }
        shop.prove(&format!("line {}: {line}", number + 1));
    }
    shop.prove_replay();
}

struct Shop {
    partition: Partition,
    /// Pictured and restored after every line.
    restarted: Partition,
    clock: Time,
    records: Vec<Record>,
}

impl Shop {
    fn new() -> Self {
        let id = PartitionId(0);
        Self { partition: Partition::new(id, 1), restarted: Partition::new(id, 2), clock: Time(0), records: Vec::new() }
    }

    fn run(&mut self, operation: &str) -> String {
        let mut words: Vec<&str> = operation.split_whitespace().collect();
        if let Some(time) = words.first().and_then(|word| word.strip_prefix('@')) {
            self.clock = Time(number(time));
            words.remove(0);
        }
        if let ["show", id] = words[..] {
            return self.partition.order(order_id(id)).map_or_else(|| "nothing".to_owned(), |view| order(&view));
        }
        let command = command(&words);
        let mut happened = Vec::new();
        let outcome = self.partition.step(self.clock, &command, |record| happened.push(record.clone()));
        let mut again = Vec::new();
        let restarted = self.restarted.step(self.clock, &command, |record| again.push(record.clone()));
        assert_eq!((&restarted, &again), (&outcome, &happened), "a restart changed the outcome of: {operation}");
        self.records.append(&mut happened);
        describe(&outcome)
    }

    fn stock(&self, name: &str) -> String {
        let stock = self.partition.product(&sku(name)).expect("a product of the table").stock;
        format!("{name} {}/{}/{}", stock.supplied, stock.held, stock.sold)
    }

    fn prove(&mut self, at: &str) {
        if let Err(violation) = invariants::check(&self.partition) {
            panic!("{at}: {violation}");
        }
        let bytes = picture(&self.partition);
        assert_eq!(bytes, picture(&self.restarted), "{at}: the restarted partition differs");
        let image: PartitionImage = postcard::from_bytes(&bytes).expect("a picture reads back");
        self.restarted = image.restore(u64::try_from(self.records.len()).expect("few records"));
        assert_eq!(bytes, picture(&self.restarted), "{at}: a restored picture differs");
        let open = |partition: &Partition| (partition.open_holds(), partition.open_lines());
        assert_eq!(open(&self.partition), open(&self.restarted), "{at}");
    }

    fn prove_replay(&self) {
        let mut replayed = Partition::new(PartitionId(0), 3);
        for record in &self.records {
            replayed.evolve(record);
        }
        assert_eq!(picture(&replayed), picture(&self.partition), "replay leads elsewhere");
    }
}

fn picture(partition: &Partition) -> Vec<u8> {
    postcard::to_allocvec(&partition.image()).expect("a picture is written")
}

fn command(words: &[&str]) -> Command {
    match *words {
        ["product", name, price, units] => product(name, price, units, None),
        ["product", name, price, units, text] => product(name, price, units, Some(key(text))),
        ["adjust", name, delta, text] => {
            Command::AdjustStock { sku: sku(name), delta: number(delta), reason: "counted".into(), key: key(text) }
        }
        ["sale", name, window, price, limit] => {
            let (opens, closes) = window.split_once("..").expect("OPENS..CLOSES");
            let terms = SaleTerms {
                opens_at: Time(number(opens)),
                closes_at: Time(number(closes)),
                price: Won(number(price)),
                per_customer_limit: number(limit),
            };
            Command::SetSale { sku: sku(name), terms }
        }
        ["unsale", name] => Command::DeleteSale { sku: sku(name) },
        ["order", id, who, text, home, ref parts @ ..] => Command::PlaceOrder(PlaceOrder {
            id: order_id(id),
            customer: customer(who),
            key: key(text),
            lines: lines(home).into(),
            parts: parts.iter().map(|part| part_request(part)).collect(),
            hold_millis: HOLD_MILLIS,
        }),
        ["accept", id, ref parts @ ..] => {
            Command::AcceptParts { order: order_id(id), parts: parts.iter().map(|part| priced_part(part)).collect() }
        }
        ["refuse", id] => Command::RefuseParts { order: order_id(id), refusal: Refusal::PartEnded },
        ["hold-part", id, who, deadline, text] => Command::HoldPart(PartHold {
            order: order_id(id),
            customer: customer(who),
            lines: lines(text),
            deadline: Time(number(deadline)),
        }),
        ["release-part", id] => Command::ReleasePart { order: order_id(id) },
        ["confirm-part", id] => Command::ConfirmPart { order: order_id(id) },
        ["cancel", id, "admin"] => Command::CancelOrder { order: order_id(id), by: Requester::Admin },
        ["cancel", id, who] => Command::CancelOrder { order: order_id(id), by: Requester::Customer(customer(who)) },
        ["confirm", id] => Command::ConfirmOrder { order: order_id(id) },
        ["tick"] => Command::Tick,
        ["forget", stored, ended_by] => {
            Command::Forget { stored: Lsn(number(stored)), ended_by: Time(number(ended_by)) }
        }
        _ => panic!("no operation: {words:?}"),
    }
}

fn product(name: &str, price: &str, units: &str, key: Option<RequestKey>) -> Command {
    Command::CreateProduct {
        sku: sku(name),
        name: format!("The {name}").into(),
        price: Won(number(price)),
        on_hand: number(units),
        key,
    }
}

fn describe(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Accepted(answer) => describe_answer(answer),
        Outcome::Repeated(answer) => format!("again {}", describe_answer(answer)),
        Outcome::Refused(refusal) => format!("no: {}", names_of(&refusal.to_string())),
    }
}

fn describe_answer(answer: &Answer) -> String {
    match answer {
        Answer::Product(view) => {
            let sale = if view.sale.is_some() { " on sale" } else { "" };
            let (price, stock) = (view.price.0, view.stock);
            format!("{} at {price}{sale} {}/{}/{}", view.sku, stock.supplied, stock.held, stock.sold)
        }
        Answer::Order(view) => order(view),
        Answer::Part(lines) => format!("part {}", priced(lines)),
        Answer::Number(number) => format!("number {number}"),
        Answer::Done => "done".to_owned(),
    }
}

fn order(view: &OrderView) -> String {
    let status = view.status.as_str();
    let lines = if view.lines.len() > 1 { format!(" {}", priced(&view.lines)) } else { String::new() };
    match view.ended_at {
        None => format!("{status} {}{lines} until {}", view.total.0, view.deadline.0),
        Some(at) => format!("{status} {}{lines} at {}", view.total.0, at.0),
    }
}

fn priced(lines: &[PricedLine]) -> String {
    let texts: Vec<String> =
        lines.iter().map(|line| format!("{}*{}@{}", line.sku, line.quantity, line.unit_price.0)).collect();
    texts.join(",")
}

/// A refusal's text with the table's names instead of order ids.
fn names_of(text: &str) -> String {
    let mut names = text.to_owned();
    for n in 0..100 {
        names = names.replace(&order_id(&format!("o{n}")).to_string(), &format!("o{n}"));
    }
    names
}

fn number<N: std::str::FromStr>(text: &str) -> N {
    text.parse().unwrap_or_else(|_| panic!("no number: {text}"))
}

fn sku(name: &str) -> Sku {
    Sku::parse(name).expect("a sku")
}

fn customer(name: &str) -> CustomerId {
    CustomerId::parse(name).expect("a customer")
}

/// `o7` is the seventh order; its home is the partition of the tables.
fn order_id(name: &str) -> OrderId {
    let n: u64 = number(name.strip_prefix('o').expect("an order is called o1, o2 …"));
    OrderId::new(Time(0), n, PartitionId(0))
}

fn key(text: &str) -> RequestKey {
    let (name, request) = text.split_once('/').unwrap_or((text, "same"));
    let digest = |text: &str| {
        let mut bytes = [0; 16];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        bytes
    };
    RequestKey { key: digest(name), request: digest(request) }
}

fn lines(text: &str) -> Vec<LineRequest> {
    let line = |text: &str| {
        let (name, units) = text.split_once('*').expect("sku*units");
        LineRequest { sku: sku(name), quantity: number(units) }
    };
    text.split(',').map(line).collect()
}

fn partition_of(text: &str) -> (PartitionId, &str) {
    let (partition, rest) = text.split_once(':').expect("pN:LINES");
    (PartitionId(number(partition.strip_prefix('p').expect("pN:LINES"))), rest)
}

fn part_request(text: &str) -> PartRequest {
    let (partition, text) = partition_of(text);
    PartRequest { partition, lines: lines(text) }
}

fn priced_part(text: &str) -> (PartitionId, Vec<PricedLine>) {
    let (partition, text) = partition_of(text);
    let line = |text: &str| {
        let (line, price) = text.split_once('@').expect("sku*units@price");
        let [line] = &lines(line)[..] else { panic!("one line: {text}") };
        PricedLine { sku: line.sku.clone(), quantity: line.quantity, unit_price: Won(number(price)), sale: 0 }
    };
    (partition, text.split(',').map(line).collect())
}
