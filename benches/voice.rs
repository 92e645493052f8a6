//! How well speech is told from the rest, frame by frame and as spans with silence left out between them, beside a
//! gate that only looks at loudness. The truth is that of `fixtures/long`; noise and music are mixed in here.
//!
//!     cargo bench --bench voice

// A table is what it is for.
#![allow(clippy::print_stdout)]

use std::path::Path;

use serde_json::Value;
use transcribe::audio::{AudioInput, AudioOptions};
use transcribe::chunking::{AudioSplitter, Boundary, CutPolicy, Selection};
use transcribe::time::{HOP, SAMPLE_RATE};
use transcribe::vad::{VoiceDetector, VoiceOptions};

const SPEECH: [&str; 6] = ["long_de", "long_en", "long_en_hole", "long_es", "short_en", "short_es"];

type Spans = Vec<(usize, usize)>;
/// Samples → how likely each frame is speech.
type Way<'a> = dyn Fn(&[f32]) -> Vec<f32> + 'a;

struct Recording {
    samples: Vec<f32>,
    /// Frames of phrases.
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

fn recording(name: &str) -> anyhow::Result<Recording> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/long").join(format!("{name}.json"));
    let truth: Value = serde_json::from_slice(&std::fs::read(path)?)?;
    let frame = |value: &Value| (value.as_f64().unwrap_or_default() * 100.0).round() as usize;
    let phrases = truth["phrases"].as_array().into_iter().flatten();
    let phrases = phrases.map(|p| (frame(&p["start"]), frame(&p["end"]))).collect();
    Ok(Recording { samples: samples(name)?, phrases })
}

impl Recording {
    /// With another sound under it, so many decibels below the mean of speech.
    fn over(mut self, other: &[f32], decibels: f32) -> Self {
        let level = |s: &[f32]| (s.iter().map(|x| x * x).sum::<f32>() / s.len() as f32).sqrt();
        let spoken: Vec<f32> =
            self.phrases.iter().flat_map(|p| &self.samples[p.0 * HOP..p.1 * HOP]).copied().collect();
        let gain = level(&spoken) / level(other) * 10_f32.powf(-decibels / 20.0);
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
    let (mut voice, mut activity) = (VoiceDetector::new(), Vec::new());
    voice.push(samples, &mut activity);
    voice.finish(&mut activity);
    activity
}

/// 1 for frames louder than so many decibels below full scale.
fn fixed_gate(decibels: f32) -> impl Fn(&[f32]) -> Vec<f32> {
    move |samples| {
        let least = 10_f32.powf(decibels / 10.0);
        powers(samples).into_iter().map(|power| f32::from(power > least)).collect()
    }
}

/// 1 for frames 9 dB above the quiet tenth of the recording, which a stream cannot know.
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

/// Precision and recall of frames.
fn judge(recordings: &[Recording], tell: &Way<'_>) -> (f64, f64) {
    let (mut told, mut spoken, mut both) = (0_u32, 0_u32, 0_u32);
    for recording in recordings {
        for (frame, probability) in tell(&recording.samples).iter().enumerate() {
            let is = recording.phrases.iter().any(|p| (p.0..p.1).contains(&frame));
            let says = *probability >= 0.5;
            told += u32::from(says);
            spoken += u32::from(is);
            both += u32::from(is && says);
        }
    }
    (f64::from(both) / f64::from(told.max(1)), f64::from(both) / f64::from(spoken.max(1)))
}

/// Of the seconds without speech the share that is left out, and of the seconds of speech the share that is lost.
fn spans(recordings: &[Recording], options: VoiceOptions) -> (f64, f64) {
    let (mut silent, mut spoken, mut out, mut lost) = (0, 0, 0, 0);
    for recording in recordings {
        let selection = Selection { vad: Some(options), ..Selection::default() };
        let (mut splitter, mut boundaries) =
            (AudioSplitter::new(CutPolicy::AtPauses(120.0), &selection), Vec::<Boundary>::new());
        splitter.push(&recording.samples, &mut boundaries);
        let report = splitter.finish(&mut boundaries);
        for frame in 0..recording.samples.len() / HOP {
            let is = recording.phrases.iter().any(|p| (p.0..p.1).contains(&frame));
            let is_out = report.skipped.iter().any(|(span, _)| span.contains(&(frame as u64)));
            silent += u32::from(!is);
            spoken += u32::from(is);
            out += u32::from(!is && is_out);
            lost += u32::from(is && is_out);
        }
    }
    (f64::from(out) / f64::from(silent.max(1)), f64::from(lost) / f64::from(spoken.max(1)))
}

fn main() -> anyhow::Result<()> {
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
    let ways: [&Way<'_>; 3] = [&network, &fixed, &adaptive_gate];
    for (name, recordings) in &sets {
        let cells: Vec<String> = ways
            .iter()
            .map(|way| judge(recordings, way))
            .map(|(precision, recall)| format!("{precision:.3} / {recall:.3}"))
            .collect();
        println!("| {name} | {} |", cells.join(" | "));
    }
    println!("\nspans: silence left out / speech lost");
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
    println!("\nno speech at all: share of frames told to be speech, by the network");
    for (name, sound) in [("music", &music), ("noise", &noise)] {
        let told = network(sound);
        let share = told.iter().filter(|p| **p >= 0.5).count() as f64 / told.len() as f64;
        let densest = told.chunks(3_000).map(|w| w.iter().filter(|p| **p >= 0.5).count()).max();
        println!("{name}: {:.2} %, at most {} frames in 30 s", share * 100.0, densest.unwrap_or_default());
    }
    Ok(())
}
