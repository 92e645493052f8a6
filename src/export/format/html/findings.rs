//! Lists of what a reader should check: the spans that the quality data names, each a link into the recording.

use super::Page;
use super::escape::{clock, escaped, number, percent};
use crate::transcript::{DecisionRule, Fallback, RejectionReason, SkipReason, TranscriptSpan};

/// The number of characters of a span's text that are shown.
const MAX_TEXT: usize = 120;

/// Why a span is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FindingKind {
    LowConfidence,
    Repetition,
    WithoutVoice,
    Dropped,
    Fallback,
    Silence,
    NotAskedFor,
}

/// A span of time to be checked.
pub struct Finding {
    pub start: f64,
    pub end: f64,
    pub note: String,
    pub text: String,
}

impl FindingKind {
    /// The kinds that point at possible errors.
    pub const DOUBTS: [FindingKind; 5] = [
        FindingKind::LowConfidence,
        FindingKind::Repetition,
        FindingKind::WithoutVoice,
        FindingKind::Dropped,
        FindingKind::Fallback,
    ];
    const ALL: [FindingKind; 7] = [
        FindingKind::LowConfidence,
        FindingKind::Repetition,
        FindingKind::WithoutVoice,
        FindingKind::Dropped,
        FindingKind::Fallback,
        FindingKind::Silence,
        FindingKind::NotAskedFor,
    ];

    /// Returns the CSS class.
    pub fn class(self) -> &'static str {
        match self {
            FindingKind::LowConfidence => "low",
            FindingKind::Repetition => "again",
            FindingKind::WithoutVoice => "mute",
            FindingKind::Dropped => "dropped",
            FindingKind::Fallback => "tries",
            FindingKind::Silence => "silence",
            FindingKind::NotAskedFor => "unasked",
        }
    }

    /// Returns the label that readers see.
    pub fn label(self) -> &'static str {
        match self {
            FindingKind::LowConfidence => "low confidence",
            FindingKind::Repetition => "repeats itself",
            FindingKind::WithoutVoice => "no voice to be heard",
            FindingKind::Dropped => "speech without text",
            FindingKind::Fallback => "took several attempts",
            FindingKind::Silence => "skipped as silence",
            FindingKind::NotAskedFor => "not asked for",
        }
    }
}

/// Returns the findings of a kind in chronological order.
pub fn findings(page: &Page<'_>, kind: FindingKind) -> Vec<Finding> {
    let quality = &page.quality;
    match kind {
        FindingKind::LowConfidence if !page.is_rated => Vec::new(),
        FindingKind::LowConfidence => uncertain(&quality.low_confidence, page.is_rated),
        FindingKind::Repetition => uncertain(&quality.repetitions, page.is_rated),
        FindingKind::WithoutVoice => uncertain(&quality.without_voice, page.is_rated),
        FindingKind::Dropped => uncertain(&quality.dropped, page.is_rated),
        FindingKind::Fallback => quality.fallbacks.iter().map(retried).collect(),
        FindingKind::Silence => skipped(page, SkipReason::Silence),
        FindingKind::NotAskedFor => skipped(page, SkipReason::NotAskedFor),
    }
}

fn uncertain(spans: &[TranscriptSpan], is_rated: bool) -> Vec<Finding> {
    let finding = |span: &TranscriptSpan| Finding {
        start: span.start,
        end: span.end,
        note: span.confidence.filter(|_| is_rated).map(percent).unwrap_or_default(),
        text: span.text.clone(),
    };
    spans.iter().map(finding).collect()
}

fn skipped(page: &Page<'_>, why: SkipReason) -> Vec<Finding> {
    let spans = page.transcript.skipped.iter().filter(|span| span.why == why);
    let seconds = |span: f64| format!("{span:.1} s");
    spans
        .map(|span| Finding {
            start: span.start,
            end: span.end,
            note: seconds(span.end - span.start),
            text: String::new(),
        })
        .collect()
}

fn retried(fallback: &Fallback) -> Finding {
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
    Finding { start: fallback.start, end: fallback.end, note, text: String::new() }
}

/// Returns the lists of all kinds, or a note that there is nothing to list.
pub fn lists(page: &Page<'_>) -> String {
    let mut out = String::new();
    for kind in FindingKind::ALL {
        let findings = findings(page, kind);
        if findings.is_empty() {
            continue;
        }
        let (class, label, count) = (kind.class(), kind.label(), findings.len());
        // Silence is no doubt to be settled.
        let plain = if FindingKind::DOUBTS.contains(&kind) { "" } else { " plain" };
        out.push_str(&format!(
            "<details open class=\"list{plain}\"><summary><i class=\"box doubt {class}\"></i>{label} \
             <span class=\"count\">{count}</span></summary>\n<ul>\n"
        ));
        findings.iter().for_each(|finding| item(finding, &mut out));
        out.push_str("</ul></details>\n");
    }
    match out.is_empty() {
        true => "<p>Nothing stands out.</p>".into(),
        false => out,
    }
}

fn item(finding: &Finding, out: &mut String) {
    let Finding { start, end, note, text } = finding;
    let (from, to, at) = (clock(*start), clock(*end), number(*start));
    out.push_str(&format!("<li><a href=\"#t={at}\"><b>{from}–{to}</b>"));
    if !note.is_empty() {
        out.push_str(&format!(" <span class=\"note\">{}</span>", escaped(note)));
    }
    if !text.is_empty() {
        let more = if text.chars().nth(MAX_TEXT).is_some() { "…" } else { "" };
        let shown: String = text.chars().take(MAX_TEXT).collect();
        out.push_str(&format!(" <q dir=\"auto\">{}{more}</q>", escaped(&shown)));
    }
    out.push_str("</a></li>\n");
}
