//! The speaker part alone, with decoding: turns of recordings as RTTM files, and how fast they were found.
//!
//!     cargo bench --bench speakers -- OUT_DIR SPEAKERS RECORDING...
//!
//! SPEAKERS is `auto`, a number or a range such as `2-4`. Without arguments, the recordings of `fixtures/long` are read and
//! nothing is written. `RAYON_NUM_THREADS` says on how many threads.

// Its output is a table.
#![allow(clippy::print_stdout)]

use std::path::{Path, PathBuf};
use std::time::Instant;

use transcribe::audio::{AudioInput, AudioOptions};
use transcribe::speakers::{Diarizer, Networks, SpeakerCount};
use transcribe::transcript::SpeakerTurns;

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let out = arguments.next().map(PathBuf::from);
    let count: SpeakerCount =
        arguments.next().as_deref().unwrap_or("auto").parse().expect("a number of speakers");
    let mut recordings: Vec<PathBuf> = arguments.map(PathBuf::from).collect();
    if recordings.is_empty() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/long");
        recordings = ["long_en", "long_de"].map(|name| folder.join(name).with_extension("flac")).to_vec();
    }
    let loading = Instant::now();
    let networks = Networks::built_in();
    println!("networks loaded in {:.3} s", loading.elapsed().as_secs_f64());
    let (mut audio, mut spent) = (0.0, 0.0);
    for recording in &recordings {
        let started = Instant::now();
        let mut diarizer = Diarizer::new(&networks, count);
        let input = AudioInput::file(recording).expect("a recording");
        let mut reader = input.open(&AudioOptions::default()).expect("audio");
        let mut samples = 0;
        while let Some(block) = reader.next_block().expect("audio that can be decoded") {
            diarizer.push(block);
            samples += block.len();
        }
        let turns = diarizer.finish(&[], &[]);
        let seconds = started.elapsed().as_secs_f64();
        let length = samples as f64 / 16_000.0;
        (audio, spent) = (audio + length, spent + seconds);
        let name = recording.file_stem().unwrap_or_default().to_string_lossy();
        println!(
            "{name}: {length:.1} s, {} speakers, {:.1} times real time",
            turns.speakers.len(),
            length / seconds
        );
        if let Some(out) = &out {
            std::fs::write(out.join(format!("{name}.rttm")), rttm(&name, &turns))
                .expect("the folder is writable");
        }
    }
    println!("all: {audio:.1} s in {spent:.2} s, {:.1} times real time", audio / spent);
}

fn rttm(name: &str, turns: &SpeakerTurns) -> String {
    let line = |turn: &transcribe::transcript::Turn| {
        let speaker = turns.name(turn).replace(' ', "_");
        let (start, length) = (turn.start, turn.end - turn.start);
        format!("SPEAKER {name} 1 {start:.3} {length:.3} <NA> <NA> {speaker} <NA> <NA>\n")
    };
    turns.turns.iter().map(line).collect()
}
