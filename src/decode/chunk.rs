//! Decodes one chunk: which window comes next, and what its result means.
//!
//! A state machine that never blocks: it returns one request at a time and takes its result. Running the network is left
//! to the engine, which drives many chunks side by side.

mod unspoken;
mod words;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::beam::{Beam, BeamWidth};
use super::compression::compression_ratio;
use super::fallback::{WindowResult, likeliest};
use super::language::Language;
use super::options::{DecodeOptions, WhenAllFail};
use super::prompt::{PromptHistory, prompt_tokens};
use super::ranking::{self, Hypothesis};
use super::rules::LogitRules;
use super::sampling::SampleSeed;
use super::seek::cut;
use super::sequence::{Sequence, TokenLimits};
use super::strip;
use super::tokenizer::Tokenizer;
use super::window::{SearchStrategy, WindowOutcome, WindowRequest};
use super::words::{Alignment, TimedWindow};
use crate::chunking::{ChunkSpan, SpeechMap};
use crate::time::{SECONDS_PER_TICK, WINDOW_FRAMES, seconds_of_frames};
use crate::transcript::decision::{DecisionRule, RejectedAttempt, WindowDecision};
use crate::transcript::segment::Segment;

/// Where a chunk ended, for the next one to continue as if there were no seam.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Handover {
    /// The frame at which the next window begins.
    pub seek: usize,
    /// The prompt of that window.
    pub prompt: Vec<u32>,
    /// The second at which the last word ended; used only if words are timed.
    #[serde(default)]
    pub last_speech: f64,
}

/// The result of a chunk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DecodedChunk {
    /// Their ids count from 0 in each chunk.
    pub segments: Vec<Segment>,
    /// All tokens, also those of segments that were emptied. The bytes of a character may be in two segments, so the text
    /// of the input is decoded from these.
    #[serde(rename = "said")]
    pub tokens: Vec<u32>,
    /// How the text of each window was chosen, in their order.
    #[serde(default)]
    pub decisions: Vec<WindowDecision>,
    pub handover: Handover,
}

/// A chunk, and what is decoded of it so far.
#[derive(Debug)]
pub struct ChunkDecoder {
    tokenizer: Arc<Tokenizer>,
    options: Arc<DecodeOptions>,
    rules: Arc<LogitRules>,
    limits: TokenLimits,
    sot_sequence: Vec<u32>,
    language: Language,
    span: ChunkSpan,
    /// Where somebody speaks; none to decode whatever is heard.
    speech: Option<SpeechMap>,
    seek: usize,
    /// Attempts at this window that were rejected.
    rejected: Vec<WindowResult>,
    history: PromptHistory,
    /// The text with which the first window begins.
    prefix: Vec<u32>,
    segments: Vec<Segment>,
    decisions: Vec<WindowDecision>,
    without_spaces: bool,
    /// End of the last word, in seconds.
    last_speech: f64,
    /// A window whose words wait for their times.
    untimed: Option<SettledWindow>,
}

/// A window whose text is settled.
#[derive(Debug)]
struct SettledWindow {
    window: TimedWindow,
    decision: WindowDecision,
    /// Whether the text so far is kept out of later prompts.
    resets_prompt: bool,
}

