//! Sizes, dates and tables for people to read.

use std::time::SystemTime;

use bytesize::ByteSize;
use unicode_width::UnicodeWidthStr;

/// Formats a number of bytes in decimal units, such as `1.6 GB`.
pub fn size(bytes: u64) -> String {
    ByteSize::b(bytes).display().si().to_string()
}

/// Formats the age of a time at `now` in days, months or years.
pub fn age(then: SystemTime, now: SystemTime) -> String {
    let days = now.duration_since(then).map_or(0, |passed| passed.as_secs() / 86_400);
    match days {
        0 => "today".into(),
        1 => "yesterday".into(),
        2..60 => format!("{days} days ago"),
        60..730 => format!("{} months ago", days / 30),
        _ => format!("{} years ago", days / 365),
    }
}

/// Formats a time as ISO 8601 in UTC, to the second.
pub fn timestamp(time: SystemTime) -> Option<String> {
    let seconds = jiff::Timestamp::try_from(time).ok()?.as_second();
    Some(jiff::Timestamp::from_second(seconds).ok()?.to_string())
}

/// Aligns rows in columns that are as wide as their widest cell.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.width()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths);
        let padded = cells.map(|(cell, width)| format!("{cell}{}", " ".repeat(width - cell.width())));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn formats_sizes_in_decimal_units() {
        let sizes = [0, 999, 1_000, 9_950, 1_550_000_000].map(size);
        assert_eq!(sizes, ["0 B", "999 B", "1.0 kB", "9.9 kB", "1.6 GB"]);
    }

    #[test]
    fn formats_ages_and_timestamps() {
        let day = Duration::from_secs(86_400);
        let now = UNIX_EPOCH + day * 20_000;
        let ages = [0, 1, 45, 65, 800].map(|days| age(now - day * days - Duration::from_secs(9), now));
        assert_eq!(ages, ["today", "yesterday", "45 days ago", "2 months ago", "2 years ago"]);
        assert_eq!(age(now + day, now), "today");
        let time = UNIX_EPOCH + Duration::from_millis(1_700_000_000_900);
        assert_eq!(timestamp(time).as_deref(), Some("2023-11-14T22:13:20Z"));
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [vec!["a".to_owned(), "b".into()], vec!["日本".into(), String::new()]];
        assert_eq!(table(&rows), "a     b\n日本");
    }
}
