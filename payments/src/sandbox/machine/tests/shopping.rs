//! The shopper at the page: every act in every state.

use super::*;

/// A world whose payment stands there.
fn standing(status: Status) -> World {
    let mut world = World::ready();
    let acts: &[Act] = match status {
        Status::Ready => &[],
        Status::OpenPayment => &[Act::Open],
        Status::SelectMethod => &[Act::Open, Act::Choose { means: Means::Card }],
        Status::FailAuthPassword => &[Act::Open, Act::Choose { means: Means::Card }, Act::WrongPassword],
        Status::QuitPayment => &[Act::Quit],
        _ => &[Act::Open, Act::Choose { means: Means::Card }, Act::Pay],
    };
    for act in acts {
        let moved = world.act(*act).unwrap();
        if let Some(token) = moved.visits.first().and_then(Visit::pg_token) {
            token.clone_into(&mut world.token);
        }
    }
    match status {
        Status::FailPayment => {
            world.fault(Place::Approve, Action::Decline { code: "LIMIT".to_owned(), soft: false });
            assert_eq!(world.approve(), -780);
        }
        Status::SuccessPayment => assert_eq!(world.approve(), 0),
        Status::PartCancelPayment => assert_eq!((world.approve(), world.cancel(1)), (0, 0)),
        Status::CancelPayment => assert_eq!((world.approve(), world.cancel(10_000)), (0, 0)),
        _ => {}
    }
    assert_eq!(world.status(), status);
    world
}

#[test]
fn every_act_in_every_state() {
    use Status::*;
    const CHOOSE: Act = Act::Choose { means: Means::Money };
    /// Where an act leads, and to which address; `None`: it cannot be done.
    type Led = Option<(Status, Option<Callback>)>;
    let acts = [Act::Open, CHOOSE, Act::Pay, Act::WrongPassword, Act::Quit];
    let quit = Some((QuitPayment, Some(Callback::Cancel)));
    let rows: [(Status, [Led; 5]); 10] = [
        (Ready, [Some((OpenPayment, None)), None, None, None, quit]),
        (OpenPayment, [Some((OpenPayment, None)), Some((SelectMethod, None)), None, None, quit]),
        (
            SelectMethod,
            [
                Some((SelectMethod, None)),
                Some((SelectMethod, None)),
                Some((AuthPassword, Some(Callback::Approval))),
                Some((FailAuthPassword, Some(Callback::Fail))),
                quit,
            ],
        ),
        (AuthPassword, [Some((AuthPassword, None)), None, Some((AuthPassword, Some(Callback::Approval))), None, None]),
        (SuccessPayment, [None; 5]),
        (PartCancelPayment, [None; 5]),
        (CancelPayment, [None; 5]),
        (FailAuthPassword, [None; 5]),
        (QuitPayment, [None; 5]),
        (FailPayment, [None; 5]),
    ];
    for (status, led) in rows {
        for (act, led) in acts.into_iter().zip(led) {
            let mut world = standing(status);
            let moved = world.act(act);
            let expected = led.ok_or(Stuck::NotNow(status));
            let got = moved.map(|moved| {
                assert!(moved.visits.len() < 2 && !moved.expired);
                (moved.status, moved.visits.first().map(|visit| visit.to))
            });
            assert_eq!(got, expected, "{status}: {act:?}");
            assert_eq!(world.status(), led.map_or(status, |(after, _)| after), "{status}: {act:?}");
        }
    }
}

#[test]
fn the_browser_goes_to_the_addresses_of_the_shop() {
    let mut world = standing(Status::SelectMethod);
    let visit = world.clone().act(Act::Quit).unwrap().visits.remove(0);
    assert_eq!(visit.address.as_str(), "http://shop/cancel?nonce=s3cret", "bare");
    let visit = world.clone().act(Act::WrongPassword).unwrap().visits.remove(0);
    assert_eq!(visit.address.as_str(), "http://shop/fail?nonce=s3cret", "bare");
    let visit = world.act(Act::Pay).unwrap().visits.remove(0);
    let token = visit.pg_token().unwrap();
    assert_eq!(visit.address.as_str(), format!("http://shop/ok?order=o1&nonce=s3cret&pg_token={token}"));
    assert_eq!((visit.order.as_str(), visit.arrival, visit.forged), ("o1", Arrival::Next, false));
    let again = world.act(Act::Pay).unwrap().visits.remove(0);
    assert_eq!(again.pg_token(), Some(token), "pressed again: the same token");
}

