//! The architecture: which module may use which, where each outside crate is used, and what every file must look like.
//!
//! Reads the sources as tokens, so that comments and strings do not count; code under `#[cfg(test)]` is exempt. The
//! tables are exact: a use that is not listed fails, and so does an entry that nothing uses.

mod source_file;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use self::source_file::{SourceFile, code_lines, files_of, sources};

/// Each module with the modules that it uses, in the order of the data's flow. [`COMMON`] modules are open to all.
const LAYERS: &[(&str, &[&str])] = &[
    ("main", &["cli", "device"]),
    ("lib", &[]),
    ("cancel", &[]),
    ("context", &[]),
    ("digest", &[]),
    ("error", &[]),
    ("limited_read", &[]),
    ("sync", &[]),
    ("test_hooks", &[]),
    ("time", &[]),
    ("transcript", &[]),
    ("device", &[]),
    ("vad", &["device"]),
    ("chunking", &["vad"]),
    ("mel", &["chunking", "vad"]),
    ("audio", &[]),
    ("whisper", &["device"]),
    ("speakers", &["audio", "device", "transcript"]),
    ("decode", &["chunking", "transcript"]),
    ("models", &["decode", "device", "whisper"]),
    ("engine", &["chunking", "decode", "device", "mel", "models", "transcript"]),
    ("export", &["transcript"]),
    ("import", &["decode", "transcript"]),
    ("score", &["import", "transcript"]),
    ("store", &["audio", "chunking", "decode", "export", "speakers", "transcript", "vad"]),
    ("plan", &["audio", "chunking", "decode", "device", "export", "models", "speakers", "store"]),
    (
        "run",
        &[
            "audio",
            "chunking",
            "decode",
            "device",
            "engine",
            "export",
            "import",
            "mel",
            "models",
            "plan",
            "speakers",
            "store",
            "transcript",
        ],
    ),
    (
        "report",
        &["audio", "chunking", "device", "engine", "export", "models", "plan", "run", "store", "transcript"],
    ),
    ("watch", &["audio", "plan", "report", "run"]),
    (
        "serve",
        &["decode", "device", "engine", "export", "import", "plan", "report", "run", "store", "transcript"],
    ),
    (
        "cli",
        &[
            "audio",
            "chunking",
            "decode",
            "device",
            "engine",
            "export",
            "import",
            "models",
            "plan",
            "report",
            "run",
            "score",
            "serve",
            "speakers",
            "store",
            "transcript",
            "vad",
            "watch",
        ],
    ),
];

/// Modules that every module may use, except as [`NOT_COMMON`] says.
const COMMON: [&str; 8] =
    ["cancel", "context", "digest", "error", "limited_read", "sync", "test_hooks", "time"];

/// The loop around the network asks whether to stop; the network does not.
const NOT_COMMON: &[(&str, &str)] = &[("whisper", "cancel"), ("whisper", "context")];

