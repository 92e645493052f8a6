//! Quality of voice activity detection, by frame and as spans with the silence between them skipped, compared with a gate
//! on loudness. The ground truth is that of `fixtures/long`; noise and music are mixed in here.
//!
//!     cargo bench --bench voice
//!     cargo bench --bench voice -- FOLDER...     recordings of one's own: NAME.flac or .wav beside NAME.rttm (turns of
//!                                                speakers) or NAME.json (a list of {"start", "end"}); nobody speaks in
//!                                                a recording without either

// Its output is a table.
#![allow(clippy::print_stdout)]

use std::path::Path;

use serde_json::Value;
use transcribe::audio::{AudioInput, AudioOptions};
use transcribe::chunking::{AudioSplitter, Boundary, CutPolicy, Selection};
use transcribe::time::{HOP, SAMPLE_RATE};
use transcribe::vad::{VoiceDetector, VoiceOptions};

const SPEECH: [&str; 6] = ["long_de", "long_en", "long_en_hole", "long_es", "short_en", "short_es"];

type Spans = Vec<(usize, usize)>;
/// Samples → the speech probability of each frame.
type FrameDetector<'a> = dyn Fn(&[f32]) -> Vec<f32> + 'a;

struct Recording {
    samples: Vec<f32>,
    /// Ranges of the phrases in frames.
    phrases: Spans,
}

fn samples(name: &str) -> anyhow::Result<Vec<f32>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/long").join(format!("{name}.flac"));
    let mut reader = AudioInput::file(path)?.open(&AudioOptions::default())?;
    let mut samples = Vec::new();
    while let Some(block) = reader.next_block()? {
        samples.extend_from_slice(block);
    }
    Ok(samples)
}

fn own_recording(path: &Path) -> anyhow::Result<Recording> {
    let mut reader = AudioInput::file(path)?.open(&AudioOptions::default())?;
    let mut samples = Vec::new();
    while let Some(block) = reader.next_block()? {
        samples.extend_from_slice(block);
    }
    let frame = |seconds: f64| (seconds * 100.0).round() as usize;
    let mut phrases = Spans::new();
    if let Ok(turns) = std::fs::read_to_string(path.with_extension("rttm")) {
        for turn in turns.lines() {
            let field =
                |at: usize| turn.split_whitespace().nth(at).and_then(|field| field.parse::<f64>().ok());
            if let (Some(start), Some(length)) = (field(3), field(4)) {
                phrases.push((frame(start), frame(start + length)));
            }
        }
    } else if let Ok(parts) = std::fs::read(path.with_extension("json")) {
        let parts: Vec<Value> = serde_json::from_slice(&parts)?;
        let time = |part: &Value, key: &str| frame(part[key].as_f64().unwrap_or_default());
        phrases.extend(parts.iter().map(|part| (time(part, "start"), time(part, "end"))));
    }
    Ok(Recording { samples, phrases })
}

/// Prints precision, recall and the share of frames detected as speech for the recordings in a folder.
fn evaluate_folder(folder: &str) -> anyhow::Result<()> {
    let mut paths: Vec<_> = std::fs::read_dir(folder)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "flac" || extension == "wav"));
    paths.sort();
    println!("| recording | precision | recall | detected |\n|---|---|---|---|");
    for path in paths {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let recording = [own_recording(&path)?];
        let probabilities = network(&recording[0].samples);
        let detected =
            probabilities.iter().filter(|p| **p >= 0.5).count() as f64 / probabilities.len() as f64;
        let (precision, recall) = evaluate(&recording, &network);
        match recording[0].phrases.is_empty() {
            true => println!("| {name} | | | {:.1} % |", detected * 100.0),
            false => println!("| {name} | {precision:.3} | {recall:.3} | {:.1} % |", detected * 100.0),
        }
    }
    Ok(())
}

