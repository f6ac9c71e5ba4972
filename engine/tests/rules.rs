//! The rules of the shop, a line for each case: see [`table`] for the language.

#![allow(clippy::expect_used, missing_docs, reason = "a test says what went wrong by panicking")]

mod table;

use son7shop_engine::{
    Command, CustomerId, LineRequest, OrderId, Partition, PartitionId, PlaceOrder, Record, RequestKey, Sku, Time, Won,
};
use table::check;

#[test]
fn units_go_from_available_to_held_to_sold() {
    check(
        "
        product air 100 3              -> air at 100 3/0/0
        @10 order o1 ann k1 air*2      -> held 200 until 610        | air 3/2/0
        order o2 bob k2 air*2          -> no: 'air' has 1 available, 2 were asked for | air 3/2/0
        order o2 bob k2 air*1          -> held 100 until 610        | air 3/3/0
        confirm o1                     -> confirmed 200 at 10       | air 3/1/2
        cancel o2 bob                  -> cancelled 100 at 10       | air 3/0/2
        order o3 cat k3 air*2          -> no: 'air' has 1 available, 2 were asked for
        order o3 cat k3 air*1          -> held 100 until 610        | air 3/1/2
        ",
    );
}

#[test]
fn an_end_comes_once() {
    check(
        "
        product air 100 3         -> air at 100 3/0/0
        @10 order o1 ann k1 air*1 -> held 100 until 610
        @20 cancel o1 ann         -> cancelled 100 at 20        | air 3/0/0
        @30 cancel o1 ann         -> again cancelled 100 at 20  | air 3/0/0
        cancel o1 admin           -> again cancelled 100 at 20
        confirm o1                -> no: the order is cancelled
        @40 order o2 ann k2 air*1 -> held 100 until 640
        confirm o2                -> confirmed 100 at 40        | air 3/0/1
        @50 confirm o2            -> again confirmed 100 at 40  | air 3/0/1
        cancel o2 ann             -> no: the order is confirmed | air 3/0/1
        @9999 tick                -> again done                 | air 3/0/1
        confirm o9                -> no: there is no order o9
        ",
    );
}

#[test]
fn another_customers_order_does_not_exist() {
    check(
        "
        product air 100 3      -> air at 100 3/0/0
        order o1 ann k1 air*1  -> held 100 until 600
        cancel o1 bob          -> no: there is no order o1 | air 3/1/0
        cancel o1 admin        -> cancelled 100 at 0       | air 3/0/0
        cancel o1 bob          -> no: there is no order o1
        ",
    );
}

#[test]
fn a_hold_is_over_at_its_deadline_whether_or_not_a_tick_has_come() {
    check(
        "
        product air 100 1           -> air at 100 1/0/0
        @10 order o1 ann k1 air*1   -> held 100 until 610
        @609 order o2 bob k2 air*1  -> no: 'air' has 0 available, 1 were asked for | air 1/1/0
        @610 order o2 bob k2 air*1  -> held 100 until 1210                         | air 1/1/0
        show o1                     -> expired 100 at 610
        @1210 confirm o2            -> no: the order is expired                    | air 1/0/0
        cancel o2 bob               -> no: the order is expired
        @1300 order o3 cat k3 air*1 -> held 100 until 1900
        @1899 confirm o3            -> confirmed 100 at 1899                       | air 1/0/1
        @1900 tick                  -> again done                                  | air 1/0/1
        ",
    );
}

#[test]
fn a_deadline_that_was_cancelled_ends_nothing() {
    check(
        "
        product air 100 9          -> air at 100 9/0/0
        @10 order o1 ann k1 air*1  -> held 100 until 610
        @20 order o2 ann k2 air*1  -> held 100 until 620
        cancel o1 ann              -> cancelled 100 at 20
        @610 tick                  -> again done            | air 9/1/0
        @620 tick                  -> again done            | air 9/0/0
        show o2                    -> expired 100 at 620
        ",
    );
}