/// Outside crates that belong to some files only. A folder ends in a slash. Crates that are not listed may be used
/// anywhere.
const CRATES: &[(&str, &[&str])] = &[
    ("anstream", &["cli/printer.rs"]),
    ("anstyle", &["cli/"]),
    ("anyhow", &["cli/"]),
    ("axum", &["serve/http/"]),
    ("axum_server", &["serve/"]),
    ("base64", &["export/format/html/"]),
    ("bytesize", &["cli/"]),
    ("candle_core", &["device/", "models/", "whisper/"]),
    ("candle_nn", &["device/reference.rs", "models/candle.rs", "models/formats/", "whisper/"]),
    ("clap", &["cli/"]),
    ("clap_complete", &["cli/completions.rs"]),
    ("clap_mangen", &["cli/completions.rs"]),
    ("console", &["cli/"]),
    ("crc32fast", &["store/record_log.rs"]),
    ("ctrlc", &["cli/interrupt.rs"]),
    ("cudarc", &["device/"]),
    ("etcetera", &["cli/config/mod.rs", "cli/serve/mod.rs"]),
    ("flate2", &["decode/compression.rs"]),
    ("globset", &["plan/"]),
    ("half", &["device/", "speakers/weights.rs"]),
    ("hmac", &["serve/outgoing.rs"]),
    ("http_body", &["serve/http/drain.rs"]),
    ("hyper_util", &["serve/http/mod.rs"]),
    ("hf_hub", &["models/hub/mod.rs"]),
    ("indicatif", &["cli/progress/model.rs"]),
    ("jiff", &["cli/", "plan/output_names.rs", "report/", "serve/record.rs", "watch/snapshot.rs"]),
    ("libloading", &["device/cuda/"]),
    ("memmap2", &["whisper/weights.rs"]),
    (
        "nix",
        &[
            "audio/stream.rs",
            "cli/models/remove.rs",
            "device/memory/host.rs",
            "serve/http/connections.rs",
            "store/record_log.rs",
        ],
    ),
    ("opus_pure", &["audio/decode/opus.rs"]),
    ("pulp", &["device/cpu/"]),
    ("rand", &["decode/", "device/cuda/comparison.rs", "serve/record.rs"]),
    ("rand_chacha", &["decode/", "device/cuda/comparison.rs"]),
    ("realfft", &["mel/stft.rs", "speakers/filter_bank.rs", "vad/silero.rs"]),
    ("regex", &["score/normalise/"]),
    ("rustls", &["serve/"]),
    ("rubato", &["audio/resample.rs"]),
    ("safetensors", &["models/", "speakers/weights.rs", "vad/silero.rs"]),
    ("schemars", &["report/", "transcript/"]),
    ("sha1", &["models/hub/digest.rs"]),
    (
        "sha2",
        &[
            "digest.rs",
            "export/format/html/mod.rs",
            "models/",
            "serve/",
            "speakers/options.rs",
            "store/fingerprint.rs",
        ],
    ),
    ("signal_hook", &["cli/interrupt.rs", "device/memory/exhausted.rs"]),
    (
        "strsim",
        &[
            "cli/serve/",
            "cli/usage_error.rs",
            "decode/language.rs",
            "export/format.rs",
            "models/source.rs",
            "plan/",
        ],
    ),
    ("subtle", &["serve/keys.rs"]),
    ("symphonia", &["audio/decode/"]),
    ("sysinfo", &["device/", "report/lines.rs"]),
    ("thiserror", &["device/cuda/matmul.rs", "error.rs", "speakers/weights.rs"]),
    ("tokio", &["serve/"]),
    ("tokio_stream", &["serve/http/sse.rs"]),
    ("tokio_util", &["serve/http/results.rs"]),
    ("tower_layer", &["serve/http/connections.rs"]),
    ("tower_http", &["serve/http/mod.rs"]),
    ("tokenizers", &["decode/tokenizer.rs"]),
    ("toml", &["cli/config/document.rs"]),
    ("unicode_general_category", &["score/normalise/symbols.rs"]),
    ("unicode_normalization", &["score/normalise/symbols.rs"]),
    ("unicode_segmentation", &["cli/progress/text.rs", "score/normalise/basic.rs"]),
    ("unicode_width", &["cli/", "export/cues/units.rs"]),
    ("unsafe", &["device/", "whisper/weights.rs"]),
    ("ureq", &["models/hub/", "serve/outgoing.rs"]),
    ("utoipa", &["serve/"]),
    ("utoipa_axum", &["serve/http/mod.rs"]),
    ("walkdir", &["plan/walk.rs"]),
    ("zip", &["models/formats/archive.rs"]),
    ("zstd", &["models/demo.rs", "models/formats/vocabulary.rs"]),
];

/// Features that only `device/` may ask for.
const DEVICE_FEATURES: [&str; 2] = ["cuda", "metal"];

