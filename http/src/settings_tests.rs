//! Settings from every source, and what a shop beyond loopback must be told.

use super::*;

#[test]
fn flag_over_file_over_default() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.toml");
    std::fs::write(&path, "hold_seconds = 30\norders_max = 7\n").unwrap();
    let flags = Flags { config: Some(path), hold_seconds: Some(5), ..Flags::default() };
    let settings = Settings::load(&flags, false, false).unwrap();
    assert_eq!((settings.hold_seconds, settings.orders_max, settings.segment_mib), (5, 7, 64));
    assert_eq!(settings.database_url, "sqlite:./data/son7shop.sqlite");
}

#[test]
fn a_file_with_a_wrong_line_is_refused_with_its_place() {
    for (text, said) in [
        ("hold_second = 3", "hold_second"),
        ("partitions = 0", "1 to 1024"),
        ("listen = 3", "listen"),
        ("hold_seconds = 86400", "hold_seconds in "),
        ("hold_seconds = 86400", "forgotten after a day"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shop.toml");
        std::fs::write(&path, text).unwrap();
        let error = Settings::load(&Flags { config: Some(path), ..Flags::default() }, false, false).unwrap_err();
        let told = format!("{error} {:?}", std::error::Error::source(&error).map(ToString::to_string));
        assert!(told.contains(said) && told.contains("shop.toml"), "{told}");
    }
}

#[test]
fn a_hold_ends_before_what_ended_is_forgotten() {
    for (text, taken) in [("0", false), ("1", true), ("86399", true), ("86400", false), ("soon", false)] {
        assert_eq!(hold_seconds(text).is_ok(), taken, "{text}");
    }
}

#[test]
fn a_limit_below_four_segments_is_refused_with_both_settings() {
    for (limit, segment, fits) in [(256, 64, true), (255, 64, false), (255, 63, true), (128, 64, false)] {
        let flags = Flags { journal_limit_mib: Some(limit), segment_mib: Some(segment), ..Flags::default() };
        let Err(error) = Settings::load(&flags, false, false) else {
            assert!(fits, "{limit} with {segment}");
            continue;
        };
        let said = error.to_string();
        assert!(!fits && said.contains("SON7_JOURNAL_LIMIT_MIB") && said.contains("SON7_SEGMENT_MIB"), "{said}");
        assert!(said.contains(&limit.to_string()) && said.contains(&segment.to_string()), "{said}");
    }
}

#[test]
fn beyond_loopback_the_key_must_be_the_operators() {
    let at = |listen: &str| {
        let (listen, public_url) = (listen.parse().ok(), Some("https://shop.example".to_owned()));
        Flags { listen, public_url, kakao_profile: Some(KakaoProfile::Live), ..Flags::default() }
    };
    let check = |listen: &str, own_key| Settings::load(&at(listen), own_key, true).unwrap().check_exposure().is_ok();
    assert!(check("127.0.0.1:1", false) && check("[::1]:1", false) && check("0.0.0.0:1", true));
    assert!(!check("0.0.0.0:1", false) && !check("[::]:1", false) && !check("10.0.0.1:1", false));
}

#[test]
fn beyond_loopback_nobody_pays_in_the_sandbox() {
    let beyond = Flags { listen: Some("0.0.0.0:1".parse().unwrap()), ..Flags::default() };
    let check = |flags: &Flags, key| Settings::load(flags, true, key).unwrap().check_exposure();
    assert!(matches!(check(&beyond, false), Err(SettingsError::SandboxExposed { .. })));
    assert!(check(&Flags { payments: Some(PaidBy::Off), ..beyond }, false).is_ok());
}

#[test]
fn beyond_loopback_the_gateway_must_know_the_way_back() {
    let check = |listen: &str, public_url: Option<&str>| {
        let (listen, public_url) = (listen.parse().ok(), public_url.map(str::to_owned));
        let (payments, kakao_profile) = (Some(PaidBy::Kakaopay), Some(KakaoProfile::Live));
        let flags = Flags { listen, payments, public_url, kakao_profile, ..Flags::default() };
        Settings::load(&flags, true, true).unwrap().check_exposure()
    };
    for listen in ["0.0.0.0:1", "[::]:1", "10.0.0.1:1"] {
        let said = check(listen, None).unwrap_err().to_string();
        assert!(said.contains("SON7_PUBLIC_URL") && said.contains(listen), "{said}");
        assert!(check(listen, Some("https://shop.example")).is_ok());
    }
    assert!(check("127.0.0.1:1", None).is_ok());
}

#[test]
fn beyond_loopback_it_must_be_said_that_no_money_moves() {
    let check = |listen: &str, kakao_profile| {
        let (listen, public_url) = (listen.parse().ok(), Some("https://shop.example".to_owned()));
        let flags = Flags { listen, public_url, kakao_profile, ..Flags::default() };
        Settings::load(&flags, true, true).unwrap().check_exposure()
    };
    assert!(matches!(check("0.0.0.0:1", None), Err(SettingsError::ProfileNeeded { .. })));
    assert!(check("0.0.0.0:1", Some(KakaoProfile::Test)).is_ok() && check("127.0.0.1:1", None).is_ok());
}

#[test]
fn what_is_shown_is_a_file_that_says_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.toml");
    let set = Flags {
        data_dir: Some("a \"b\" \\c".into()),
        partitions: Some(3),
        payments: Some(PaidBy::Kakaopay),
        public_url: Some("https://shop.example".to_owned()),
        kakao_url: Some("https://gateway.example/v1".to_owned()),
        kakao_cid: Some("C000000001".to_owned()),
        kakao_profile: Some(KakaoProfile::Live),
        sandbox_port: Some(7),
        ..Flags::default()
    };
    for flags in [Flags::default(), set] {
        let settings = Settings::load(&flags, true, true).unwrap();
        let shown = settings.shown();
        std::fs::write(&path, &shown).unwrap();
        let read = Settings::load(&Flags { config: Some(path.clone()), ..Flags::default() }, true, true).unwrap();
        assert_eq!(read, settings, "{shown}");
        // Whatever can be set is told, if only that it is not set.
        let told: Vec<_> =
            shown.lines().filter_map(|line| line.trim_start_matches("# ").split([' ', ':']).next()).collect();
        let all = <Flags as Args>::augment_args(clap::Command::new(""));
        let names = all.get_arguments().filter(|arg| arg.get_id() != "config").map(|arg| arg.get_id().as_str());
        assert_eq!(names.filter(|name| !told.contains(name)).collect::<Vec<_>>(), Vec::<&str>::new());
    }
}

#[test]
fn passwords_are_not_shown() {
    for (url, shown) in [
        ("mysql://shop:s3cr:et@db:3306/shop", "mysql://shop:***@db:3306/shop"),
        ("mysql://shop:a@b@db/shop", "mysql://shop:***@db/shop"),
        ("mysql://shop:a/b@db/shop", "mysql://shop:***@db/shop"),
        ("mysql://db/shop", "mysql://db/shop"),
        ("sqlite:./data/x", "sqlite:./data/x"),
    ] {
        assert_eq!(without_password(url), shown);
    }
}
