//! The fuzz targets on stable: every seed, and mutations of the seeds, the same ones each time. The number of executions is
//! fixed; `TRANSCRIBE_FUZZ_EXECUTIONS` asks for more of each target.

#[path = "../../fuzz/targets/mod.rs"]
pub mod targets;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use transcribe::error::panic_message;

use self::targets::{ALL, FuzzTarget, named, seeds};
use crate::formats::write::{Naming, Network, Numbers, ct2, ggml, gguf, pytorch};

/// Returns the inputs of a target to start from.
fn inputs(target: &str) -> Vec<Vec<u8>> {
    let mut inputs = seeds::of(target);
    if target == "weights" {
        let smallest = Network::smallest();
        inputs.extend([
            pytorch(&smallest, Naming::OpenAi),
            pytorch(&smallest, Naming::HuggingFace),
            ggml(&smallest, Numbers::F16),
            ct2(&smallest, Numbers::Int8),
            ct2(&smallest, Numbers::F32),
            gguf(&smallest, Naming::Short, Numbers::F16, true),
            gguf(&smallest, Naming::OpenAi, Numbers::F32, false),
        ]);
    }
    inputs
}

/// Pseudorandom numbers, the same everywhere (xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

/// Numbers that lengths, counts and times go wrong with.
const EXTREMES: [u64; 10] =
    [0, 1, 0x7f, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, 0xffff_ffff, 0x7fff_ffff_ffff_ffff, u64::MAX];

/// Changes bytes in one of the ways in which files are damaged or forged.
fn mutate(bytes: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let at = random.below(bytes.len());
    let length = random.below(64).min(bytes.len() - at.min(bytes.len()));
    match random.below(8) {
        0 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << (at % 8)),
        1 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = at as u8),
        2 => {
            let (value, width) = (EXTREMES[random.below(EXTREMES.len())], [1, 2, 4, 8][random.below(4)]);
            let big = value.to_be_bytes();
            let number = if random.below(2) == 0 { &value.to_le_bytes()[..width] } else { &big[8 - width..] };
            bytes.iter_mut().skip(at).zip(number).for_each(|(byte, new)| *byte = *new);
        }
        3 => bytes.truncate(at),
        4 => drop(bytes.drain(at..at + length)),
        5 => {
            let block = bytes[at..at + length].to_vec();
            drop(bytes.splice(at..at, block));
        }
        6 => {
            let from = random.below(other.len());
            let block = other[from..other.len().min(from + length.max(1))].to_vec();
            drop(bytes.splice(at..at + length.min(block.len()), block));
        }
        // A digit of a text.
        _ => {
            let digits: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at].is_ascii_digit()).collect();
            if let Some(at) = digits.get(random.below(digits.len())) {
                let long = ["9", "-1", "1e308", "18446744073709551616", "0.0000001", "NaN"][random.below(6)];
                drop(bytes.splice(*at..*at + 1, long.bytes()));
            }
        }
    }
}

/// Checks an input; one that breaks a promise is kept as a file.
fn check(target: FuzzTarget, bytes: &[u8], what: &str) {
    let Err(panic) = catch_unwind(AssertUnwindSafe(|| target.check(bytes))) else { return };
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let path = folder.join(format!("fuzz-{}-{:08x}", target.name, crc32fast::hash(bytes)));
    fs::write(&path, bytes).unwrap();
    panic!("{} with {what}, now in `{}`: {}", target.name, path.display(), panic_message(&*panic));
}

/// Executes a target on its seeds and on this many mutations of them.
fn fuzz(name: &str, executions: usize) {
    let target = named(name).unwrap();
    let inputs = inputs(name);
    assert!(!inputs.is_empty(), "{name} has no seeds");
    for (index, bytes) in inputs.iter().enumerate() {
        check(target, bytes, &format!("seed {index}"));
    }
    check(target, b"", "nothing");
    let asked = std::env::var("TRANSCRIBE_FUZZ_EXECUTIONS").ok();
    let executions = asked.map_or(executions, |asked| asked.parse().unwrap());
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for execution in 0..executions {
        let mut bytes = inputs[random.below(inputs.len())].clone();
        let other = &inputs[random.below(inputs.len())];
        for _ in 0..=random.below(4) {
            mutate(&mut bytes, other, &mut random);
        }
        check(target, &bytes, &format!("mutation {execution}"));
    }
}

/// A test for each target, so that they run beside each other and are named where they fail.
macro_rules! targets {
    ($($name:ident: $executions:literal,)*) => {
        $(#[test]
        fn $name() {
            fuzz(stringify!($name), $executions);
        })*

        #[test]
        fn every_target_has_a_test() {
            assert_eq!(ALL.map(|target| target.name), [$(stringify!($name)),*]);
        }
    };
}

targets! {
    audio: 1_500,
    sniff: 2_000,
    ffmpeg: 3_000,
    config: 5_000,
    generation_config: 5_000,
    tokenizer: 150,
    safetensors: 3_000,
    weights_index: 5_000,
    weights: 3_000,
    hub: 300,
    import: 3_000,
    rttm: 3_000,
    stm: 3_000,
    known_voices: 40,
    speaker_networks: 1_000,
    manifest: 2_000,
    list: 1_000,
    template: 5_000,
    settings: 100,
    job_options: 100,
    requests: 300,
    journal: 1_500,
    ledger: 1_500,
    report: 3_000,
}

/// Writes the seeds to `fuzz/corpus`, where cargo-fuzz looks for them.
#[test]
#[ignore = "writes into the repository; see CONTRIBUTING.md"]
fn write_seeds_for_cargo_fuzz() {
    for target in ALL {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target.name);
        fs::create_dir_all(&folder).unwrap();
        for bytes in inputs(target.name) {
            fs::write(folder.join(format!("seed-{:08x}", crc32fast::hash(&bytes))), bytes).unwrap();
        }
    }
}
