//! Values on their way into a statement and out of a row; how a time is written.

use super::StoreError;
use son7shop_engine::payment::cut;
use son7shop_engine::{Lsn, OrderId, OrderView, Time};
use std::fmt::Write;
use time::{Date, Month, OffsetDateTime, PrimitiveDateTime};

/// Collects the values of one statement's placeholders.
pub(super) trait Values: Send {
    /// Room for this many values.
    fn with_capacity(count: usize) -> Self;
    /// A number.
    fn int(&mut self, value: i64);
    /// A number or null.
    fn maybe_int(&mut self, value: Option<i64>);
    /// A text.
    fn text(&mut self, value: &str);
    /// A text or null.
    fn maybe_text(&mut self, value: Option<&str>);
    /// A time; see [`as_stored`].
    fn time(&mut self, value: Time);
    /// A time or null.
    fn maybe_time(&mut self, value: Option<Time>);

    /// An order's id, as text.
    fn order(&mut self, id: OrderId) {
        let mut text = Buffer::<36>::default();
        // 36 characters always fit 36 bytes.
        let _ = write!(text, "{id}");
        self.text(text.as_str());
    }

    /// An LSN. Eight bytes of LSN are more than a journal can have; a column holds 63 bits.
    fn lsn(&mut self, lsn: Lsn) {
        self.int(i64::try_from(lsn.0).unwrap_or(i64::MAX));
    }
}

/// Reads the cells of one row.
pub(super) trait Cells {
    /// A number.
    fn int(&self, column: usize) -> Result<i64, StoreError>;
    /// A number or null.
    fn maybe_int(&self, column: usize) -> Result<Option<i64>, StoreError>;
    /// A text.
    fn text(&self, column: usize) -> Result<&str, StoreError>;
    /// A text or null.
    fn maybe_text(&self, column: usize) -> Result<Option<&str>, StoreError>;
    /// A time.
    fn time(&self, column: usize) -> Result<Time, StoreError> {
        self.maybe_time(column)?
            .ok_or_else(|| StoreError::BadRow { table: "a table", what: format!("column {column} is null") })
    }
    /// A time or null.
    fn maybe_time(&self, column: usize) -> Result<Option<Time>, StoreError>;
}

/// The times that the databases can hold: the years 1000 to 9999, in milliseconds.
const EARLIEST: Time = Time(-30_610_224_000_000);
const LATEST: Time = Time(253_402_300_799_999);

/// The time that the database keeps for `time`: the same, but for those before the year
/// 1000 or after 9999, which MySQL cannot hold and which become the nearest it can.
#[must_use]
pub fn as_stored(time: Time) -> Time {
    time.clamp(EARLIEST, LATEST)
}

/// The order as the database shows it once it has all of it: [`as_stored`], without the addresses
/// of payment pages, and with texts of a gateway cut to what is kept of them.
#[must_use]
pub fn order_as_stored(mut order: OrderView) -> OrderView {
    for time in [&mut order.placed_at, &mut order.deadline].into_iter().chain(&mut order.ended_at) {
        *time = as_stored(*time);
    }
    let Some(payment) = &mut order.payment else { return order };
    for attempt in &mut payment.attempts {
        attempt.pages = None;
        attempt.started_at = as_stored(attempt.started_at);
        attempt.expires_at = attempt.expires_at.map(as_stored);
        if let Some(captured) = &mut attempt.captured {
            captured.at = as_stored(captured.at);
            captured.receipt = cut(&captured.receipt);
            captured.means = cut(&captured.means);
        }
    }
    for refund in &mut payment.refunds {
        refund.requested_at = as_stored(refund.requested_at);
        refund.reason = cut(&refund.reason);
        refund.receipt = cut(&refund.receipt);
    }
    order
}

/// `time`, clamped, as a date and a time of day in UTC.
pub(super) fn to_datetime(time: Time) -> PrimitiveDateTime {
    let nanos = i128::from(as_stored(time).0) * 1_000_000;
    // Clamped to four-digit years, every value is one that the library has.
    let utc = OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    PrimitiveDateTime::new(utc.date(), utc.time())
}

