//! The program with CUDA on machines where CUDA is not to be had: it starts, says why in one line, and goes on with the
//! processor unless it was told not to. The driver and the libraries are fakes that this test compiles.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use tempfile::TempDir;

use crate::program::{bare, fixture};

/// A driver that answers what the environment says.
const DRIVER: &str = r#"
#include <stdlib.h>
#include <string.h>
static int says(const char *name) { const char *value = getenv(name); return value ? atoi(value) : 0; }
int cuInit(unsigned flags) { return flags ? 1 : says("FAKE_INIT"); }
int cuDriverGetVersion(int *version) { *version = says("FAKE_VERSION"); return 0; }
int cuDeviceGetCount(int *count) { *count = says("FAKE_COUNT"); return 0; }
int cuDeviceGet(int *device, int ordinal) { *device = 70 + ordinal; return ordinal < says("FAKE_COUNT") ? 0 : 101; }
int cuDeviceGetName(char *name, int length, int device) {
  strncpy(name, device == 70 ? "Fake GPU" : "Other GPU", length); return 0;
}
int cuDeviceGetAttribute(int *value, int attribute, int device) {
  if (device < 70) return 101;
  switch (attribute) {
    case 75: *value = says("FAKE_CAPABILITY") / 10; return 0;
    case 76: *value = says("FAKE_CAPABILITY") % 10; return 0;
    case 20: *value = says("FAKE_MODE"); return 0;
    default: return 1;
  }
}
int cuDevicePrimaryCtxRetain(void **context, int device) { *context = 0; return says("FAKE_RETAIN"); }
"#;

const MAJOR: &str = env!("TRANSCRIBE_CUDA_MAJOR");

/// The driver's folder.
static FAKE: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    compile(DRIVER, &folder.path().join("libcuda.so.1"));
    folder
});

fn compile(source: &str, library: &Path) {
    let text = library.with_extension("c");
    fs::write(&text, source).unwrap();
    let name = format!("-Wl,-soname,{}", library.file_name().unwrap().to_str().unwrap());
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-w", &name, "-o"]).arg(library).arg(text);
    assert!(compiler.status().unwrap().success());
}

/// The capability that the kernels were made for, as in 90 for 9.0.
fn fitting() -> String {
    transcribe::device::cuda::open::built_for().chars().filter(char::is_ascii_digit).collect()
}

/// A program that finds the fake driver, which has two devices that would do, but for what is said.
fn with_driver(said: &[(&str, &str)]) -> Command {
    let mut program = bare();
    let [major, minor] = [MAJOR, env!("TRANSCRIBE_CUDA_MINOR")].map(|number| number.parse::<u32>().unwrap());
    program.env("LD_LIBRARY_PATH", FAKE.path()).env("HOME", "/nonexistent");
    program.env("FAKE_VERSION", (major * 1000 + minor * 10).to_string());
    program.env("FAKE_COUNT", "2").env("FAKE_CAPABILITY", fitting());
    // No memory, should all else be well.
    program.env("FAKE_RETAIN", "2");
    program.envs(said.iter().copied());
    program
}

/// How it ended, and what it said.
fn transcribe(mut program: Command, device: &str) -> (i32, String, bool) {
    let folder = tempfile::tempdir().unwrap();
    program
        .arg(fixture("long/short_en.flac"))
        .args(["--model", "demo", "--export", "srt", "--device", device]);
    let output = program.arg("--output-dir").arg(folder.path()).output().unwrap();
    let is_there = folder.path().join("short_en.srt").is_file();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap(), is_there)
}

/// The reason is told as an error where the device was asked for, and as a warning where it was not.
fn refused(program: impl Fn() -> Command, reason: &str) {
    let (code, said, is_there) = transcribe(program(), "cuda");
    assert_eq!((code, is_there), (4, false), "{said}");
    let errors: Vec<&str> = said.lines().filter(|line| line.starts_with("error: ")).collect();
    assert!(errors.len() == 1 && errors[0].contains("device `cuda:0`: "), "{said}");
    assert!(errors[0].contains(reason), "{reason}: {said}");

    let (code, said, is_there) = transcribe(program(), "auto");
    assert_eq!((code, is_there), (0, true), "{said}");
    let warnings: Vec<&str> = said.lines().filter(|line| line.starts_with("warning: ")).collect();
    assert!(warnings.len() == 1 && warnings[0].contains("going on with the CPU: "), "{said}");
    assert!(warnings[0].contains(reason) && !said.contains("error: "), "{reason}: {said}");
}

#[test]
fn no_library_of_nvidia_is_needed_to_start() {
    for program in [assert_cmd::cargo::cargo_bin!("transcribe").to_owned(), std::env::current_exe().unwrap()]
    {
        let output = Command::new("readelf").arg("-d").arg(&program).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let needed: Vec<&str> = text.lines().filter(|line| line.contains("(NEEDED)")).collect();
        assert!(needed.iter().any(|line| line.contains("libc.so")), "{needed:?}");
        let nvidia = ["libcuda", "libcublas", "libcurand", "libnvrtc"];
        let found = needed.iter().find(|line| nvidia.iter().any(|name| line.contains(name)));
        assert_eq!(found, None, "a function that `src/device/cuda/functions` does not list?");
    }
}