fn recording(name: &str) -> anyhow::Result<Recording> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/long").join(format!("{name}.json"));
    let truth: Value = serde_json::from_slice(&std::fs::read(path)?)?;
    let frame = |value: &Value| (value.as_f64().unwrap_or_default() * 100.0).round() as usize;
    let phrases = truth["phrases"].as_array().into_iter().flatten();
    let phrases = phrases.map(|p| (frame(&p["start"]), frame(&p["end"]))).collect();
    Ok(Recording { samples: samples(name)?, phrases })
}

impl Recording {
    /// Mixes in another sound, this many decibels below the mean of the speech.
    fn over(mut self, other: &[f32], decibels: f32) -> Self {
        let level = |s: &[f32]| (s.iter().map(|x| x * x).sum::<f32>() / s.len() as f32).sqrt();
        let speech: Vec<f32> =
            self.phrases.iter().flat_map(|p| &self.samples[p.0 * HOP..p.1 * HOP]).copied().collect();
        let gain = level(&speech) / level(other) * 10_f32.powf(-decibels / 20.0);
        self.samples.iter_mut().zip(other.iter().cycle()).for_each(|(s, o)| *s += gain * o);
        self
    }

    fn quieter(mut self, decibels: f32) -> Self {
        self.samples.iter_mut().for_each(|s| *s *= 10_f32.powf(-decibels / 20.0));
        self
    }
}

fn noise() -> Vec<f32> {
    let mut seed = 1_u32;
    let mut next = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 8) as f32 / 8_388_608.0 - 1.0
    };
    (0..10 * SAMPLE_RATE).map(|_| next()).collect()
}

fn network(samples: &[f32]) -> Vec<f32> {
    let (mut voice, mut probabilities) = (VoiceDetector::new(), Vec::new());
    voice.push(samples, &mut probabilities);
    voice.finish(&mut probabilities);
    probabilities
}

/// Returns 1 for frames above this level relative to full scale, in decibels.
fn fixed_gate(decibels: f32) -> impl Fn(&[f32]) -> Vec<f32> {
    move |samples| {
        let least = 10_f32.powf(decibels / 10.0);
        powers(samples).into_iter().map(|power| f32::from(power > least)).collect()
    }
}

/// Returns 1 for frames 9 dB above the quietest tenth of the recording, which a stream cannot know.
fn adaptive_gate(samples: &[f32]) -> Vec<f32> {
    let powers = powers(samples);
    let mut sorted = powers.clone();
    sorted.sort_by(f32::total_cmp);
    let least = sorted[sorted.len() / 10].max(1e-8) * 10_f32.powf(0.9);
    powers.into_iter().map(|power| f32::from(power > least)).collect()
}

fn powers(samples: &[f32]) -> Vec<f32> {
    samples.chunks_exact(HOP).map(|frame| frame.iter().map(|s| s * s).sum::<f32>() / HOP as f32).collect()
}

/// Returns precision and recall of frames.
fn evaluate(recordings: &[Recording], detect: &FrameDetector<'_>) -> (f64, f64) {
    let (mut detected, mut actual, mut both) = (0_u32, 0_u32, 0_u32);
    for recording in recordings {
        for (frame, probability) in detect(&recording.samples).iter().enumerate() {
            let is_speech = recording.phrases.iter().any(|p| (p.0..p.1).contains(&frame));
            let is_detected = *probability >= 0.5;
            detected += u32::from(is_detected);
            actual += u32::from(is_speech);
            both += u32::from(is_speech && is_detected);
        }
    }
    (f64::from(both) / f64::from(detected.max(1)), f64::from(both) / f64::from(actual.max(1)))
}