/// Names of associated types and aliases that may appear more than once.
const REPEATABLE_TYPES: [&str; 5] = ["Err", "Error", "Item", "Output", "Target"];

/// Lines of a file before its tests.
const MAX_LINES: usize = 450;

fn violations(file: &SourceFile) -> Vec<String> {
    let mut found = Vec::new();
    let mut add = |line: usize, what: String| found.push(format!("src/{}:{line}: {what}", file.path));
    if !file.text.starts_with("//!") {
        add(1, "does not start with a module comment (`//!`)".into());
    }
    let lines = code_lines(&file.text);
    if lines > MAX_LINES {
        add(lines, format!("has {lines} lines before its tests, more than {MAX_LINES}"));
    }
    for (used, line) in file.uses() {
        if let Err(why) = edge(file.module(), used) {
            add(line, why);
        }
    }
    for (name, places) in CRATES {
        for line in file.crate_uses(name).into_iter().filter(|_| !file.is_in(places)) {
            add(line, format!("`{name}` belongs in {} only", places.join(", ")));
        }
    }
    for (at, (token, line)) in file.tokens.iter().enumerate() {
        if token == "crate" && !file.is_path_separator(at + 1) && file.token(at + 1) != ")" {
            add(*line, "names the whole crate, which hides what it uses".into());
        }
        let feature = token == "feature" && file.token(at + 1) == "=";
        let asked = file.token(at + 2).trim_matches('"');
        if feature && DEVICE_FEATURES.contains(&asked) && !file.is_in(&["device/"]) {
            add(*line, format!("feature `{asked}` belongs in device/ only"));
        }
        let is_restricted = token == "pub" && file.token(at + 1) == "(" && file.token(at + 2) == "super";
        if is_restricted && file.token(at + 5) == ":" {
            add(*line, format!("`{}` is a pub(super) field", file.token(at + 4)));
        }
    }
    found
}

fn edge(from: &str, to: &str) -> Result<(), String> {
    let Some((_, allowed)) = LAYERS.iter().find(|(module, _)| *module == from) else {
        return Err(format!("`{from}` is not in the table of layers"));
    };
    let common = COMMON.contains(&to) && !NOT_COMMON.contains(&(from, to));
    match from == to || common || allowed.contains(&to) {
        true => Ok(()),
        false => Err(format!("`{from}` must not use `{to}`")),
    }
}

