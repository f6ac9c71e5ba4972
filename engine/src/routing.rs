//! Which partition owns a sku.

use crate::command::{LineRequest, PartRequest};
use crate::event::Lines;
use crate::ids::{PartitionId, Sku};

/// The partition that owns `sku` among `partitions`: 64-bit FNV-1a of the sku's bytes
/// (offset basis 0xcbf29ce484222325, prime 0x100000001b3), mixed once more by
/// `hash = (hash ^ hash >> 32) × 0x9e3779b97f4a7c15` (modulo 2⁶⁴), then
/// `(hash × partitions) >> 64`. Written down here because a data folder depends on it:
/// it must never change.
///
/// `partitions` is at least 1; 0 is read as 1.
#[must_use]
pub fn partition_of(sku: &Sku, partitions: u16) -> PartitionId {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in sku.as_str().bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    // FNV-1a mixes its low bits better than its high ones, and the product below uses the high ones.
    hash = (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let scaled = (u128::from(hash) * u128::from(partitions.max(1))) >> 64;
    #[expect(clippy::cast_possible_truncation, reason = "scaled < partitions, which is a u16")]
    PartitionId(scaled as u16)
}

/// An order's lines, sorted by where they are decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Basket {
    /// The partition of the lowest sku.
    pub home: PartitionId,
    /// The lines that home owns, by sku.
    pub lines: Lines,
    /// The lines of each other partition, by partition, then sku.
    pub parts: Vec<PartRequest>,
}

impl Basket {
    /// Sorts `lines` among `partitions`; lines of the same sku are summed. `None` for no lines.
    #[must_use]
    pub fn new(mut lines: Vec<LineRequest>, partitions: u16) -> Option<Self> {
        lines.sort_unstable_by(|a, b| a.sku.cmp(&b.sku));
        lines.dedup_by(|line, kept| {
            let same = line.sku == kept.sku;
            if same {
                kept.quantity = kept.quantity.saturating_add(line.quantity);
            }
            same
        });
        let home = partition_of(&lines.first()?.sku, partitions);
        if partitions <= 1 {
            return Some(Self { home, lines: Lines::from_vec(lines), parts: Vec::new() });
        }
        let mut basket = Self { home, lines: Lines::new(), parts: Vec::new() };
        for line in lines {
            let owner = partition_of(&line.sku, partitions);
            if owner == home {
                basket.lines.push(line);
                continue;
            }
            match basket.parts.iter_mut().find(|part| part.partition == owner) {
                Some(part) => part.lines.push(line),
                None => basket.parts.push(PartRequest { partition: owner, lines: vec![line] }),
            }
        }
        basket.parts.sort_unstable_by_key(|part| part.partition);
        Some(basket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_one_that_data_folders_were_made_with() {
        let of = |sku: &str, n| partition_of(&Sku::parse(sku).unwrap(), n).0;
        let got: Vec<u16> = ["a", "b", "AIR-90", "sku-000001", "sku-000002"].iter().map(|s| of(s, 1024)).collect();
        assert_eq!(got, PINNED);
        assert_eq!(of("anything", 1), 0);
        assert_eq!(of("anything", 0), 0);
    }

    const PINNED: [u16; 5] = [522, 296, 239, 991, 956];

    #[test]
    fn skus_spread_evenly() {
        let mut count = [0u32; 8];
        for n in 0..80_000 {
            count[usize::from(partition_of(&Sku::parse(&format!("sku-{n:06}")).unwrap(), 8).0)] += 1;
        }
        assert!(count.iter().all(|&n| (9_000..11_000).contains(&n)), "{count:?}");
    }

    #[test]
    fn home_is_the_partition_of_the_lowest_sku() {
        let line = |sku: &str| LineRequest { sku: Sku::parse(sku).unwrap(), quantity: 1 };
        let basket = Basket::new(vec![line("z"), line("m"), line("a"), line("c")], 3).unwrap();
        assert_eq!(basket.home, partition_of(&Sku::parse("a").unwrap(), 3));
        let total = basket.lines.len() + basket.parts.iter().map(|part| part.lines.len()).sum::<usize>();
        assert_eq!(total, 4);
        assert!(basket.parts.iter().all(|part| part.partition != basket.home));
        assert_eq!(Basket::new(vec![], 3), None);
    }
}
