//! The CUDA part of the build: finds nvcc, links the static runtime, and compiles our kernels to `kernels.fatbin`.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::BuildError;

const KERNELS: &str = "src/device/cuda/kernels";

/// The environment variables that trigger a rebuild when they change.
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

/// The usual folders of toolkits.
const FOLDERS: [&str; 3] = ["/usr/local/cuda", "/opt/cuda", "/usr/lib/cuda"];

const REMEDY: &str = "install the CUDA toolkit and set CUDA_HOME to it, or run `eval \"$(deploy/cuda/toolkit.sh)\"`; to build \
    without CUDA, omit `--features cuda`";

/// Ampere, the oldest architecture with bf16. The driver compiles its PTX for every later one.
const OLDEST: u32 = 80;

/// The architecture that machine code is always included for.
const PRECOMPILED: u32 = 90;

pub fn build(manifest: &Path, out: &Path) -> Result<(), BuildError> {
    println!("cargo::rerun-if-changed={}", manifest.join(KERNELS).display());
    for variable in VARIABLES {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    let nvcc = nvcc()?;
    let (major, minor) = release(&output_of(&nvcc, &["--version"])?)
        .ok_or_else(|| format!("`{} --version` prints no release; {REMEDY}", nvcc.display()))?;
    println!("cargo::rustc-env=TRANSCRIBE_CUDA_MAJOR={major}");
    println!("cargo::rustc-env=TRANSCRIBE_CUDA_MINOR={minor}");
    if env::var("CARGO_CFG_TARGET_OS").is_ok_and(|system| system == "linux") {
        link_runtime(&nvcc)?;
    }
    compile(&nvcc, &manifest.join(KERNELS).join("kernels.cu"), &out.join("kernels.fatbin"))
}

fn nvcc() -> Result<PathBuf, BuildError> {
    let path = env::var_os("PATH").unwrap_or_default();
    let on_path: Vec<PathBuf> = env::split_paths(&path).collect();
    if let Some(named) = set("NVCC") {
        let as_given = PathBuf::new();
        let mut candidates = std::iter::once(&as_given).chain(&on_path).map(|folder| folder.join(&named));
        return candidates
            .find(|candidate| candidate.is_file())
            .ok_or_else(|| format!("NVCC is `{}`, which does not exist; {REMEDY}", named.display()).into());
    }
    let name = format!("nvcc{}", env::consts::EXE_SUFFIX);
    let toolkits = ["CUDA_HOME", "CUDA_PATH"].into_iter().filter_map(set).map(|home| home.join("bin"));
    let usual = FOLDERS.into_iter().map(|folder| Path::new(folder).join("bin"));
    let mut candidates = toolkits.chain(on_path).chain(usual).map(|folder| folder.join(&name));
    candidates.find(|candidate| candidate.is_file()).ok_or_else(|| {
        format!("`{name}` is not in CUDA_HOME, on PATH or in {}; {REMEDY}", FOLDERS.join(", ")).into()
    })
}

/// Links the static CUDA runtime, which some of candle's kernels call, as a whole archive: the linker then takes no
/// function from the shared runtime that candle links.
fn link_runtime(nvcc: &Path) -> Result<(), BuildError> {
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
    let mut folders = homes.iter().flat_map(|home| below.iter().map(|below: &String| home.join(below)));
    let folder = folders.find(|folder| folder.join(name).is_file());
    let folder =
        folder.ok_or_else(|| format!("`{name}` is not in the toolkit of `{}`; {REMEDY}", nvcc.display()))?;
    println!("cargo::rustc-link-search=native={}", folder.display());
    println!("cargo::rustc-link-lib=static:+whole-archive=cudart_static");
    Ok(())
}

fn set(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn output_of(nvcc: &Path, arguments: &[&str]) -> Result<String, BuildError> {
    let output = Command::new(nvcc).args(arguments).output();
    let output =
        output.map_err(|error| format!("`{}` cannot be started: {error}; {REMEDY}", nvcc.display()))?;
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

/// Parses the release in `Cuda compilation tools, release 13.0, V13.0.88`.
fn release(text: &str) -> Option<(u32, u32)> {
    let version = text.split("release ").nth(1)?.split(',').next()?;
    let (major, minor) = version.split_once('.')?;
    Some((major.parse().ok()?, minor.trim().parse().ok()?))
}

/// Compiles one file with PTX that drivers can compile for any device, and machine code for the known architectures.
fn compile(nvcc: &Path, source: &Path, target: &Path) -> Result<(), BuildError> {
    let mut command = Command::new(nvcc);
    command.args(["-O3", "-std=c++17", "--fatbin"]);
    command.arg(format!("-gencode=arch=compute_{OLDEST},code=compute_{OLDEST}"));
    for architecture in architectures(env::var("CUDA_COMPUTE_CAP").ok().as_deref())? {
        command.arg(format!("-gencode=arch=compute_{architecture},code=sm_{architecture}"));
    }
    if output_of(nvcc, &["--help"])?.contains("--compress-mode") {
        command.arg("--compress-mode=size");
    }
    command.arg("-o").arg(target).arg(source);
    let output = command
        .output()
        .map_err(|error| format!("`{}` cannot be started: {error}; {REMEDY}", nvcc.display()))?;
    if !output.status.success() {
        let messages = [output.stdout, output.stderr].concat();
        let messages = String::from_utf8_lossy(&messages);
        return Err(format!(
            "`{}` could not compile `{}`:\n{}\ncheck that the toolkit supports CUDA_COMPUTE_CAP and the C++ compiler \
             (NVCC_CCBIN selects another)",
            nvcc.display(),
            source.display(),
            messages.trim()
        )
        .into());
    }
    for line in String::from_utf8_lossy(&output.stderr).lines().filter(|line| !line.trim().is_empty()) {
        println!("cargo::warning={line}");
    }
    Ok(())
}

/// Returns the architectures to compile machine code for: 90, and the one in `CUDA_COMPUTE_CAP`, such as `89`, `8.9` or
/// `sm_120a`.
fn architectures(requested: Option<&str>) -> Result<Vec<String>, BuildError> {
    let mut architectures = vec![PRECOMPILED.to_string()];
    let Some(requested) = requested.map(str::trim).filter(|requested| !requested.is_empty()) else {
        return Ok(architectures);
    };
    let plain = requested.to_lowercase().replace('.', "");
    let plain = plain.strip_prefix("sm_").unwrap_or(&plain);
    let number: u32 = plain
        .trim_end_matches(['a', 'f'])
        .parse()
        .map_err(|_| format!("CUDA_COMPUTE_CAP is `{requested}`, not a number such as 80, 90 or 120"))?;
    let number = if number < 20 { number * 10 } else { number };
    if number < OLDEST {
        return Err(format!(
            "CUDA_COMPUTE_CAP is `{requested}`; the oldest supported architecture is {OLDEST} (Ampere)"
        )
        .into());
    }
    let suffix = plain.trim_start_matches(|digit: char| digit.is_ascii_digit());
    let architecture = format!("{number}{suffix}");
    if !architectures.contains(&architecture) {
        architectures.push(architecture);
    }
    Ok(architectures)
}
