//! How much of a recording is in its transcript, and how sure that is: as far as can be told without knowing what
//! was said.

use serde::{Deserialize, Serialize};

use super::{DecisionRule, RejectedAttempt};
use super::{Segment, SkipReason, Transcript};
use crate::time::seconds_of_frames;

/// Speech without text counts as dropped from so many seconds on: neither the network nor the detector of voices
/// knows to the tenth of a second where a phrase ends.
const DROPPED: f64 = 3.0;
/// Text that is held for less likely than this is in doubt.
const SURE: f64 = 0.4;
/// Words of a phrase that is looked for again, at most.
const PHRASE: usize = 8;
/// How often a phrase must come in a row to be a repetition: as often as nobody says it.
const AGAIN: usize = 4;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    pub coverage: Coverage,
    /// How likely the text is on average, from 0 to 1; none without text.
    pub confidence: Option<f64>,
    /// Speech that has no text.
    pub dropped: Vec<Span>,
    /// Text that the model itself doubts.
    pub low_confidence: Vec<Span>,
    /// Text that says the same again and again.
    pub repetitions: Vec<Span>,
    /// Text where no voice is to be heard.
    pub without_voice: Vec<Span>,
    /// Windows that did not meet the thresholds at once.
    pub fallbacks: Vec<Fallback>,
}

/// Seconds of the input, by what became of them. Together they are its duration.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Coverage {
    pub duration: f64,
    /// Under at least one segment with text.
    pub transcribed: f64,
    /// Left out, as nobody speaks.
    pub skipped: f64,
    /// Left out, as nobody asked for it.
    pub not_asked_for: f64,
    /// Somebody speaks, but there is no text.
    pub dropped: f64,
    /// The rest: listened to, and nothing heard.
    pub silent: f64,
    /// Of what was transcribed and what was dropped, how much is transcribed; none if nobody knows where there is
    /// speech.
    pub ratio: Option<f64>,
}

impl Coverage {
    /// Adds that of another input.
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

/// Part of a transcript.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Span {
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
    /// By which rule its text was taken in the end, and at which temperature.
    pub rule: DecisionRule,
    pub temperature: f64,
    pub rejected: Vec<RejectedAttempt>,
}

/// Stretches of time, in order and apart from each other.
type Times = Vec<(f64, f64)>;

impl Quality {
    /// What is known of it, or else what can be found out now.
    pub fn of(transcript: &Transcript) -> Self {
        transcript.quality.clone().unwrap_or_else(|| Self::found(transcript))
    }

    fn found(transcript: &Transcript) -> Self {
        let spoken: Vec<&Segment> = transcript.segments.iter().filter(|s| has_text(s)).collect();
        let text = union(spoken.iter().map(|s| (s.start.max(0.0), s.end.min(transcript.duration))).collect());
        let skipped = union(transcript.skipped.iter().map(|span| (span.start, span.end)).collect());
        let speech = transcript.speech.as_ref().map(|speech| union(speech.clone()));
        let dropped = without(&without(speech.as_deref().unwrap_or_default(), &text), &skipped);
        let dropped: Times = dropped.into_iter().filter(|(start, end)| end - start >= DROPPED).collect();
        let without_voice = speech.map_or_else(Vec::new, |speech| {
            let is_unheard = |s: &&&Segment| {
                s.end > s.start && without(&[(s.start, s.end)], &speech) == [(s.start, s.end)]
            };
            spans(spoken.iter().filter(is_unheard).copied())
        });
        Quality {
            coverage: coverage(transcript, &text, &skipped, &dropped),
            confidence: mean_confidence(spoken.iter().copied()),
            dropped: dropped.iter().map(|&(start, end)| span(start, end)).collect(),
            low_confidence: spans(spoken.iter().copied().filter(|s| confidence(s) < SURE)),
            repetitions: repetitions(&spoken),
            without_voice,
            fallbacks: fallbacks(transcript),
        }
    }
}

/// How likely a segment is: its words on average, or else its window's tokens.
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

/// How likely they are on average, by their lengths; none of none.
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

/// Segments in which a phrase comes several times in a row, wherever it began.
fn repetitions(segments: &[&Segment]) -> Vec<Span> {
    let mut words: Vec<(String, usize)> = Vec::new();
    for (index, segment) in segments.iter().enumerate() {
        let plain = segment.text.split_whitespace().map(|word| {
            word.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect::<String>()
        });
        words.extend(plain.filter(|word| !word.is_empty()).map(|word| (word, index)));
    }
    let mut is_repetition = vec![false; segments.len()];
    for phrase in 1..=PHRASE {
        let mut since = phrase;
        for at in phrase..=words.len() {
            if at < words.len() && words[at].0 == words[at - phrase].0 {
                continue;
            }
            // From the first of the phrases on, `at` is the first word that is none.
            if at - since + phrase >= AGAIN * phrase {
                words[since - phrase..at].iter().for_each(|(_, segment)| is_repetition[*segment] = true);
            }
            since = at + 1;
        }
    }
    spans(segments.iter().zip(is_repetition).filter(|(_, is)| *is).map(|(segment, _)| *segment))
}

/// Segments as spans; those that follow each other directly become one.
fn spans<'a>(segments: impl Iterator<Item = &'a Segment>) -> Vec<Span> {
    let mut runs: Vec<Vec<&Segment>> = Vec::new();
    for segment in segments {
        match runs.last_mut() {
            Some(run) if run.last().is_some_and(|last| last.id + 1 == segment.id) => run.push(segment),
            _ => runs.push(vec![segment]),
        }
    }
    let span_of = |run: Vec<&Segment>| Span {
        start: run.iter().map(|segment| segment.start).fold(f64::INFINITY, f64::min),
        end: run.iter().map(|segment| segment.end).fold(0.0, f64::max),
        confidence: mean_confidence(run.iter().copied()),
        text: run.iter().map(|segment| segment.text.as_str()).collect::<String>().trim().to_owned(),
    };
    runs.into_iter().map(span_of).collect()
}

fn span(start: f64, end: f64) -> Span {
    Span { start, end, confidence: None, text: String::new() }
}

fn total(times: &[(f64, f64)]) -> f64 {
    // A sum of nothing would be -0.
    times.iter().fold(0.0, |sum, (start, end)| sum + (end - start))
}

/// All of them, in order, with none counted twice.
fn union(mut times: Times) -> Times {
    times.retain(|(start, end)| start < end);
    times.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut union: Times = Vec::new();
    for (start, end) in times {
        match union.last_mut() {
            Some(last) if start <= last.1 => last.1 = last.1.max(end),
            _ => union.push((start, end)),
        }
    }
    union
}

/// What is in the first and not in the second; both are unions.
fn without(times: &[(f64, f64)], others: &[(f64, f64)]) -> Times {
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

    fn times(spans: &[Span]) -> Times {
        spans.iter().map(|span| (span.start, span.end)).collect()
    }

    #[test]
    fn every_second_is_accounted_for_once() {
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
    fn doubts_are_told_with_their_text() {
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
    fn loops_are_found_within_segments_and_across_them() {
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
        fn no_second_is_lost(
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
