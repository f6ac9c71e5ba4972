//! Times as people send and read them: RFC 3339, UTC, milliseconds.

use http::HeaderValue;
use son7shop_engine::Time;
use std::cell::RefCell;
use std::time::{SystemTime, UNIX_EPOCH};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The last millisecond that has a four-digit year; later times are shown as this one.
const LAST: i64 = 253_402_300_799_999;
const DAY: i64 = 86_400_000;

/// A time as text: `2026-11-24T09:30:00.000Z`.
pub(super) fn text(time: Time) -> [u8; 24] {
    let millis = time.0.clamp(0, LAST);
    let (year, month, day) = date(millis / DAY);
    let of_day = millis % DAY;
    let mut text = *b"0000-00-00T00:00:00.000Z";
    digits(&mut text[0..4], year);
    digits(&mut text[5..7], month);
    digits(&mut text[8..10], day);
    digits(&mut text[11..13], of_day / 3_600_000);
    digits(&mut text[14..16], of_day / 60_000 % 60);
    digits(&mut text[17..19], of_day / 1000 % 60);
    digits(&mut text[20..23], of_day % 1000);
    text
}

/// Reads an RFC 3339 time with any offset, from 1970 to 9999; what is finer than a
/// millisecond is cut off.
pub(super) fn parse(text: &str) -> Option<Time> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    let millis = i64::try_from(time.unix_timestamp_nanos().div_euclid(1_000_000)).ok()?;
    (0..=LAST).contains(&millis).then_some(Time(millis))
}

/// The year, month and day of a day since 1970 (Howard Hinnant's `civil_from_days`, for
/// days that are not negative).
fn date(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let of_era = shifted % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// Writes `value`, which is not negative, with leading zeros.
#[expect(clippy::cast_sign_loss, reason = "a remainder of 10 is a digit")]
fn digits(place: &mut [u8], mut value: i64) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

thread_local! {
    /// The header's value for the millisecond that it was last asked for.
    static NOW: RefCell<(i64, HeaderValue)> = const { RefCell::new((-1, HeaderValue::from_static(""))) };
}

/// The server's time.
pub(super) fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time(i64::try_from(since.as_millis()).unwrap_or(LAST))
}

/// The server's time as a header's value, for countdowns. Made once for a millisecond
/// and thread.
pub(super) fn now_header() -> HeaderValue {
    let Time(millis) = now();
    NOW.with_borrow_mut(|(made_at, value)| {
        if *made_at != millis {
            *made_at = millis;
            // Digits and punctuation are always a valid value; the fallback is never taken.
            *value = HeaderValue::from_bytes(&text(Time(millis))).unwrap_or(HeaderValue::from_static(""));
        }
        value.clone()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(millis: i64) -> String {
        String::from_utf8(text(Time(millis)).to_vec()).unwrap()
    }

    #[test]
    fn times_read_back_as_they_are_shown() {
        assert_eq!(shown(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(shown(951_782_400_001), "2000-02-29T00:00:00.001Z");
        assert_eq!(shown(LAST), "9999-12-31T23:59:59.999Z");
        assert_eq!(shown(i64::MAX), "9999-12-31T23:59:59.999Z");
        for day in 0..=LAST / DAY {
            let time = Time(day * DAY + day % DAY);
            let text = shown(time.0);
            assert_eq!(parse(&text), Some(time), "{text}");
        }
    }

    #[test]
    fn other_offsets_are_read_and_nonsense_is_not() {
        assert_eq!(parse("2026-11-24T18:30:00+09:00"), parse("2026-11-24T09:30:00Z"));
        assert_eq!(parse("2026-11-24T09:30:00.1239Z"), parse("2026-11-24T09:30:00.123Z"));
        for text in
            ["", "2026-11-24", "2026-11-24T09:30:00", "2026-02-30T00:00:00Z", "1969-12-31T23:59:59Z", "1764000000"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
