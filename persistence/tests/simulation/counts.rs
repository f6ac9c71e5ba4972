//! How often things happened in histories, so that histories in which nothing happens are noticed.

use crate::world::World;
use son7shop_engine::{Event, Record};

macro_rules! counts {
    ($($name:ident at least $least:literal,)+) => {
        /// How often things happened.
        #[derive(Debug, Default, Clone, Copy)]
        pub(crate) struct Counts { $(pub(crate) $name: u64,)+ }

        impl Counts {
            pub(crate) fn add(&mut self, other: &Self) {
                $(self.$name += other.$name;)+
            }

            /// What happened too seldom in a run of the tests.
            pub(crate) fn too_few(&self) -> Vec<&'static str> {
                let mut few = Vec::new();
                $(if self.$name < $least { few.push(stringify!($name)); })+
                few
            }
        }
    };
}

counts! {
    events at least 100_000,
    baskets at least 100,
    refused at least 50,
    deaths at least 100,
    kills at least 100,
    crashes at least 100,
    failures at least 100,
    lost_events at least 50,
    snapshots at least 50,
    removed at least 50,
    forgotten at least 50,
    faults at least 100,
    returns at least 1_000,
    unknown at least 100,
    started at least 1_000,
    begun at least 1_000,
    captures at least 1_000,
    basket_captures at least 10,
    late_captures at least 5,
    proofs_rejected at least 50,
    not_paid at least 100,
    lapsed at least 50,
    looks at least 50,
    refunds at least 100,
    restocked_parts at least 5,
    parked at least 20,
    operated at least 100,
}

impl World {
    pub(crate) fn count(&mut self) {
        for payer in self.payers.iter().flatten() {
            self.counts.unknown += payer.unknown;
        }
        for node in &self.nodes {
            self.counts.events += node.written.len() as u64;
            for record in &node.written {
                self.counts.take(record);
            }
        }
    }
}

impl Counts {
    fn take(&mut self, record: &Record) {
        let mut event = &record.event;
        if let Event::OperatorActed { effect, .. } = event {
            self.operated += 1;
            event = effect;
        }
        let counted = match event {
            Event::BasketPlaced { .. } => &mut self.baskets,
            Event::OrderRefused(_) => &mut self.refused,
            Event::PaymentStarted { .. } => &mut self.started,
            Event::PaymentReady { .. } => &mut self.begun,
            Event::PaymentCaptured { ended, .. } => {
                self.basket_captures += u64::from(!ended.parts.is_empty());
                &mut self.captures
            }
            Event::PaymentCapturedLate { .. } => &mut self.late_captures,
            Event::ProofRejected { .. } => &mut self.proofs_rejected,
            Event::PaymentEnded { why: son7shop_engine::payment::Why::Lapsed, .. } => &mut self.lapsed,
            Event::PaymentEnded { .. } => &mut self.not_paid,
            Event::PaymentLooked { .. } => &mut self.looks,
            Event::RefundDone { .. } => &mut self.refunds,
            Event::PartRestocked { .. } => &mut self.restocked_parts,
            Event::StepTried { next: None, .. } => &mut self.parked,
            _ => return,
        };
        *counted += 1;
    }
}
