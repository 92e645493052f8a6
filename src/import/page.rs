//! Finds the transcript in a page that this program wrote.

use super::ImportError;

/// The start of the element that holds it. The texts of a page cannot contain this: they are escaped.
const ELEMENT: &[u8] = b"<script type=\"application/json\" id=\"transcript\"";
const END: &[u8] = b"</script>";

/// Returns the JSON of a page, which holds no markup.
pub fn json(page: &[u8]) -> Result<&[u8], ImportError> {
    let element = after(page, ELEMENT).and_then(|attributes| after(attributes, b">"));
    let json = element.and_then(|element| Some(&element[..find(element, END)?]));
    json.ok_or_else(|| ImportError { line: None, why: "is not a page that this program wrote".into() })
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

fn after<'b>(bytes: &'b [u8], part: &[u8]) -> Option<&'b [u8]> {
    find(bytes, part).map(|at| &bytes[at + part.len()..])
}
