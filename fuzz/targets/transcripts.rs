//! Transcripts of this and other programs: what is imported can be exported in every format, and read again.

use transcribe::export::{ExportOptions, Format, Preset, Rendering};
use transcribe::import::{ImportFormat, from_import, json_of, parse};
use transcribe::transcript::Transcript;

/// Longer than any recording, and shorter than what the readers of subtitles refuse.
const MAX_SECONDS: f64 = 4e6;

/// Reads the bytes after the first, which chooses the format.
pub fn import(bytes: &[u8]) -> String {
    let Some((kind, bytes)) = bytes.split_first() else { return String::new() };
    let format = ImportFormat::ALL[usize::from(*kind) % ImportFormat::ALL.len()];
    let transcript = match from_import::from_openai_json("fuzz", json_of(format, bytes)) {
        Some(transcript) => transcript,
        None => match parse(format, bytes) {
            Ok(imported) => from_import::to_transcript("fuzz".to_owned(), imported),
            Err(error) => return format!("{:?} {}", error.line, error.why),
        },
    };
    check_exports(&transcript)
}

/// Writes every format, and reads those that can be read.
fn check_exports(transcript: &Transcript) -> String {
    // openai's cues are its own to the byte, blank lines in them included.
    let options = ExportOptions { preset: Some(Preset::Readable), ..ExportOptions::default() };
    let rendering = Rendering::new(transcript, &options);
    let mut lengths = Vec::new();
    for format in Format::ALL {
        let written = format.write(&rendering);
        lengths.push(written.len());
        let read = match format {
            Format::Json => {
                check_json(&written);
                continue;
            }
            Format::Srt => ImportFormat::Srt,
            Format::Vtt => ImportFormat::Vtt,
            // As openai's, it has no way to write a line break.
            Format::Tsv if !transcript.segments.iter().any(|segment| segment.text.contains(['\n', '\r'])) => {
                ImportFormat::Tsv
            }
            Format::Html => ImportFormat::Html,
            _ => continue,
        };
        if let Err(error) = parse(read, &written)
            && is_plausible(transcript)
        {
            panic!("{format:?} cannot be read again: {error:?}");
        }
    }
    format!("{lengths:?}")
}

/// Whether everything ends after it starts, and before the readers of subtitles refuse it.
fn is_plausible(transcript: &Transcript) -> bool {
    let is_span = |start: f64, end: f64| 0.0 <= start && start <= end && end < MAX_SECONDS;
    transcript.segments.iter().all(|segment| {
        let mut words = segment.words.iter().flatten();
        is_span(segment.start, segment.end) && words.all(|word| is_span(word.start, word.end))
    })
}

/// Reads JSON that this program has written, and writes it again. Times are rounded once; then nothing changes any more.
fn check_json(written: &[u8]) {
    let options = ExportOptions::default();
    let rewritten = |written: &[u8]| match from_import::from_openai_json("fuzz", written) {
        Some(again) => Format::Json.write(&Rendering::new(&again, &options)),
        None => panic!("not read again: {}", String::from_utf8_lossy(written)),
    };
    let once = rewritten(written);
    let twice = rewritten(&once);
    assert_eq!(String::from_utf8_lossy(&twice), String::from_utf8_lossy(&once));
}
