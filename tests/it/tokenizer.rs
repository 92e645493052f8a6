//! The tokenizer against openai-whisper's, for every published vocabulary, and damaged files.

use std::path::Path;
use std::sync::OnceLock;

use serde_json::{Value, json};
use transcribe::decode::tokenizer::unspell;
use transcribe::decode::{Language, Task, Tokenizer};
use transcribe::error::ModelProblem;

fn read(path: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn reference() -> &'static Value {
    static REFERENCE: OnceLock<Value> = OnceLock::new();
    REFERENCE.get_or_init(|| serde_json::from_slice(&read("fixtures/reference/tokenizer.json")).unwrap())
}

fn demo_json() -> Value {
    serde_json::from_slice(&read("models/demo/tokenizer.json")).unwrap()
}

fn load(json: &Value, n_vocab: usize) -> Result<Tokenizer, ModelProblem> {
    Tokenizer::from_json(json.to_string().as_bytes(), n_vocab)
}

fn numbers(value: &Value) -> Vec<u32> {
    serde_json::from_value(value.clone()).unwrap()
}

fn rows(value: &Value) -> &Vec<Value> {
    value.as_array().unwrap()
}

/// Compares special ids, languages, start sequences, texts and tokens.
fn assert_equals_reference(tokenizer: &Tokenizer, expected: &Value) {
    let special = tokenizer.special();
    let ids = [
        ("eot", special.eot),
        ("sot", special.sot),
        ("sot_lm", special.sot_lm),
        ("sot_prev", special.sot_prev),
        ("no_speech", special.no_speech),
        ("no_timestamps", special.no_timestamps),
        ("timestamp_begin", special.timestamps.start),
        ("transcribe", special.transcribe),
        ("translate", special.translate),
    ];
    for (name, id) in ids {
        assert_eq!(Some(u64::from(id)), expected["special"][name].as_u64(), "{name}");
    }
    assert_eq!(Some(u64::from(special.timestamps.end)), expected["vocabulary"].as_u64());
    assert_eq!(tokenizer.non_speech_tokens(), numbers(&expected["non_speech_tokens"]));
    let codes: Vec<&str> = tokenizer.languages().iter().map(|(language, _)| language.code()).collect();
    let tokens: Vec<u32> = tokenizer.languages().iter().map(|(_, token)| *token).collect();
    assert_eq!(json!(codes), expected["languages"]);
    assert_eq!(tokens, numbers(&expected["language_tokens"]));
    for start in rows(&expected["start"]) {
        let language = start[0].as_str().map_or(Language::ENGLISH, |code| Language::from_code(code).unwrap());
        let task = start[1].as_str().map_or(Task::Transcribe, |task| task.parse().unwrap());
        assert_eq!(tokenizer.sot_sequence(language, task), numbers(&start[2]));
    }
    for row in expected.get("encode").map_or(&Vec::new(), rows) {
        assert_eq!(tokenizer.encode(row[0].as_str().unwrap()), numbers(&row[1]), "{row}");
    }
    for row in rows(&expected["decode"]) {
        assert_eq!(tokenizer.decode(&numbers(&row[0])), row[1].as_str().unwrap(), "{row}");
    }
}

#[test]
fn the_multilingual_vocabulary_equals_openai() {
    let tokenizer = load(&demo_json(), 51_865).unwrap();
    assert!(tokenizer.is_multilingual());
    assert_equals_reference(&tokenizer, &reference()["multilingual"]);
}

/// In large-v3 there is one more language before the tasks, and the silence token has another name.
#[test]
fn the_vocabulary_of_large_v3_equals_openai() {
    let mut json = demo_json();
    let added = json["added_tokens"].as_array_mut().unwrap();
    let place = added.iter().position(|token| token["content"] == "<|translate|>").unwrap();
    for token in &mut added[place..] {
        token["id"] = json!(token["id"].as_u64().unwrap() + 1);
    }
    let cantonese = json!({"id": 50358, "content": "<|yue|>", "single_word": false, "lstrip": false,
        "rstrip": false, "normalized": false, "special": true});
    added.insert(place, cantonese);
    let silence = added.iter_mut().find(|token| token["content"] == "<|nocaptions|>").unwrap();
    silence["content"] = json!("<|nospeech|>");
    let tokenizer = load(&json, 51_866).unwrap();
    assert_equals_reference(&tokenizer, &reference()["multilingual_v3"]);
    assert_eq!(tokenizer.languages().len(), 100);
}