#[test]
fn sources_keep_to_the_tables() {
    let found: Vec<String> = sources().iter().flat_map(violations).collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn tables_have_no_stale_entries() {
    let files = sources();
    let mut used: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for file in &files {
        used.entry(file.module()).or_default().extend(file.uses().into_iter().map(|(used, _)| used));
    }
    let mut stale = Vec::new();
    for (module, allowed) in LAYERS {
        let Some(used) = used.get(module) else {
            stale.push(format!("`{module}` does not exist"));
            continue;
        };
        let unused = allowed.iter().filter(|allowed| !used.contains(*allowed));
        stale.extend(unused.map(|allowed| format!("`{module}` does not use `{allowed}`")));
    }
    for (name, places) in CRATES {
        let is_used = |place: &&&str| {
            files.iter().any(|file| file.is_in(&[**place]) && !file.crate_uses(name).is_empty())
        };
        let unused = places.iter().filter(|place| !is_used(place));
        stale.extend(unused.map(|place| format!("`{name}` is not used in {place}")));
    }
    assert!(stale.is_empty(), "\n{}", stale.join("\n"));
}

#[test]
fn layers_have_no_cycles() {
    let mut done: BTreeSet<&str> = BTreeSet::new();
    while done.len() < LAYERS.len() {
        let is_ready = |allowed: &[&str]| allowed.iter().all(|module| done.contains(module));
        let ready: Vec<&str> = LAYERS
            .iter()
            .filter(|(module, allowed)| !done.contains(module) && is_ready(allowed))
            .map(|(module, _)| *module)
            .collect();
        let rest = || LAYERS.iter().map(|(module, _)| *module).filter(|module| !done.contains(module));
        assert!(!ready.is_empty(), "a cycle among {:?}", rest().collect::<Vec<_>>());
        done.extend(ready);
    }
}

#[test]
fn every_module_is_in_the_table_and_on_the_map() {
    let map = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    for (path, text) in files_of("src") {
        let file = SourceFile::new(&path, &text);
        let module = file.module();
        assert!(LAYERS.iter().any(|(known, _)| *known == module), "`{module}` is not in the table");
        if path.contains('/') {
            assert!(
                map.contains(&format!("//! | [`{module}`] |")),
                "`{module}` is not on the map in src/lib.rs"
            );
        }
    }
}

/// `docs/architecture.md` follows one recording through the sources: every step must name a function that exists.
#[test]
fn the_walk_in_the_documentation_names_existing_functions() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("docs/architecture.md")).unwrap();
    let walk = text.split("## The walk of one recording").nth(1).unwrap().split("\n## ").next().unwrap();
    let mut steps = 0;
    for line in walk.lines() {
        // | `file` | `function` | …
        let mut cells = line.split('|').map(str::trim).skip(1);
        let (Some(file), Some(functions)) = (cells.next(), cells.next()) else { continue };
        let Some(file) = file.strip_prefix('`').and_then(|file| file.strip_suffix('`')) else { continue };
        let source =
            fs::read_to_string(root.join("src").join(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
        for function in functions.split(", ") {
            let name = function.trim_matches('`').rsplit("::").next().unwrap();
            assert!(source.contains(&format!("fn {name}")), "src/{file} has no function `{name}`");
            steps += 1;
        }
    }
    assert!(steps > 20, "only {steps} steps were found");
}

#[test]
fn type_names_are_unique() {
    let mut declared: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in sources() {
        for (name, line) in file.types().into_iter().filter(|(name, _)| !REPEATABLE_TYPES.contains(name)) {
            declared.entry(name.to_owned()).or_default().push(format!("src/{}:{line}", file.path));
        }
    }
    let repeated = declared.iter().filter(|(_, places)| places.len() > 1);
    let repeated: Vec<String> =
        repeated.map(|(name, places)| format!("{name}: {}", places.join(", "))).collect();
    assert!(repeated.is_empty(), "\n{}", repeated.join("\n"));
}

#[test]
fn tests_and_benches_start_with_a_comment() {
    for folder in ["tests", "benches"] {
        for (path, text) in files_of(folder) {
            assert!(text.starts_with("//!"), "{folder}/{path} does not start with a comment (`//!`)");
        }
    }
}

/// Returns the violations of one file, without their places.
fn violations_of(path: &str, source: &str) -> Vec<String> {
    let found = violations(&SourceFile::new(path, &format!("//! Doc.\n{source}")));
    found.into_iter().map(|line| line.split_once(": ").unwrap().1.to_owned()).collect()
}

#[test]
fn the_checker_accepts_allowed_uses() {
    let fine = [
        ("mel/stream.rs", "use crate::error::Result; use super::filters::X; use crate::mel::Y;"),
        ("mel/stream.rs", "// crate::cli\n/// [`crate::cli`]\nconst A: &str = \"use crate::cli; unsafe\";"),
        ("engine/mod.rs", "use crate::{decode::{a, b}, mel::Features, models};\npub(crate) fn f() {}"),
        ("engine/mod.rs", "#[cfg(test)]\nmod tests { use crate::cli::X; use symphonia::Y; }"),
        ("engine/mod.rs", "#[cfg(test)]\nuse crate::cli::X;\nuse crate::mel::Z;"),
        ("main.rs", "fn main() { transcribe::cli::run() }"),
        ("device/cuda/mod.rs", "#[cfg(feature = \"cuda\")] unsafe fn f() { super::g() }"),
        ("whisper/weights.rs", "#![expect(unsafe_code, reason = \"map\")]"),
        ("audio/mod.rs", "#![expect(unsafe_code, reason = \"none\")]"),
        ("run/front_end.rs", "use crate::audio; use super::x;"),
    ];
    for (path, source) in fine {
        assert_eq!(violations_of(path, source), Vec::<String>::new(), "{path}: {source}");
    }
}

#[test]
fn the_checker_finds_each_violation() {
    let wrong = [
        ("mel/stream.rs", "use crate::cli::X;", "`mel` must not use `cli`"),
        ("mel/stream.rs", "fn f() { crate::device::x() }", "`mel` must not use `device`"),
        ("mel/stream.rs", "fn f() { vec![crate::run::X] }", "`mel` must not use `run`"),
        (
            "export/srt.rs",
            "use crate::{error::Error, whisper::{Config, W}};",
            "`export` must not use `whisper`",
        ),
        (
            "export/srt.rs",
            "use crate::{\n  transcript::{a, b},\n  device,\n};",
            "`export` must not use `device`",
        ),
        ("export/srt.rs", "use super::super::engine::X;", "`export` must not use `engine`"),
        ("export/mod.rs", "use super::audio::X;", "`export` must not use `audio`"),
        ("time.rs", "use super::audio::X;", "`time` must not use `audio`"),
        ("whisper/encoder.rs", "use crate::cancel::CancelToken;", "`whisper` must not use `cancel`"),
        ("run/mod.rs", "use crate::cli;", "`run` must not use `cli`"),
        ("main.rs", "use transcribe::run::run;", "`main` must not use `run`"),
        ("tools/mod.rs", "use crate::error::E;", "`tools` is not in the table of layers"),
        ("mel/mod.rs", "use crate as all;", "names the whole crate, which hides what it uses"),
        ("mel/mod.rs", "use crate::*;", "`mel` must not use `*`"),
        ("audio/mod.rs", "use symphonia::core::X;", "`symphonia` belongs in audio/decode/ only"),
        ("run/mod.rs", "fn f() { toml::Value::x() }", "`toml` belongs in cli/config/document.rs only"),
        ("run/mod.rs", "use anyhow::Context;", "`anyhow` belongs in cli/ only"),
        (
            "decode/rules.rs",
            "use candle_core::Tensor;",
            "`candle_core` belongs in device/, models/, whisper/ only",
        ),
        ("mel/mod.rs", "fn f() { unsafe { g() } }", "`unsafe` belongs in device/, whisper/weights.rs only"),
        ("cli/mod.rs", "const C: bool = cfg!(feature = \"cuda\");", "feature `cuda` belongs in device/ only"),
        (
            "whisper/mod.rs",
            "#[cfg(any(test, feature = \"metal\"))] mod m;",
            "feature `metal` belongs in device/ only",
        ),
        ("mel/mod.rs", "#[cfg(test)]\nmod tests {}\nuse crate::cli::X;", "`mel` must not use `cli`"),
    ];
    for (path, source, expected) in wrong {
        assert_eq!(violations_of(path, source), [expected], "{path}: {source}");
    }
}

#[test]
fn the_checker_reads_the_form_of_a_file() {
    assert_eq!(violations(&SourceFile::new("time.rs", "const A: u8 = 1;")).len(), 1);
    let long = "const A: u8 = 1;\n".repeat(MAX_LINES);
    assert_eq!(violations_of("time.rs", &long), ["has 451 lines before its tests, more than 450"]);
    let tested = format!("#[cfg(test)]\nmod tests {{\n{long}}}\n");
    assert_eq!(violations_of("time.rs", &tested), Vec::<String>::new());
    let source = "//! Doc.\n\nuse crate::{\n    error::E,\n    cli::X,\n};";
    let at = violations(&SourceFile::new("mel/mod.rs", source));
    assert_eq!(at, ["src/mel/mod.rs:5: `mel` must not use `cli`"]);
}
