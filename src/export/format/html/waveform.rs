//! The strip at the top of a page: the waveform with its seams, the parts left out and the doubtful spans.

use super::Page;
use super::escape::{escaped, number, percent};
use super::findings::{FindingKind, findings};
use super::text::LEVELS;
use crate::time::seconds_of_samples;
use crate::transcript::{SkipReason, Waveform};

/// The width of the picture in units where there is no waveform.
const WIDTH: f64 = 1_000.0;
/// The middle of the waveform, and the top of the lane of doubtful spans below it.
const MIDDLE: i32 = 128;
const LANE: i32 = 264;
/// The largest factor by which a quiet recording is scaled up.
const MAX_GAIN: i32 = 12;

/// Returns the picture, which stretches to any width.
pub fn svg(page: &Page<'_>) -> String {
    let waveform = page.transcript.waveform.as_ref().filter(|waveform| !waveform.pairs.is_empty());
    let width = match waveform {
        Some(waveform) => page.duration / seconds_of_samples(waveform.samples_per_pair),
        None => WIDTH,
    };
    let x = |seconds: f64| number(seconds.clamp(0.0, page.duration) / page.duration * width);
    let mut out = format!(
        "<svg id=\"wave\" viewBox=\"0 0 {} 300\" preserveAspectRatio=\"none\" role=\"slider\" tabindex=\"0\" \
         aria-label=\"Position\" aria-valuemin=\"0\" aria-valuemax=\"{}\" aria-valuenow=\"0\">\n",
        number(width),
        number(page.duration),
    );
    for span in &page.transcript.skipped {
        let class = if span.why == SkipReason::Silence { "silence" } else { "unasked" };
        let (start, end) = (span.start.min(page.duration), span.end.min(page.duration));
        let (left, length) = (x(start), x((end - start).max(0.0)));
        out.push_str(&format!(
            "<rect class=\"{class}\" x=\"{left}\" width=\"{length}\" y=\"0\" height=\"256\"/>\n"
        ));
    }
    out.push_str(&format!("<path class=\"base\" d=\"M0 {MIDDLE}H{}\"/>\n", number(width)));
    if let Some(waveform) = waveform {
        let path = outline(waveform);
        out.push_str(&format!("<path class=\"all\" d=\"{path}\"/>\n"));
        out.push_str("<clipPath id=\"past\"><rect id=\"played\" x=\"0\" y=\"0\" width=\"0\" height=\"256\"/></clipPath>\n");
        out.push_str(&format!("<path class=\"past\" clip-path=\"url(#past)\" d=\"{path}\"/>\n"));
    }
    for seam in &page.transcript.seams {
        let class = if seam.follows { "seam on" } else { "seam" };
        out.push_str(&format!("<path class=\"{class}\" d=\"M{} 0V256\"/>\n", x(seam.at)));
    }
    for kind in FindingKind::DOUBTS {
        for finding in findings(page, kind) {
            let (start, end) = (x(finding.start), x(finding.end));
            out.push_str(&format!(
                "<path class=\"doubt {}\" d=\"M{start} {LANE}V300H{end}V{LANE}Z\"/>\n",
                kind.class()
            ));
        }
    }
    out.push_str("<path id=\"cursor\" d=\"M0 0V300\"/>\n</svg>");
    out
}

/// Returns a path along the top of the waveform and back along its bottom.
fn outline(waveform: &Waveform) -> String {
    let pairs = || waveform.pairs.iter().map(|&(low, high)| (i32::from(low), i32::from(high)));
    let loudest = pairs().map(|(low, high)| high.max(-low)).max().unwrap_or(0).max(1);
    let scaled = |value: i32| (value * 127 / loudest).clamp(-MAX_GAIN * value.abs(), MAX_GAIN * value.abs());
    let mut out = format!("M0 {MIDDLE}");
    for (_, high) in pairs() {
        out.push_str(&format!("V{}h1", MIDDLE - 1 - scaled(high)));
    }
    for (low, _) in pairs().collect::<Vec<_>>().into_iter().rev() {
        out.push_str(&format!("V{}h-1", MIDDLE + 1 - scaled(low)));
    }
    out.push('Z');
    out
}

/// Returns the legend of the shades of the text.
pub fn shades() -> String {
    let least = [0.0].into_iter().chain(LEVELS);
    let entry = |(level, (least, below)): (usize, (f64, f64))| {
        format!("<li><i class=\"c{level}\"></i>{:.0}–{}</li>", least * 100.0, percent(below))
    };
    least.zip(LEVELS).enumerate().map(entry).collect()
}

/// Returns the legend of the marks in the strip, for those that occur.
pub fn legend(page: &Page<'_>) -> String {
    let mut out = String::new();
    let mut entry = |class: &str, label: &str| {
        out.push_str(&format!("<li><i class=\"{class}\"></i>{}</li>", escaped(label)));
    };
    let transcript = page.transcript;
    let skips = |why| transcript.skipped.iter().any(|span| span.why == why);
    if skips(SkipReason::Silence) {
        entry("box silence", "silence, skipped");
    }
    if skips(SkipReason::NotAskedFor) {
        entry("box unasked", "not asked for");
    }
    if transcript.seams.iter().any(|seam| !seam.follows) {
        entry("line seam", "cut in a pause");
    }
    if transcript.seams.iter().any(|seam| seam.follows) {
        entry("line seam on", "taken up where the part before ended");
    }
    for kind in FindingKind::DOUBTS.into_iter().filter(|kind| !findings(page, *kind).is_empty()) {
        entry(&format!("box doubt {}", kind.class()), kind.label());
    }
    out
}