#[test]
fn the_token_finds_its_place_in_any_address() {
    let rows = [
        ("http://shop/ok", "http://shop/ok?pg_token="),
        ("http://shop/ok?a=1", "http://shop/ok?a=1&pg_token="),
        ("http://shop/ok#top", "http://shop/ok?pg_token="),
    ];
    for (address, before) in rows {
        let mut world = World::prepared(json!({ "approval_url": address }));
        let visit = world.press_pay().visits.remove(0);
        assert!(visit.address.as_str().starts_with(before), "{}", visit.address.as_str());
        assert_eq!(visit.pg_token().unwrap().len(), 20);
    }
}

#[test]
fn a_page_whose_time_is_over_leads_to_the_fail_address_and_does_nothing() {
    for status in [Status::Ready, Status::OpenPayment, Status::SelectMethod, Status::AuthPassword] {
        for act in [Act::Open, Act::Pay, Act::Quit, Act::WrongPassword] {
            let mut world = standing(status);
            world.pass(LIFE_MS);
            let moved = world.act(act).unwrap();
            assert!(moved.expired);
            assert_eq!((moved.status, moved.visits[0].to), (status, Callback::Fail), "{status} {act:?}");
            let moved = world.machine.pay(world.now, Whose::Tid(&world.tid), Means::Card).unwrap();
            assert_eq!((moved.status, moved.visits[0].to), (status, Callback::Fail));
        }
    }
    let mut world = standing(Status::SuccessPayment);
    world.pass(LIFE_MS);
    assert_eq!(world.act(Act::Open), Err(Stuck::NotNow(Status::SuccessPayment)), "a captured one does not lapse");
    assert!(!world.machine.shown(world.now, Whose::Tid(&world.tid)).unwrap().expired);
}

#[test]
fn all_that_it_takes_is_done_at_once() {
    for (status, mistyped) in [
        (Status::Ready, true),
        (Status::OpenPayment, true),
        (Status::SelectMethod, true),
        (Status::AuthPassword, false),
    ] {
        let world = standing(status);
        let moved = world.clone().machine.pay(START, Whose::Tid(&world.tid), Means::Card).unwrap();
        assert_eq!((moved.status, moved.visits[0].to), (Status::AuthPassword, Callback::Approval), "{status}");
        let moved = world.clone().machine.mistype(START, Whose::Tid(&world.tid), Means::Card);
        let expected = if mistyped { Ok(Status::FailAuthPassword) } else { Err(Stuck::NotNow(status)) };
        assert_eq!(moved.map(|moved| moved.status), expected, "{status}");
    }
}

#[test]
fn a_shop_may_take_one_of_the_means_only() {
    let mut world = World::prepared(json!({ "payment_method_type": "CARD" }));
    let paid =
        |world: &mut World, means| world.machine.pay(START, Whose::Tid(&world.tid), means).map(|moved| moved.status);
    assert_eq!(paid(&mut world, Means::Money), Err(Stuck::MeansNotTaken(Means::Money)));
    assert_eq!(paid(&mut world, Means::Card), Ok(Status::AuthPassword));
}

#[test]
fn who_names_no_payment_is_told_so() {
    let mut world = World::ready();
    for whose in [Whose::Tid("T0000000000000000000"), Whose::Page("00"), Whose::Page(&world.tid)] {
        assert_eq!(world.machine.act(START, whose, Act::Open), Err(Stuck::NoSuchPage));
        assert_eq!(world.machine.pay(START, whose, Means::Card), Err(Stuck::NoSuchPage));
        assert_eq!(world.machine.shown(START, whose), None);
    }
}