#[test]
fn a_clock_that_runs_backwards_is_not_followed() {
    check(
        "
        product air 100 9            -> air at 100 9/0/0
        @1000 order o1 ann k1 air*1  -> held 100 until 1600
        @5 order o2 ann k2 air*1     -> held 100 until 1600
        @1600 tick                   -> again done            | air 9/0/0
        @0 order o3 ann k3 air*1     -> held 100 until 2200
        @0 cancel o3 ann             -> cancelled 100 at 1600
        ",
    );
}

#[test]
fn one_key_is_one_request() {
    check(
        "
        product air 100 9 k0            -> air at 100 9/0/0
        @10 order o1 ann k1 air*1       -> held 100 until 610
        @20 order o2 ann k1 air*1       -> again held 100 until 610 | air 9/1/0
        order o2 ann k1/other air*1     -> no: the idempotency key was used for another request
        cancel o1 ann                   -> cancelled 100 at 20
        order o2 ann k1 air*1           -> again cancelled 100 at 20 | air 9/0/0
        order o1 ann k2 air*1           -> no: the order id is taken
        order o2 ann k0 air*1           -> no: the idempotency key was used for another request
        adjust air 1 k1                 -> no: the idempotency key was used for another request
        product bee 100 9 k1            -> no: the idempotency key was used for another request
        product bee 100 9 k0            -> no: the idempotency key was used for another request
        adjust air 1 k0/other           -> no: the idempotency key was used for another request
        ",
    );
}

#[test]
fn a_refusal_is_not_remembered() {
    check(
        "
        product air 100 0      -> air at 100 0/0/0
        order o1 ann k1 air*1  -> no: 'air' has 0 available, 1 were asked for
        adjust air 1 k2        -> air at 100 1/0/0
        order o1 ann k1/x air*1 -> held 100 until 600 | air 1/1/0
        ",
    );
}

#[test]
fn products_are_made_once_and_answered_as_they_were() {
    check(
        "
        product air 100 9 k0   -> air at 100 9/0/0
        order o1 ann k1 air*2  -> held 200 until 600       | air 9/2/0
        product air 100 9 k0   -> again air at 100 9/0/0   | air 9/2/0
        product air 100 9      -> no: there is a product 'air' already
        product bee 100 1000000000000 -> bee at 100 1000000000000/0/0
        product cat 100 1000000000001 -> no: 'cat' has 0 on hand and 0 held; the change does not fit
        order o2 ann k2 dog*1  -> no: there is no product 'dog'
        ",
    );
}

#[test]
fn stock_never_falls_below_what_is_held() {
    check(
        "
        product air 100 5       -> air at 100 5/0/0
        order o1 ann k1 air*2   -> held 200 until 600
        order o2 ann k2 air*1   -> held 100 until 600
        confirm o2              -> confirmed 100 at 0        | air 5/2/1
        adjust air -3 k3        -> no: 'air' has 4 on hand and 2 held; the change does not fit | air 5/2/1
        adjust air -2 k3        -> air at 100 3/2/1
        adjust air -2 k3        -> again air at 100 3/2/1    | air 3/2/1
        adjust air -2 k3/x      -> no: the idempotency key was used for another request
        adjust air -1 k4        -> no: 'air' has 2 on hand and 2 held; the change does not fit
        adjust air 9223372036854775807 k4  -> no: 'air' has 2 on hand and 2 held; the change does not fit
        adjust air -9223372036854775808 k4 -> no: 'air' has 2 on hand and 2 held; the change does not fit
        adjust air 999999999997 k4 -> air at 100 1000000000000/2/1
        adjust air 1 k5         -> no: 'air' has 999999999999 on hand and 2 held; the change does not fit
        adjust bee 1 k6         -> no: there is no product 'bee'
        ",
    );
}

