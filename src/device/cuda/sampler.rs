//! Sampling on the device. Rows, rules and sampler states live in device memory; a step is recorded once for each number
//! of rows and then replayed, and the host reads the sampled tokens after several steps.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::{DType, Device, Result, Tensor, bail};

use super::executor::{Argument as A, Recording};
use super::executor::{bytes, bytes_mut};
use super::launcher::Cuda;
use crate::device::kernels::{DeviceBatch, TokenBatch, TokenRow};
use crate::device::sampling::{
    DecoderStep, DeviceSampler, DeviceSequence, NO_TOKEN, SampledBatch, SamplerState, TokenRuleParams,
    TokenRules,
};

/// Steps between two readbacks. A readback costs less than the slot of a finished sequence that stays empty until then.
const STEPS: usize = 8;
/// The largest number of candidate tokens per row.
const MAX_CANDIDATES: usize = 16;
/// Tokens that a row outputs at most between two readbacks.
const MAX_OUTPUTS: usize = if MAX_CANDIDATES > STEPS { MAX_CANDIDATES } else { STEPS };
/// Threads of the block that samples from the scores of a row.
const SAMPLING_THREADS: u32 = 1024;
const IDLE: TokenRow = TokenRow { token: 0, position: 0, sequence: NO_TOKEN, window: NO_TOKEN };

#[derive(Debug)]
pub struct SamplerCache {
    device: Device,
    state: Mutex<CacheContents>,
}

#[derive(Debug, Default)]
struct CacheContents {
    buffers: Option<SamplerBuffers>,
    /// The rules on the device, in the order of their masks.
    rules: Vec<Arc<TokenRules>>,
    recordings: BTreeMap<StepKind, Box<dyn Recording>>,
    /// How often a step of each kind ran without a recording.
    unrecorded_runs: BTreeMap<StepKind, usize>,
}

/// What distinguishes recordings. Steps of one kind differ only in the content of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct StepKind {
    rows: usize,
    /// The number of candidates per row, or `None` if one token is sampled.
    candidates: Option<usize>,
}

/// Buffers of a fixed size, so that the addresses in a recording stay valid.
#[derive(Debug)]
struct SamplerBuffers {
    /// Capacity in rows and in rule sets.
    capacity: usize,
    vocabulary: usize,
    rows: Tensor,
    states: Tensor,
    rules: Tensor,
    masks: Tensor,
    draws: Tensor,
    tokens: Tensor,
    log_probs: Tensor,
}

impl SamplerBuffers {
    fn new(capacity: usize, vocabulary: usize, device: &Device) -> Result<Self> {
        let words = |count: usize| Tensor::zeros(count, DType::U32, device);
        Ok(SamplerBuffers {
            capacity,
            vocabulary,
            rows: words(capacity * size_of::<TokenRow>() / 4)?,
            states: words(capacity * size_of::<SamplerState>() / 4)?,
            rules: words(capacity * size_of::<TokenRuleParams>() / 4)?,
            masks: Tensor::zeros(capacity * vocabulary, DType::U8, device)?,
            draws: words(capacity * STEPS * 2)?,
            tokens: words(capacity * MAX_OUTPUTS)?,
            log_probs: Tensor::zeros(capacity * MAX_OUTPUTS, DType::F32, device)?,
        })
    }
}

