//! Text → tokens and back, and the special tokens of a checkpoint.
//!
//! Everything special is found by its name in the checkpoint's `tokenizer.json`, never by a fixed id, so that
//! every published vocabulary and every fine-tune of one works. Rules about tokens are left to `rules`.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;

use super::language::Language;
use super::options::Task;
use super::ranks;
use crate::error::ModelProblem;

/// Where the vocabulary comes from, for messages.
const FILE: &str = "tokenizer.json";
/// Timestamp tokens from 0.00 to 30.00 in steps of 0.02 s.
const TIMESTAMPS: u32 = 1501;
/// Text tokens of GPT-2's vocabulary, which the English-only checkpoints use; the multilingual one has one more.
const ENGLISH_TEXT_TOKENS: u32 = 50_256;
const END_OF_TEXT: &str = "<|endoftext|>";

/// The ids of the control tokens. Text is what lies below `eot`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecialTokens {
    pub eot: u32,
    pub sot: u32,
    pub translate: u32,
    pub transcribe: u32,
    pub sot_lm: u32,
    pub sot_prev: u32,
    pub no_speech: u32,
    pub no_timestamps: u32,
    /// `<|0.00|>` to `<|30.00|>`.
    pub timestamps: Range<u32>,
}

/// The vocabulary of one checkpoint.
pub struct Tokenizer {
    encoder: tokenizers::Tokenizer,
    /// The bytes of every token below the timestamps, one after the other, and where each token's begin.
    bytes: Vec<u8>,
    starts: Vec<u32>,
    n_vocab: usize,
    special: SpecialTokens,
    /// In the order of their ids.
    languages: Vec<(Language, u32)>,
}

impl Tokenizer {
    /// Reads a Hugging Face `tokenizer.json` for a model with `n_vocab` outputs.
    pub fn from_json(json: &[u8], n_vocab: usize) -> Result<Self, ModelProblem> {
        let file: TokenizerFile = serde_json::from_slice(json).map_err(damaged)?;
        let added = file.added_tokens.into_iter().map(AddedToken::named).collect();
        let special = find_special(&added, n_vocab)?;
        let model = file.model.ok_or_else(|| not_whisper("its tokenizer has no vocabulary"))?;
        Self::new(model, &added, special, n_vocab)
    }

    /// Builds the tokenizer of a vocabulary that is a list of tokens in the order of their ids and ranks, for a model with
    /// `n_vocab` outputs. Whisper's special tokens follow the text tokens, in the order that openai gave them.
    pub fn from_tokens(tokens: &[Vec<u8>], n_vocab: usize) -> Result<Self, ModelProblem> {
        let is_end = |token: &Vec<u8>| token == END_OF_TEXT.as_bytes();
        let text = tokens.iter().position(is_end).map_or(tokens, |end| &tokens[..end]);
        let added = published_special_tokens(text.len(), n_vocab)?;
        let special = find_special(&added, n_vocab)?;
        let spelled = text.iter().map(|token| spell(token)).zip(0..).collect();
        let merges = ranks::merges(text).into_iter();
        let merges = merges.map(|(first, second)| Merge::Pair(spell(first), spell(second))).collect();
        Self::new(BpeModel { vocab: spelled, merges }, &added, special, n_vocab)
    }

    fn new(
        model: BpeModel,
        added: &HashMap<String, u32>,
        special: SpecialTokens,
        n_vocab: usize,
    ) -> Result<Self, ModelProblem> {
        // Without gaps between ids the table below is no larger than the file.
        if special.timestamps.start as usize > model.vocab.len() + added.len() {
            return Err(damaged("its special tokens do not follow its vocabulary"));
        }
        let languages = find_languages(added, n_vocab);
        let (bytes, starts) = token_bytes(&model.vocab, added, special.timestamps.start);
        let encoder = model.encoder().map_err(damaged)?;
        let tokenizer = Tokenizer { encoder, bytes, starts, n_vocab, special, languages };
        if tokenizer.encode(" ").is_empty() {
            return Err(damaged("its vocabulary has no space"));
        }
        Ok(tokenizer)
    }

    pub fn n_vocab(&self) -> usize {
        self.n_vocab
    }

    pub fn special(&self) -> &SpecialTokens {
        &self.special
    }

    /// Returns whether the checkpoint knows more than English; English-only ones have no language token.
    pub fn is_multilingual(&self) -> bool {
        self.special.eot != ENGLISH_TEXT_TOKENS
    }

    /// Returns the languages that have a token, in the order of their ids.
    pub fn languages(&self) -> &[(Language, u32)] {
        &self.languages
    }

    pub fn language_token(&self, language: Language) -> Option<u32> {
        self.languages.iter().find(|(l, _)| *l == language).map(|(_, id)| *id)
    }

    /// Returns the start-of-transcript sequence, which follows the prompt.
    pub fn sot_sequence(&self, language: Language, task: Task) -> Vec<u32> {
        let mut sequence = vec![self.special.sot];
        if self.is_multilingual() {
            sequence.extend(self.language_token(language));
            sequence.push(match task {
                Task::Transcribe => self.special.transcribe,
                Task::Translate => self.special.translate,
            });
        }
        sequence
    }

