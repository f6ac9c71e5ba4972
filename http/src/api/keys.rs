//! Idempotency keys and requests as the engine keeps them: digests, so that a key costs
//! 32 bytes whatever it was.
//!
//! The key's digest covers who sent it: two customers' equal keys never meet. The
//! request's digest covers which operation it is and its values in one canonical order,
//! so that spelling (spaces, the order of fields or lines) makes no difference.

use crate::token::{Identity, Role};
use son7shop_engine::{LineRequest, RequestKey};

/// The longest idempotency key, in bytes.
pub(super) const KEY_MAX: usize = 255;

/// The key of `request`, sent by `by` under `key`.
pub(super) fn request_key(by: &Identity, key: &[u8], request: &Digest) -> RequestKey {
    let role = match by.role {
        Role::Admin => b"admin".as_slice(),
        Role::Customer => b"customer",
    };
    let mut sender = Digest::default();
    sender.bytes(role).bytes(b"\0").bytes(by.subject.as_str().as_bytes()).bytes(b"\0").bytes(key);
    RequestKey { key: sender.finish(), request: request.finish() }
}

/// A digest in the making: the first 16 bytes of BLAKE3.
#[derive(Default)]
pub(super) struct Digest(smallvec::SmallVec<[u8; 512]>);

impl Digest {
    /// The digest of a request of this operation; its values follow.
    pub(super) fn of(operation: &str) -> Self {
        let mut digest = Self::default();
        digest.text(operation);
        digest
    }

    /// The digest of an order's lines, which are sorted by sku.
    pub(super) fn of_order(lines: &[LineRequest]) -> Self {
        let mut digest = Self::of("place-order");
        for line in lines {
            digest.text(line.sku.as_str()).number(line.quantity.into());
        }
        digest
    }

    /// Adds a text with its length, so that no two sequences of texts read the same.
    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(&(text.len() as u64).to_le_bytes()).bytes(text.as_bytes())
    }

    /// Adds a number.
    pub(super) fn number(&mut self, number: i64) -> &mut Self {
        self.bytes(&number.to_le_bytes())
    }

    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn finish(&self) -> [u8; 16] {
        let mut half = [0; 16];
        half.copy_from_slice(&blake3::hash(&self.0).as_bytes()[..16]);
        half
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use son7shop_engine::{CustomerId, Sku};

    fn order(lines: &[(&str, u32)]) -> [u8; 16] {
        let line = |&(sku, quantity): &(&str, u32)| LineRequest { sku: Sku::parse(sku).unwrap(), quantity };
        Digest::of_order(&lines.iter().map(line).collect::<Vec<_>>()).finish()
    }

    #[test]
    fn another_sender_is_another_key_and_another_body_another_request() {
        let by = |role, subject| Identity { role, subject: CustomerId::parse(subject).unwrap(), exp: 1 };
        let request = Digest::default();
        let key = |by: &Identity, key: &str| request_key(by, key.as_bytes(), &request).key;
        let ann = by(Role::Customer, "ann");
        assert_eq!(key(&ann, "k"), key(&ann, "k"));
        assert_ne!(key(&ann, "k"), key(&ann, "l"));
        assert_ne!(key(&ann, "k"), key(&by(Role::Customer, "an"), "nk"));
        assert_ne!(key(&ann, "k"), key(&by(Role::Admin, "ann"), "k"));
        assert_eq!(order(&[("a", 1)]), order(&[("a", 1)]));
        assert_ne!(order(&[("a", 1)]), order(&[("a", 2)]));
        assert_ne!(order(&[("a", 1)]), order(&[("a", 1), ("b", 1)]));
    }
}
