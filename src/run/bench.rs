//! How fast this machine is: a recording through the whole program, with the same work in every window.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;
use tempfile::NamedTempFile;

use super::models::{ModelOptions, Models, find_model};
use super::scheduler::{Conductor, lanes};
use super::session::Summary;
use super::{Event, GuardOptions};
use crate::audio::{AudioInput, AudioOptions};
use crate::cancel::CancelToken;
use crate::chunking::Selection;
use crate::decode::{DecodeOptions, Language, SuppressTokens};
use crate::device::{self, Beside, DeviceRequest, Precision, Selected};
use crate::engine::{Engine, ReleasePolicy, Team};
use crate::error::{Error, Result};
use crate::export::Shape;
use crate::mel::{ChunkMaker, Division};
use crate::models::{Model, Room, Slots, load, load_random};
use crate::plan::{InputOptions, InputSource, OutputOptions, PlannedInput};
use crate::plan::{Job, ModelRequest, Settings};
use crate::time::{SAMPLE_RATE, seconds_of_samples};
use crate::transcript::ModelIdentity;

/// What to measure.
#[derive(Debug, Clone)]
pub struct Bench {
    /// Something that sounds a little like speech if not given.
    pub audio: Option<PathBuf>,
    /// Seconds of that.
    pub seconds: f64,
    pub model: BenchModel,
    pub device: DeviceRequest,
    pub precision: Precision,
    /// New tokens in every window; nothing ends earlier.
    pub tokens: usize,
    /// Beginnings of each window's text that are followed side by side.
    pub beam_size: usize,
    pub word_timestamps: bool,
    pub batch_size: Option<usize>,
    pub chunk_length: f64,
    pub release: ReleasePolicy,
}

#[derive(Debug, Clone)]
pub enum BenchModel {
    Checkpoint(ModelRequest),
    /// Random weights at the shapes of this size.
    Random(String),
}

/// What was measured; times in seconds.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    pub version: &'static str,
    pub model: String,
    pub device: String,
    pub threads: usize,
    pub batch_size: usize,
    pub chunk_length: f64,
    pub tokens_per_window: usize,
    pub audio_seconds: f64,
    /// From the first byte of audio to the last text, the model being loaded.
    pub seconds: f64,
    pub times_real_time: f64,
    /// Reading, resampling, cutting and mel alone.
    pub front_end_seconds: f64,
    pub windows: u64,
    pub encoder_seconds: f64,
    pub decoder_seconds: f64,
    /// Timing words.
    pub aligning_seconds: f64,
    pub decoder_steps: u64,
    /// Sequences in a step, on average.
    pub rows_per_step: f64,
    pub tokens: u64,
    pub slot_occupancy: f64,
    pub waited_for_audio: f64,
    pub load_seconds: f64,
    /// Giving memory back between chunks.
    pub releasing_seconds: f64,
    /// Bytes held by this process at most.
    pub peak_memory: u64,
}