impl ChunkDecoder {
    /// Creates the decoder of a chunk in a known language, from its beginning or from where the chunk before it ended. The
    /// options must have been checked.
    pub fn new(
        tokenizer: Arc<Tokenizer>,
        options: Arc<DecodeOptions>,
        language: Language,
        n_text_ctx: usize,
        span: ChunkSpan,
        handover: Option<Handover>,
    ) -> Self {
        let tokens = |text: &Option<String>| {
            text.as_deref().map_or_else(Vec::new, |text| prompt_tokens(&tokenizer, text))
        };
        let (hotwords, initial_prompt) = (tokens(&options.hotwords), tokens(&options.initial_prompt));
        let mut history =
            PromptHistory::new(hotwords, initial_prompt, options.carry_initial_prompt, n_text_ctx);
        let mut prefix = tokens(&options.prefix);
        prefix.truncate((n_text_ctx / 2).saturating_sub(1));
        if !prefix.is_empty() && !options.without_timestamps {
            prefix.insert(0, tokenizer.special().timestamps.start);
        }
        let mut seek = if options.condition_on_previous_text { span.heard_from() } else { span.first };
        // A chunk that begins at a pause does not know when the last word before it ended.
        let mut last_speech = span.limit.map_or(0.0, |_| seconds_of_frames(span.first as u64));
        if let Some(handover) = handover {
            seek = seek.max(handover.seek);
            last_speech = handover.last_speech;
            history.resume(handover.prompt);
        }
        let mut decoder = ChunkDecoder {
            rules: Arc::new(LogitRules::new(&tokenizer, &options)),
            limits: TokenLimits { sample_len: options.sample_len.unwrap_or(n_text_ctx / 2), n_text_ctx },
            history,
            sot_sequence: Vec::new(),
            language,
            span,
            speech: None,
            seek,
            rejected: Vec::new(),
            prefix,
            segments: Vec::new(),
            decisions: Vec::new(),
            without_spaces: false,
            last_speech,
            untimed: None,
            tokenizer,
            options,
        };
        decoder.set_language(language);
        decoder
    }

    /// Leaves out windows and text in which nobody speaks, by this map.
    pub fn with_speech(mut self, speech: Option<SpeechMap>) -> Self {
        self.speech = speech;
        self
    }

    /// Sets the language from the next request on.
    pub fn set_language(&mut self, language: Language) {
        self.language = language;
        self.without_spaces = self.tokenizer.is_multilingual() && language.is_written_without_spaces();
        self.sot_sequence = self.tokenizer.sot_sequence(language, self.options.task);
        if self.options.without_timestamps {
            self.sot_sequence.push(self.tokenizer.special().no_timestamps);
        }
    }

    /// Returns what to decode next: the same until its result is accepted, and `None` at the end.
    pub fn request(&self) -> Option<WindowRequest> {
        if self.seek >= self.span.end {
            return None;
        }
        let special = self.tokenizer.special();
        // Only the first window of the input begins with the prefix.
        let prefix = if self.seek == 0 { &self.prefix[..] } else { &[] };
        let mut initial_tokens =
            self.history.initial_tokens(special.sot_prev, &self.sot_sequence, !prefix.is_empty());
        let sot_index = initial_tokens.iter().position(|token| *token == special.sot).unwrap_or(0);
        // After a long prompt it is truncated to leave room for a token.
        let room = self.limits.n_text_ctx.saturating_sub(initial_tokens.len() + 1);
        let prefix = &prefix[..prefix.len().min(room)];
        initial_tokens.extend_from_slice(prefix);
        let temperature = self.temperature();
        let search = match self.options.beams().filter(|_| temperature == 0.0) {
            Some(width) => SearchStrategy::Beams(width),
            None if temperature > 0.0 => SearchStrategy::Samples(self.options.best_of.unwrap_or(1)),
            None => SearchStrategy::Samples(1),
        };
        Some(WindowRequest {
            seek: self.seek,
            frames: self.frames(),
            sot_index,
            prefix: prefix.len(),
            initial_tokens,
            temperature,
            attempt: self.rejected.len(),
            search,
        })
    }

    /// Creates one of the sequences that a request asks for.
    pub fn sequence(&self, request: &WindowRequest, candidate: usize) -> Sequence {
        let seed = SampleSeed {
            seed: self.options.seed,
            seek: request.seek as u64,
            attempt: request.attempt as u32,
            candidate: candidate as u32,
        };
        Sequence::new(Arc::clone(&self.rules), self.limits, request.begin(), request.temperature, seed)
    }