/// Returns the share of silence that is skipped and the share of speech that is lost.
fn spans(recordings: &[Recording], options: VoiceOptions) -> (f64, f64) {
    let (mut silent, mut speech, mut skipped, mut lost) = (0, 0, 0, 0);
    for recording in recordings {
        let selection = Selection { vad: Some(options), ..Selection::default() };
        let (mut splitter, mut boundaries) =
            (AudioSplitter::new(CutPolicy::AtPauses(120.0), &selection), Vec::<Boundary>::new());
        splitter.push(&recording.samples, &mut boundaries);
        let report = splitter.finish(&mut boundaries, &mut Vec::new());
        for frame in 0..recording.samples.len() / HOP {
            let is_speech = recording.phrases.iter().any(|p| (p.0..p.1).contains(&frame));
            let is_skipped = report.skipped.iter().any(|(span, _)| span.contains(&(frame as u64)));
            silent += u32::from(!is_speech);
            speech += u32::from(is_speech);
            skipped += u32::from(!is_speech && is_skipped);
            lost += u32::from(is_speech && is_skipped);
        }
    }
    (f64::from(skipped) / f64::from(silent.max(1)), f64::from(lost) / f64::from(speech.max(1)))
}

fn main() -> anyhow::Result<()> {
    let folders: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    if !folders.is_empty() {
        return folders.iter().try_for_each(|folder| evaluate_folder(folder));
    }
    let (noise, music) = (noise(), samples("music")?);
    let all = |change: &dyn Fn(Recording) -> Recording| -> anyhow::Result<Vec<Recording>> {
        SPEECH.iter().map(|name| Ok(change(recording(name)?))).collect()
    };
    let sets = [
        ("as it is", all(&|r| r)?),
        ("30 dB quieter", all(&|r| r.quieter(30.0))?),
        ("noise 20 dB below", all(&|r| r.over(&noise, 20.0))?),
        ("noise 10 dB below", all(&|r| r.over(&noise, 10.0))?),
        ("noise 5 dB below", all(&|r| r.over(&noise, 5.0))?),
        ("noise 0 dB below", all(&|r| r.over(&noise, 0.0))?),
        ("music 20 dB below", all(&|r| r.over(&music, 20.0))?),
        ("music 10 dB below", all(&|r| r.over(&music, 10.0))?),
        ("music 5 dB below", all(&|r| r.over(&music, 5.0))?),
    ];
    println!("frames: precision / recall");
    println!("| | network | gate -40 dB | gate 9 dB over the quiet tenth |\n|---|---|---|---|");
    let fixed = fixed_gate(-40.0);
    let detectors: [&FrameDetector<'_>; 3] = [&network, &fixed, &adaptive_gate];
    for (name, recordings) in &sets {
        let cells: Vec<String> = detectors
            .iter()
            .map(|detector| evaluate(recordings, detector))
            .map(|(precision, recall)| format!("{precision:.3} / {recall:.3}"))
            .collect();
        println!("| {name} | {} |", cells.join(" | "));
    }
    println!("\nspans: silence skipped / speech lost");
    println!(
        "| | default | threshold 0.3 | 0.7 | min. speech 0 | min. silence 0.5 s, pad 0.2 s |\n|---|---|---|---|---|---|"
    );
    let default = VoiceOptions::default();
    let kinds = [
        default,
        VoiceOptions { threshold: 0.3, ..default },
        VoiceOptions { threshold: 0.7, ..default },
        VoiceOptions { min_speech: 0, ..default },
        VoiceOptions { min_silence: 50, pad: 20, ..default },
    ];
    for (name, recordings) in &sets {
        let cells: Vec<String> = kinds
            .iter()
            .map(|options| spans(recordings, *options))
            .map(|(out, lost)| format!("{:.1} % / {:.2} %", out * 100.0, lost * 100.0))
            .collect();
        println!("| {name} | {} |", cells.join(" | "));
    }
    println!("\nno speech at all: share of frames detected as speech by the network");
    for (name, sound) in [("music", &music), ("noise", &noise)] {
        let probabilities = network(sound);
        let share = probabilities.iter().filter(|p| **p >= 0.5).count() as f64 / probabilities.len() as f64;
        let densest = probabilities.chunks(3_000).map(|w| w.iter().filter(|p| **p >= 0.5).count()).max();
        println!("{name}: {:.2} %, at most {} frames in 30 s", share * 100.0, densest.unwrap_or_default());
    }
    Ok(())
}
