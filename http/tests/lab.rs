//! The lab's backends that sell by the real binary: a connection for each thread, a few that all
//! share, and all connections on one thread.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use son7shop_loadtest::lab::backend::Contender;
use son7shop_loadtest::lab::backends::engine::{Engine, EngineShop};
use son7shop_loadtest::lab::backends::engine_epoll::EngineEpoll;
use son7shop_loadtest::lab::load::{Load, PLENTY, Pace, Sale};
use std::sync::Arc;

const BUYERS: usize = 8;

/// A sale that nothing is wrong with.
fn sell(contender: &dyn Contender, units: u64, pace: Pace) -> Sale {
    let sale = contender.sell(&Load { threads: BUYERS, units, pace }).unwrap();
    let name = contender.name();
    assert!(sale.verdict.is_right() && sale.counted.failed == 0, "{name}: {sale:?}");
    assert!(sale.counted.micros.is_some(), "{name}: {sale:?}");
    assert!(sale.costs.backend_cpu_micros.is_some() && sale.costs.syncs.is_some(), "{name}: {:?}", sale.costs);
    sale
}

fn check(contender: &dyn Contender) {
    let name = contender.name();
    let sold_out = sell(contender, 50, Pace::SellOut { patience_seconds: 60.0 }).counted;
    assert_eq!((sold_out.sold, sold_out.sold_in_all, sold_out.refused), (50, 50, 8), "{name}");
    let closed = sell(contender, PLENTY, Pace::Closed { warmup_seconds: 0.1, window_seconds: 0.3 }).counted;
    assert!(closed.sold > 0 && closed.sold < closed.sold_in_all && closed.refused == 0, "{name}: {closed:?}");
    let open = sell(contender, PLENTY, Pace::Open { per_second: 100.0, window_seconds: 1.0 }).counted;
    assert_eq!((open.sold + open.dropped, open.sold), (100, open.sold_in_all), "{name}: {open:?}");
    // Far less than it could sell: what is dropped is due while the machine stands still.
    assert!(open.sold > open.dropped, "{name}: {open:?}");
    // More threads than there are tokens for.
    let load = Load { threads: BUYERS + 1, units: 1, pace: Pace::SellOut { patience_seconds: 1.0 } };
    assert!(contender.sell(&load).is_err(), "{name}");
}

#[test]
fn every_way_to_reach_the_engine_sells_exactly_what_there_is() {
    let shop = Arc::new(EngineShop::start(support::binary(), BUYERS).unwrap());
    let contenders: [Box<dyn Contender>; 3] = [
        Box::new(Engine::new(Arc::clone(&shop))),
        Box::new(Engine::pooled(Arc::clone(&shop), 3)),
        Box::new(EngineEpoll::new(shop)),
    ];
    for contender in &contenders {
        check(contender.as_ref());
        let settings = contender.settings();
        for name in ["version", "partitions", "SON7_HOLD_SECONDS", "HTTP connections"] {
            assert!(settings.iter().any(|(found, _)| found == name), "{name} is not in {settings:?}");
        }
    }
    assert_eq!(
        contenders.map(|one| one.name().to_owned()),
        ["son7shop-http", "son7shop-http-pool", "son7shop-http-epoll"]
    );
}
