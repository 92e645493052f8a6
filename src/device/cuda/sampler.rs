//! Sequences that go on by themselves: rows, rules and choices lie on the device, a step is recorded once for each
//! number of rows and replayed, and the host reads what was chosen after several of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::{DType, Device, Result, Tensor, bail};

use super::executor::{Argument as A, Recording};
use super::ops::{Cuda, bytes, bytes_mut};
use crate::device::kernels::{DeviceRows, Row, Rows};
use crate::device::sampling::{Ahead, Choice, Chosen, Going, NONE, RuleSet, TokenRules};

/// Steps between two looks of the host: it waits less than the slot of a sequence that has ended stays empty.
const STEPS: usize = 8;
/// Of so many of the likeliest tokens a row can tell.
const RANKS: usize = 16;
/// Tokens that a row tells at most between two looks.
const TOLD: usize = if RANKS > STEPS { RANKS } else { STEPS };
/// Threads of the block that looks over the scores of a row.
const CHOOSING: u32 = 1024;
const IDLE: Row = Row { token: 0, position: 0, sequence: NONE, window: NONE };

#[derive(Debug)]
pub struct Stepper {
    device: Device,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    memory: Option<Memory>,
    /// Which rules lie on the device, in the order of their masks.
    rules: Vec<Arc<TokenRules>>,
    recordings: BTreeMap<Kind, Box<dyn Recording>>,
    /// How often a step was made as it is.
    seen: BTreeMap<Kind, usize>,
}

/// Steps that differ in nothing but the content of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    rows: usize,
    /// How many of the likeliest tokens are told of; none if one is chosen.
    ranks: Option<usize>,
}

/// Of a fixed size, so that nothing moves that a recording knows.
#[derive(Debug)]
struct Memory {
    /// Rows there is room for, and rule sets.
    most: usize,
    vocabulary: usize,
    rows: Tensor,
    choices: Tensor,
    rules: Tensor,
    masks: Tensor,
    draws: Tensor,
    tokens: Tensor,
    log_probs: Tensor,
}

impl Memory {
    fn new(most: usize, vocabulary: usize, device: &Device) -> Result<Self> {
        let words = |count: usize| Tensor::zeros(count, DType::U32, device);
        Ok(Memory {
            most,
            vocabulary,
            rows: words(most * size_of::<Row>() / 4)?,
            choices: words(most * size_of::<Choice>() / 4)?,
            rules: words(most * size_of::<RuleSet>() / 4)?,
            masks: Tensor::zeros(most * vocabulary, DType::U8, device)?,
            draws: words(most * STEPS * 2)?,
            tokens: words(most * TOLD)?,
            log_probs: Tensor::zeros(most * TOLD, DType::F32, device)?,
        })
    }
}