impl SamplerCache {
    pub fn new(device: &Device) -> Self {
        SamplerCache { device: device.clone(), state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, CacheContents> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Rounds a number of rows up, so that few different steps are recorded. The added rows are idle.
fn bucket(count: usize) -> usize {
    match count {
        0..=8 => count.next_power_of_two(),
        9..=64 => count.next_multiple_of(8),
        _ => count.next_multiple_of(32),
    }
}

fn index_of(uploaded: &[Arc<TokenRules>], rules: &Arc<TokenRules>) -> Option<usize> {
    uploaded
        .iter()
        .position(|other| Arc::ptr_eq(other, rules))
        .or_else(|| uploaded.iter().position(|other| other == rules))
}

impl Cuda {
    /// Makes buffers for this many rows, and uploads the rules of the sequences that are not on the device yet.
    fn prepare(&self, state: &mut CacheContents, sequences: &[DeviceSequence], rows: usize) -> Result<()> {
        let Some(vocabulary) = sequences.first().map(|sequence| sequence.rules.mask.len()) else {
            return Ok(());
        };
        let fits = |buffers: &SamplerBuffers| buffers.capacity >= rows && buffers.vocabulary == vocabulary;
        if !state.buffers.as_ref().is_some_and(fits) {
            // Recordings hold the old addresses.
            *state = CacheContents::default();
            state.buffers =
                Some(SamplerBuffers::new(rows.max(32), vocabulary, &self.sampler_cache().device)?);
        }
        let Some(buffers) = &state.buffers else { return Ok(()) };
        for rules in sequences.iter().map(|sequence| &sequence.rules) {
            if rules.mask.len() != vocabulary {
                bail!("rules for {} tokens instead of {vocabulary}", rules.mask.len());
            }
            if index_of(&state.rules, rules).is_some() {
                continue;
            }
            let is_needed =
                |uploaded: &Arc<TokenRules>| sequences.iter().any(|sequence| *sequence.rules == **uploaded);
            let index = match state.rules.iter().position(|uploaded| !is_needed(uploaded)) {
                Some(unused) if state.rules.len() == buffers.capacity => unused,
                _ => state.rules.len(),
            };
            let params = TokenRuleParams { mask_row: index as u32, ..rules.params };
            let params_at = self.at(&buffers.rules)? + (index * size_of::<TokenRuleParams>()) as u64;
            self.executor().upload(bytes(&[params]), params_at)?;
            self.executor().upload(&rules.mask, self.at(&buffers.masks)? + (index * vocabulary) as u64)?;
            match state.rules.get_mut(index) {
                Some(replaced) => *replaced = Arc::clone(rules),
                None => state.rules.push(Arc::clone(rules)),
            }
        }
        Ok(())
    }

    fn upload_sequences(
        &self,
        uploaded: &[Arc<TokenRules>],
        buffers: &SamplerBuffers,
        sequences: &[DeviceSequence],
        row_count: usize,
    ) -> Result<()> {
        let mut rows: Vec<TokenRow> = sequences.iter().map(|sequence| sequence.row).collect();
        rows.resize(row_count, IDLE);
        let rules = |sequence: &DeviceSequence| index_of(uploaded, &sequence.rules).unwrap_or(0) as u32;
        let states: Vec<SamplerState> = sequences
            .iter()
            .map(|sequence| SamplerState { rules: rules(sequence), step: 0, ..sequence.state })
            .collect();
        self.executor().upload(bytes(&rows), self.at(&buffers.rows)?)?;
        self.executor().upload(bytes(&states), self.at(&buffers.states)?)?;
        if sequences.iter().any(|sequence| sequence.state.temperature > 0.0) {
            let mut draws = vec![0f64; sequences.len() * STEPS];
            for (to, sequence) in draws.chunks_exact_mut(STEPS).zip(sequences) {
                let given = sequence.draws.len().min(STEPS);
                to[..given].copy_from_slice(&sequence.draws[..given]);
            }
            self.executor().upload(bytes(&draws), self.at(&buffers.draws)?)?;
        }
        // Outputs that the kernels do not overwrite read as "no token".
        self.executor().upload(bytes(&vec![NO_TOKEN; row_count * MAX_OUTPUTS]), self.at(&buffers.tokens)?)
    }

    /// Samples a token of each row from its scores, or ranks its most likely ones.
    fn launch_sampling(&self, buffers: &SamplerBuffers, scores: &Tensor, kind: StepKind) -> Result<()> {
        let pointer = |x: &Tensor| self.at(x).map(A::Pointer);
        let SamplerBuffers { rows, states, rules, masks, draws, tokens, log_probs, .. } = buffers;
        let mut arguments = vec![pointer(scores)?, A::Int(buffers.vocabulary as i32)];
        for x in [rows, states, rules, masks] {
            arguments.push(pointer(x)?);
        }
        let (kernel, outputs) = match kind.candidates {
            None => {
                arguments.push(pointer(draws)?);
                ("sample", STEPS)
            }
            Some(count) => ("top_tokens", count),
        };
        arguments.extend([pointer(tokens)?, pointer(log_probs)?, A::Int(outputs as i32)]);
        self.launch((kernel, DType::F32), [kind.rows, 1, 1], SAMPLING_THREADS, &arguments)
    }

    /// Reads back up to `outputs` tokens of each row.
    fn read_outputs(
        &self,
        buffers: &SamplerBuffers,
        rows: usize,
        outputs: usize,
        sampled: &mut SampledBatch,
    ) -> Result<()> {
        let mut tokens = vec![NO_TOKEN; rows * outputs];
        let mut log_probs = vec![f32::NAN; rows * outputs];
        self.executor().download(self.at(&buffers.tokens)?, bytes_mut(&mut tokens))?;
        self.executor().download(self.at(&buffers.log_probs)?, bytes_mut(&mut log_probs))?;
        let of_rows = tokens.chunks_exact(outputs).zip(log_probs.chunks_exact(outputs));
        sampled.extend(of_rows.map(|(tokens, log_probs)| {
            let pairs = tokens.iter().copied().zip(log_probs.iter().copied());
            pairs.take_while(|(token, _)| *token != NO_TOKEN).collect()
        }));
        Ok(())
    }

    fn run_sampler(
        &self,
        sequences: &[DeviceSequence],
        candidates: Option<usize>,
        steps: usize,
        step: DecoderStep<'_>,
        sampled: &mut SampledBatch,
    ) -> Result<()> {
        sampled.clear();
        if sequences.is_empty() {
            return Ok(());
        }
        let kind = StepKind { rows: bucket(sequences.len()), candidates };
        let state = &mut *self.sampler_cache().lock();
        self.prepare(state, sequences, kind.rows)?;
        let Some(buffers) = state.buffers.take() else { return Ok(()) };
        let outcome = self
            .upload_sequences(&state.rules, &buffers, sequences, kind.rows)
            .and_then(|()| self.run_steps(state, &buffers, kind, steps, step))
            .and_then(|()| {
                self.read_outputs(&buffers, sequences.len(), candidates.unwrap_or(STEPS), sampled)
            });
        state.buffers = Some(buffers);
        outcome
    }

    fn run_steps(
        &self,
        state: &mut CacheContents,
        buffers: &SamplerBuffers,
        kind: StepKind,
        steps: usize,
        step: DecoderStep<'_>,
    ) -> Result<()> {
        let on_device = DeviceBatch { rows: buffers.rows.clone(), tiles: None };
        let batch =
            TokenBatch { rows: vec![IDLE; kind.rows], positions: Vec::new(), on_device: Some(on_device) };
        let mut run_step = || self.launch_sampling(buffers, &step(&batch)?, kind);
        for _ in 0..steps {
            if let Some(recording) = state.recordings.get(&kind) {
                recording.replay()?;
                continue;
            }
            // The first run is never recorded: it allocates, and libraries select their algorithms.
            run_step()?;
            let runs = state.unrecorded_runs.entry(kind).or_default();
            *runs += 1;
            if *runs == 2
                && let Some(recording) = self.executor().record(&mut run_step)?
            {
                state.recordings.insert(kind, recording);
            }
        }
        Ok(())
    }
}

impl DeviceSampler for Cuda {
    fn steps(&self) -> usize {
        STEPS
    }

    fn padded_rows(&self, sequences: usize) -> usize {
        bucket(sequences)
    }

    fn sample(
        &self,
        sequences: &[DeviceSequence],
        step: DecoderStep<'_>,
        sampled: &mut SampledBatch,
    ) -> Result<()> {
        let longest = sequences.iter().map(|sequence| sequence.state.remaining as usize).max();
        self.run_sampler(sequences, None, longest.unwrap_or(0).min(STEPS), step, sampled)
    }

    fn max_candidates(&self) -> usize {
        MAX_CANDIDATES
    }

    fn top_tokens(
        &self,
        sequences: &[DeviceSequence],
        count: usize,
        step: DecoderStep<'_>,
        candidates: &mut SampledBatch,
    ) -> Result<()> {
        if count == 0 || count > MAX_CANDIDATES {
            bail!("{count} candidate tokens instead of 1 to {MAX_CANDIDATES}");
        }
        self.run_sampler(sequences, Some(count), 1, step, candidates)?;
        // Scores that are not numbers yield log-probabilities that are not either.
        for row in candidates.iter_mut().filter(|row| row.iter().any(|(_, log_prob)| log_prob.is_nan())) {
            row.clear();
        }
        Ok(())
    }

    fn discard_recordings(&self) {
        self.sampler_cache().lock().recordings.clear();
    }
}
