//! Measures how fast this machine is: sends a recording through the whole program, with the same work in every window.

use std::cell::{Cell, RefCell};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;
use tempfile::NamedTempFile;

use super::models::{ModelId, ModelSet, find_model};
use super::scheduler::{Scheduler, decoder_threads};
use super::speakers::SpeakerSetups;
use super::{GuardOptions, RunContext, RunEvent, RunRequest};
use crate::audio::{AudioInput, AudioOptions};
use crate::decode::{DecodeOptions, Language, SuppressTokens, WordTimes};
use crate::device::memory::ReleasePolicy;
use crate::device::{self, DeviceRequest, Precision, SelectedDevice};
use crate::engine::{Engine, EngineGroup};
use crate::error::{Error, Result};
use crate::mel::{ChunkMode, MelChunker};
use crate::models::{LoadLimits, LoadedModel, ModelOptions, SlotRequest, load, load_random};
use crate::plan::{InputSettings, ModelRequest, PlanRequest};
use crate::plan::{InputSource, PlannedInput};
use crate::time::{SAMPLE_RATE, seconds_of_samples};
use crate::transcript::ModelIdentity;

/// What to measure.
#[derive(Debug, Clone)]
pub struct BenchRequest {
    /// The recording; a synthetic one if none.
    pub audio: Option<PathBuf>,
    /// Seconds of the synthetic recording.
    pub seconds: f64,
    pub model: BenchModel,
    pub device: DeviceRequest,
    pub precision: Precision,
    /// Tokens decoded in every window; none ends earlier.
    pub tokens: usize,
    pub beam_size: usize,
    pub word_timestamps: bool,
    pub batch_size: Option<usize>,
    pub chunk_length: f64,
    pub release: ReleasePolicy,
}

#[derive(Debug, Clone)]
pub enum BenchModel {
    Checkpoint(Box<ModelRequest>),
    /// Random weights with the shapes of this model size.
    Random(String),
}

/// What was measured, with times in seconds.
#[derive(Debug, Clone, Serialize)]
pub struct BenchResult {
    pub version: &'static str,
    pub model: String,
    pub device: String,
    pub threads: usize,
    pub batch_size: usize,
    pub chunk_length: f64,
    pub tokens_per_window: usize,
    pub audio_seconds: f64,
    /// From the first byte of audio to the last text, without loading the model.
    pub seconds: f64,
    pub times_real_time: f64,
    /// Decoding, resampling, cutting and mel alone.
    pub front_end_seconds: f64,
    pub windows: u64,
    pub encoder_seconds: f64,
    pub decoder_seconds: f64,
    /// Timing words.
    pub aligning_seconds: f64,
    pub decoder_steps: u64,
    /// Mean number of sequences in a step.
    pub rows_per_step: f64,
    pub tokens: u64,
    pub slot_occupancy: f64,
    pub waited_for_audio: f64,
    pub load_seconds: f64,
    /// Releasing memory between chunks.
    pub releasing_seconds: f64,
    /// The most bytes that this process held.
    pub peak_memory: u64,
}

/// Ten seconds of synthetic speech.
pub const CLIP: &[u8] = include_bytes!("../../fixtures/long/short_en.flac");

/// Runs a benchmark.
pub fn bench(request: &BenchRequest, context: RunContext<'_>) -> Result<BenchResult> {
    let (mut synthetic, mut audio) = (None, request.audio.clone());
    if audio.is_none() {
        let file = synthetic.insert(synthetic_speech(request.seconds)?);
        audio = Some(file.path().to_owned());
    }
    let audio = audio.unwrap_or_default();
    let started = Instant::now();
    let (model, name, device) = load_model(request, context)?;
    let load_seconds = started.elapsed().as_secs_f64();
    let run = run_request(request, &audio, model.tokenizer.special().eot);
    let bytes = model.memory.total();
    let engine = Engine::start(model.backend, model.tokenizer, request.release, context.cancel)?;
    let engine = Arc::new(EngineGroup::new(vec![engine])?);
    let shape = (engine.n_mels(), decoder_threads(&device, 1));
    let (audio_seconds, front_end_seconds) = measure_front_end(&audio, shape, request.chunk_length, context)?;

    let identity = ModelIdentity { name: name.clone(), revision: None };
    let mut models = ModelSet::new((device.clone(), Vec::new()), false, run.plan.models, (1, 1));
    let id = models.insert_loaded(&run.plan.settings.model, Arc::clone(&engine), identity, bytes)?;
    let item = PlannedInput::new(InputSource::File(audio));
    let (seconds, peak_memory) = measure_run(&run, &mut models, (item, id), context)?;
    let stats = engine.stats();
    Ok(BenchResult {
        version: env!("CARGO_PKG_VERSION"),
        model: name,
        device: device.label(),
        threads: rayon::current_num_threads(),
        batch_size: engine.capacity().windows,
        chunk_length: request.chunk_length,
        tokens_per_window: request.tokens,
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
        peak_memory,
    })
}

