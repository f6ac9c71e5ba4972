//! What a shopper sees: one small page with the item, the sum and four buttons. Each button answers
//! 302 to the shop's address, as the real one does.
//!
//! Everything that the shop said is escaped. The page may not be framed, kept or referred from: its
//! address is a secret, and so is where it leads. There is no `form-action` in its policy: browsers
//! hold that against the redirect to the shop too.

use super::control::Browser;
use super::listen::{Asked, Sending};
use super::shared::Shared;
use super::visits;
use crate::sandbox::machine::{Act, Means, Moved, Shown, Status, Stuck, Whose};
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, LOCATION, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderValue, Method, Response, StatusCode};
use std::fmt::Write as _;
use std::sync::Arc;

const HEADERS: [(HeaderName, &str); 6] = [
    (CONTENT_TYPE, "text/html; charset=utf-8"),
    (CACHE_CONTROL, "no-store"),
    (CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'"),
    (X_FRAME_OPTIONS, "DENY"),
    (REFERRER_POLICY, "no-referrer"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
];

const STYLE: &str = "body{font:1.1rem/1.6 system-ui,sans-serif;margin:2rem auto;max-width:26rem;padding:0 1rem;\
color:#111;background:#fff}button{display:block;width:100%;margin:.6rem 0;padding:.8rem;font:inherit;\
border:2px solid #111;border-radius:.5rem;background:#fff;color:#111}button.pay{background:#fee500}\
button:focus-visible{outline:4px solid #06c}dt{color:#444}dd{margin:0 0 .6rem;font-weight:bold}\
.note{border:2px dashed #666;padding:.6rem}";

pub(super) async fn answer(shared: &Arc<Shared>, asked: &Asked) -> Response<Sending> {
    let Some(hash) = page_hash(asked.head.uri.path()) else { return told(StatusCode::NOT_FOUND, NO_PAGE) };
    let whose = Whose::Page(hash);
    let moved = match asked.head.method {
        Method::GET => shared.with(|machine, now| machine.act(now, whose, Act::Open)),
        Method::POST => {
            let Some(pressed) = asked.body.as_deref().and_then(pressed) else {
                return told(StatusCode::BAD_REQUEST, NO_BUTTON);
            };
            shared.with(|machine, now| match pressed {
                Pressed::Pay(means) => machine.pay(now, whose, means),
                Pressed::WrongPassword(means) => machine.mistype(now, whose, means),
                Pressed::Quit => machine.act(now, whose, Act::Quit),
            })
        }
        _ => return told(StatusCode::METHOD_NOT_ALLOWED, NO_BUTTON),
    };
    match moved {
        Ok(moved) if asked.head.method == Method::GET && !moved.expired => show(shared, whose),
        Ok(moved) => leave(shared, &moved).await,
        Err(Stuck::NoSuchPage) => told(StatusCode::NOT_FOUND, NO_PAGE),
        Err(Stuck::NotNow(status)) => told(StatusCode::CONFLICT, ended(status)),
        Err(Stuck::MeansNotTaken(_)) => told(StatusCode::CONFLICT, OTHER_MEANS),
    }
}

/// The hash in the address of one of the three kinds of page.
fn page_hash(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("/bridge/")?;
    let (kind, hash) = rest.split_once("/pg/one-time/payment/")?;
    let is_hash = hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    (matches!(kind, "pc" | "mobile-web" | "mobile-app") && is_hash).then_some(hash)
}

#[derive(Debug, PartialEq, Eq)]
enum Pressed {
    Pay(Means),
    WrongPassword(Means),
    Quit,
}

/// What a form says: `press` is a button, and `means` what to pay with, a card unless said otherwise.
fn pressed(body: &[u8]) -> Option<Pressed> {
    let text = std::str::from_utf8(body).ok()?;
    let field = |name: &str| {
        text.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name).map(|(_, value)| value)
    };
    let means = field("means").map_or(Some(Means::Card), Means::parse)?;
    match field("press")? {
        "pay" => Some(Pressed::Pay(means)),
        "wrong_password" => Some(Pressed::WrongPassword(means)),
        "quit" => Some(Pressed::Quit),
        _ => None,
    }
}

/// 302 to the shop, or what is said to a shopper whose browser goes nowhere.
async fn leave(shared: &Arc<Shared>, moved: &Moved) -> Response<Sending> {
    let (location, _) = visits::arrive(shared, &moved.visits, Browser::Told).await;
    let Some(location) = location else { return told(StatusCode::OK, GOES_NOWHERE) };
    // The shop's addresses are visible ASCII: they were looked at when the payment was prepared.
    let Ok(location) = HeaderValue::from_str(location.as_str()) else {
        return told(StatusCode::BAD_GATEWAY, GOES_NOWHERE);
    };
    let mut response = page(StatusCode::FOUND, "", "");
    response.headers_mut().insert(LOCATION, location);
    response
}

type Text = (&'static str, &'static str);
const NO_PAGE: Text = ("이 결제는 없습니다.", "There is no such payment.");
const NO_BUTTON: Text = ("페이지에 없는 요청입니다.", "The page has no such button.");
const OTHER_MEANS: Text = ("이 가게는 다른 결제수단만 받습니다.", "The shop takes other means only.");
const GOES_NOWHERE: Text = (
    "브라우저가 가게로 돌아가지 않습니다. (시험용 장애)",
    "The browser does not go back to the shop now: a fault that was asked for.",
);

const fn ended(status: Status) -> Text {
    match status {
        Status::QuitPayment => ("취소한 결제입니다.", "This payment was quit."),
        Status::FailAuthPassword | Status::FailPayment => ("실패한 결제입니다.", "This payment has failed."),
        Status::CancelPayment | Status::PartCancelPayment => ("환불된 결제입니다.", "This payment was given back."),
        Status::SuccessPayment => ("이미 결제되었습니다.", "This payment is already paid."),
        _ => ("지금은 할 수 없습니다.", "That is not possible now."),
    }
}

fn told(status: StatusCode, (korean, english): Text) -> Response<Sending> {
    let main = format!("<p>{korean}</p><p lang=\"en\">{english}</p>");
    page(status, "카카오페이 연습장 · Kakao Pay sandbox", &main)
}

fn show(shared: &Arc<Shared>, whose: Whose<'_>) -> Response<Sending> {
    match shared.with(|machine, now| machine.shown(now, whose)) {
        Some(shown) => page(StatusCode::OK, "카카오페이 연습장 · Kakao Pay sandbox", &main_of(&shown)),
        None => told(StatusCode::NOT_FOUND, NO_PAGE),
    }
}

fn main_of(shown: &Shown) -> String {
    let (item, sum) = (escaped(&shown.item_name), grouped(shown.total.0));
    let mut main = format!(
        "<p class=\"note\">연습용입니다. 돈이 나가지 않습니다.<br><span lang=\"en\">For practice. No money moves.</span></p>\
         <dl><dt>상품 · <span lang=\"en\">Item</span></dt><dd>{item}</dd>\
         <dt>수량 · <span lang=\"en\">Quantity</span></dt><dd>{}</dd>\
         <dt>금액 · <span lang=\"en\">Amount</span></dt><dd>{sum}원 · KRW {sum}</dd></dl>",
        shown.quantity,
    );
    let takes = |means: Means| shown.only.is_none_or(|only| only == means);
    let only = shown.only.unwrap_or(Means::Card);
    if takes(Means::Card) {
        button(&mut main, "pay", Some(Means::Card), ("카드로 결제", "Pay by card"));
    }
    if takes(Means::Money) {
        button(&mut main, "pay", Some(Means::Money), ("머니로 결제", "Pay with money"));
    }
    button(&mut main, "wrong_password", Some(only), ("비밀번호 틀리기", "Enter a wrong password"));
    button(&mut main, "quit", None, ("그만두기", "Quit"));
    main
}

fn button(main: &mut String, press: &str, means: Option<Means>, (korean, english): Text) {
    let class = if press == "pay" { " class=\"pay\"" } else { "" };
    let means = means.map(|means| format!("<input type=\"hidden\" name=\"means\" value=\"{}\">", means.as_str()));
    // Writing to a string does not fail.
    let _ = write!(
        main,
        "<form method=\"post\">{}<button{class} name=\"press\" value=\"{press}\">{korean} · \
         <span lang=\"en\">{english}</span></button></form>",
        means.unwrap_or_default(),
    );
}

fn page(status: StatusCode, title: &str, main: &str) -> Response<Sending> {
    let body = if title.is_empty() {
        String::new()
    } else {
        format!(
            "<!doctype html><html lang=\"ko\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title><style>{STYLE}</style></head>\
             <body><main><h1>{title}</h1>{main}</main></body></html>"
        )
    };
    let mut response = Response::new(Sending::whole(body));
    *response.status_mut() = status;
    response.headers_mut().extend(HEADERS.map(|(name, value)| (name, HeaderValue::from_static(value))));
    response
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// Digits in groups of three.
fn grouped(number: i64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_pages_name_one() {
        let hash = "0123456789abcdef".repeat(4);
        for kind in ["pc", "mobile-web", "mobile-app"] {
            assert_eq!(page_hash(&format!("/bridge/{kind}/pg/one-time/payment/{hash}")), Some(hash.as_str()));
        }
        for path in [
            format!("/bridge/tv/pg/one-time/payment/{hash}"),
            format!("/bridge/pc/pg/one-time/payment/{hash}0"),
            format!("/bridge/pc/pg/one-time/payment/{}", hash.to_uppercase()),
            format!("/bridge/pc/pg/one-time/payment/{hash}/"),
            "/".to_owned(),
        ] {
            assert_eq!(page_hash(&path), None, "{path}");
        }
    }

    #[test]
    fn a_form_is_one_of_the_buttons() {
        let rows = [
            ("press=pay&means=MONEY", Some(Pressed::Pay(Means::Money))),
            ("means=CARD&press=pay", Some(Pressed::Pay(Means::Card))),
            ("press=pay", Some(Pressed::Pay(Means::Card))),
            ("press=wrong_password&means=CARD", Some(Pressed::WrongPassword(Means::Card))),
            ("press=quit", Some(Pressed::Quit)),
            ("press=pay&means=BARTER", None),
            ("press=steal", None),
            ("means=CARD", None),
            ("", None),
        ];
        for (body, expected) in rows {
            assert_eq!(pressed(body.as_bytes()), expected, "{body}");
        }
        assert_eq!(pressed(b"press=\xff"), None);
    }

    #[test]
    fn what_the_shop_says_is_text_and_sums_can_be_read() {
        assert_eq!(escaped("<b> & \"귤\" 'x'"), "&lt;b&gt; &amp; &quot;귤&quot; &#39;x&#39;");
        for (number, text) in [(1, "1"), (999, "999"), (1_000, "1,000"), (12_345_678, "12,345,678")] {
            assert_eq!(grouped(number), text);
        }
    }
}