#[test]
fn a_product_with_a_sale_sells_inside_its_window_only() {
    check(
        "
        product air 100 9           -> air at 100 9/0/0
        @1 sale air 50..60 70 9     -> air at 100 on sale 9/0/0
        sale air 50..60 70 9        -> again air at 100 on sale 9/0/0
        @49 order o1 ann k1 air*1   -> no: the sale of 'air' is not open yet
        @50 order o1 ann k1 air*1   -> held 70 until 650  | air 9/1/0
        @59 order o2 ann k2 air*1   -> held 70 until 659
        @60 order o3 ann k3 air*1   -> no: the sale of 'air' is over
        unsale air                  -> air at 100 9/2/0
        unsale air                  -> no: 'air' is not on sale
        order o3 ann k3 air*1       -> held 100 until 660
        @650 confirm o2             -> confirmed 70 at 650 | air 9/1/1
        unsale bee                  -> no: there is no product 'bee'
        sale bee 1..2 1 1           -> no: there is no product 'bee'
        ",
    );
}

#[test]
fn a_sale_limits_each_customer_over_all_their_orders() {
    check(
        "
        product air 100 9          -> air at 100 9/0/0
        sale air 0..9000 70 2      -> air at 100 on sale 9/0/0
        order o1 ann k1 air*3      -> no: 'air' sells at most 2 to a customer; 0 taken, 3 asked for
        order o1 ann k1 air*1      -> held 70 until 600
        order o2 ann k2 air*1      -> held 70 until 600
        order o3 ann k3 air*1      -> no: 'air' sells at most 2 to a customer; 2 taken, 1 asked for
        order o4 bob k4 air*1      -> held 70 until 600   | air 9/3/0
        confirm o1                 -> confirmed 70 at 0
        cancel o2 ann              -> cancelled 70 at 0   | air 9/1/1
        order o5 ann k5 air*2      -> no: 'air' sells at most 2 to a customer; 1 taken, 2 asked for
        order o5 ann k5 air*1      -> held 70 until 600
        @600 order o6 ann k6 air*1 -> held 70 until 1200  | air 9/1/1   # o5 expired, and counts no more
        sale air 0..9000 70 1      -> air at 100 on sale 9/1/1
        order o7 bob k7 air*1      -> held 70 until 1200
        order o8 ann k8 air*1      -> no: 'air' sells at most 1 to a customer; 2 taken, 1 asked for
        ",
    );
}

#[test]
fn the_next_sale_starts_counting_at_nothing() {
    check(
        "
        product air 100 9          -> air at 100 9/0/0
        sale air 0..9000 70 1      -> air at 100 on sale 9/0/0
        order o1 ann k1 air*1      -> held 70 until 600
        unsale air                 -> air at 100 9/1/0
        sale air 0..9000 60 2      -> air at 100 on sale 9/1/0
        order o2 ann k2 air*2      -> held 120 until 600
        cancel o1 ann              -> cancelled 70 at 0   # of the sale before: gives nothing back in this one
        order o3 ann k3 air*1      -> no: 'air' sells at most 2 to a customer; 2 taken, 1 asked for
        cancel o2 ann              -> cancelled 120 at 0  | air 9/0/0
        order o3 ann k3 air*2      -> held 120 until 600
        ",
    );
}

#[test]
fn a_limit_of_everything_does_not_overflow() {
    check(
        "
        product air 100 1000000000000   -> air at 100 1000000000000/0/0
        sale air 0..9000 1 4294967295   -> air at 100 on sale 1000000000000/0/0
        order o1 ann k1 air*4294967295  -> held 4294967295 until 600
        order o2 ann k2 air*1           -> no: 'air' sells at most 4294967295 to a customer; 4294967295 taken, 1 asked for
        ",
    );
}

#[test]
fn lines_are_taken_all_or_nothing() {
    check(
        "
        product air 100 5             -> air at 100 5/0/0
        product bee 10 1              -> bee at 10 1/0/0
        order o1 ann k1 air*2,bee*2   -> no: 'bee' has 1 available, 2 were asked for | air 5/0/0, bee 1/0/0
        order o1 ann k1 air*2,bee*1   -> held 210 air*2@100,bee*1@10 until 600       | air 5/2/0, bee 1/1/0
        confirm o1                    -> confirmed 210 air*2@100,bee*1@10 at 0       | air 5/0/2, bee 1/0/1
        order o2 ann k2 air*1,cat*1   -> no: there is no product 'cat'               | air 5/0/2
        ",
    );
}

