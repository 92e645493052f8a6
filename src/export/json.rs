//! The whole result on one line, as Python's json prints it.

use super::partial::JSON_MARK;
use super::{Exporter, python};
use crate::transcript::{Segment, Transcript, Word};

pub struct Json;

impl Exporter for Json {
    fn extension(&self) -> &'static str {
        "json"
    }

    fn write(&self, transcript: &Transcript) -> Vec<u8> {
        let mut out = String::from("{\"text\": ");
        python::string(&transcript.text, &mut out);
        out.push_str(", \"segments\": [");
        for (i, segment) in transcript.segments.iter().enumerate() {
            if i > 0 {
                out.push_str(", ");
            }
            write_segment(segment, &mut out);
        }
        out.push_str("], \"language\": ");
        python::string(&transcript.language, &mut out);
        if transcript.is_partial {
            out.push_str(JSON_MARK);
        }
        out.push('}');
        out.into_bytes()
    }
}

fn write_segment(segment: &Segment, out: &mut String) {
    let Segment { id, seek, start, end, text, tokens, .. } = segment;
    let (start, end) = (python::float(*start), python::float(*end));
    out.push_str(&format!(
        "{{\"id\": {id}, \"seek\": {seek}, \"start\": {start}, \"end\": {end}, \"text\": "
    ));
    python::string(text, out);
    let tokens: Vec<String> = tokens.iter().map(u32::to_string).collect();
    let measures = [
        ("temperature", segment.temperature),
        ("avg_logprob", segment.avg_logprob),
        ("compression_ratio", segment.compression_ratio),
        ("no_speech_prob", segment.no_speech_prob),
    ];
    out.push_str(&format!(", \"tokens\": [{}]", tokens.join(", ")));
    for (name, value) in measures {
        out.push_str(&format!(", \"{name}\": {}", python::float(value)));
    }
    if let Some(words) = &segment.words {
        out.push_str(", \"words\": [");
        for (i, word) in words.iter().enumerate() {
            if i > 0 {
                out.push_str(", ");
            }
            write_word(word, out);
        }
        out.push(']');
    }
    out.push('}');
}

fn write_word(Word { word, start, end, probability }: &Word, out: &mut String) {
    out.push_str("{\"word\": ");
    python::string(word, out);
    for (name, value) in [("start", start), ("end", end), ("probability", probability)] {
        out.push_str(&format!(", \"{name}\": {}", python::float(*value)));
    }
    out.push('}');
}
