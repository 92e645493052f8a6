//! The transcript as data inside its page: what the script corrects, and what `import` reads of a page.

use super::super::json;
use crate::digest::sha256_hex;
use crate::export::{JsonStyle, Rendering};

/// The number of hexadecimal digits by which a page knows its corrections again.
const DIGEST_LENGTH: usize = 32;

/// Returns the element with the transcript as JSON. The digest covers what can be corrected, so that a page made again
/// with other options finds the corrections of the one before.
pub fn element(rendering: &Rendering<'_>) -> String {
    let transcript = rendering.transcript();
    let text = json::own_members(transcript);
    let mut digest = sha256_hex(format!("{}\n{text}", json::file_name(&transcript.source)).as_bytes());
    digest.truncate(DIGEST_LENGTH);
    format!(
        "<script type=\"application/json\" id=\"transcript\" data-digest=\"{digest}\">{}</script>\n",
        without_markup(&json::document(rendering, JsonStyle::Full))
    )
}

/// Makes JSON harmless inside an element: only its strings can have these characters, and JSON can escape them.
fn without_markup(json: &str) -> String {
    let mut out = String::with_capacity(json.len() + json.len() / 64);
    for character in json.chars() {
        match character {
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            '\'' => out.push_str("\\u0027"),
            character => out.push(character),
        }
    }
    out
}
