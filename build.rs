//! Embeds the demo checkpoint: writes `demo.rs` with its compressed files and their digest. With the feature `cuda`, also
//! compiles the CUDA kernels.

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

use sha2::{Digest, Sha256};

#[path = "build/cuda.rs"]
mod cuda;

type BuildError = Box<dyn Error>;

const FILES: [(&str, &str); 4] = [
    ("CONFIG", "config.json"),
    ("GENERATION_CONFIG", "generation_config.json"),
    ("TOKENIZER", "tokenizer.json"),
    ("WEIGHTS", "model.safetensors"),
];

fn main() -> ExitCode {
    let Err(error) = run() else { return ExitCode::SUCCESS };
    for line in error.to_string().lines() {
        println!("cargo::error={line}");
    }
    ExitCode::FAILURE
}

fn run() -> Result<(), BuildError> {
    let manifest = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(env::var("OUT_DIR")?);
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build");
    pack_demo(&manifest.join("models/demo"), &out)?;
    if env::var_os("CARGO_FEATURE_CUDA").is_some() {
        cuda::build(&manifest, &out)?;
    }
    Ok(())
}

fn pack_demo(demo: &Path, out: &Path) -> Result<(), BuildError> {
    let mut digest = Sha256::new();
    let mut source = String::new();
    for (name, file) in FILES {
        let path = demo.join(file);
        println!("cargo::rerun-if-changed={}", path.display());
        let bytes = fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        digest.update((bytes.len() as u64).to_le_bytes());
        digest.update(&bytes);
        let compressed = out.join(format!("{file}.zst"));
        fs::write(&compressed, zstd::encode_all(bytes.as_slice(), 19)?)?;
        writeln!(source, "const {name}: &[u8] = include_bytes!({:?});", compressed.display().to_string())?;
    }
    let digest: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    writeln!(source, "const DIGEST: &str = {digest:?};")?;
    fs::write(out.join("demo.rs"), source)?;
    Ok(())
}
