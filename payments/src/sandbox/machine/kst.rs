//! Times as the protocol writes them: Korean time, to the second, and no word of that in the text.

use son7shop_engine::Time;
use time::macros::{format_description, offset};
use time::{OffsetDateTime, UtcOffset};

const KST: UtcOffset = offset!(+9);

/// `time` as `yyyy-MM-ddTHH:mm:ss` in Korea; the epoch for a time that no calendar has.
#[must_use]
pub fn text(time: Time) -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]");
    let utc = OffsetDateTime::from_unix_timestamp(time.0.div_euclid(1_000)).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let korean = utc.checked_to_offset(KST).unwrap_or(utc);
    // A date and a time of day fill this format.
    korean.format(format).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_korean_without_saying_so() {
        assert_eq!(text(Time(1_698_503_457_999)), "2023-10-28T23:30:57");
        assert_eq!(text(Time(0)), "1970-01-01T09:00:00");
        assert_eq!(text(Time(-1)), "1970-01-01T08:59:59");
        assert_eq!(text(Time::NEVER), "1970-01-01T09:00:00");
    }
}