    /// Creates the beam search that a request asks for.
    pub fn beam(&self, request: &WindowRequest, width: BeamWidth) -> Beam {
        Beam::new(Arc::clone(&self.rules), self.limits, width, request.begin())
    }

    /// Chooses the best hypothesis of a request; `no_speech_prob` is that at `sot_index`.
    pub fn choose(
        &self,
        request: &WindowRequest,
        hypotheses: &[Hypothesis],
        no_speech_prob: f32,
    ) -> WindowResult {
        let best = hypotheses.get(ranking::best(hypotheses, self.options.length_penalty));
        let tokens = best.map_or_else(Vec::new, |best| best.tokens.clone());
        let sum_logprob = best.map_or(f64::NAN, |best| f64::from(best.sum_logprob));
        let text = self.tokenizer.decode(&tokens);
        WindowResult {
            temperature: request.temperature,
            avg_logprob: sum_logprob / (tokens.len() + 1) as f64,
            no_speech_prob: f64::from(no_speech_prob),
            compression_ratio: compression_ratio(strip(&text)),
            tokens,
        }
    }

    /// Accepts the result of the last request.
    pub fn accept(&mut self, result: WindowResult) -> WindowOutcome {
        let frames = self.frames();
        let fails = result.needs_fallback(&self.options);
        if self.seek < self.span.first {
            return self.hear(&result, fails);
        }
        if fails && self.rejected.len() + 1 < self.options.temperatures.len() {
            self.rejected.push(result);
            return WindowOutcome::Retry;
        }
        let hottest = result.temperature;
        let (result, decision) = self.decide(result, fails);
        if decision.rule == DecisionRule::Silence {
            self.advance(self.frames_to_speech().unwrap_or(frames), decision);
            return WindowOutcome::Silence;
        }
        let cut = cut(&result.tokens, self.tokenizer.special().timestamps.start, self.seek, frames);
        let pieces = cut.pieces.iter();
        let segments =
            pieces.map(|p| self.segment(&result, &result.tokens[p.tokens.clone()], p.start, p.end));
        let window = TimedWindow {
            segments: segments.filter(|segment| !self.is_unspoken(segment)).collect(),
            seek: self.seek,
            frames,
            advance: cut.advance,
            single_timestamp_ending: cut.single_timestamp_ending,
        };
        // Where all attempts failed the highest temperature counts, whichever attempt was taken.
        let is_doubtful = hottest > self.options.prompt_reset_on_temperature;
        let resets_prompt = is_doubtful || !self.options.condition_on_previous_text;
        let decided = SettledWindow { window, decision, resets_prompt };
        if !self.options.word_times.any() {
            return self.add(decided);
        }
        self.untimed = Some(decided);
        match self.alignment() {
            Some(_) => WindowOutcome::Aligning,
            None => self.take_words(&Alignment::default()),
        }
    }

    fn add(&mut self, SettledWindow { mut window, decision, resets_prompt }: SettledWindow) -> WindowOutcome {
        let count = window.segments.len();
        let mut spoken = 0.0;
        for mut segment in window.segments.drain(..) {
            segment.id = self.segments.len();
            // A segment without length or text stays, but empty, and is left out of the prompt.
            if segment.start == segment.end || strip(&segment.text).is_empty() {
                segment.text.clear();
                segment.tokens.clear();
                segment.words.iter_mut().for_each(Vec::clear);
            }
            (segment.start, segment.end) = self.within_limit(segment.start, segment.end);
            for word in segment.words.iter_mut().flatten() {
                (word.start, word.end) = self.within_limit(word.start.max(spoken), word.end);
                word.end = word.end.max(word.start);
                spoken = word.start;
            }
            self.history.extend(&segment.tokens);
            self.segments.push(segment);
        }
        if resets_prompt {
            self.history.reset();
        }
        self.advance(window.advance, decision);
        WindowOutcome::Segments(count)
    }

