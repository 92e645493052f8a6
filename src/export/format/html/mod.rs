//! A page with everything that is known about one input, for listening, searching, checking and correcting. It needs no
//! other file but the recording, if that is linked; its content security policy allows its own script and styles only.
//!
//! The rows of the text are markup, so the page can be read and printed without its script. The script corrects the same
//! transcript as JSON (`data`), which `import` reads, too.

mod data;
mod escape;
mod findings;
mod media;
mod text;
mod waveform;

use base64::prelude::{BASE64_STANDARD, Engine};
use sha2::{Digest, Sha256};

use self::escape::{clock, escaped, number, percent};
use super::Media;
use super::json::file_name;
use crate::export::Rendering;
use crate::export::partial::HTML_MARK;
use crate::transcript::{Quality, SkipReason, Transcript};

const TEMPLATE: &str = include_str!("page.html");
const STYLES: [&str; 2] = [include_str!("page.css"), include_str!("edit.css")];
/// The parts of the script, each of which uses those before it.
const SCRIPTS: [&str; 11] = [
    include_str!("script/base.js"),
    include_str!("script/timecode.js"),
    include_str!("script/words.js"),
    include_str!("script/rows.js"),
    include_str!("script/model.js"),
    include_str!("script/player.js"),
    include_str!("script/editor.js"),
    include_str!("script/search.js"),
    include_str!("script/speakers.js"),
    include_str!("script/keep.js"),
    include_str!("script/keys.js"),
];

/// A transcript with what its page draws and lists.
struct Page<'t> {
    transcript: &'t Transcript,
    quality: Quality,
    /// The duration in seconds; more than 0.
    duration: f64,
    /// Whether the probability of the text is known.
    is_rated: bool,
    /// The speakers in the order in which their rows come, which decides their colours.
    speakers: Vec<&'t str>,
}

impl<'t> Page<'t> {
    fn new(transcript: &'t Transcript) -> Self {
        let ends = transcript.segments.iter().map(|segment| segment.end);
        let decoded = transcript.waveform.as_ref().map_or(0.0, |waveform| waveform.seconds());
        // The last pair of a waveform may extend past the end.
        let known = match transcript.is_partial || transcript.duration <= 0.0 {
            true => transcript.duration.max(decoded),
            false => transcript.duration,
        };
        let is_rated = transcript.segments.iter().any(|segment| match segment.words.as_deref() {
            Some(words @ [_, ..]) => words.iter().any(|word| word.probability > 0.0),
            _ => segment.avg_logprob != 0.0,
        });
        let duration = ends.fold(known, f64::max).max(0.01);
        let mut speakers: Vec<&str> = Vec::new();
        for segment in text::shown(transcript) {
            speakers.extend(segment.speaker.as_deref().filter(|name| !speakers.contains(name)));
        }
        Self { transcript, quality: Quality::of(transcript), duration, is_rated, speakers }
    }
}

fn style() -> String {
    with_unix_newlines(&STYLES.concat())
}

fn script() -> String {
    with_unix_newlines(&format!("\"use strict\";\n(() => {{\n{}}})();\n", SCRIPTS.join("\n")))
}

/// Returns the hashes of the style and of the script that every page has, for the policy of whoever opens a page from
/// memory: such a page is also bound by the policy of what opened it.
pub fn policy_hashes() -> (String, String) {
    (hash(&style()), hash(&script()))
}

pub fn write(rendering: &Rendering<'_>, media: Media) -> Vec<u8> {
    let transcript = rendering.transcript();
    let page = Page::new(transcript);
    let (style, script) = (style(), script());
    let name = file_name(&transcript.source);
    let player = media::player(name);
    let (source, mut embedded) = media::markup(media, player);
    let mut data = data::element(rendering);
    let capacity = embedded.len() + 2 * data.len();
    let fill = |slot: &str| match slot {
        "style" => style.clone(),
        "script" => script.clone(),
        "style hash" => hash(&style),
        "script hash" => hash(&script),
        "version" => escaped(env!("CARGO_PKG_VERSION")),
        "name" => escaped(name),
        "duration" => number(page.duration),
        "clock" => clock(page.duration),
        "facts" => facts(&page),
        "partial" => partial_note(&page),
        "player" => player.into(),
        "media" => source.clone(),
        // Moved rather than copied, since they may be large.
        "embedded" => std::mem::take(&mut embedded),
        "data" => std::mem::take(&mut data),
        "wave" => waveform::svg(&page),
        "shades" => waveform::shades(),
        "legend" => waveform::legend(&page),
        "rated" => if page.is_rated { "yes" } else { "no" }.into(),
        "language" => escaped(&transcript.language),
        "text" => text::rows(&page),
        "lists" => findings::lists(&page),
        _ => String::new(),
    };
    let mut out = fill_template(&with_unix_newlines(TEMPLATE), capacity, fill);
    if transcript.is_partial {
        out.push_str(HTML_MARK);
        out.push('\n');
    }
    out.into_bytes()
}

/// Makes the page independent of how git checked out the sources, since it contains hashes of them.
fn with_unix_newlines(source: &str) -> String {
    source.replace("\r\n", "\n")
}

/// Fills the `{{slots}}` of a template; what was filled in is not expanded again.
fn fill_template(template: &str, capacity: usize, mut fill: impl FnMut(&str) -> String) -> String {
    let mut out = String::with_capacity(capacity);
    let mut rest = template;
    while let Some((before, slot, after)) = rest
        .split_once("{{")
        .and_then(|(before, after)| after.split_once("}}").map(|(slot, after)| (before, slot, after)))
    {
        out.push_str(before);
        out.push_str(&fill(slot));
        rest = after;
    }
    out.push_str(rest);
    out
}

fn hash(source: &str) -> String {
    format!("sha256-{}", BASE64_STANDARD.encode(Sha256::digest(source)))
}

fn partial_note(page: &Page<'_>) -> String {
    match page.transcript.is_partial {
        true => format!(
            "<p class=\"partial\" role=\"note\">The work was stopped: what comes after {} is missing.</p>\n",
            clock(page.transcript.duration)
        ),
        false => String::new(),
    }
}

/// Returns a line about the whole recording.
fn facts(page: &Page<'_>) -> String {
    let Page { transcript, quality, .. } = page;
    let mut facts = vec![clock(page.duration)];
    if !transcript.language.is_empty() {
        let likely = transcript.language_probability.map(|p| format!(" ({})", percent(p)));
        facts.push(format!("language {}{}", escaped(&transcript.language), likely.unwrap_or_default()));
    }
    if !transcript.model.name.is_empty() {
        facts.push(format!("model {}", escaped(&transcript.model.name)));
    }
    if let (Some(confidence), true) = (quality.confidence, page.is_rated) {
        facts.push(format!("confidence {}", percent(confidence)));
    }
    if let Some(ratio) = quality.coverage.ratio {
        facts.push(format!("{} of the speech has text", percent(ratio)));
    }
    if let Some(known) = &transcript.speakers {
        let count = known.speakers.len();
        facts.push(format!("{count} speaker{}", if count == 1 { "" } else { "s" }));
    }
    let skipped = transcript.skipped_seconds(SkipReason::Silence);
    if skipped > 0.0 {
        facts.push(format!("{} of silence skipped", clock(skipped)));
    }
    if transcript.damage.any() {
        facts.push("damaged".into());
    }
    facts.join(" · ")
}