#[test]
fn lines_of_one_product_count_together() {
    check(
        "
        product air 100 3             -> air at 100 3/0/0
        order o1 ann k1 air*2,air*2   -> no: 'air' has 1 available, 2 were asked for | air 3/0/0
        sale air 0..9000 70 2         -> air at 100 on sale 3/0/0
        order o1 ann k1 air*2,air*1   -> no: 'air' sells at most 2 to a customer; 2 taken, 1 asked for
        hold-part o8 ann 600 air*2,air*1  -> no: 'air' sells at most 2 to a customer; 2 taken, 1 asked for
        order o1 ann k1 air*1,air*1   -> held 140 air*1@70,air*1@70 until 600        | air 3/2/0
        ",
    );
}

#[test]
fn a_total_that_does_not_fit_is_refused() {
    check(
        "
        product air 9223372036854775807 5  -> air at 9223372036854775807 5/0/0
        product bee 1 5                    -> bee at 1 5/0/0
        order o1 ann k1 air*2              -> no: the order's total is too large
        order o1 ann k1 air*1,bee*1        -> no: the order's total is too large | air 5/0/0, bee 5/0/0
        order o1 ann k1 bee*1 p1:cat*1     -> opening 1 until 600
        accept o1 p1:cat*1@9223372036854775807 -> no: the order's total is too large
        refuse o1                          -> done | bee 5/0/0
        ",
    );
}

#[test]
fn a_basket_is_placed_when_every_partition_holds_its_part() {
    check(
        "
        product air 100 5                       -> air at 100 5/0/0
        order o1 ann k1 air*2 p1:bee*1 p2:cat*3 -> opening 200 until 600                    | air 5/2/0
        show o1                                 -> nothing
        order o2 ann k1 air*2 p1:bee*1 p2:cat*3 -> no: the request under this idempotency key is still running
        order o2 ann k1/x air*2                 -> no: the idempotency key was used for another request
        cancel o1 ann                           -> no: there is no order o1
        confirm o1                              -> no: there is no order o1
        accept o1 p1:bee*1@7                    -> no: the order is opening                 # p2 has not answered
        accept o1 p1:bee*1@7 p1:bee*1@7         -> no: the order is opening
        accept o1 p1:bee*1@7 p3:cat*3@1         -> no: the order is opening                 # p3 was not asked
        accept o1 p2:cat*3@1 p1:bee*1@7         -> held 210 air*2@100,bee*1@7,cat*3@1 until 600 | air 5/2/0
        accept o1 p1:bee*1@7 p2:cat*3@1         -> again held 210 air*2@100,bee*1@7,cat*3@1 until 600
        refuse o1                               -> no: the order is held
        order o2 ann k1 air*2 p1:bee*1 p2:cat*3 -> again held 210 air*2@100,bee*1@7,cat*3@1 until 600
        confirm o1                              -> confirmed 210 air*2@100,bee*1@7,cat*3@1 at 0 | air 5/0/2
        accept o1 p1:bee*1@7 p2:cat*3@1         -> no: the order is confirmed
        ",
    );
}

#[test]
fn a_refused_basket_leaves_nothing_behind() {
    check(
        "
        product air 100 5               -> air at 100 5/0/0
        sale air 0..9000 70 2           -> air at 100 on sale 5/0/0
        order o1 ann k1 air*2 p1:bee*1  -> opening 140 until 600 | air 5/2/0
        refuse o1                       -> done                  | air 5/0/0
        refuse o1                       -> no: there is no order o1
        accept o1 p1:bee*1@7            -> no: there is no order o1
        show o1                         -> nothing
        order o1 ann k1 air*2 p1:bee*1  -> no: the order id is taken           # late: p1 may not have heard of the refusal
        order o2 ann k1/x air*2         -> held 140 until 600    | air 5/2/0   # key and limit are free again
        forget 99 99                    -> done
        order o1 ann k3 air*1           -> no: 'air' sells at most 2 to a customer; 2 taken, 1 asked for
        order o1 bob k3 air*1           -> held 70 until 600
        ",
    );
}