    /// Encodes a text; names of special tokens in it are plain text.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        // A byte-level vocabulary has a token for every byte; bytes without one are left out.
        self.encoder.encode_fast(text, false).map(|e| e.get_ids().to_vec()).unwrap_or_default()
    }

    /// Decodes tokens; timestamps are left out, other special tokens appear by their name, and bytes that are not UTF-8
    /// become U+FFFD.
    pub fn decode(&self, ids: &[u32]) -> String {
        let mut bytes = Vec::with_capacity(ids.len() * 5);
        for &id in ids {
            bytes.extend_from_slice(self.token_bytes(id));
        }
        String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
    }

    /// Returns the bytes of a token; none for timestamps and unknown ids.
    pub fn token_bytes(&self, id: u32) -> &[u8] {
        match self.starts.get(id as usize..id as usize + 2) {
            Some(&[start, end]) => &self.bytes[start as usize..end as usize],
            _ => &[],
        }
    }

    /// Returns the non-speech symbols (brackets, notes, dashes that open a line), in ascending order.
    pub fn non_speech_tokens(&self) -> Vec<u32> {
        const SINGLE: &str = "\"#()*+/:;<=>@[\\]^_`{|}~「」『』";
        const SEVERAL: &str = "<< >> <<< >>> -- --- -( -[ (' (\" (( )) ((( ))) [[ ]] {{ }} ♪♪ ♪♪♪";
        const NOTES: &str = "♩♪♫♬♭♮♯";
        let mut tokens = Vec::new();
        // A dash or a quote inside a word is speech, before a word it is not.
        for text in [" -", " '"] {
            tokens.extend(self.encode(text).first());
        }
        let symbols = SINGLE.chars().map(String::from).chain(SEVERAL.split(' ').map(String::from));
        for symbol in symbols {
            for spelled in [self.encode(&symbol), self.encode(&format!(" {symbol}"))] {
                if let [token] = spelled[..] {
                    tokens.push(token);
                }
            }
        }
        // All notes share their first bytes, which no speech has.
        for note in NOTES.chars() {
            for text in [format!("{note}"), format!(" {note}")] {
                tokens.extend(self.encode(&text).first());
            }
        }
        tokens.sort_unstable();
        tokens.dedup();
        tokens
    }
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokenizer")
            .field("n_vocab", &self.n_vocab)
            .field("special", &self.special)
            .finish_non_exhaustive()
    }
}

fn damaged(why: impl ToString) -> ModelProblem {
    ModelProblem::Damaged { file: FILE.into(), why: why.to_string() }
}

fn not_whisper(why: impl Into<String>) -> ModelProblem {
    ModelProblem::NotWhisper { why: why.into() }
}

/// The parts of `tokenizer.json` that are read. The rest is the same in all Whisper vocabularies, or concerns texts with
/// special tokens in them.
#[derive(Deserialize)]
struct TokenizerFile {
    #[serde(default)]
    added_tokens: Vec<AddedToken>,
    model: Option<BpeModel>,
}

#[derive(Deserialize)]
struct AddedToken {
    id: u32,
    content: String,
}

#[derive(Deserialize)]
struct BpeModel {
    vocab: HashMap<String, u32>,
    merges: Vec<Merge>,
}

/// A merge in either of the two formats.
#[derive(Deserialize)]
#[serde(untagged)]
enum Merge {
    Joined(String),
    Pair(String, String),
}

impl AddedToken {
    fn named(self) -> (String, u32) {
        match self.content.as_str() {
            // The name in older checkpoints.
            "<|nocaptions|>" => ("<|nospeech|>".into(), self.id),
            _ => (self.content, self.id),
        }
    }
}

impl Merge {
    fn pair(self) -> (String, String) {
        match self {
            Merge::Pair(first, second) => (first, second),
            Merge::Joined(both) => {
                both.split_once(' ').map_or_else(Default::default, |(a, b)| (a.to_owned(), b.to_owned()))
            }
        }
    }
}

impl BpeModel {
    fn encoder(self) -> tokenizers::Result<tokenizers::Tokenizer> {
        let merges = self.merges.into_iter().map(Merge::pair).collect();
        let bpe =
            BPE::builder().vocab_and_merges(self.vocab.into_iter().collect::<Vocab>(), merges).build()?;
        let mut encoder = tokenizers::Tokenizer::new(bpe);
        encoder.with_pre_tokenizer(Some(ByteLevel::new(false, true, true)));
        Ok(encoder)
    }
}