pub fn bench(bench: &Bench, cancel: &CancelToken, on_event: &mut dyn FnMut(Event<'_>)) -> Result<Figures> {
    let (mut spoken, mut audio) = (None, bench.audio.clone());
    if audio.is_none() {
        let file = spoken.insert(speech(bench.seconds)?);
        audio = Some(file.path().to_owned());
    }
    let audio = audio.unwrap_or_default();
    let started = Instant::now();
    let (model, name, device) = prepare(bench, cancel, on_event)?;
    let load_seconds = started.elapsed().as_secs_f64();
    let job = job(bench, &audio, model.tokenizer.special().eot);
    let bytes = model.needs.total();
    let engine = Engine::start(model.backend, model.tokenizer, bench.release, cancel)?;
    let engine = Arc::new(Team::new(vec![engine])?);
    let lanes = lanes(&device, 1);
    let (audio_seconds, front_end_seconds) =
        front_end(&audio, (engine.n_mels(), lanes), bench.chunk_length, cancel)?;

    let (mut summary, identity) = (Summary::default(), ModelIdentity { name: name.clone(), revision: None });
    let item = PlannedInput::new(InputSource::File(audio));
    let mut models = Models::new((device.clone(), Vec::new()), false, job.models, (1, 1));
    let which = models.adopt(&job.settings.model, Arc::clone(&engine), identity, bytes)?;
    let started = Instant::now();
    Conductor::new(&job, cancel, &mut models, &mut summary, on_event).run(vec![(item, which)])?;
    let seconds = started.elapsed().as_secs_f64();
    if let Some(error) = summary.failures.pop() {
        return Err(error);
    }
    let stats = engine.stats();
    Ok(Figures {
        version: env!("CARGO_PKG_VERSION"),
        model: name,
        device: device.label(),
        threads: rayon::current_num_threads(),
        batch_size: engine.capacity().windows,
        chunk_length: bench.chunk_length,
        tokens_per_window: bench.tokens,
        audio_seconds,
        seconds,
        times_real_time: audio_seconds / seconds,
        front_end_seconds,
        windows: stats.windows,
        encoder_seconds: stats.encoding,
        decoder_seconds: stats.decoding,
        aligning_seconds: stats.aligning,
        decoder_steps: stats.steps,
        rows_per_step: stats.rows as f64 / stats.steps.max(1) as f64,
        tokens: stats.tokens,
        slot_occupancy: stats.occupancy(),
        waited_for_audio: stats.starved,
        load_seconds,
        releasing_seconds: stats.releasing,
        peak_memory: summary.peak_host,
    })
}

fn prepare(
    bench: &Bench,
    cancel: &CancelToken,
    on_event: &mut dyn FnMut(Event<'_>),
) -> Result<(Model, String, Selected)> {
    let device = device::select(bench.device)?.computing_in(bench.precision)?;
    if let Some(why) = &device.passed_over {
        on_event(Event::PassedOver { why });
    }
    let beams = bench.beam_size;
    let slots = Slots { windows: bench.batch_size, candidates: beams, beams };
    let (model, name) = match &bench.model {
        BenchModel::Random(size) => (load_random(size, &device, slots)?, format!("random {size}")),
        BenchModel::Checkpoint(request) => {
            let checkpoint = find_model(request, &device, cancel, on_event)?;
            let name = checkpoint.name.clone();
            let room = Room { budget: None, on_less: &mut |_| () };
            (load(&checkpoint, &device, slots, room)?, name)
        }
    };
    Ok((model, name, device))
}

/// Greedy, without timestamps, nothing tried again, every window as long as the others.
fn job(bench: &Bench, audio: &Path, eot: u32) -> Job {
    let decode = DecodeOptions {
        language: Some(Language::ENGLISH),
        temperatures: vec![0.0],
        compression_ratio_threshold: None,
        logprob_threshold: None,
        no_speech_threshold: None,
        condition_on_previous_text: false,
        without_timestamps: true,
        suppress_tokens: SuppressTokens::List { non_speech: true, ids: vec![eot] },
        sample_len: Some(bench.tokens),
        beam_size: Some(bench.beam_size),
        word_timestamps: bench.word_timestamps,
        ..DecodeOptions::default()
    };
    let model = match &bench.model {
        BenchModel::Checkpoint(request) => request.clone(),
        BenchModel::Random(size) => ModelRequest::named(size),
    };
    Job {
        inputs: vec![audio.to_owned()],
        finding: InputOptions::default(),
        shard: None,
        plan: OutputOptions::default(),
        shape: Shape::default(),
        audio: AudioOptions::default(),
        settings: Arc::new(Settings { model, decode, selection: Selection::default() }),
        device: bench.device,
        beside: Beside::default(),
        least_coverage: None,
        voice_report: None,
        chunk_length: bench.chunk_length,
        models: ModelOptions { release: bench.release, ..ModelOptions::default() },
        // What is measured must not depend on what others do.
        guard: GuardOptions { memory: 0, device_memory: 0, disk: 0, ..GuardOptions::default() },
        jobs: None,
        resume: false,
    }
}

/// Seconds of audio, and seconds that making its chunks takes alone.
fn front_end(
    audio: &Path,
    (bins, lanes): (usize, usize),
    chunk_length: f64,
    cancel: &CancelToken,
) -> Result<(f64, f64)> {
    let started = Instant::now();
    let mut reader = AudioInput::file(audio)?.open_prefetching(&AudioOptions::default(), lanes)?;
    let division = match chunk_length {
        0.0 => Division::Seamless { loudest: 0.0 },
        seconds => Division::AtPauses { seconds },
    };
    let (mut maker, mut chunks) = (ChunkMaker::new(bins, division), Vec::new());
    while let Some(block) = reader.next_block()? {
        cancel.check()?;
        maker.push(block, &mut chunks);
        chunks.clear();
    }
    let (samples, _) = maker.finish(&mut chunks);
    Ok((seconds_of_samples(samples), started.elapsed().as_secs_f64()))
}

/// A WAV file of tones that rise and fall like syllables, with pauses between phrases.
fn speech(seconds: f64) -> Result<NamedTempFile> {
    let failed = |error| Error::compute("making a recording to measure with", error);
    let samples = (seconds * f64::from(SAMPLE_RATE)) as u32;
    let mut wav = Vec::with_capacity(44 + 2 * samples as usize);
    wav.extend(b"RIFF");
    wav.extend((36 + 2 * samples).to_le_bytes());
    wav.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    wav.extend(SAMPLE_RATE.to_le_bytes());
    wav.extend((2 * SAMPLE_RATE).to_le_bytes());
    wav.extend(b"\x02\0\x10\0data");
    wav.extend((2 * samples).to_le_bytes());
    wav.extend(
        (0..samples)
            .flat_map(|sample| (syllable(f64::from(sample) / f64::from(SAMPLE_RATE)) as i16).to_le_bytes()),
    );
    let mut file = tempfile::Builder::new().suffix(".wav").tempfile().map_err(failed)?;
    file.write_all(&wav).map_err(failed)?;
    Ok(file)
}

fn syllable(time: f64) -> f64 {
    let turn = std::f64::consts::TAU * time;
    let is_pause = time % 4.0 > 3.4;
    let loudness = if is_pause { 0.0 } else { (turn * 2.5).sin().max(0.0) };
    let pitch = 120.0 + 20.0 * (time * 0.7).sin();
    let voice: f64 = (1..12).map(|n| (turn * pitch * f64::from(n)).sin() / f64::from(n)).sum();
    4_000.0 * loudness * voice
}