#[test]
fn a_basket_that_is_still_opening_at_its_deadline_is_refused() {
    check(
        "
        product air 100 5               -> air at 100 5/0/0
        order o1 ann k1 air*2 p1:bee*1  -> opening 200 until 600     | air 5/2/0
        @600 accept o1 p1:bee*1@7       -> no: there is no order o1  | air 5/0/0
        order o2 ann k1 air*1           -> held 100 until 1200
        @600 refuse o1                  -> no: there is no order o1  | air 5/1/0
        ",
    );
}

#[test]
fn a_part_is_ended_by_home_only() {
    check(
        "
        product bee 7 5          -> bee at 7 5/0/0
        hold-part o1 ann 600 bee*2   -> part bee*2@7        | bee 5/2/0
        hold-part o1 ann 600 bee*2   -> again part bee*2@7  | bee 5/2/0
        @599 tick                -> again done          | bee 5/2/0
        confirm-part o1          -> done                | bee 5/0/2
        confirm-part o1          -> again done          | bee 5/0/2
        release-part o1          -> no: the part was ended before it was asked for | bee 5/0/2
        hold-part o1 ann 600 bee*2   -> no: the part was ended before it was asked for
        hold-part o2 ann 600 bee*3   -> part bee*3@7        | bee 5/3/2
        hold-part o3 ann 600 bee*1   -> no: 'bee' has 0 available, 1 were asked for
        release-part o2          -> done                | bee 5/0/2
        release-part o2          -> again done          | bee 5/0/2
        confirm-part o2          -> no: the part was ended before it was asked for | bee 5/0/2
        confirm-part o9          -> no: there is no order o9
        hold-part o4 ann 700 bee*1 -> part bee*1@7      | bee 5/1/2
        @99999 tick              -> again done          | bee 5/1/2   # a part has no deadline of its own
        ",
    );
}

#[test]
fn a_part_that_home_ended_first_is_never_held() {
    check(
        "
        product bee 7 5         -> bee at 7 5/0/0
        release-part o1         -> done                | bee 5/0/0
        release-part o1         -> again done
        hold-part o1 ann 600 bee*2  -> no: the part was ended before it was asked for | bee 5/0/0
        ",
    );
}

#[test]
fn a_part_that_is_asked_for_at_its_deadline_is_not_held() {
    check(
        "
        product bee 7 5                  -> bee at 7 5/0/0
        @599 hold-part o1 ann 600 bee*2  -> part bee*2@7        | bee 5/2/0
        @600 hold-part o1 ann 600 bee*2  -> again part bee*2@7
        hold-part o2 ann 600 bee*2       -> no: the order's deadline came before it could be placed | bee 5/2/0
        ",
    );
}

#[test]
fn parts_count_in_the_sale_of_their_partition() {
    check(
        "
        product bee 7 9          -> bee at 7 9/0/0
        sale bee 10..20 5 2      -> bee at 7 on sale 9/0/0
        hold-part o1 ann 600 bee*1   -> no: the sale of 'bee' is not open yet
        @10 hold-part o1 ann 600 bee*2 -> part bee*2@5     | bee 9/2/0
        hold-part o2 ann 600 bee*1   -> no: 'bee' sells at most 2 to a customer; 2 taken, 1 asked for
        order o3 ann k3 bee*1    -> no: 'bee' sells at most 2 to a customer; 2 taken, 1 asked for
        release-part o1          -> done               | bee 9/0/0
        order o3 ann k3 bee*1    -> held 5 until 610
        @20 hold-part o4 bob 600 bee*1 -> no: the sale of 'bee' is over
        ",
    );
}

