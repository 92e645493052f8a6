//! Coverage and confidence of a transcript: how much of the input it holds, and how sure the text is, as far as that can
//! be measured without a reference.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DecisionRule, RejectedAttempt};
use super::{Segment, SkipReason, Transcript};
use crate::time::seconds_of_frames;

/// Seconds of speech without text from which it counts as dropped: neither the network nor the voice activity detector is
/// accurate to a tenth of a second.
const DROPPED: f64 = 3.0;
/// Text below this confidence is listed.
const LOW_CONFIDENCE: f64 = 0.4;
/// The longest phrase, in words, that is searched for repetitions.
const LONGEST_PHRASE: usize = 8;
/// Occurrences of a phrase in a row that count as a repetition: more than occur in speech.
const OCCURRENCES: usize = 4;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    pub coverage: Coverage,
    /// Mean confidence of the text, from 0 to 1; none without text.
    pub confidence: Option<f64>,
    /// Speech without text.
    pub dropped: Vec<TranscriptSpan>,
    /// Text of low confidence.
    pub low_confidence: Vec<TranscriptSpan>,
    /// Text that repeats itself.
    pub repetitions: Vec<TranscriptSpan>,
    /// Text where no speech was detected.
    pub without_voice: Vec<TranscriptSpan>,
    /// Windows whose first attempt was rejected.
    pub fallbacks: Vec<Fallback>,
}

/// Seconds of the input by outcome. Their sum is its duration.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "coverage")]
pub struct Coverage {
    pub duration: f64,
    /// Under at least one segment with text.
    pub transcribed: f64,
    /// Left out as silence.
    pub skipped: f64,
    /// Left out as outside the requested clips.
    pub not_asked_for: f64,
    /// Speech without text.
    pub dropped: f64,
    /// The rest: transcribed without text, and no speech was detected.
    pub silent: f64,
    /// Share of `transcribed` in `transcribed` and `dropped` together; none without voice activity detection.
    pub ratio: Option<f64>,
}

impl Coverage {
    /// Adds the coverage of another input.
    pub fn add(&mut self, other: &Coverage) {
        self.ratio = match (self.ratio, other.ratio) {
            _ if self.duration == 0.0 => other.ratio,
            (Some(_), Some(_)) => {
                let (transcribed, dropped) =
                    (self.transcribed + other.transcribed, self.dropped + other.dropped);
                Some(if dropped > 0.0 { transcribed / (transcribed + dropped) } else { 1.0 })
            }
            _ => None,
        };
        self.duration += other.duration;
        self.transcribed += other.transcribed;
        self.skipped += other.skipped;
        self.not_asked_for += other.not_asked_for;
        self.dropped += other.dropped;
        self.silent += other.silent;
    }
}

/// A part of a transcript.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TranscriptSpan {
    pub start: f64,
    pub end: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f64>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fallback {
    pub start: f64,
    pub end: f64,
    /// How its text was chosen in the end, and at which temperature.
    pub rule: DecisionRule,
    pub temperature: f64,
    pub rejected: Vec<RejectedAttempt>,
}

/// Disjoint intervals of time in ascending order.
type Intervals = Vec<(f64, f64)>;

impl Quality {
    /// Returns the quality that an earlier run measured, or else measures it.
    pub fn of(transcript: &Transcript) -> Self {
        transcript.quality.clone().unwrap_or_else(|| Self::measure(transcript))
    }

    fn measure(transcript: &Transcript) -> Self {
        let spoken: Vec<&Segment> = transcript.segments.iter().filter(|s| has_text(s)).collect();
        let text = union(spoken.iter().map(|s| (s.start.max(0.0), s.end.min(transcript.duration))).collect());
        let skipped = union(transcript.skipped.iter().map(|span| (span.start, span.end)).collect());
        let speech = transcript.speech.as_ref().map(|speech| union(speech.clone()));
        let dropped = without(&without(speech.as_deref().unwrap_or_default(), &text), &skipped);
        let dropped: Intervals = dropped.into_iter().filter(|(start, end)| end - start >= DROPPED).collect();
        let without_voice = speech.map_or_else(Vec::new, |speech| {
            let has_no_speech = |s: &&&Segment| {
                s.end > s.start && without(&[(s.start, s.end)], &speech) == [(s.start, s.end)]
            };
            spans(spoken.iter().filter(has_no_speech).copied())
        });
        Quality {
            coverage: coverage(transcript, &text, &skipped, &dropped),
            confidence: mean_confidence(spoken.iter().copied()),
            dropped: dropped.iter().map(|&(start, end)| span(start, end)).collect(),
            low_confidence: spans(spoken.iter().copied().filter(|s| confidence(s) < LOW_CONFIDENCE)),
            repetitions: repetitions(&spoken),
            without_voice,
            fallbacks: fallbacks(transcript),
        }
    }
}