#[test]
fn without_a_driver_the_reason_is_that_there_is_none() {
    if Path::new("/proc/driver/nvidia/version").exists()
        || Path::new("/usr/lib/wsl/lib/libcuda.so.1").exists()
    {
        eprintln!("this machine has a driver");
        return;
    }
    refused(bare, "no NVIDIA driver is here: `libcuda.so.1` was not found");
    let broken = tempfile::tempdir().unwrap();
    fs::write(broken.path().join("libcuda.so.1"), "not a library").unwrap();
    let program = || {
        let mut program = bare();
        program.env("LD_LIBRARY_PATH", broken.path());
        program
    };
    refused(program, "`libcuda.so.1` cannot be loaded: ");
}

#[test]
fn an_old_driver_is_named_with_both_versions() {
    let reason = format!("supports CUDA 11.4, and this program was built with CUDA {MAJOR}.");
    refused(|| with_driver(&[("FAKE_VERSION", "11040")]), &reason);
}

#[test]
fn devices_that_are_not_there_are_told_from_those_that_are_hidden() {
    refused(|| with_driver(&[("FAKE_COUNT", "0")]), "NVIDIA's driver is here, but finds no GPU");
    // The real one answers so when none is visible.
    let hidden = || with_driver(&[("FAKE_INIT", "100"), ("CUDA_VISIBLE_DEVICES", "-1")]);
    refused(hidden, "no GPU is visible: CUDA_VISIBLE_DEVICES is `-1`");
    let (code, said, _) = transcribe(with_driver(&[]), "cuda:7");
    assert_eq!(code, 4);
    assert!(said.contains("device `cuda:7`: there is no such GPU; there are `cuda:0` to `cuda:1`"), "{said}");
    refused(
        || with_driver(&[("FAKE_INIT", "802")]),
        "starting NVIDIA's driver failed: CUDA_ERROR_SYSTEM_NOT_READY",
    );
}

#[test]
fn a_device_that_the_kernels_do_not_run_on_is_named() {
    let old = || with_driver(&[("FAKE_CAPABILITY", "61")]);
    refused(old, "Fake GPU has compute capability 6.1, and at least 8.0 is needed");
    refused(|| with_driver(&[("FAKE_MODE", "2")]), "its compute mode is `Prohibited`");

    let output = old().args(["doctor", "--json"]).output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let found = report["accelerators"].as_array().unwrap();
    let told = |at: usize| (found[at]["device"].as_str().unwrap(), found[at]["why_not"].as_str().unwrap());
    assert!(told(0).0 == "cuda:0" && told(0).1.contains("Fake GPU has compute capability 6.1"), "{found:?}");
    assert!(told(1).0 == "cuda:1" && told(1).1.contains("Other GPU"), "{found:?}");
}

/// A Python environment with fakes of these libraries.
fn environment(libraries: &[String]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let packages = folder.path().join("lib/python3.12/site-packages/nvidia");
    for library in libraries {
        let below = if library.contains("curand") { "curand/lib".into() } else { format!("cu{MAJOR}/lib") };
        fs::create_dir_all(packages.join(&below)).unwrap();
        compile("int nothing;", &packages.join(below).join(library));
    }
    folder
}

fn all_libraries() -> Vec<String> {
    vec![format!("libcublas.so.{MAJOR}"), format!("libcublasLt.so.{MAJOR}"), "libcurand.so.10".into()]
}

#[test]
fn libraries_are_found_in_an_environment_of_python_or_named_as_missing() {
    let (_, said, _) = transcribe(with_driver(&[]), "cuda");
    if said.contains("not enough free memory") {
        eprintln!("this machine has the real libraries");
        return;
    }
    assert!(said.contains(&format!("`libcublas.so.{MAJOR}` was not found")), "{said}");
    assert!(said.contains("hint: `pip install "), "{said}");

    let within = |folder: &Path, retain: &str| {
        with_driver(&[("VIRTUAL_ENV", folder.to_str().unwrap()), ("FAKE_RETAIN", retain)])
    };
    let part = environment(&all_libraries()[2..]);
    let missing = format!("`libcublas.so.{MAJOR}` was not found, neither by the system's loader nor in ");
    refused(|| within(part.path(), "2"), &missing);
    let whole = environment(&all_libraries());
    refused(|| within(whole.path(), "2"), "it has not enough free memory to begin with");
    refused(|| within(whole.path(), "46"), "another process has it for itself");
    refused(|| within(whole.path(), "719"), "opening it failed: CUDA_ERROR_LAUNCH_FAILED");

    let part = environment(&all_libraries()[..2]);
    refused(|| within(part.path(), "2"), "`libcurand.so.10` was not found");
    let damaged: PathBuf = part.path().join("lib/python3.12/site-packages/nvidia/curand/lib");
    fs::create_dir_all(&damaged).unwrap();
    fs::write(damaged.join("libcurand.so.10"), "cut off").unwrap();
    refused(|| within(part.path(), "2"), "`libcurand.so.10` cannot be loaded: ");
}