#[test]
fn what_ended_long_ago_is_forgotten_once_it_is_stored() {
    check(
        "
        product air 100 9 k0          -> air at 100 9/0/0        # lsn 1
        @10 order o1 ann k1 air*1     -> held 100 until 610      # lsn 2
        confirm o1                    -> confirmed 100 at 10     # lsn 3
        @20 order o2 ann k2 air*1     -> held 100 until 620      # lsn 4
        cancel o2 ann                 -> cancelled 100 at 20     # lsn 5
        @30 hold-part o3 ann 600 air*1    -> part air*1@100          # lsn 6
        release-part o3               -> done                    # lsn 7
        release-part o4               -> done                    # lsn 8
        order o5 ann k5 air*1         -> held 100 until 630      # lsn 9
        forget 0 30                   -> again done
        forget 3 10                   -> done                    | air 9/1/1
        show o1                       -> nothing
        show o2                       -> cancelled 100 at 20
        confirm o1                    -> no: there is no order o1
        product bee 1 1 k0/x          -> bee at 1 1/0/0          # the key is free again
        forget 99 29                  -> done
        show o2                       -> nothing
        hold-part o4 ann 600 air*1        -> no: the part was ended before it was asked for
        forget 99 30                  -> done
        order o1 ann k1 air*1         -> held 100 until 630      | air 9/2/1
        show o5                       -> held 100 until 630
        @630 tick                     -> again done              | air 9/0/1
        ",
    );
}

#[test]
fn a_limit_still_counts_orders_that_are_forgotten() {
    check(
        "
        product air 100 9         -> air at 100 9/0/0
        sale air 0..9000 70 2     -> air at 100 on sale 9/0/0
        order o1 ann k1 air*2     -> held 140 until 600
        confirm o1                -> confirmed 140 at 0
        forget 99 99              -> done
        order o2 ann k2 air*1     -> no: 'air' sells at most 2 to a customer; 2 taken, 1 asked for
        ",
    );
}

#[test]
fn an_id_used_again_has_its_own_deadline() {
    check(
        "
        product air 100 9          -> air at 100 9/0/0
        @10 order o1 ann k1 air*1  -> held 100 until 610
        @20 order o2 ann k2 air*1  -> held 100 until 620
        cancel o2 ann              -> cancelled 100 at 20
        forget 99 99               -> done
        @100 order o2 bob k3 air*1 -> held 100 until 700
        @620 tick                  -> again done           | air 9/1/0   # o1 only
        show o2                    -> held 100 until 700
        @700 tick                  -> again done           | air 9/0/0
        ",
    );
}

#[test]
fn overdue_holds_end_in_pieces_as_they_end_at_once() {
    let sku = Sku::parse("air").expect("a sku");
    let mut partition = Partition::new(PartitionId(0), 1);
    let product =
        Command::CreateProduct { sku: sku.clone(), name: "Air".into(), price: Won(100), on_hand: 9, key: None };
    partition.step(Time(0), &product, |_| ());
    for n in 0..5 {
        let place = PlaceOrder {
            id: OrderId::new(Time(0), n, PartitionId(0)),
            customer: CustomerId::parse("ann").expect("a customer"),
            key: RequestKey { key: [n.to_le_bytes()[0]; 16], request: [0; 16] },
            lines: std::iter::once(LineRequest { sku: sku.clone(), quantity: 1 }).collect(),
            parts: Vec::new(),
            hold_millis: 600,
        };
        partition.step(Time(0), &Command::PlaceOrder(place), |_| ());
    }
    let (mut at_once, mut in_pieces) = (partition.clone(), partition);
    let (mut expected, mut records): (Vec<Record>, Vec<Record>) = (Vec::new(), Vec::new());
    at_once.step(Time(700), &Command::Tick, |record| expected.push(record.clone()));
    for (all, ended) in [(false, 2), (false, 4), (true, 5), (true, 5)] {
        assert_eq!(in_pieces.end_overdue(Time(700), 2, |record| records.push(record.clone())), all);
        assert_eq!(records.len(), ended);
    }
    assert_eq!((records, in_pieces.image()), (expected, at_once.image()));
}
