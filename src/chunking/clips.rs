//! The requested parts of a recording.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

const FRAMES_PER_SECOND: f64 = 100.0;
/// No recording is longer, in seconds.
const MAX_SECONDS: f64 = 1e7;

/// A range of frames; without an end, up to the end of the recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clip {
    pub start: u64,
    pub end: Option<u64>,
}

impl fmt::Display for Clip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |frames: u64| frames as f64 / FRAMES_PER_SECOND;
        match self.end {
            Some(end) => write!(f, "{}-{}", seconds(self.start), seconds(end)),
            None => write!(f, "{}-", seconds(self.start)),
        }
    }
}

/// Disjoint clips in chronological order; by default one that is the whole recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clips(Vec<Clip>);

impl Default for Clips {
    fn default() -> Self {
        Clips(vec![Clip { start: 0, end: None }])
    }
}

impl Clips {
    /// Creates clips from alternating start and end times; the last end may be missing.
    pub fn from_seconds(seconds: &[f64]) -> Result<Self> {
        let mut clips: Vec<Clip> = Vec::new();
        for pair in seconds.chunks(2) {
            // Rounds like Python.
            let frame = |seconds: f64| (seconds * FRAMES_PER_SECOND).round_ties_even() as u64;
            let name = || match pair {
                [start, end] => format!("clip `{start}-{end}`"),
                _ => format!("clip `{}-`", pair[0]),
            };
            if !pair.iter().all(|seconds| (0.0..=MAX_SECONDS).contains(seconds)) {
                return Err(Error::usage(name(), "contains a time outside any recording"));
            }
            let clip = Clip { start: frame(pair[0]), end: pair.get(1).map(|end| frame(*end)) };
            match clip.end {
                Some(end) if end < clip.start => return Err(Error::usage(name(), "ends before it begins")),
                Some(end) if end == clip.start => return Err(Error::usage(name(), "has no length")),
                _ => {}
            }
            if clips.last().is_some_and(|before| before.end.is_none_or(|end| end > clip.start)) {
                return Err(Error::Usage {
                    what: name(),
                    why: "begins before the previous clip ends".into(),
                    hint: Some("give the clips in chronological order and without overlap".into()),
                });
            }
            clips.push(clip);
        }
        Ok(if clips.is_empty() { Clips::default() } else { Clips(clips) })
    }

    pub fn iter(&self) -> impl Iterator<Item = Clip> {
        self.0.iter().copied()
    }

    /// Returns the end of the last clip, unless that is the end of the recording.
    pub fn end(&self) -> Option<u64> {
        self.0.last().and_then(|clip| clip.end)
    }
}

impl FromStr for Clips {
    type Err = Error;

    /// Parses times separated by commas; an empty text means the whole recording.
    fn from_str(text: &str) -> Result<Self> {
        if text.trim().is_empty() {
            return Ok(Clips::default());
        }
        let points: Vec<f64> = text.split(',').map(parse_time).collect::<Result<_>>()?;
        Clips::from_seconds(&points)
    }
}

/// Parses a time like `90`, `90.5`, `1:30` or `0:01:30.5`.
pub fn parse_time(text: &str) -> Result<f64> {
    let invalid = || Error::Usage {
        what: format!("time `{}`", text.trim()),
        why: "not a valid time".into(),
        hint: Some("give seconds (90.5), minutes (1:30) or hours (0:01:30.5)".into()),
    };
    let parts: Vec<&str> = text.trim().split(':').collect();
    let (last, before) = parts.split_last().ok_or_else(invalid)?;
    let is_unsigned = |part: &str| part.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    let mut total: f64 = last.parse().ok().filter(|_| is_unsigned(last)).ok_or_else(invalid)?;
    let is_out_of_range = !before.is_empty() && total >= 60.0;
    if is_out_of_range || before.len() > 2 || !(0.0..=MAX_SECONDS).contains(&total) {
        return Err(invalid());
    }
    for (part, unit) in before.iter().rev().zip([60.0, 3600.0]) {
        let count = part.parse::<u32>().ok().filter(|_| is_unsigned(part)).ok_or_else(invalid)?;
        // With hours given, there are fewer than 60 minutes.
        if unit == 60.0 && before.len() == 2 && count >= 60 {
            return Err(invalid());
        }
        total += f64::from(count) * unit;
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clips(text: &str) -> Vec<(u64, Option<u64>)> {
        text.parse::<Clips>().unwrap().iter().map(|clip| (clip.start, clip.end)).collect()
    }

    #[test]
    fn parses_pairs_of_times_with_an_optional_last_end() {
        assert_eq!(clips(""), [(0, None)]);
        assert_eq!(clips("0"), [(0, None)]);
        assert_eq!(clips("7.5,31.2,58"), [(750, Some(3120)), (5800, None)]);
        assert_eq!(clips("0, 1:30, 1:30, 0:02:00.25"), [(0, Some(9000)), (9000, Some(12_025))]);
        // Rounds half to even.
        assert_eq!(clips("0.125,0.375"), [(12, Some(38))]);
    }

    #[test]
    fn rejects_invalid_clips_by_name() {
        let wrong = [
            ("5,4", "`5-4`"),
            ("0,1,3,3", "`3-3`"),
            ("0,5,4,8", "`4-8`"),
            ("9,10,1,2", "`1-2`"),
            ("-1,2", "`-1`"),
            ("a", "`a`"),
            ("0,,2", "``"),
            ("1,nan", "`nan`"),
            ("1,1e9", "`1e9`"),
        ];
        for (text, named) in wrong {
            let error = text.parse::<Clips>().unwrap_err().to_string();
            assert!(error.contains(named), "{text}: {error}");
        }
    }

    #[test]
    fn parses_seconds_minutes_and_hours() {
        for (text, expected) in
            [("90", 90.0), (".5", 0.5), ("1:30", 90.0), ("0:01:30.5", 90.5), ("61:00", 3660.0)]
        {
            assert_eq!(parse_time(text).unwrap(), expected, "{text}");
        }
        for wrong in ["", ":", "1:", "1:60", "1:75:00", "1:2:3:4", "+1", "1:-2", "inf", "1:1.5:00"] {
            assert!(parse_time(wrong).is_err(), "{wrong}");
        }
    }
}