#[test]
fn the_english_vocabulary_equals_openai() {
    let json = zstd::decode_all(&read("fixtures/decode/tokenizer.en.json.zst")[..]).unwrap();
    let tokenizer = Tokenizer::from_json(&json, 51_864).unwrap();
    assert!(!tokenizer.is_multilingual());
    assert_equals_reference(&tokenizer, &reference()["english"]);
}

/// Files of other programs list the tokens in the order of their ranks.
#[test]
fn tokens_by_rank_give_the_vocabularies_of_openai() {
    let multilingual = demo_json();
    let mut spelled = vec![String::new(); 50_257];
    for (text, id) in multilingual["model"]["vocab"].as_object().unwrap() {
        spelled[id.as_u64().unwrap() as usize] = text.clone();
    }
    let tokens = unspell(spelled);
    let tokenizer = Tokenizer::from_tokens(&tokens, 51_865).unwrap();
    assert_equals_reference(&tokenizer, &reference()["multilingual"]);
    let tokenizer = Tokenizer::from_tokens(&tokens, 51_866).unwrap();
    assert_equals_reference(&tokenizer, &reference()["multilingual_v3"]);

    let packed = zstd::decode_all(&read("models/vocabulary/english.zst")[..]).unwrap();
    let (mut rest, mut tokens) = (&packed[..], Vec::new());
    while let Some((length, after)) = rest.split_first() {
        let (token, after) = after.split_at(usize::from(*length));
        tokens.push(token.to_vec());
        rest = after;
    }
    // Some files list the end of the text, too.
    for end in [None, Some(b"<|endoftext|>".to_vec())] {
        tokens.extend(end);
        let tokenizer = Tokenizer::from_tokens(&tokens, 51_864).unwrap();
        assert!(!tokenizer.is_multilingual());
        assert_equals_reference(&tokenizer, &reference()["english"]);
    }
    assert!(matches!(Tokenizer::from_tokens(&tokens, 60_000), Err(ModelProblem::NotWhisper { .. })));
    assert!(Tokenizer::from_tokens(&[], 1509).is_err());
}

/// Older files end before the timestamps.
#[test]
fn reads_vocabularies_without_timestamps() {
    let mut json = demo_json();
    let added = json["added_tokens"].as_array_mut().unwrap();
    added.retain(|token| token["id"].as_u64().unwrap() < 50_364);
    let tokenizer = load(&json, 51_865).unwrap();
    assert_equals_reference(&tokenizer, &reference()["multilingual"]);
}

#[test]
fn rejects_files_that_are_no_whisper_vocabulary() {
    let why = |json: &Value, n_vocab: usize| load(json, n_vocab).err().unwrap();
    assert!(matches!(Tokenizer::from_json(b"", 51_865), Err(ModelProblem::Damaged { .. })));
    assert!(matches!(Tokenizer::from_json(b"\xff\x00{", 51_865), Err(ModelProblem::Damaged { .. })));
    assert!(matches!(why(&json!([]), 51_865), ModelProblem::Damaged { .. }));
    assert!(matches!(why(&json!({}), 51_865), ModelProblem::NotWhisper { .. }));
    let demo = demo_json();
    // A network with fewer outputs than the vocabulary has tokens.
    assert!(matches!(why(&demo, 51_864), ModelProblem::NotWhisper { .. }));
    let without = |name: &str| {
        let mut json = demo.clone();
        json["added_tokens"].as_array_mut().unwrap().retain(|token| token["content"] != name);
        json
    };
    for name in ["<|startoftranscript|>", "<|endoftext|>", "<|notimestamps|>", "<|nocaptions|>"] {
        assert!(matches!(why(&without(name), 51_865), ModelProblem::NotWhisper { .. }), "{name}");
    }
    let with = |path: &str, value: Value| {
        let mut json = demo.clone();
        *json.pointer_mut(path).unwrap() = value;
        json
    };
    let damages = [
        ("/model", json!({"type": "BPE"})),
        ("/model/vocab", json!({})),
        ("/model/vocab", json!({"a": -1})),
        ("/model/merges", json!(["not there"])),
        ("/added_tokens/0", json!({"content": 5})),
        ("/added_tokens/0/id", json!(u64::MAX)),
        ("/added_tokens/107/id", json!(60_000)),
    ];
    for (path, value) in damages {
        assert!(load(&with(path, value.clone()), 51_865).is_err(), "{path} = {value}");
    }
}