fn find_special(added: &HashMap<String, u32>, n_vocab: usize) -> Result<SpecialTokens, ModelProblem> {
    let find = |name: &str| {
        added.get(name).copied().ok_or_else(|| not_whisper(format!("its tokenizer lacks `{name}`")))
    };
    let no_timestamps = find("<|notimestamps|>")?;
    // Older files end with `<|notimestamps|>`; the timestamps follow it in every vocabulary.
    let begin = added.get("<|0.00|>").copied().unwrap_or(no_timestamps.saturating_add(1));
    let special = SpecialTokens {
        eot: find(END_OF_TEXT)?,
        sot: find("<|startoftranscript|>")?,
        translate: find("<|translate|>")?,
        transcribe: find("<|transcribe|>")?,
        sot_lm: find("<|startoflm|>")?,
        sot_prev: find("<|startofprev|>")?,
        no_speech: find("<|nospeech|>")?,
        no_timestamps,
        timestamps: begin..begin.saturating_add(TIMESTAMPS),
    };
    let control = [
        special.sot,
        special.translate,
        special.transcribe,
        special.sot_lm,
        special.sot_prev,
        special.no_speech,
        special.no_timestamps,
    ];
    if control.iter().any(|id| *id <= special.eot || *id >= begin) {
        return Err(not_whisper("its special tokens are not in Whisper's order"));
    }
    if special.timestamps.end as usize > n_vocab {
        return Err(not_whisper(format!(
            "its tokenizer has {} tokens and its network {n_vocab}",
            special.timestamps.end
        )));
    }
    Ok(special)
}

/// Returns the special tokens of a published vocabulary of this size, by their names. Only the number of languages varies.
fn published_special_tokens(text: usize, n_vocab: usize) -> Result<HashMap<String, u32>, ModelProblem> {
    const BEFORE: [&str; 2] = [END_OF_TEXT, "<|startoftranscript|>"];
    const AFTER: [&str; 6] = [
        "<|translate|>",
        "<|transcribe|>",
        "<|startoflm|>",
        "<|startofprev|>",
        "<|nospeech|>",
        "<|notimestamps|>",
    ];
    let others = text + BEFORE.len() + AFTER.len() + TIMESTAMPS as usize;
    let languages = n_vocab.checked_sub(others).filter(|count| *count <= Language::all().len());
    let languages = languages.ok_or_else(|| {
        not_whisper(format!("its vocabulary has {text} text tokens, and its network {n_vocab} tokens in all"))
    })?;
    let languages = Language::all().take(languages).map(|language| format!("<|{}|>", language.code()));
    let names = BEFORE.map(String::from).into_iter().chain(languages).chain(AFTER.map(String::from));
    Ok(names.zip(text as u32..).collect())
}

fn find_languages(added: &HashMap<String, u32>, n_vocab: usize) -> Vec<(Language, u32)> {
    let token = |language: Language| added.get(&format!("<|{}|>", language.code())).copied();
    let mut found: Vec<_> = Language::all()
        .filter_map(|language| Some((language, token(language)?)))
        .filter(|(_, id)| (*id as usize) < n_vocab)
        .collect();
    found.sort_by_key(|(_, id)| *id);
    found
}

/// Concatenates the bytes of all tokens below `end`; returns them with the start of each.
fn token_bytes(vocab: &HashMap<String, u32>, added: &HashMap<String, u32>, end: u32) -> (Vec<u8>, Vec<u32>) {
    let byte_of = byte_of_char();
    let mut spelled: Vec<Vec<u8>> = vec![Vec::new(); end as usize];
    for (text, id) in vocab {
        if let Some(slot) = spelled.get_mut(*id as usize) {
            let bytes: Option<Vec<u8>> = text.chars().map(|c| byte_of.get(&c).copied()).collect();
            *slot = bytes.unwrap_or_else(|| text.clone().into_bytes());
        }
    }
    for (name, id) in added {
        if let Some(slot) = spelled.get_mut(*id as usize) {
            *slot = name.clone().into_bytes();
        }
    }
    let mut starts = Vec::with_capacity(spelled.len() + 1);
    let mut bytes = Vec::new();
    for token in spelled {
        starts.push(bytes.len() as u32);
        bytes.extend(token);
    }
    starts.push(bytes.len() as u32);
    (bytes, starts)
}

/// Returns the bytes that a token of a byte-level vocabulary spells; those of its name if it is a special one.
pub fn unspell(tokens: impl IntoIterator<Item = impl AsRef<str>>) -> Vec<Vec<u8>> {
    let byte_of = byte_of_char();
    let bytes = |text: &str| text.chars().map(|c| byte_of.get(&c).copied()).collect::<Option<Vec<u8>>>();
    let tokens = tokens.into_iter();
    tokens.map(|text| bytes(text.as_ref()).unwrap_or_else(|| text.as_ref().as_bytes().to_vec())).collect()
}

/// Spells bytes in the characters of a byte-level vocabulary.
fn spell(token: &[u8]) -> String {
    token.iter().map(|byte| char_of_byte(*byte)).collect()
}

fn byte_of_char() -> HashMap<char, u8> {
    (0..=u8::MAX).map(|byte| (char_of_byte(byte), byte)).collect()
}

/// Returns GPT-2's character of a byte: printable Latin-1 maps to itself, the others follow from U+0100 on.
fn char_of_byte(byte: u8) -> char {
    match byte {
        b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF => char::from(byte),
        0..=b' ' => shifted(u32::from(byte)),
        0x7F..=0xA0 => shifted(u32::from(byte - 0x7F) + 33),
        0xAD => shifted(67),
    }
}

fn shifted(index: u32) -> char {
    char::from_u32(0x100 + index).unwrap_or(char::REPLACEMENT_CHARACTER)
}