impl Stepper {
    pub fn new(device: &Device) -> Self {
        Stepper { device: device.clone(), state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// For how many rows a step is made, so that few different ones are recorded: those beyond the sequences are idle.
fn bucket(count: usize) -> usize {
    match count {
        0..=8 => count.next_power_of_two(),
        9..=64 => count.next_multiple_of(8),
        _ => count.next_multiple_of(32),
    }
}

impl Cuda {
    /// Room for so many sequences, and their rules at their places.
    fn prepare(&self, state: &mut State, going: &[Going], count: usize) -> Result<()> {
        let Some(vocabulary) = going.first().map(|going| going.rules.mask.len()) else { return Ok(()) };
        let fits = |memory: &Memory| memory.most >= count && memory.vocabulary == vocabulary;
        if !state.memory.as_ref().is_some_and(fits) {
            // Recordings know the old addresses.
            *state = State::default();
            state.memory = Some(Memory::new(count.max(32), vocabulary, &self.stepper.device)?);
        }
        let Some(memory) = &state.memory else { return Ok(()) };
        for rules in going.iter().map(|going| &going.rules) {
            if rules.mask.len() != vocabulary {
                bail!("rules for {} tokens instead of {vocabulary}", rules.mask.len());
            }
            if place_of(&state.rules, rules).is_some() {
                continue;
            }
            let is_needed = |there: &Arc<TokenRules>| going.iter().any(|going| *going.rules == **there);
            let free = match state.rules.iter().position(|there| !is_needed(there)) {
                Some(free) if state.rules.len() == memory.most => free,
                _ => state.rules.len(),
            };
            let set = RuleSet { mask: free as u32, ..rules.set };
            self.executor
                .upload(bytes(&[set]), self.at(&memory.rules)? + (free * size_of::<RuleSet>()) as u64)?;
            self.executor.upload(&rules.mask, self.at(&memory.masks)? + (free * vocabulary) as u64)?;
            match state.rules.get_mut(free) {
                Some(place) => *place = Arc::clone(rules),
                None => state.rules.push(Arc::clone(rules)),
            }
        }
        Ok(())
    }

    fn upload_going(&self, state: &State, memory: &Memory, going: &[Going], count: usize) -> Result<()> {
        let mut rows: Vec<Row> = going.iter().map(|going| going.row).collect();
        rows.resize(count, IDLE);
        let rules = |going: &Going| place_of(&state.rules, &going.rules).unwrap_or(0) as u32;
        let choices: Vec<Choice> =
            going.iter().map(|going| Choice { rules: rules(going), step: 0, ..going.choice }).collect();
        self.executor.upload(bytes(&rows), self.at(&memory.rows)?)?;
        self.executor.upload(bytes(&choices), self.at(&memory.choices)?)?;
        if going.iter().any(|going| going.choice.temperature > 0.0) {
            let mut draws = vec![0f64; going.len() * STEPS];
            for (to, going) in draws.chunks_exact_mut(STEPS).zip(going) {
                let known = going.draws.len().min(STEPS);
                to[..known].copy_from_slice(&going.draws[..known]);
            }
            self.executor.upload(bytes(&draws), self.at(&memory.draws)?)?;
        }
        // What is not overwritten was not chosen.
        self.executor.upload(bytes(&vec![NONE; count * TOLD]), self.at(&memory.tokens)?)
    }

    /// Lets rows choose a token by their scores, or tell of the likeliest.
    fn tell(&self, memory: &Memory, scores: &Tensor, kind: Kind) -> Result<()> {
        let pointer = |x: &Tensor| self.at(x).map(A::Pointer);
        let Memory { rows, choices, rules, masks, draws, tokens, log_probs, .. } = memory;
        let mut arguments = vec![pointer(scores)?, A::Int(memory.vocabulary as i32)];
        for x in [rows, choices, rules, masks] {
            arguments.push(pointer(x)?);
        }
        let (kernel, each) = match kind.ranks {
            None => {
                arguments.push(pointer(draws)?);
                ("choose", STEPS)
            }
            Some(count) => ("top", count),
        };
        arguments.extend([pointer(tokens)?, pointer(log_probs)?, A::Int(each as i32)]);
        self.launch((kernel, DType::F32), [kind.rows, 1, 1], CHOOSING, &arguments)
    }

    /// What was told, so many tokens of each row at most.
    fn read_told(&self, memory: &Memory, rows: usize, each: usize, told: &mut Chosen) -> Result<()> {
        let mut tokens = vec![NONE; rows * each];
        let mut log_probs = vec![f32::NAN; rows * each];
        self.executor.download(self.at(&memory.tokens)?, bytes_mut(&mut tokens))?;
        self.executor.download(self.at(&memory.log_probs)?, bytes_mut(&mut log_probs))?;
        let both = tokens.chunks_exact(each).zip(log_probs.chunks_exact(each));
        told.extend(both.map(|(tokens, log_probs)| {
            let known = tokens.iter().copied().zip(log_probs.iter().copied());
            known.take_while(|(token, _)| *token != NONE).collect()
        }));
        Ok(())
    }
}

fn place_of(there: &[Arc<TokenRules>], rules: &Arc<TokenRules>) -> Option<usize> {
    there
        .iter()
        .position(|there| Arc::ptr_eq(there, rules))
        .or_else(|| there.iter().position(|there| there == rules))
}

impl Ahead for Cuda {
    fn steps(&self) -> usize {
        STEPS
    }

    fn rows_for(&self, sequences: usize) -> usize {
        bucket(sequences)
    }

    fn run(
        &self,
        going: &[Going],
        step: &mut dyn FnMut(&Rows) -> Result<Tensor>,
        chosen: &mut Chosen,
    ) -> Result<()> {
        let most = going.iter().map(|going| going.choice.left as usize).max().unwrap_or(0).min(STEPS);
        self.go(going, None, most, step, chosen)
    }

    fn ranks(&self) -> usize {
        RANKS
    }

    fn rank(
        &self,
        going: &[Going],
        count: usize,
        step: &mut dyn FnMut(&Rows) -> Result<Tensor>,
        ranked: &mut Chosen,
    ) -> Result<()> {
        if count == 0 || count > RANKS {
            bail!("{count} of the likeliest tokens instead of up to {RANKS}");
        }
        self.go(going, Some(count), 1, step, ranked)?;
        // Where the scores are no numbers, neither are the log-probabilities.
        for ranked in ranked.iter_mut().filter(|ranked| ranked.iter().any(|(_, log_prob)| log_prob.is_nan()))
        {
            ranked.clear();
        }
        Ok(())
    }

    fn forget(&self) {
        self.stepper.state().recordings.clear();
    }
}

impl Cuda {
    fn go(
        &self,
        going: &[Going],
        ranks: Option<usize>,
        steps: usize,
        step: &mut dyn FnMut(&Rows) -> Result<Tensor>,
        told: &mut Chosen,
    ) -> Result<()> {
        told.clear();
        if going.is_empty() {
            return Ok(());
        }
        let kind = Kind { rows: bucket(going.len()), ranks };
        let state = &mut *self.stepper.state();
        self.prepare(state, going, kind.rows)?;
        let Some(memory) = state.memory.take() else { return Ok(()) };
        let outcome = self
            .upload_going(state, &memory, going, kind.rows)
            .and_then(|()| self.run_steps(state, &memory, kind, steps, step))
            .and_then(|()| self.read_told(&memory, going.len(), ranks.unwrap_or(STEPS), told));
        state.memory = Some(memory);
        outcome
    }

    fn run_steps(
        &self,
        state: &mut State,
        memory: &Memory,
        kind: Kind,
        steps: usize,
        step: &mut dyn FnMut(&Rows) -> Result<Tensor>,
    ) -> Result<()> {
        let on_device = DeviceRows { rows: memory.rows.clone(), tiles: None };
        let rows = Rows { list: vec![IDLE; kind.rows], places: Vec::new(), on_device: Some(on_device) };
        let mut once = || self.tell(memory, &step(&rows)?, kind);
        for _ in 0..steps {
            if let Some(recording) = state.recordings.get(&kind) {
                recording.replay()?;
                continue;
            }
            // For the first time as it is: memory is made, libraries look for their fastest way.
            once()?;
            let seen = state.seen.entry(kind).or_default();
            *seen += 1;
            if *seen == 2
                && let Some(recording) = self.executor.record(&mut once)?
            {
                state.recordings.insert(kind, recording);
            }
        }
        Ok(())
    }
}