/// The reverse of [`to_datetime`].
pub(super) fn from_datetime(datetime: PrimitiveDateTime) -> Time {
    let utc = datetime.assume_utc();
    Time(utc.unix_timestamp() * 1000 + i64::from(utc.millisecond()))
}

/// `time`, clamped, as SQLite has it: `YYYY-MM-DD HH:MM:SS.mmm`.
pub(super) fn to_text(time: Time) -> Buffer<23> {
    let datetime = to_datetime(time);
    let (year, month, day) = datetime.to_calendar_date();
    let (hour, minute, second, milli) = datetime.as_hms_milli();
    let mut text = Buffer { bytes: *b"0000-00-00 00:00:00.000", len: 23 };
    let mut put = |from: usize, digits: usize, mut value: u16| {
        for at in (from..from + digits).rev() {
            text.bytes[at] = b'0' + u8::try_from(value % 10).unwrap_or(0);
            value /= 10;
        }
    };
    put(0, 4, u16::try_from(year).unwrap_or(9999));
    put(5, 2, u8::from(month).into());
    put(8, 2, day.into());
    put(11, 2, hour.into());
    put(14, 2, minute.into());
    put(17, 2, second.into());
    put(20, 3, milli);
    text
}

/// The reverse of [`to_text`]; `None` for a text of another form.
pub(super) fn from_text(text: &str) -> Option<Time> {
    let bytes = text.as_bytes();
    let form = [(4, b'-'), (7, b'-'), (10, b' '), (13, b':'), (16, b':'), (19, b'.')];
    if bytes.len() != 23 || form.iter().any(|&(at, sign)| bytes[at] != sign) {
        return None;
    }
    let number = |from: usize, digits: usize| -> Option<u16> {
        let digits = &bytes[from..from + digits];
        digits.iter().all(u8::is_ascii_digit).then(|| digits.iter().fold(0, |n, d| n * 10 + u16::from(d - b'0')))
    };
    let small = |from: usize| number(from, 2).and_then(|n| u8::try_from(n).ok());
    let month = Month::try_from(small(5)?).ok()?;
    let date = Date::from_calendar_date(number(0, 4)?.into(), month, small(8)?).ok()?;
    let datetime = date.with_hms_milli(small(11)?, small(14)?, small(17)?, number(20, 3)?).ok()?;
    Some(from_datetime(datetime))
}

/// A short ASCII text on the stack.
#[derive(Debug)]
pub(super) struct Buffer<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Default for Buffer<N> {
    fn default() -> Self {
        Self { bytes: [0; N], len: 0 }
    }
}

impl<const N: usize> Buffer<N> {
    pub(super) fn as_str(&self) -> &str {
        // Only whole texts are written into it.
        std::str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }
}

impl<const N: usize> Write for Buffer<N> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let end = self.len + text.len();
        self.bytes.get_mut(self.len..end).ok_or(std::fmt::Error)?.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_reads_back_as_it_was_written() {
        for (millis, text) in [
            (0, "1970-01-01 00:00:00.000"),
            (-1, "1969-12-31 23:59:59.999"),
            (1_700_000_000_007, "2023-11-14 22:13:20.007"),
            (1_709_164_800_120, "2024-02-29 00:00:00.120"),
            (EARLIEST.0, "1000-01-01 00:00:00.000"),
            (LATEST.0, "9999-12-31 23:59:59.999"),
        ] {
            assert_eq!(to_text(Time(millis)).as_str(), text);
            assert_eq!(from_text(text), Some(Time(millis)));
            assert_eq!(from_datetime(to_datetime(Time(millis))), Time(millis));
        }
    }

    #[test]
    fn a_time_that_no_database_can_hold_becomes_the_nearest() {
        assert_eq!(to_text(Time::NEVER).as_str(), "9999-12-31 23:59:59.999");
        assert_eq!(to_text(Time(i64::MIN)).as_str(), "1000-01-01 00:00:00.000");
        assert_eq!(as_stored(Time::NEVER), LATEST);
    }

    #[test]
    fn a_text_of_another_form_is_no_time() {
        for text in ["", "2023-11-14", "2023-11-14T22:13:20.007", "2023-13-14 22:13:20.007", "2023-02-30 22:13:20.0+7"]
        {
            assert_eq!(from_text(text), None, "{text}");
        }
    }
}
