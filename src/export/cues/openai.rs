//! The cues of openai/whisper's writers: segments as they are, or lines filled with words according to its options.

use super::speakers::shown_name;
use super::{Cue, CueWord};
use crate::export::options::{ExportOptions, SpeakerLabels};
use crate::export::python::{self, milliseconds};
use crate::transcript::{Transcript, Word};

/// The columns of a line, or the words in it, without a limit.
const NO_LIMIT: usize = 1000;
/// The seconds from the start of a word to the start of the next after which a new cue begins.
const LONG_PAUSE: f64 = 3.0;

pub fn cues(transcript: &Transcript, options: &ExportOptions) -> Vec<Cue> {
    let segments = &transcript.segments;
    if segments.first().is_some_and(|first| first.words.is_some()) {
        return CueFiller::new(transcript, options).fill(transcript);
    }
    let plain = segments.iter().map(|segment| {
        // Parsers would take an arrow in the text for another pair of times.
        let text = python::strip(&segment.text).replace("-->", "->");
        let cue = Cue::plain(milliseconds(segment.start), milliseconds(segment.end), text);
        Cue { speakers: segment.speaker.iter().cloned().collect(), ..cue }
    });
    plain.collect()
}

/// Fills cues word by word.
struct CueFiller {
    width: usize,
    words_per_line: usize,
    max_lines: Option<usize>,
    /// Whether a cue ends with its segment.
    keeps_segments: bool,
    cue: Vec<CueWord>,
    line: usize,
    lines: usize,
    /// The start of the previous word.
    last: f64,
    labels: SpeakerLabels,
    speaker: Option<String>,
    /// Who spoke the last cue.
    last_speaker: Option<String>,
    done: Vec<Cue>,
}

impl CueFiller {
    fn new(transcript: &Transcript, options: &ExportOptions) -> Self {
        let words = transcript.segments.iter().flat_map(|segment| segment.words.iter().flatten());
        let first = words.map(|word| word.start).next();
        Self {
            width: options.max_line_width.unwrap_or(NO_LIMIT),
            words_per_line: options.max_words_per_line.unwrap_or(NO_LIMIT).max(1),
            max_lines: options.max_line_count,
            keeps_segments: options.max_line_count.is_none() || options.max_line_width.is_none(),
            cue: Vec::new(),
            line: 0,
            lines: 1,
            last: first.or(transcript.segments.first().map(|segment| segment.start)).unwrap_or(0.0),
            labels: options.speaker_labels,
            speaker: None,
            last_speaker: None,
            done: Vec::new(),
        }
    }

    fn fill(mut self, transcript: &Transcript) -> Vec<Cue> {
        for segment in &transcript.segments {
            for chunk in segment.words.as_deref().unwrap_or_default().chunks(self.words_per_line) {
                for (i, word) in chunk.iter().enumerate() {
                    self.change_speaker(word.speaker.as_ref().or(segment.speaker.as_ref()));
                    self.add(word, i == 0);
                }
            }
        }
        self.close();
        self.done
    }

    /// Ends the cue if the next word is another speaker's.
    fn change_speaker(&mut self, speaker: Option<&String>) {
        if self.speaker.as_ref() != speaker {
            self.close();
            self.line = 0;
            self.speaker = speaker.cloned();
        }
    }

    /// Returns the letters of the name before a cue that begins now.
    fn label(&self) -> usize {
        let is_shown = match self.labels {
            SpeakerLabels::Auto => self.speaker != self.last_speaker,
            SpeakerLabels::Always => true,
            SpeakerLabels::Never => false,
        };
        let name = self.speaker.as_deref().filter(|_| is_shown);
        name.map_or(0, |name| shown_name(name).chars().count() + 2)
    }

    fn add(&mut self, word: &Word, begins_chunk: bool) {
        let length = word.word.chars().count();
        let long_pause = !self.keeps_segments && word.start - self.last > LONG_PAUSE;
        let fits = self.line + length <= self.width;
        let segment_ends = begins_chunk && !self.cue.is_empty() && self.keeps_segments;
        let mut text = word.word.clone();
        if self.line > 0 && fits && !long_pause && !segment_ends {
            self.line += length;
        } else {
            text = python::strip(&text).to_owned();
            let full = self.max_lines.is_some_and(|max| long_pause || self.lines >= max);
            let before = self.line;
            self.line = text.chars().count();
            if (!self.cue.is_empty() && full) || segment_ends {
                self.close();
            } else if before > 0 {
                self.lines += 1;
                text.insert(0, '\n');
            }
            if self.cue.is_empty() {
                self.line += self.label();
            }
        }
        self.cue.push(CueWord { start: milliseconds(word.start), end: milliseconds(word.end), text });
        self.last = word.start;
    }

    fn close(&mut self) {
        let words = std::mem::take(&mut self.cue);
        if let (Some(first), Some(last)) = (words.first(), words.last()) {
            let (start, end, speakers) = (first.start, last.end, self.speaker.iter().cloned().collect());
            self.done.push(Cue { speakers, ..Cue::of_words(start, end, words) });
            self.last_speaker = self.speaker.clone();
        }
        self.lines = 1;
    }
}