/// Returns the confidence of a segment: the mean probability of its words, or else of its window's tokens.
pub fn confidence(segment: &Segment) -> f64 {
    match segment.words.as_deref() {
        Some(words @ [_, ..]) => words.iter().map(|word| word.probability).sum::<f64>() / words.len() as f64,
        _ => segment.avg_logprob.exp().min(1.0),
    }
}

fn has_text(segment: &Segment) -> bool {
    !segment.text.trim().is_empty()
}

fn coverage(
    transcript: &Transcript,
    text: &[(f64, f64)],
    skipped: &[(f64, f64)],
    dropped: &[(f64, f64)],
) -> Coverage {
    let (duration, transcribed, dropped) = (transcript.duration, total(text), total(dropped));
    let skipped = without(skipped, text);
    let asked = transcript.skipped.iter().filter(|span| span.why == SkipReason::NotAskedFor);
    let not_asked_for = total(&without(&union(asked.map(|span| (span.start, span.end)).collect()), text));
    let skipped = (total(&skipped) - not_asked_for).max(0.0);
    let known = transcribed + skipped + not_asked_for + dropped;
    let ratio = if dropped > 0.0 { transcribed / (transcribed + dropped) } else { 1.0 };
    Coverage {
        duration,
        transcribed,
        skipped,
        not_asked_for,
        dropped,
        silent: (duration - known).max(0.0),
        ratio: transcript.speech.is_some().then_some(ratio),
    }
}

/// Returns the mean confidence of segments, weighted by their lengths; none without segments.
pub fn mean_confidence<'a>(segments: impl Iterator<Item = &'a Segment>) -> Option<f64> {
    let (mut sum, mut seconds) = (0.0, 0.0);
    for segment in segments {
        // A segment without length still counts.
        let length = (segment.end - segment.start).max(0.01);
        sum += confidence(segment) * length;
        seconds += length;
    }
    (seconds > 0.0).then(|| sum / seconds)
}

fn fallbacks(transcript: &Transcript) -> Vec<Fallback> {
    let tried = transcript.decisions.iter().filter(|decision| !decision.rejected.is_empty());
    tried
        .map(|decision| Fallback {
            start: seconds_of_frames(decision.seek as u64),
            end: seconds_of_frames((decision.seek + decision.frames) as u64),
            rule: decision.rule,
            temperature: decision.temperature,
            rejected: decision.rejected.clone(),
        })
        .collect()
}

/// Returns the segments in which a phrase occurs several times in a row, across segments too.
fn repetitions(segments: &[&Segment]) -> Vec<TranscriptSpan> {
    let mut words: Vec<(String, usize)> = Vec::new();
    for (index, segment) in segments.iter().enumerate() {
        let plain = segment.text.split_whitespace().map(|word| {
            word.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect::<String>()
        });
        words.extend(plain.filter(|word| !word.is_empty()).map(|word| (word, index)));
    }
    let mut is_repetition = vec![false; segments.len()];
    for phrase in 1..=LONGEST_PHRASE {
        let mut since = phrase;
        for at in phrase..=words.len() {
            if at < words.len() && words[at].0 == words[at - phrase].0 {
                continue;
            }
            // `at` is the first word after the run of phrases.
            if at - since + phrase >= OCCURRENCES * phrase {
                words[since - phrase..at].iter().for_each(|(_, segment)| is_repetition[*segment] = true);
            }
            since = at + 1;
        }
    }
    spans(segments.iter().zip(is_repetition).filter(|(_, is)| *is).map(|(segment, _)| *segment))
}