/// Transcribes one input; returns the seconds it takes and the most bytes that this process held.
fn measure_run(
    request: &RunRequest,
    models: &mut ModelSet,
    input: (PlannedInput, ModelId),
    context: RunContext<'_>,
) -> Result<(f64, u64)> {
    let (failure, peak_memory) = (RefCell::new(None), Cell::new(0));
    let sink = |event: RunEvent| {
        match &event {
            RunEvent::Failed { error, .. } => {
                failure.borrow_mut().get_or_insert(Arc::clone(error));
            }
            RunEvent::MemoryReleased { footprint, .. } => {
                peak_memory.set(peak_memory.get().max(footprint.memory.host.peak));
            }
            _ => {}
        }
        context.emit(event);
    };
    let started = Instant::now();
    let watched = RunContext::new(context.cancel, &sink);
    let mut speakers = SpeakerSetups::default();
    Scheduler::new(request, watched, models, &mut speakers, None).run(vec![input])?;
    match failure.take() {
        Some(error) => Err(Error::Shared(error)),
        None => Ok((started.elapsed().as_secs_f64(), peak_memory.get())),
    }
}

fn load_model(
    request: &BenchRequest,
    context: RunContext<'_>,
) -> Result<(LoadedModel, String, SelectedDevice)> {
    let device = device::select(request.device)?.with_precision(request.precision)?;
    if let Some(why) = &device.fallback_reason {
        context.emit(RunEvent::AcceleratorUnavailable { why: why.clone() });
    }
    let beams = request.beam_size;
    let slots = SlotRequest { windows: request.batch_size, candidates: beams, beams };
    let (model, name) = match &request.model {
        BenchModel::Random(size) => (load_random(size, &device, slots)?, format!("random {size}")),
        BenchModel::Checkpoint(model) => {
            let checkpoint = find_model(model, &device, context)?;
            let name = checkpoint.name.clone();
            let limits = LoadLimits { budget: None, on_fewer_windows: &mut |_| () };
            (load(&checkpoint, &device, slots, limits)?, name)
        }
    };
    Ok((model, name, device))
}

/// Greedy decoding without timestamps or fallback, with the same number of tokens in every window.
fn run_request(request: &BenchRequest, audio: &Path, eot: u32) -> RunRequest {
    let decode = DecodeOptions {
        language: Some(Language::ENGLISH),
        temperatures: vec![0.0],
        compression_ratio_threshold: None,
        logprob_threshold: None,
        no_speech_threshold: None,
        condition_on_previous_text: false,
        without_timestamps: true,
        suppress_tokens: SuppressTokens::List { non_speech: true, ids: vec![eot] },
        sample_len: Some(request.tokens),
        beam_size: Some(request.beam_size),
        word_times: if request.word_timestamps { WordTimes::OpenAi } else { WordTimes::None },
        ..DecodeOptions::default()
    };
    let model = match &request.model {
        BenchModel::Checkpoint(request) => ModelRequest::clone(request),
        BenchModel::Random(size) => ModelRequest::named(size),
    };
    let chunk_length = request.chunk_length;
    let settings = InputSettings { decode, chunk_length, ..InputSettings::new(model) };
    let plan = PlanRequest {
        device: request.device,
        models: ModelOptions { release: request.release, ..ModelOptions::default() },
        resume: false,
        ..PlanRequest::new(vec![audio.to_owned()], settings)
    };
    // The guard is off, so that the figures do not depend on other processes.
    let guard = GuardOptions { memory: 0, device_memory: 0, disk: 0, ..GuardOptions::default() };
    RunRequest { guard, ..RunRequest::new(plan) }
}

/// Returns the seconds of audio, and the seconds that making its chunks takes alone.
fn measure_front_end(
    audio: &Path,
    (n_mels, decoder_threads): (usize, usize),
    chunk_length: f64,
    context: RunContext<'_>,
) -> Result<(f64, f64)> {
    let started = Instant::now();
    let mut reader = AudioInput::file(audio)?.open_prefetching(&AudioOptions::default(), decoder_threads)?;
    let chunk_mode = match chunk_length {
        0.0 => ChunkMode::Seamless { loudest: 0.0 },
        seconds => ChunkMode::AtPauses { seconds },
    };
    let (mut chunker, mut chunks) = (MelChunker::new(n_mels, chunk_mode), Vec::new());
    while let Some(block) = reader.next_block()? {
        context.check()?;
        chunker.push(block, &mut chunks);
        chunks.clear();
    }
    let (samples, _) = chunker.finish(&mut chunks);
    Ok((seconds_of_samples(samples), started.elapsed().as_secs_f64()))
}

/// Writes a WAV file of the clip of synthetic speech again and again.
fn synthetic_speech(seconds: f64) -> Result<NamedTempFile> {
    let failed = |error| Error::compute("writing a synthetic recording", error);
    let mut clip = tempfile::Builder::new().suffix(".flac").tempfile().map_err(failed)?;
    clip.write_all(CLIP).map_err(failed)?;
    let mut reader = AudioInput::file(clip.path())?.open(&AudioOptions::default())?;
    let mut voice = Vec::new();
    while let Some(block) = reader.next_block()? {
        voice.extend(block.iter().flat_map(|sample| ((sample * 32_767.0) as i16).to_le_bytes()));
    }
    let bytes = 2 * (seconds * f64::from(SAMPLE_RATE)) as u32;
    let mut wav = Vec::with_capacity(44 + bytes as usize);
    wav.extend(b"RIFF");
    wav.extend((36 + bytes).to_le_bytes());
    wav.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    wav.extend(SAMPLE_RATE.to_le_bytes());
    wav.extend((2 * SAMPLE_RATE).to_le_bytes());
    wav.extend(b"\x02\0\x10\0data");
    wav.extend(bytes.to_le_bytes());
    wav.extend(voice.into_iter().cycle().take(bytes as usize));
    let mut file = tempfile::Builder::new().suffix(".wav").tempfile().map_err(failed)?;
    file.write_all(&wav).map_err(failed)?;
    Ok(file)
}
