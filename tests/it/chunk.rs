//! Cuts against the true times of words, and the accuracy of voice activity detection.

use std::path::{Path, PathBuf};

use serde_json::Value;
use transcribe::audio::{AudioInput, AudioOptions};
use transcribe::chunking::{AudioSplitter, Boundary, CutKind, CutPoint, CutPolicy, Selection};
use transcribe::time::{HOP, SAMPLE_RATE};
use transcribe::vad::VoiceDetector;

const SPEECH: [&str; 6] = ["long_de", "long_en", "long_en_hole", "long_es", "short_en", "short_es"];
const TARGETS: [f64; 5] = [5.0, 10.0, 20.0, 30.0, 60.0];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/long").join(name)
}

fn samples(name: &str) -> Vec<f32> {
    let input = AudioInput::file(fixture(&format!("{name}.flac"))).unwrap();
    let mut reader = input.open(&AudioOptions::default()).unwrap();
    let mut samples = Vec::new();
    while let Some(block) = reader.next_block().unwrap() {
        samples.extend_from_slice(block);
    }
    samples
}

/// Samples, and the phrases and words in them as ranges of samples.
struct LabelledRecording {
    samples: Vec<f32>,
    phrases: Vec<(usize, usize)>,
    words: Vec<(usize, usize)>,
}

fn recording(name: &str) -> LabelledRecording {
    let json = std::fs::read_to_string(fixture(&format!("{name}.json"))).unwrap();
    let truth: Value = serde_json::from_str(&json).unwrap();
    let at = |value: &Value| (value.as_f64().unwrap() * f64::from(SAMPLE_RATE)).round() as usize;
    let span = |value: &Value| (at(&value["start"]), at(&value["end"]));
    let phrases = truth["phrases"].as_array().unwrap();
    LabelledRecording {
        samples: samples(name),
        phrases: phrases.iter().map(span).collect(),
        words: phrases.iter().flat_map(|p| p["words"].as_array().unwrap()).map(span).collect(),
    }
}

impl LabelledRecording {
    /// Returns it three times over, with at most `gap` seconds between phrases.
    fn dense(&self, gap: f64) -> Self {
        let gap = (gap * f64::from(SAMPLE_RATE)) as usize;
        let mut dense = Self { samples: Vec::new(), phrases: Vec::new(), words: Vec::new() };
        for _ in 0..3 {
            let mut end = 0;
            for phrase in &self.phrases {
                let between = &self.samples[end..phrase.0];
                let half = between.len().min(gap) / 2;
                dense.samples.extend_from_slice(&between[..half]);
                dense.samples.extend_from_slice(&between[between.len() - half..]);
                let start = dense.samples.len();
                let moved = |span: &(usize, usize)| (span.0 + start - phrase.0, span.1 + start - phrase.0);
                dense.phrases.push(moved(phrase));
                dense
                    .words
                    .extend(self.words.iter().filter(|w| w.0 >= phrase.0 && w.1 <= phrase.1).map(moved));
                dense.samples.extend_from_slice(&self.samples[phrase.0..phrase.1]);
                end = phrase.1;
            }
        }
        dense
    }

    /// With another sound under it, so many decibels below; what is shorter is repeated.
    fn over(mut self, other: &[f32], decibels: f32) -> Self {
        let level = |s: &[f32]| (s.iter().map(|x| x * x).sum::<f32>() / s.len() as f32).sqrt();
        let gain = level(&self.samples) / level(other) * 10_f32.powf(-decibels / 20.0);
        self.samples.iter_mut().zip(other.iter().cycle()).for_each(|(s, o)| *s += gain * o);
        self
    }

    fn quieter(mut self, decibels: f32) -> Self {
        self.samples.iter_mut().for_each(|s| *s *= 10_f32.powf(-decibels / 20.0));
        self
    }

    /// With nothing outside of a telephone's band.
    fn by_telephone(mut self) -> Self {
        let mut planner = realfft::RealFftPlanner::<f32>::new();
        let length = self.samples.len();
        let forward = planner.plan_fft_forward(length);
        let mut spectrum = forward.make_output_vec();
        forward.process(&mut self.samples, &mut spectrum).unwrap();
        for (bin, value) in spectrum.iter_mut().enumerate() {
            let hertz = bin as f64 * f64::from(SAMPLE_RATE) / length as f64;
            let passes = if (300.0..3400.0).contains(&hertz) { 1.0 / length as f32 } else { 0.0 };
            *value *= passes;
        }
        planner.plan_fft_inverse(length).process(&mut spectrum, &mut self.samples).unwrap();
        self
    }