    /// Takes what was said before the chunk into the prompt, unless it is doubtful, and goes on to the chunk.
    fn hear(&mut self, result: &WindowResult, fails: bool) -> WindowOutcome {
        if !fails && !result.is_silence(&self.options) {
            self.history.hear(&result.tokens);
        }
        self.seek = self.span.first;
        WindowOutcome::Heard
    }

    /// Chooses the text of a window after its last attempt: that of `last`, or if it `fails` too the best of all.
    fn decide(&mut self, last: WindowResult, fails: bool) -> (WindowResult, WindowDecision) {
        let mut attempts = std::mem::take(&mut self.rejected);
        let failed = |result: &WindowResult| RejectedAttempt {
            temperature: result.temperature,
            faults: result.faults(&self.options),
        };
        let mut rejected: Vec<RejectedAttempt> = attempts.iter().map(failed).collect();
        let (result, rule) = if !fails {
            (last, DecisionRule::Passed)
        } else if self.options.when_all_fail == WhenAllFail::Last || attempts.is_empty() {
            rejected.push(failed(&last));
            (last, DecisionRule::Last)
        } else {
            rejected.push(failed(&last));
            attempts.push(last.clone());
            (likeliest(attempts, &self.options).unwrap_or(last), DecisionRule::Likeliest)
        };
        let rule = if result.is_silence(&self.options) { DecisionRule::Silence } else { rule };
        let decision =
            WindowDecision { seek: self.seek, frames: 0, rule, temperature: result.temperature, rejected };
        (result, decision)
    }

    fn advance(&mut self, frames: usize, decision: WindowDecision) {
        self.decisions.push(WindowDecision { frames, ..decision });
        self.seek += frames;
    }

    /// Returns all segments so far.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Returns how the text of the window that begins at this frame was chosen.
    pub fn decision_at(&self, seek: usize) -> Option<&WindowDecision> {
        self.decisions.iter().rfind(|decision| decision.seek == seek)
    }

    /// Returns how many frames of the chunk precede this frame of the input.
    pub fn frames_before(&self, frame: usize) -> usize {
        frame.clamp(self.span.first, self.span.end) - self.span.first
    }

    pub fn finish(self) -> DecodedChunk {
        // The last timestamp may lie past the visible frames; the next chunk begins no later than their end.
        let handover = Handover {
            seek: self.seek.min(self.span.visible),
            prompt: self.history.recent().to_vec(),
            last_speech: self.last_speech,
        };
        let ChunkDecoder { segments, decisions, history, .. } = self;
        DecodedChunk { segments, tokens: history.into_tokens(), decisions, handover }
    }

    fn frames(&self) -> usize {
        let visible = if self.seek < self.span.first { self.span.first } else { self.span.visible };
        visible.saturating_sub(self.seek).min(WINDOW_FRAMES)
    }

    /// Clamps times that the model wrote past the chunk's limit.
    fn within_limit(&self, start: f64, end: f64) -> (f64, f64) {
        let Some(limit) = self.span.limit else { return (start, end) };
        let limit = seconds_of_frames(limit as u64);
        (start.min((limit - SECONDS_PER_TICK).max(0.0)), end.min(limit))
    }

    fn temperature(&self) -> f64 {
        self.options.temperatures.get(self.rejected.len()).copied().unwrap_or(0.0)
    }

    fn segment(&self, result: &WindowResult, tokens: &[u32], start: f64, end: f64) -> Segment {
        let eot = self.tokenizer.special().eot;
        let text: Vec<u32> = tokens.iter().copied().filter(|token| *token < eot).collect();
        Segment {
            id: 0,
            seek: self.seek,
            start,
            end,
            text: self.tokenizer.decode(&text),
            tokens: tokens.to_vec(),
            temperature: result.temperature,
            avg_logprob: result.avg_logprob,
            compression_ratio: result.compression_ratio,
            no_speech_prob: result.no_speech_prob,
            language: self.options.multilingual.then(|| self.language.code().to_owned()),
            speaker: None,
            words: None,
        }
    }
}
