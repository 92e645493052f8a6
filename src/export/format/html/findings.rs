//! What a reader should check: the stretches that the quality account names, each to be clicked.

use super::Page;
use super::escape::{clock, escaped, number, percent};
use crate::transcript::{DecisionRule, Fallback, RejectionReason, SkipReason, TranscriptSpan};

/// Characters of a stretch that are shown.
const SHOWN: usize = 120;

/// Why a stretch is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    LowConfidence,
    Repetition,
    WithoutVoice,
    Dropped,
    Fallback,
    Silence,
    NotAskedFor,
}

/// A stretch of time, and what there is to say of it.
pub struct Listed {
    pub start: f64,
    pub end: f64,
    pub note: String,
    pub text: String,
}

impl Kind {
    /// Those in which something may be wrong.
    pub const DOUBTS: [Kind; 5] =
        [Kind::LowConfidence, Kind::Repetition, Kind::WithoutVoice, Kind::Dropped, Kind::Fallback];
    const ALL: [Kind; 7] = [
        Kind::LowConfidence,
        Kind::Repetition,
        Kind::WithoutVoice,
        Kind::Dropped,
        Kind::Fallback,
        Kind::Silence,
        Kind::NotAskedFor,
    ];

    pub fn class(self) -> &'static str {
        match self {
            Kind::LowConfidence => "low",
            Kind::Repetition => "again",
            Kind::WithoutVoice => "mute",
            Kind::Dropped => "dropped",
            Kind::Fallback => "tries",
            Kind::Silence => "silence",
            Kind::NotAskedFor => "unasked",
        }
    }

    pub fn means(self) -> &'static str {
        match self {
            Kind::LowConfidence => "low confidence",
            Kind::Repetition => "repeats itself",
            Kind::WithoutVoice => "no voice to be heard",
            Kind::Dropped => "speech without text",
            Kind::Fallback => "took several attempts",
            Kind::Silence => "skipped as silence",
            Kind::NotAskedFor => "not asked for",
        }
    }
}

/// The stretches of a kind, in the order of time.
pub fn spans(page: &Page<'_>, kind: Kind) -> Vec<Listed> {
    let quality = &page.quality;
    match kind {
        Kind::LowConfidence if !page.is_rated => Vec::new(),
        Kind::LowConfidence => listed(&quality.low_confidence, page.is_rated),
        Kind::Repetition => listed(&quality.repetitions, page.is_rated),
        Kind::WithoutVoice => listed(&quality.without_voice, page.is_rated),
        Kind::Dropped => listed(&quality.dropped, page.is_rated),
        Kind::Fallback => quality.fallbacks.iter().map(tried).collect(),
        Kind::Silence => skipped(page, SkipReason::Silence),
        Kind::NotAskedFor => skipped(page, SkipReason::NotAskedFor),
    }
}

fn listed(spans: &[TranscriptSpan], is_rated: bool) -> Vec<Listed> {
    let of = |span: &TranscriptSpan| Listed {
        start: span.start,
        end: span.end,
        note: span.confidence.filter(|_| is_rated).map(percent).unwrap_or_default(),
        text: span.text.clone(),
    };
    spans.iter().map(of).collect()
}

fn skipped(page: &Page<'_>, why: SkipReason) -> Vec<Listed> {
    let spans = page.transcript.skipped.iter().filter(|span| span.why == why);
    let seconds = |span: f64| format!("{span:.1} s");
    spans
        .map(|span| Listed {
            start: span.start,
            end: span.end,
            note: seconds(span.end - span.start),
            text: String::new(),
        })
        .collect()
}

fn tried(fallback: &Fallback) -> Listed {
    let has = |fault| fallback.rejected.iter().any(|rejected| rejected.faults.contains(&fault));
    let mut note = format!("{} attempts", fallback.rejected.len() + 1);
    if has(RejectionReason::CompressionRatio) {
        note.push_str(", repetitive");
    }
    if has(RejectionReason::Logprob) {
        note.push_str(", unlikely");
    }
    note.push_str(match fallback.rule {
        DecisionRule::Passed => "",
        DecisionRule::Likeliest => "; none passed, the likeliest taken",
        DecisionRule::Last => "; none passed, the last taken",
        DecisionRule::Silence => "; held for silence",
    });
    Listed { start: fallback.start, end: fallback.end, note, text: String::new() }
}

/// Everything that is listed, or that there is nothing.
pub fn all(page: &Page<'_>) -> String {
    let mut out = String::new();
    for kind in Kind::ALL {
        let spans = spans(page, kind);
        if spans.is_empty() {
            continue;
        }
        let (class, means, count) = (kind.class(), kind.means(), spans.len());
        out.push_str(&format!(
            "<details open class=\"list\"><summary><i class=\"box doubt {class}\"></i>{means} \
             <span class=\"count\">{count}</span></summary>\n<ul>\n"
        ));
        spans.iter().for_each(|span| item(span, &mut out));
        out.push_str("</ul></details>\n");
    }
    match out.is_empty() {
        true => "<p>Nothing stands out.</p>".into(),
        false => out,
    }
}

fn item(span: &Listed, out: &mut String) {
    let Listed { start, end, note, text } = span;
    let (from, to, at) = (clock(*start), clock(*end), number(*start));
    out.push_str(&format!("<li><a href=\"#t={at}\"><b>{from}–{to}</b>"));
    if !note.is_empty() {
        out.push_str(&format!(" <span class=\"note\">{}</span>", escaped(note)));
    }
    if !text.is_empty() {
        let more = if text.chars().nth(SHOWN).is_some() { "…" } else { "" };
        let shown: String = text.chars().take(SHOWN).collect();
        out.push_str(&format!(" <q dir=\"auto\">{}{more}</q>", escaped(&shown)));
    }
    out.push_str("</a></li>\n");
}