    /// Returns the seconds between a cut and the nearest edge of a word; negative inside a word.
    fn distance(&self, cut: CutPoint) -> f64 {
        let at = cut.frame as i64 * HOP as i64;
        let distance = |word: &(usize, usize)| (word.0 as i64 - at).max(at - word.1 as i64);
        self.words.iter().map(distance).min().unwrap() as f64 / f64::from(SAMPLE_RATE)
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

fn cuts(samples: &[f32], target: f64) -> Vec<CutPoint> {
    let mut splitter = AudioSplitter::new(CutPolicy::AtPauses(target), &Selection::default());
    let mut boundaries = Vec::new();
    samples.chunks(8_000).for_each(|block| splitter.push(block, &mut boundaries));
    splitter.finish(&mut boundaries, &mut Vec::new());
    let cut = |boundary| if let Boundary::Cut(cut) = boundary { Some(cut) } else { None };
    boundaries.into_iter().filter_map(cut).filter(|cut| cut.kind != CutKind::Seam).collect()
}

/// Returns the lengths of the chunks in frames.
fn lengths(cuts: &[CutPoint], samples: &[f32]) -> Vec<u64> {
    let end = (samples.len() / HOP) as u64;
    let ends = cuts.iter().map(|cut| cut.frame).chain([end]);
    ends.scan(0, |start, end| Some(end - std::mem::replace(start, end))).collect()
}

/// Checks that all cuts lie in pauses and away from words, and that at most `too_long` chunks are longer than the target.
fn assert_cut_between_words(what: &str, recordings: &[LabelledRecording], target: f64, too_long: usize) {
    let (mut count, mut long, mut nearest) = (0, 0, f64::INFINITY);
    for recording in recordings {
        let cuts = cuts(&recording.samples, target);
        assert!(
            cuts.iter().all(|cut| matches!(cut.kind, CutKind::Pause { .. })),
            "{what}, {target} s: {cuts:?}"
        );
        nearest = cuts.iter().map(|cut| recording.distance(*cut)).fold(nearest, f64::min);
        count += cuts.len();
        let lengths = lengths(&cuts, &recording.samples);
        long += lengths.iter().filter(|frames| **frames as f64 > target * 100.0).count();
    }
    println!("{what}, {target} s: {count} cuts, {nearest:.3} s from words, {long} chunks too long");
    assert!(count > 0);
    assert!(nearest >= 0.05, "{what}, {target} s: {nearest} s from a word");
    assert!(long <= too_long, "{what}, {target} s: {long} chunks are longer than the target");
}

/// More than half of the pauses are shorter than 2 s, so there is not always one within the shortest target.
fn too_long(target: f64) -> usize {
    if target < 10.0 { 5 } else { 0 }
}

#[test]
fn speech_is_cut_between_words() {
    let recordings: Vec<LabelledRecording> = SPEECH.into_iter().map(recording).collect();
    for target in TARGETS {
        assert_cut_between_words("unchanged", &recordings, target, too_long(target));
    }
}

#[test]
fn quiet_speech_is_cut_between_words() {
    let quiet = SPEECH.map(|name| recording(name).quieter(30.0));
    for target in TARGETS {
        assert_cut_between_words("30 dB quieter", &quiet, target, too_long(target));
    }
}

#[test]
fn speech_over_noise_is_cut_between_words() {
    let noise = noise();
    for decibels in [20.0, 10.0] {
        let noisy = SPEECH.map(|name| recording(name).over(&noise, decibels));
        for target in &TARGETS[1..] {
            let too_long = if *target == 10.0 { 1 } else { 0 };
            assert_cut_between_words(&format!("noise {decibels} dB below"), &noisy, *target, too_long);
        }
    }
}

#[test]
fn speech_over_music_is_cut_between_words() {
    let music = samples("music");
    for decibels in [20.0, 10.0] {
        let noisy = SPEECH.map(|name| recording(name).over(&music, decibels));
        for target in &TARGETS[1..] {
            assert_cut_between_words(&format!("music {decibels} dB below"), &noisy, *target, 0);
        }
    }
}

#[test]
fn fast_speech_is_cut_between_words() {
    let dense: Vec<LabelledRecording> = SPEECH[..4].iter().map(|name| recording(name).dense(0.3)).collect();
    for target in [30.0, 60.0] {
        assert_cut_between_words("0.3 s between phrases", &dense, target, if target == 30.0 { 1 } else { 0 });
    }
}

#[test]
fn speech_over_hum_is_cut_between_words() {
    let hum: Vec<f32> = (0..SAMPLE_RATE)
        .map(|i| (i as f32 / SAMPLE_RATE as f32 * 50.0 * std::f32::consts::TAU).sin())
        .collect();
    let humming = SPEECH.map(|name| recording(name).over(&hum, 0.0));
    for target in TARGETS {
        assert_cut_between_words("hum as loud as the speech", &humming, target, too_long(target));
    }
}

#[test]
fn speech_by_telephone_is_cut_between_words() {
    let called: Vec<LabelledRecording> =
        SPEECH[..4].iter().map(|name| recording(name).dense(0.3).by_telephone()).collect();
    for target in [30.0, 60.0] {
        assert_cut_between_words("0.3 s between phrases, by telephone", &called, target, 0);
    }
}

/// Returns the mean power of 0.15 s around each frame.
fn powers(samples: &[f32]) -> Vec<f64> {
    let frames: Vec<f64> = samples
        .chunks_exact(HOP)
        .map(|frame| frame.iter().map(|s| f64::from(s * s)).sum::<f64>() / HOP as f64)
        .collect();
    (0..frames.len())
        .map(|at| {
            let around = &frames[at.saturating_sub(7)..(at + 8).min(frames.len())];
            around.iter().sum::<f64>() / around.len() as f64
        })
        .collect()
}

/// In the second half of the target hardly any frame is quieter than such a cut.
#[test]
fn speech_without_pauses_is_cut_at_the_quietest_frame() {
    let gapless = recording("long_en").dense(0.0);
    let powers = powers(&gapless.samples);
    let (mut hard, mut worst) = (0, 0.0_f64);
    for target in [2.0, 5.0, 10.0] {
        let half = (target * 50.0) as usize;
        let mut start = 0;
        let cuts = cuts(&gapless.samples, target);
        for cut in &cuts {
            if cut.kind == CutKind::NoPause {
                hard += 1;
                let here = powers[cut.frame as usize];
                let choice = &powers[start + half..=start + 2 * half];
                let quieter = choice.iter().filter(|p| **p < here).count();
                worst = worst.max(quieter as f64 / choice.len() as f64);
            }
            start = cut.frame as usize;
        }
        println!("no pauses, {target} s: {} cuts, {hard} hard, {worst:.3} is quieter", cuts.len());
    }
    assert!(hard > 20 && worst < 0.1, "{hard} hard cuts, {worst} is quieter");
}

/// Music is no speech, so that a cut may be anywhere: it is at a quiet frame of the second before it.
#[test]
fn music_is_cut_at_quiet_frames() {
    let music = samples("music");
    let powers = powers(&music);
    for target in [5.0, 10.0, 20.0, 30.0] {
        for cut in &cuts(&music, target) {
            let at = cut.frame as usize;
            let around = &powers[at.saturating_sub(100)..=at.min(powers.len() - 1)];
            let quieter = around.iter().filter(|power| **power < powers[at]).count();
            let share = quieter as f64 / around.len() as f64;
            println!("music, {target} s: {cut:?}, {:.0} % is quieter", share * 100.0);
            assert!(share < 0.5, "{cut:?}: {share}");
        }
    }
}

/// Returns the precision and the recall of voice activity detection.
fn precision_and_recall(recordings: &[LabelledRecording]) -> (f64, f64) {
    let (mut detected, mut spoken, mut both) = (0, 0, 0);
    for recording in recordings {
        let (mut voice, mut activity) = (VoiceDetector::new(), Vec::new());
        voice.push(&recording.samples, &mut activity);
        voice.finish(&mut activity);
        for (frame, probability) in activity.iter().enumerate() {
            let middle = frame * HOP + HOP / 2;
            let is = recording.phrases.iter().any(|p| (p.0..p.1).contains(&middle));
            let is_detected = *probability >= 0.5;
            detected += usize::from(is_detected);
            spoken += usize::from(is);
            both += usize::from(is && is_detected);
        }
    }
    (f64::from(both as u32) / f64::from(detected as u32), f64::from(both as u32) / f64::from(spoken as u32))
}

#[test]
fn voice_activity_detection_separates_speech_from_pauses() {
    let noise = noise();
    let unchanged = SPEECH.map(recording);
    let quiet = SPEECH.map(|name| recording(name).quieter(40.0));
    let noisy = SPEECH.map(|name| recording(name).over(&noise, 10.0));
    let music = SPEECH.map(|name| recording(name).over(&samples("music"), 20.0));
    for (what, recordings, least) in [
        ("unchanged", unchanged, 0.94),
        ("40 dB quieter", quiet, 0.94),
        ("noise 10 dB below", noisy, 0.9),
        ("music 20 dB below", music, 0.9),
    ] {
        let (precision, recall) = precision_and_recall(&recordings);
        println!("{what}: precision {precision:.3}, recall {recall:.3}");
        assert!(precision > least && recall > least, "{what}: {precision} {recall}");
    }
}
