//! The shopper's pages: what they say, what their buttons do, and what they keep to themselves.

use crate::wire::ask;
use crate::*;
use son7shop_payments::sandbox::machine::LIFE_MS;

async fn open(page: &str) -> Answer {
    ask("GET", page, &[], b"").await.unwrap()
}

#[tokio::test]
async fn a_page_says_what_is_paid_in_two_languages_and_escapes_it() {
    let town = Town::new().await;
    let page = town.prepare("o1").await.page;
    assert!(page.starts_with(&town.sandbox.pages_url()) && !page.starts_with(&town.sandbox.api_url()));
    let answer = open(&page).await;
    let text = answer.text();
    assert_eq!(answer.status, 200);
    for says in [
        "귤 &lt;b&gt;&amp;&quot;한 상자&quot;",
        "10,000원 · KRW 10,000",
        "<html lang=\"ko\">",
        "카드로 결제 · <span lang=\"en\">Pay by card",
        "머니로 결제",
        "그만두기",
        "Enter a wrong password",
        "For practice. No money moves.",
    ] {
        assert!(text.contains(says), "{says} in {text}");
    }
    assert!(!text.contains("<b>") && !text.contains("<script"), "{text}");
    assert_eq!(text.matches("<form method=\"post\">").count(), 4);
    let policy = answer.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    assert!(!policy.contains("form-action"), "a browser would hold it against the redirect");
    for (header, value) in [
        ("cache-control", "no-store"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("x-content-type-options", "nosniff"),
        ("content-type", "text/html; charset=utf-8"),
    ] {
        assert_eq!(answer.header(header), Some(value));
    }
    let paid = town.press(&page, "press=pay&means=MONEY").await;
    assert_eq!((paid.header("cache-control"), paid.header("referrer-policy")), (Some("no-store"), Some("no-referrer")));
}

#[tokio::test]
async fn each_button_leads_to_its_address() {
    let town = Town::new().await;
    let shop = &town.shop.url;
    for (form, begins, status) in [
        ("press=pay&means=MONEY", format!("{shop}/ok/o1?pg_token="), "AUTH_PASSWORD"),
        ("press=pay&means=CARD", format!("{shop}/ok/o1?pg_token="), "AUTH_PASSWORD"),
        ("press=wrong_password&means=CARD", format!("{shop}/fail/o1"), "FAIL_AUTH_PASSWORD"),
        ("press=quit", format!("{shop}/cancel/o1"), "QUIT_PAYMENT"),
    ] {
        for kind in ["pc", "mobile-web", "mobile-app"] {
            let prepared = town.prepare("o1").await;
            let page = prepared.page.replace("/bridge/pc/", &format!("/bridge/{kind}/"));
            assert_eq!(open(&page).await.status, 200);
            let answer = town.press(&page, form).await;
            assert_eq!(answer.status, 302, "{form}");
            assert!(answer.location().starts_with(&begins), "{form}: {}", answer.location());
            if !form.starts_with("press=pay") {
                assert_eq!(answer.location(), begins, "bare");
            }
            assert_eq!(town.control.payment(&prepared.tid).unwrap().status.as_str(), status);
            assert_eq!(town.money(), (0, 0), "no button moves money");
        }
    }
    assert!(town.shop.paths().is_empty(), "the browser goes, not the sandbox");
}

#[tokio::test]
async fn pressing_pay_twice_leads_to_the_same_address() {
    let town = Town::new().await;
    let page = town.prepare("o1").await.page;
    let first = town.press(&page, "press=pay").await.location().to_owned();
    assert_eq!(open(&page).await.status, 200, "back in the browser");
    assert_eq!(town.press(&page, "press=pay").await.location(), first);
}

#[tokio::test]
async fn a_page_whose_time_is_over_leads_to_the_fail_address() {
    let town = Town::new().await;
    let prepared = town.prepare("o1").await;
    town.control.advance(LIFE_MS);
    let opened = open(&prepared.page).await;
    let pressed = town.press(&prepared.page, "press=pay").await;
    for answer in [opened, pressed] {
        assert_eq!((answer.status, answer.location()), (302, format!("{}/fail/o1", town.shop.url).as_str()));
    }
    assert_eq!(town.control.payment(&prepared.tid).unwrap().status.as_str(), "READY");
}

#[tokio::test]
async fn what_no_page_offers_is_refused() {
    let town = Town::new().await;
    let prepared = town.prepare("o1").await;
    let (page, pages) = (&prepared.page, town.sandbox.pages_url());
    assert_eq!(town.press(page, "press=steal").await.status, 400);
    assert_eq!(town.press(page, "").await.status, 400);
    assert_eq!(town.press(page, &"press=pay&".repeat(10_000)).await.status, 400, "too long");
    assert_eq!(ask("DELETE", page, &[], b"").await.unwrap().status, 405);
    let nobody = format!("{pages}/bridge/pc/pg/one-time/payment/{}", "0".repeat(64));
    for path in [nobody.as_str(), &format!("{pages}/"), &format!("{pages}/bridge/pc")] {
        assert_eq!(open(path).await.status, 404);
        assert_eq!(town.press(path, "press=pay").await.status, 404);
    }
    assert_eq!(town.control.payment(&prepared.tid).unwrap().status.as_str(), "READY");
    town.press(page, "press=quit").await;
    for answer in [open(page).await, town.press(page, "press=pay").await] {
        assert_eq!((answer.status, answer.header("location")), (409, None));
        assert!(answer.text().contains("This payment was quit."));
    }
}

#[tokio::test]
async fn a_shop_that_takes_one_of_the_means_shows_that_one() {
    let town = Town::new().await;
    let mut body = town.ready_body("o1");
    body["payment_method_type"] = json!("MONEY");
    let page = town.call("ready", body).await.unwrap().json()["next_redirect_mobile_url"].as_str().unwrap().to_owned();
    let text = open(&page).await.text();
    assert!(text.contains("Pay with money") && !text.contains("Pay by card"), "{text}");
    assert_eq!(town.press(&page, "press=pay&means=CARD").await.status, 409);
    assert_eq!(town.press(&page, "press=pay&means=MONEY").await.status, 302);
}
