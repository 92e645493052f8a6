//! The CUDA side of the build: finds NVIDIA's compiler and makes `kernels.fatbin` of our own kernels.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Failure;

const KERNELS: &str = "src/device/cuda/kernels";

/// What a change of makes the build new.
const VARIABLES: [&str; 8] = [
    "NVCC",
    "CUDA_HOME",
    "CUDA_PATH",
    "CUDA_COMPUTE_CAP",
    "CUDARC_CUDA_VERSION",
    "NVCC_CCBIN",
    "NVCC_PREPEND_FLAGS",
    "NVCC_APPEND_FLAGS",
];

/// Where toolkits are installed.
const FOLDERS: [&str; 3] = ["/usr/local/cuda", "/opt/cuda", "/usr/lib/cuda"];

const REMEDY: &str = "install NVIDIA's CUDA toolkit, or lay one out with `eval \"$(deploy/cuda/toolkit.sh)\"`, and set \
    CUDA_HOME to it; without CUDA, leave `--features cuda` out";

/// Ampere: the oldest with bf16. The driver makes code for every later kind out of it.
const OLDEST: u32 = 80;

/// The kind that has its code ready made.
const READY: u32 = 90;

pub fn build(manifest: &Path, out: &Path) -> Result<(), Failure> {
    println!("cargo::rerun-if-changed={}", manifest.join(KERNELS).display());
    for variable in VARIABLES {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    let nvcc = nvcc()?;
    let (major, minor) = release(&said(&nvcc, &["--version"])?)
        .ok_or_else(|| format!("`{} --version` names no release; {REMEDY}", nvcc.display()))?;
    println!("cargo::rustc-env=TRANSCRIBE_CUDA_MAJOR={major}");
    println!("cargo::rustc-env=TRANSCRIBE_CUDA_MINOR={minor}");
    if env::var("CARGO_CFG_TARGET_OS").is_ok_and(|system| system == "linux") {
        link_runtime(&nvcc)?;
    }
    compile(&nvcc, &manifest.join(KERNELS).join("kernels.cu"), &out.join("kernels.fatbin"))
}

fn nvcc() -> Result<PathBuf, Failure> {
    let path = env::var_os("PATH").unwrap_or_default();
    let on_path: Vec<PathBuf> = env::split_paths(&path).collect();
    if let Some(named) = set("NVCC") {
        let alone = PathBuf::new();
        let mut places = std::iter::once(&alone).chain(&on_path).map(|folder| folder.join(&named));
        return places
            .find(|place| place.is_file())
            .ok_or_else(|| format!("NVCC names `{}`, which is not there; {REMEDY}", named.display()).into());
    }
    let name = format!("nvcc{}", env::consts::EXE_SUFFIX);
    let toolkits = ["CUDA_HOME", "CUDA_PATH"].into_iter().filter_map(set).map(|home| home.join("bin"));
    let usual = FOLDERS.into_iter().map(|folder| Path::new(folder).join("bin"));
    let mut places = toolkits.chain(on_path).chain(usual).map(|folder| folder.join(&name));
    places.find(|place| place.is_file()).ok_or_else(|| {
        format!("`{name}` is not in CUDA_HOME, on PATH or in {}; {REMEDY}", FOLDERS.join(", ")).into()
    })
}

/// CUDA's runtime, which some of candle's kernels call, is made part of the program. With all of its functions in the
/// first library that the linker sees, it takes none from the shared one that candle names.
fn link_runtime(nvcc: &Path) -> Result<(), Failure> {
    let name = "libcudart_static.a";
    let real = nvcc.canonicalize()?;
    let around = [nvcc, real.as_path()].into_iter().filter_map(|nvcc| nvcc.parent()?.parent());
    let homes = ["CUDA_HOME", "CUDA_PATH"].into_iter().filter_map(set);
    let homes: Vec<PathBuf> =
        homes.chain(around.map(Path::to_owned)).chain(FOLDERS.map(PathBuf::from)).collect();
    let target = env::var("TARGET")?;
    let machine = target.split('-').next().unwrap_or_default();
    let machine = if machine == "aarch64" { "sbsa" } else { machine };
    let below =
        ["lib64".into(), "lib".into(), format!("targets/{machine}-linux/lib"), "lib/x86_64-linux-gnu".into()];
    let mut places = homes.iter().flat_map(|home| below.iter().map(|below: &String| home.join(below)));
    let folder = places.find(|folder| folder.join(name).is_file());
    let folder = folder.ok_or_else(|| format!("`{name}` is not beside `{}`; {REMEDY}", nvcc.display()))?;
    println!("cargo::rustc-link-search=native={}", folder.display());
    println!("cargo::rustc-link-lib=static:+whole-archive=cudart_static");
    Ok(())
}

fn set(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn said(nvcc: &Path, arguments: &[&str]) -> Result<String, Failure> {
    let output = Command::new(nvcc).args(arguments).output();
    let output = output.map_err(|error| format!("`{}` cannot be run: {error}; {REMEDY}", nvcc.display()))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(format!(
            "`{} {}` failed: {}",
            nvcc.display(),
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        )
        .into()),
    }
}

/// From `Cuda compilation tools, release 13.0, V13.0.88`.
fn release(text: &str) -> Option<(u32, u32)> {
    let version = text.split("release ").nth(1)?.split(',').next()?;
    let (major, minor) = version.split_once('.')?;
    Some((major.parse().ok()?, minor.trim().parse().ok()?))
}

/// One file with text that every driver can compile for its device, and code for the kinds that we know of.
fn compile(nvcc: &Path, source: &Path, target: &Path) -> Result<(), Failure> {
    let mut command = Command::new(nvcc);
    command.args(["-O3", "-std=c++17", "--fatbin"]);
    command.arg(format!("-gencode=arch=compute_{OLDEST},code=compute_{OLDEST}"));
    for kind in kinds(env::var("CUDA_COMPUTE_CAP").ok().as_deref())? {
        command.arg(format!("-gencode=arch=compute_{kind},code=sm_{kind}"));
    }
    if said(nvcc, &["--help"])?.contains("--compress-mode") {
        command.arg("--compress-mode=size");
    }
    command.arg("-o").arg(target).arg(source);
    let output =
        command.output().map_err(|error| format!("`{}` cannot be run: {error}; {REMEDY}", nvcc.display()))?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        return Err(format!(
            "`{}` could not compile `{}`:\n{}\ncheck that the toolkit supports CUDA_COMPUTE_CAP and the C++ compiler \
             (NVCC_CCBIN names another)",
            nvcc.display(),
            source.display(),
            said.trim()
        )
        .into());
    }
    for line in String::from_utf8_lossy(&output.stderr).lines().filter(|line| !line.trim().is_empty()) {
        println!("cargo::warning={line}");
    }
    Ok(())
}

/// What machine code is made for: 90, and what `CUDA_COMPUTE_CAP` names beside it, as in `89`, `8.9` or `sm_120a`.
fn kinds(asked: Option<&str>) -> Result<Vec<String>, Failure> {
    let mut kinds = vec![READY.to_string()];
    let Some(asked) = asked.map(str::trim).filter(|asked| !asked.is_empty()) else {
        return Ok(kinds);
    };
    let plain = asked.to_lowercase().replace('.', "");
    let plain = plain.strip_prefix("sm_").unwrap_or(&plain);
    let number: u32 = plain
        .trim_end_matches(['a', 'f'])
        .parse()
        .map_err(|_| format!("CUDA_COMPUTE_CAP is `{asked}`, and not a number such as 80, 90 or 120"))?;
    let number = if number < 20 { number * 10 } else { number };
    if number < OLDEST {
        return Err(format!(
            "CUDA_COMPUTE_CAP is `{asked}`; the oldest that is supported is {OLDEST} (Ampere)"
        )
        .into());
    }
    let suffix = plain.trim_start_matches(|digit: char| digit.is_ascii_digit());
    let kind = format!("{number}{suffix}");
    if !kinds.contains(&kind) {
        kinds.push(kind);
    }
    Ok(kinds)
}