/// Joins adjacent segments to spans.
fn spans<'a>(segments: impl Iterator<Item = &'a Segment>) -> Vec<TranscriptSpan> {
    let mut runs: Vec<Vec<&Segment>> = Vec::new();
    for segment in segments {
        match runs.last_mut() {
            Some(run) if run.last().is_some_and(|last| last.id + 1 == segment.id) => run.push(segment),
            _ => runs.push(vec![segment]),
        }
    }
    let span_of = |run: Vec<&Segment>| TranscriptSpan {
        start: run.iter().map(|segment| segment.start).fold(f64::INFINITY, f64::min),
        end: run.iter().map(|segment| segment.end).fold(0.0, f64::max),
        confidence: mean_confidence(run.iter().copied()),
        text: run.iter().map(|segment| segment.text.as_str()).collect::<String>().trim().to_owned(),
    };
    runs.into_iter().map(span_of).collect()
}

fn span(start: f64, end: f64) -> TranscriptSpan {
    TranscriptSpan { start, end, confidence: None, text: String::new() }
}

fn total(times: &[(f64, f64)]) -> f64 {
    // The sum of an empty iterator would be -0.
    times.iter().fold(0.0, |sum, (start, end)| sum + (end - start))
}

/// Merges intervals.
fn union(mut times: Intervals) -> Intervals {
    times.retain(|(start, end)| start < end);
    times.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut union: Intervals = Vec::new();
    for (start, end) in times {
        match union.last_mut() {
            Some(last) if start <= last.1 => last.1 = last.1.max(end),
            _ => union.push((start, end)),
        }
    }
    union
}

