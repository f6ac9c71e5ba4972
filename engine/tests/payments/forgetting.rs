//! What leaves memory, and when: nothing that somebody still has to do something about.

use crate::shop::Shop;
use crate::states::STATES;
use son7shop_engine::{Lsn, OrderStatus};

#[test]
fn an_order_with_an_open_step_stays() {
    for (state, shop) in STATES {
        let mut shop = shop();
        let ended = !matches!(shop.status(), OrderStatus::Held | OrderStatus::Paying | OrderStatus::Approving);
        let may = ended && shop.steps().is_empty();
        assert_eq!(shop.forget(Lsn(u64::MAX)), may, "{state}");
        assert_eq!(shop.partition.open_steps(), shop.steps().len(), "{state}");
    }
}

#[test]
fn an_order_whose_last_event_the_database_does_not_have_stays() {
    for (state, shop) in STATES {
        let last = shop().records.len();
        for stored in 0..last {
            let mut shop = shop();
            let stored = u64::try_from(stored).expect("few");
            assert!(!shop.forget(Lsn(stored)), "{state} with {stored} of {last} stored");
        }
    }
}

#[test]
fn an_order_that_something_happened_to_since_is_forgotten_by_its_last_end() {
    let mut shop = Shop::confirmed();
    let end = shop.partition.lsn();
    shop.refund(1, Some(50), &[], false);
    assert!(!shop.forget(end), "its refund is under way");
    shop.answered(son7shop_engine::StepRef::Refund(1), crate::shop::gave_back(50));
    assert!(!shop.forget(end));
    let last = shop.partition.lsn();
    let keys = shop.partition.forgettable_keys(last, shop.now);
    assert_eq!(keys, [crate::shop::key(1).key]);
    assert!(shop.forget(last));
    assert_eq!((shop.partition.open_steps(), shop.partition.orders().count()), (0, 0));
}
