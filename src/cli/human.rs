//! Bytes and times for people, and tables of them.

use std::time::SystemTime;

use unicode_width::UnicodeWidthStr;

/// `1.6 GB`, in steps of a thousand.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut value = count as f64;
    let mut unit = 0;
    // What would be rounded up to a thousand is one of the next unit.
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1e3;
        unit += 1;
    }
    match unit {
        0 => format!("{count} B"),
        _ if value < 9.95 => format!("{value:.1} {}", UNITS[unit]),
        _ => format!("{value:.0} {}", UNITS[unit]),
    }
}

/// `today`, `3 days ago`
pub fn ago(then: SystemTime) -> String {
    let days = then.elapsed().map_or(0, |passed| passed.as_secs() / 86_400);
    match days {
        0 => "today".into(),
        1 => "yesterday".into(),
        2..60 => format!("{days} days ago"),
        60..730 => format!("{} months ago", days / 30),
        _ => format!("{} years ago", days / 365),
    }
}

/// As ISO 8601 and in UTC.
pub fn timestamp(time: SystemTime) -> Option<String> {
    let seconds = jiff::Timestamp::try_from(time).ok()?.as_second();
    Some(jiff::Timestamp::from_second(seconds).ok()?.to_string())
}

/// Columns side by side, as wide as they must be.
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
    fn sizes_have_two_or_three_digits() {
        let told = [0, 999, 1000, 9_949, 9_950, 999_499, 999_500, 1_550_000_000].map(bytes);
        assert_eq!(told, ["0 B", "999 B", "1.0 kB", "9.9 kB", "10 kB", "999 kB", "1.0 MB", "1.6 GB"]);
    }

    #[test]
    fn times_are_told_for_people_and_for_programs() {
        let day = Duration::from_secs(86_400);
        let told =
            [0, 1, 45, 65, 800].map(|days| ago(SystemTime::now() - day * days - Duration::from_secs(9)));
        assert_eq!(told, ["today", "yesterday", "45 days ago", "2 months ago", "2 years ago"]);
        let time = UNIX_EPOCH + Duration::from_millis(1_700_000_000_900);
        assert_eq!(timestamp(time).as_deref(), Some("2023-11-14T22:13:20Z"));
    }

    #[test]
    fn tables_are_as_wide_as_they_must_be() {
        let rows = [vec!["a".to_owned(), "b".into()], vec!["日本".into(), String::new()]];
        assert_eq!(table(&rows), "a     b\n日本");
    }
}