/// Returns the difference of two unions of intervals.
fn without(times: &[(f64, f64)], others: &[(f64, f64)]) -> Intervals {
    let (mut left, mut next) = (Vec::new(), 0);
    for &(start, end) in times {
        let mut from = start;
        while next < others.len() && others[next].1 <= start {
            next += 1;
        }
        for &(other_start, other_end) in others[next..].iter().take_while(|other| other.0 < end) {
            if from < other_start {
                left.push((from, other_start));
            }
            from = from.max(other_end);
        }
        if from < end {
            left.push((from, end));
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::transcript::Skipped;
    use crate::transcript::{RejectionReason, WindowDecision, Word};

    fn transcript(duration: f64, spans: &[(f64, f64, &str)]) -> Transcript {
        let segments = spans.iter().enumerate().map(|(id, &(start, end, text))| Segment {
            id,
            start,
            end,
            text: text.into(),
            avg_logprob: -0.1,
            ..Segment::default()
        });
        Transcript { duration, segments: segments.collect(), ..Transcript::default() }
    }

    fn times(spans: &[TranscriptSpan]) -> Intervals {
        spans.iter().map(|span| (span.start, span.end)).collect()
    }

    #[test]
    fn coverage_counts_every_second_once() {
        let spans = [
            (0.0, 2.0, "a"),
            (6.0, 7.0, "d"),
            (1.0, 3.0, "b"),
            (1.5, 2.0, "c"),
            (4.0, 5.0, "  "),
            (36.0, 60.0, "e"),
        ];
        let mut transcript = transcript(40.0, &spans);
        assert_eq!(Quality::of(&transcript).coverage.ratio, None);
        transcript.speech = Some(vec![(0.0, 3.5), (6.0, 14.0), (20.0, 22.0)]);
        let skip = |start, end, why| Skipped { start, end, why };
        transcript.skipped =
            vec![skip(12.0, 20.0, SkipReason::Silence), skip(23.0, 33.0, SkipReason::NotAskedFor)];
        let quality = Quality::of(&transcript);
        let expected = Coverage {
            duration: 40.0,
            transcribed: 8.0,
            skipped: 8.0,
            not_asked_for: 10.0,
            dropped: 5.0,
            silent: 9.0,
            ratio: Some(8.0 / 13.0),
        };
        assert_eq!(quality.coverage, expected);
        assert_eq!(times(&quality.dropped), [(7.0, 12.0)]);
        assert_eq!(times(&quality.without_voice), [(36.0, 60.0)]);
        assert_eq!(Quality::of(&Transcript::default()).confidence, None);
    }

    #[test]
    fn lists_text_of_low_confidence_and_fallbacks() {
        let mut transcript =
            transcript(10.0, &[(0.0, 1.0, " a"), (1.0, 3.0, " b"), (3.0, 4.0, " c"), (5.0, 6.0, " d")]);
        transcript.segments[1].avg_logprob = -2.0;
        let word = |probability| Word { probability, ..Word::default() };
        transcript.segments[2].words = Some(vec![word(0.1), word(0.3)]);
        let quality = Quality::of(&transcript);
        let low = &quality.low_confidence;
        assert_eq!((low.len(), low[0].text.as_str(), low[0].start, low[0].end), (1, "b c", 1.0, 4.0));
        assert!((low[0].confidence.unwrap() - (2.0 * (-2f64).exp() + 0.2) / 3.0).abs() < 1e-12);

        let rejected = vec![RejectedAttempt { temperature: 0.0, faults: vec![RejectionReason::Logprob] }];
        transcript.decisions = vec![
            WindowDecision { seek: 0, frames: 100, ..WindowDecision::default() },
            WindowDecision {
                seek: 100,
                frames: 900,
                temperature: 0.2,
                rejected: rejected.clone(),
                rule: DecisionRule::Passed,
            },
        ];
        let fallbacks = Quality::of(&transcript).fallbacks;
        assert_eq!(
            fallbacks,
            [Fallback { start: 1.0, end: 10.0, rule: DecisionRule::Passed, temperature: 0.2, rejected }]
        );
    }

    #[test]
    fn finds_repetitions_within_segments_and_across_them() {
        let looped = |texts: &[&str]| {
            let spans: Vec<_> =
                texts.iter().enumerate().map(|(i, text)| (i as f64, i as f64 + 1.0, *text)).collect();
            times(&Quality::of(&transcript(100.0, &spans)).repetitions)
        };
        assert_eq!(looped(&["one", "no no no no", "two"]), [(1.0, 2.0)]);
        assert!(looped(&["no no no", "yes"]).is_empty());
        let thanks = "Thank you for watching.";
        assert_eq!(
            looped(&["so", thanks, thanks, "thank you, for", "Watching!", thanks, "bye"]),
            [(1.0, 6.0)]
        );
        assert!(looped(&[thanks, thanks, thanks, "bye"]).is_empty());
        assert!(looped(&["1 2 3 4 5 6 7 8 9 10", "1 2 3 4 5 6 7 8 9 10"]).is_empty());
        assert!(looped(&[]).is_empty());
    }

    proptest! {
        #[test]
        fn coverage_adds_up_to_the_duration(
            segments in prop::collection::vec((0.0..100f64, 0.0..20f64, any::<bool>()), 0..20),
            speech in prop::option::of(prop::collection::vec((0.0..100f64, 0.0..20f64), 0..20)),
            skipped in prop::collection::vec((0.0..90f64, 0.0..10f64, any::<bool>()), 0..10),
        ) {
            let texts = ["", "word word word word word"];
            let spans: Vec<_> = segments.iter().map(|(s, d, text)| (*s, s + d, texts[usize::from(*text)])).collect();
            let mut transcript = transcript(100.0, &spans);
            transcript.speech = speech.map(|speech| speech.into_iter().map(|(s, d)| (s, (s + d).min(100.0))).collect());
            transcript.skipped = skipped.into_iter().map(|(start, d, clip)| {
                let why = if clip { SkipReason::NotAskedFor } else { SkipReason::Silence };
                Skipped { start, end: start + d, why }
            }).collect();
            let Coverage { duration, transcribed, skipped, not_asked_for, dropped, silent, ratio } = Quality::of(&transcript).coverage;
            prop_assert!((transcribed + skipped + not_asked_for + dropped + silent - duration).abs() < 1e-6);
            prop_assert!([transcribed, skipped, not_asked_for, dropped, silent].iter().all(|seconds| *seconds >= 0.0));
            prop_assert!(ratio.is_none_or(|ratio| (0.0..=1.0).contains(&ratio)));
        }
    }
}
