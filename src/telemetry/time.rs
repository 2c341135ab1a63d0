//! Points in time as logs and status write them, in UTC.

use std::{
    cell::Cell,
    fmt::{self, Display},
    time::{SystemTime, UNIX_EPOCH},
};

use crate::clock;

thread_local! {
    /// The last second that was written in the common log format, and how.
    static LAST: Cell<(u64, Text)> = const { Cell::new((u64::MAX, Text { bytes: [0; 32], length: 0 })) };
}

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A date and a time of day.
#[derive(Debug, Clone, Copy)]
pub struct Utc {
    year: u64,
    month: u64,
    day: u64,
    seconds: u64,
    millis: u32,
}

impl From<SystemTime> for Utc {
    fn from(time: SystemTime) -> Self {
        // A clock that is set before 1970 shows 1970.
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let (year, month, day) = civil(since.as_secs() / 86_400);
        Self { year, month, day, seconds: since.as_secs() % 86_400, millis: since.subsec_millis() }
    }
}

impl Utc {
    /// RFC 3339 with milliseconds: `2026-02-28T12:34:56.789Z`.
    pub fn rfc3339(self) -> Text {
        let [hour, minute, second] = self.time_of_day();
        let date =
            Text::default().number::<4>(self.year).byte(b'-').number::<2>(self.month).byte(b'-').number::<2>(self.day);
        let time = date.byte(b'T').number::<2>(hour).byte(b':').number::<2>(minute).byte(b':').number::<2>(second);
        time.byte(b'.').number::<3>(self.millis.into()).byte(b'Z')
    }

    /// The common log format: `28/Feb/2026:12:34:56 +0000`.
    pub fn clf(self) -> Text {
        let [hour, minute, second] = self.time_of_day();
        let month = MONTHS[self.month as usize - 1];
        let date = Text::default().number::<2>(self.day).byte(b'/').text(month).byte(b'/').number::<4>(self.year);
        let time = date.byte(b':').number::<2>(hour).byte(b':').number::<2>(minute).byte(b':').number::<2>(second);
        time.text(" +0000")
    }

    /// The same of now: hundreds of lines in a row are of one second.
    pub fn clf_now() -> Text {
        let now = clock::unix_coarse();
        let (second, known) = LAST.get();
        if second == now.as_secs() {
            return known;
        }
        let text = Self::from(UNIX_EPOCH + now).clf();
        LAST.set((now.as_secs(), text));
        text
    }

    fn time_of_day(self) -> [u64; 3] {
        [self.seconds / 3600, self.seconds / 60 % 60, self.seconds % 60]
    }
}

/// A few bytes of ASCII. Each line of an access log has one, and what writes numbers of any kind takes ten times as long.
#[derive(Clone, Copy, Default)]
pub struct Text {
    bytes: [u8; 32],
    length: usize,
}

impl Text {
    /// The text.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    fn byte(mut self, byte: u8) -> Self {
        self.bytes[self.length] = byte;
        self.length += 1;
        self
    }

    fn text(self, text: &str) -> Self {
        text.bytes().fold(self, Self::byte)
    }

    /// Its last digits.
    fn number<const DIGITS: usize>(mut self, mut number: u64) -> Self {
        for place in self.bytes[self.length..][..DIGITS].iter_mut().rev() {
            *place = b'0' + (number % 10) as u8;
            number /= 10;
        }
        self.length += DIGITS;
        self
    }
}

impl Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(str::from_utf8(self.as_bytes()).expect("it is ASCII"))
    }
}

/// Year, month and day of a day counted from 1970-01-01.
fn civil(days: u64) -> (u64, u64, u64) {
    // Years begin in March here, so that a leap day is a year's last; 400 of them always have 146097 days.
    let from_march_0 = days + 719_468;
    let (cycle, day_of_cycle) = (from_march_0 / 146_097, from_march_0 % 146_097);
    let leap_days = day_of_cycle / 1460 + day_of_cycle / 146_096;
    let year_of_cycle = (day_of_cycle + day_of_cycle / 36_524 - leap_days) / 365;
    let day_of_year = day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (cycle * 400 + year_of_cycle + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_are_written_as_the_formats_say() {
        let time = Utc::from(UNIX_EPOCH + Duration::from_millis(951_782_399_007));

        assert_eq!(time.rfc3339().to_string(), "2000-02-28T23:59:59.007Z");
        assert_eq!(time.clf().to_string(), "28/Feb/2000:23:59:59 +0000");
    }

    #[test]
    fn every_day_of_a_thousand_years_has_the_date_a_calendar_gives_it() {
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for days in 0..365_250 {
            assert_eq!(civil(days), (year, month, day), "day {days}");

            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let length = match month {
                2 => 28 + u64::from(leap),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            day += 1;
            if day > length {
                (month, day) = (month + 1, 1);
            }
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
    }
}
