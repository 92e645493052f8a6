//! All segments of one input, where they came from and how much of the input they cover. Pure data: knows no
//! network, no format and no file.

pub use crate::decode::{Segment, Word};

/// What became of one input.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Transcript {
    /// The input as the person named it.
    pub source: String,
    /// Seconds of audio in it.
    pub duration: f64,
    pub model: ModelIdentity,
    /// Code of the language spoken, as given or detected.
    pub language: String,
    /// How likely it was when it was found out; none if it was said.
    pub language_probability: Option<f64>,
    /// How likely each one was then, by code, the likeliest first.
    pub languages: Vec<(String, f64)>,
    /// Everything said. Not always the segments' texts put together: those without length or text are emptied.
    pub text: String,
    /// In the order of their windows; a later window's may start before an earlier one's last ended.
    pub segments: Vec<Segment>,
    /// What was not listened to, in the order of time.
    pub skipped: Vec<Skipped>,
    /// Where somebody speaks, in seconds; none if nobody listened for it.
    pub speech: Option<Vec<(f64, f64)>>,
    pub damage: Damage,
    /// The work was stopped: what comes after `duration` is missing.
    pub is_partial: bool,
}

/// Seconds of the input that no model was asked about.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Skipped {
    pub start: f64,
    pub end: f64,
    pub why: SkipReason,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SkipReason {
    /// It lies outside of the clips that were asked for.
    NotAskedFor,
    /// Nobody speaks.
    Silence,
}

impl SkipReason {
    /// As reports say it.
    pub fn name(self) -> &'static str {
        match self {
            SkipReason::NotAskedFor => "not asked for",
            SkipReason::Silence => "silence",
        }
    }
}

/// Which weights were asked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ModelIdentity {
    /// As the person named it.
    pub name: String,
    /// What tells this version from another of the same name, where something does.
    pub revision: Option<String>,
}

/// What of the input could not be heard.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Damage {
    /// Packets that could not be decoded and were left out.
    pub packets: u64,
    /// The input ended before it said it would.
    pub truncated: bool,
}

impl Damage {
    pub fn any(&self) -> bool {
        self.packets > 0 || self.truncated
    }
}

/// Seconds of the input, by what is known of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Coverage {
    /// Under at least one segment with text.
    pub spoken: f64,
    /// The rest.
    pub silent: f64,
}

impl Coverage {
    /// The part of the input that is spoken; 0 for an input without length.
    pub fn ratio(&self) -> f64 {
        let all = self.spoken + self.silent;
        if all > 0.0 { self.spoken / all } else { 0.0 }
    }
}

impl Transcript {
    /// Seconds that lie in the clips that were asked for.
    pub fn seconds_asked_for(&self) -> f64 {
        (self.duration - self.skipped_seconds(SkipReason::NotAskedFor)).max(0.0)
    }

    /// Seconds left out for this reason.
    pub fn skipped_seconds(&self, why: SkipReason) -> f64 {
        let spans = self.skipped.iter().filter(|span| span.why == why);
        spans.fold(0.0, |sum, span| sum + span.end - span.start)
    }

    /// How much of the input lies under text. Time under two segments counts once, time past the end not at all.
    pub fn coverage(&self) -> Coverage {
        let mut spans: Vec<(f64, f64)> = self
            .segments
            .iter()
            .filter(|segment| !segment.text.trim().is_empty())
            .map(|segment| (segment.start.max(0.0), segment.end.min(self.duration)))
            .collect();
        spans.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (mut spoken, mut reached) = (0.0, 0.0_f64);
        for (start, end) in spans {
            spoken += (end - start.max(reached)).max(0.0);
            reached = reached.max(end);
        }
        Coverage { spoken, silent: (self.duration - spoken).max(0.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transcript(duration: f64, spans: &[(f64, f64, &str)]) -> Transcript {
        let segments = spans.iter().enumerate().map(|(id, &(start, end, text))| Segment {
            id,
            start,
            end,
            text: text.into(),
            ..Segment::default()
        });
        Transcript {
            source: "talk.mp3".into(),
            duration,
            language: "en".into(),
            segments: segments.collect(),
            ..Transcript::default()
        }
    }

    #[test]
    fn time_is_covered_once() {
        let spans = [
            (0.0, 2.0, "a"),
            (6.0, 7.0, "d"),
            (1.0, 3.0, "b"),
            (1.5, 2.0, "c"),
            (4.0, 5.0, "  "),
            (9.0, 30.0, "e"),
        ];
        let coverage = transcript(10.0, &spans).coverage();
        assert_eq!(coverage, Coverage { spoken: 5.0, silent: 5.0 });
        assert_eq!(coverage.ratio(), 0.5);
    }

    #[test]
    fn nothing_covers_nothing() {
        assert_eq!(transcript(0.0, &[]).coverage().ratio(), 0.0);
        assert_eq!(transcript(4.0, &[(5.0, 6.0, "late")]).coverage(), Coverage { spoken: 0.0, silent: 4.0 });
    }
}
