//! The one place that turns events into bytes and back: `postcard`, whose encoding of the
//! engine's types is the journal's format. A changed event is a new variant at the end of
//! [`son7shop_engine::Event`]; what is here never changes for an old one.

use son7shop_engine::Record;

/// Encodes `record` at the start of `space`; says how many bytes it took, or `None` if
/// it does not fit.
pub(crate) fn encode(record: &Record, space: &mut [u8]) -> Option<usize> {
    // The only error that encoding into a slice can give is a full slice.
    postcard::to_slice(record, space).ok().map(|used| used.len())
}

/// Decodes exactly `count` records from `payload` and hands each to `each`. The error
/// says in words what is wrong; it means damage, because the payload's checksum was right.
pub(crate) fn decode(payload: &[u8], count: u32, mut each: impl FnMut(Record)) -> Result<(), String> {
    let mut rest = payload;
    for n in 0..count {
        let (record, after) = postcard::take_from_bytes::<Record>(rest)
            .map_err(|error| format!("record {} of {count} is unreadable ({error})", n + 1))?;
        each(record);
        rest = after;
    }
    if rest.is_empty() { Ok(()) } else { Err(format!("{} bytes are left after {count} records", rest.len())) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use super::*;
    use son7shop_engine::payment::{Begun, Captured, GatewayRef, GivenBack, Nonce, Pages, PaymentMethod, Proof, Why};
    use son7shop_engine::{
        AttemptStatus, AttemptView, Call, CustomerId, Ended, Event, ImageBeforePayments, LineRequest, Lines, Lsn,
        OrderId, OrderStatus, OrderView, PartRequest, Partition, PartitionId, PartitionImage, PaymentView, PricedLine,
        RecalledOrder, RefundStatus, RefundView, RequestKey, Role, SaleTerms, Sku, StepRef, Time, Won,
    };

    /// The record that each event is in is of this time: `0a`, the first byte of every row.
    const AT: Time = Time(5);
    const KEY: RequestKey = RequestKey { key: [0x11; 16], request: [0x12; 16] };
    const ORDER: OrderId = OrderId::from_bytes([0x21; 16]);
    const TERMS: SaleTerms = SaleTerms { opens_at: Time(6), closes_at: Time(7), price: Won(8), per_customer_limit: 9 };

    fn sku() -> Sku {
        Sku::parse("a").unwrap()
    }

    fn customer() -> CustomerId {
        CustomerId::parse("cc").unwrap()
    }

    /// `01 61`, `02`, `d8 04`, `04`.
    fn line() -> PricedLine {
        PricedLine { sku: sku(), quantity: 2, unit_price: Won(300), sale: 4 }
    }

    /// `01`, and in it `01 61`, `03`.
    fn units() -> Lines {
        [LineRequest { sku: sku(), quantity: 3 }].into_iter().collect()
    }

    /// The order, the units, and `02`: `0d`, `ac 02`.
    fn ended() -> Ended {
        Ended { id: ORDER, lines: units(), parts: vec![PartitionId(13), PartitionId(300)] }
    }

    /// Every event and its bytes in the journal, in hexadecimal digits; `11*16` is sixteen
    /// times `11`. A new variant is a new row at the end; no row ever changes.
    #[rustfmt::skip]
    fn rows() -> Vec<(Event, &'static str)> {
        let (id, order, customer, key, deadline) = (ORDER, ORDER, customer(), KEY, Time(-12));
        let (home, name, reason) = ([line()].into_iter().collect(), "bbb".into(), "ddd".into());
        let parts = vec![PartRequest { partition: PartitionId(300), lines: units().to_vec() }];
        vec![
            (Event::ProductCreated { sku: sku(), name, price: Won(8), on_hand: 300, key: Some(KEY) },
             "0a 00 0161 03626262 10 ac02 01 11*16 12*16"),
            (Event::ProductCreated { sku: sku(), name: "bbb".into(), price: Won(8), on_hand: 300, key: None },
             "0a 00 0161 03626262 10 ac02 00"),
            (Event::StockAdjusted { sku: sku(), delta: -2, reason, key },
             "0a 01 0161 03 03646464 11*16 12*16"),
            (Event::SaleSet { sku: sku(), terms: TERMS, number: 10 },
             "0a 02 0161 0c 0e 10 09 0a"),
            (Event::SaleDeleted { sku: sku() },
             "0a 03 0161"),
            (Event::OrderPlaced { id, customer: customer.clone(), key, lines: home, total: Won(11), deadline },
             "0a 04 21*16 026363 11*16 12*16 01 016102d80404 16 17"),
            (Event::OrderOpened { id, customer: customer.clone(), key, lines: [line()].into(), parts, deadline },
             "0a 05 21*16 026363 11*16 12*16 01 016102d80404 01 ac02 01 016103 17"),
            (Event::BasketPlaced { id, parts: vec![(PartitionId(300), vec![line()])], total: Won(11) },
             "0a 06 21*16 01 ac02 01 016102d80404 16"),
            (Event::OrderRefused(ended()),
             "0a 07 21*16 01 016103 02 0d ac02"),
            (Event::OrderConfirmed(ended()),
             "0a 08 21*16 01 016103 02 0d ac02"),
            (Event::OrderCancelled { ended: ended(), by: Role::Customer },
             "0a 09 21*16 01 016103 02 0d ac02 00"),
            (Event::OrderCancelled { ended: ended(), by: Role::Admin },
             "0a 09 21*16 01 016103 02 0d ac02 01"),
            (Event::OrderExpired(ended()),
             "0a 0a 21*16 01 016103 02 0d ac02"),
            (Event::PartHeld { order, customer, lines: vec![line()] },
             "0a 0b 21*16 026363 01 016102d80404"),
            (Event::PartReleased { order, lines: units() },
             "0a 0c 21*16 01 016103"),
            (Event::PartConfirmed { order, lines: units() },
             "0a 0d 21*16 01 016103"),
            (Event::Forgotten { through: Lsn(300) },
             "0a 0e ac02"),
            (Event::PaymentStarted { order, attempt: 1, method: PaymentMethod::KakaoPay, amount: Won(8), key, nonce: Nonce([0x13; 16]) },
             "0a 0f 21*16 01 00 10 11*16 12*16 13*16"),
            (Event::PaymentReady { order, attempt: 1, begun: Box::new(begun()) },
             "0a 10 21*16 010254310164016d0161010178000c"),
            (Event::PaymentAuthorised { order, attempt: 1, proof: Proof::parse("p").unwrap() },
             "0a 11 21*16 010170"),
            (Event::PaymentHinted { order, attempt: 300 },
             "0a 12 21*16 ac02"),
            (Event::ProofRejected { order, attempt: 1, answer: "e".into(), more: true },
             "0a 13 21*16 01016501"),
            (Event::PaymentCaptured { ended: ended(), attempt: 1, captured: Box::new(captured()) },
             "0a 14 21*16 01016103020dac02011002413104434152440c"),
            (Event::PaymentCapturedLate { order, attempt: 1, captured: Box::new(captured()), refund: 2, held: true },
             "0a 15 21*16 011002413104434152440c0201"),
            (Event::PaymentEnded { order, attempt: 1, why: Why::Lapsed, answer: "e".into(), look_at: Some(Time(6)) },
             "0a 16 21*16 01030165010c"),
            (Event::PaymentLooked { order, attempt: 1, answer: "e".into() },
             "0a 17 21*16 010165"),
            (Event::StepTried { order, step: StepRef::Attempt(1), answer: "e".into(), next: Some((Call::LookUp { pending: 1, wrong_proof: true }, Time(6))) },
             "0a 18 21*16 00010165010301010c"),
            (Event::StepRetried { order, step: StepRef::Refund(2), call: Call::GiveBack },
             "0a 19 21*16 010204"),
            (Event::RefundRequested { order, refund: 2, attempt: 1, amount: Won(8), before: Won(9), lines: units(), restock: true, reason: "ddd".into(), key },
             "0a 1a 21*16 02011012010161030103646464 11*16 12*16"),
            (Event::RefundSized { order, refund: 2, amount: Won(8), before: Won(9) },
             "0a 1b 21*16 021012"),
            (Event::RefundDone { order, refund: 2, attempt: 1, back: GivenBack { amount: Won(8), receipt: "r".into() }, all: true, lines: units(), elsewhere: units(), parts: vec![PartitionId(13)] },
             "0a 1c 21*16 0201100172010101610301016103010d"),
            (Event::RefundRefused { order, refund: 2 },
             "0a 1d 21*16 02"),
            (Event::OperatorActed { order, step: StepRef::Attempt(1), by: self::customer(), reason: "ddd".into(), effect: Box::new(Event::StepRetried { order, step: StepRef::Attempt(1), call: Call::Begin }) },
             "0a 1e 21*16 00010263630364646419 21*16 000100"),
            (Event::PartRestocked { order, refund: 2, lines: units() },
             "0a 1f 21*16 0201016103"),
            (Event::OrderRecalled(Box::new(recalled())),
             "0a 20 21*16 026363 14*16 0001016102d804040100100c12100100100e03010254310112011002413104434152440c0601010106010161030103646464011401025231"),
        ]
    }

    /// An order of one attempt, of which a part went back.
    fn recalled() -> RecalledOrder {
        let attempt = AttemptView {
            number: 1,
            method: PaymentMethod::KakaoPay,
            status: AttemptStatus::Captured,
            amount: Won(8),
            started_at: Time(7),
            expires_at: Some(Time(9)),
            pages: None,
            reference: GatewayRef::parse("T1").ok(),
            captured: Some(Box::new(captured())),
            refunded: Won(3),
        };
        let refund = RefundView {
            number: 1,
            attempt: 1,
            amount: Some(Won(3)),
            lines: units(),
            restock: true,
            reason: "ddd".into(),
            asked: true,
            requested_at: Time(10),
            status: RefundStatus::Done,
            receipt: "R1".into(),
        };
        let view = OrderView {
            id: ORDER,
            customer: customer(),
            status: OrderStatus::Confirmed,
            lines: std::iter::once(line()).collect(),
            total: Won(8),
            placed_at: Time(6),
            deadline: Time(9),
            ended_at: Some(Time(8)),
            payment: Some(Box::new(PaymentView { attempts: vec![attempt], refunds: vec![refund] })),
            lsn: Lsn(3),
        };
        RecalledOrder::of(&view, 1, Nonce([0x14; 16])).unwrap()
    }

    fn begun() -> Begun {
        let page = |text: &str| text.into();
        let pages =
            Pages { desktop: page("d"), mobile: page("m"), app: page("a"), android: Some(page("x")), ios: None };
        Begun { reference: GatewayRef::parse("T1").unwrap(), pages, expires_at: Time(6) }
    }

    fn captured() -> Captured {
        Captured { amount: Won(8), receipt: "A1".into(), means: "CARD".into(), at: Time(6) }
    }

    fn bytes(hex: &str) -> Vec<u8> {
        let run = |text: &str| {
            let (text, times) = text.split_once('*').unwrap_or((text, "1"));
            let digits = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
            (0..text.len()).step_by(2).map(digits).collect::<Vec<u8>>().repeat(times.parse().unwrap())
        };
        hex.split_whitespace().flat_map(run).collect()
    }

    /// Old journals are read for ever: these bytes never change.
    #[test]
    fn an_event_is_the_bytes_that_it_always_was() {
        for (event, hex) in rows() {
            let (record, bytes) = (Record { at: AT, event }, bytes(hex));
            let mut space = [0; 512];
            let used = encode(&record, &mut space).unwrap();
            assert_eq!(space[..used], bytes, "{record:?} is {:02x?}", &space[..used]);
            let mut read = Vec::new();
            decode(&bytes, 1, |record| read.push(record)).unwrap();
            assert_eq!(read, [record]);
        }
    }

    /// What serde says when it meets a variant that is none names them all.
    #[test]
    fn every_event_has_its_row() {
        let said = serde_json::from_str::<Event>("\"none\"").unwrap_err().to_string();
        let variants: Vec<&str> = said.split('`').skip(3).step_by(2).collect();
        let mut named: Vec<String> = rows()
            .iter()
            .map(|(event, _)| format!("{event:?}").chars().take_while(char::is_ascii_alphanumeric).collect())
            .collect();
        named.dedup();
        assert_eq!(named, variants, "{said}");
    }

    /// A history that leaves something in every field of the state: orders in every status,
    /// parts in every status, one that was never asked for, a refused basket, and at last an
    /// event that does not fit.
    fn state() -> Partition {
        let order = |n| OrderId::from_bytes([n; 16]);
        let key = |n| RequestKey { key: [n; 16], request: [n + 1; 16] };
        let place = |n| Event::OrderPlaced {
            id: order(n),
            customer: customer(),
            key: key(n),
            lines: [line()].into(),
            total: Won(600),
            deadline: Time(100),
        };
        let open = |n| Event::OrderOpened {
            id: order(n),
            customer: customer(),
            key: key(n),
            lines: [line()].into(),
            parts: vec![PartRequest { partition: PartitionId(300), lines: units().to_vec() }],
            deadline: Time(101),
        };
        let ended = |n| Ended { id: order(n), lines: units(), parts: Vec::new() };
        let hold = |n| Event::PartHeld { order: order(n), customer: customer(), lines: vec![line()] };
        let (name, placed) = ("bbb".into(), vec![(PartitionId(300), vec![line()])]);
        let events = [
            Event::ProductCreated { sku: sku(), name, price: Won(8), on_hand: 300, key: Some(KEY) },
            Event::SaleSet { sku: sku(), terms: TERMS, number: 4 },
            place(0x30),
            open(0x40),
            open(0x50),
            Event::BasketPlaced { id: order(0x50), parts: placed, total: Won(1200) },
            Event::OrderConfirmed(ended(0x50)),
            place(0x60),
            Event::OrderCancelled { ended: ended(0x60), by: Role::Admin },
            place(0x70),
            Event::OrderExpired(ended(0x70)),
            open(0x80),
            Event::OrderRefused(ended(0x80)),
            hold(0x90),
            Event::PartReleased { order: order(0xa0), lines: Lines::new() },
            hold(0xb0),
            Event::PartConfirmed { order: order(0xb0), lines: units() },
            Event::SaleDeleted { sku: Sku::parse("unknown").unwrap() },
        ];
        let mut partition = Partition::new(PartitionId(13), 0);
        for (event, at) in events.into_iter().zip(5..) {
            partition.evolve(&Record { at: Time(at), event });
        }
        partition
    }

    /// Old snapshots are read for ever: these bytes never change. They stand here beside
    /// those of the events, since a snapshot's body is written by the same codec.
    #[test]
    fn a_partition_is_the_bytes_that_it_always_was() {
        let expected = bytes(concat!(
            // Partition, LSN, time, sales; the product with its stock and its sale.
            "0d 12 2c 04  01 0161 03626262 10 ac02 06 04  01 04 0c 0e 10 09  01 026363 0a ",
            // Orders, by id: held, opening, confirmed, cancelled, expired.
            "05 30*16 026363 30*16 31*16 01 00 02 d804 04 00 b009 01 0e c801 00 03 ",
            "40*16 026363 40*16 41*16 01 00 02 d804 04 01 01 ac02 00 00 00 10 ca01 00 04 ",
            "50*16 026363 50*16 51*16 01 00 02 d804 04 01 01 ac02 01 016102d80404 e012 02 12 ca01 16 07 ",
            "60*16 026363 60*16 61*16 01 00 02 d804 04 00 b009 03 18 c801 1a 09 ",
            "70*16 026363 70*16 71*16 01 00 02 d804 04 00 b009 04 1c c801 1e 0b ",
            // Parts, by order: held, released before it was asked for, confirmed.
            "03 90*16 01 026363 01 00 02 d804 04 00  a0*16 00 00 02  b0*16 01 026363 01 00 02 d804 04 01 ",
            // The product's key; what ended, in order; the first event that did not fit.
            "01 11*16 12*16 00 ac02 00 00  07 0a 01 02 11*16  16 07 00 50*16  1a 09 00 60*16  1e 0b 00 70*16 ",
            "22 0d 03 80*16  26 0f 01 a0*16  2a 11 01 b0*16  01 12",
        ));
        let image = state().image();
        let written = postcard::to_stdvec(&image).unwrap();
        let (payments, before) = written.split_last().unwrap();
        assert_eq!((before, payments), (&expected[..], &0), "{written:02x?}");
        let (read, rest) = postcard::take_from_bytes::<PartitionImage>(&written).unwrap();
        assert_eq!((&read, rest), (&image, &[][..]));
        assert_eq!(read.restore(1).image(), image);
        // Format 1 ends before the payments.
        let (before, rest) = postcard::take_from_bytes::<ImageBeforePayments>(&expected).unwrap();
        assert_eq!((&PartitionImage::from(before), rest), (&image, &[][..]));
    }
}
