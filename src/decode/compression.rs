//! Measures how repetitive a text is by how well it compresses.

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;

/// Returns the bytes of the text over the bytes of its zlib stream at the default level: high if the text is
/// repetitive.
pub fn compression_ratio(text: &str) -> f64 {
    let mut encoder = ZlibEncoder::new(Vec::with_capacity(text.len() / 2 + 64), Compression::default());
    let compressed = encoder.write_all(text.as_bytes()).and_then(|()| encoder.finish());
    let compressed = compressed.expect("writing to memory cannot fail: this is a bug");
    text.len() as f64 / compressed.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expected values are Python's `len(b) / len(zlib.compress(b))`.
    #[test]
    fn compression_ratios_equal_those_of_python() {
        assert_eq!(compression_ratio(""), 0.0);
        assert_eq!(compression_ratio("Hello world."), 12.0 / 20.0);
        assert_eq!(compression_ratio(&"again and again ".repeat(40)), 640.0 / 26.0);
        assert_eq!(compression_ratio("Übermäßig größere Häuser, «vielleicht» – ja."), RATIO_UNICODE);
    }

    const RATIO_UNICODE: f64 = 54.0 / 65.0;
}
