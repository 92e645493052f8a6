//! The CUDA build on machines where CUDA does not work: it starts, reports the reason in one line, and falls back to the
//! CPU unless CUDA was requested. The driver and the libraries are fakes that this test compiles.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use tempfile::TempDir;

use crate::program::{bare, fixture};

/// A driver whose results come from environment variables.
const DRIVER: &str = r#"
#include <stdlib.h>
#include <string.h>
static int setting(const char *name) { const char *value = getenv(name); return value ? atoi(value) : 0; }
int cuInit(unsigned flags) { return flags ? 1 : setting("FAKE_INIT"); }
int cuDriverGetVersion(int *version) { *version = setting("FAKE_VERSION"); return 0; }
int cuDeviceGetCount(int *count) { *count = setting("FAKE_COUNT"); return 0; }
int cuDeviceGet(int *device, int ordinal) { *device = 70 + ordinal; return ordinal < setting("FAKE_COUNT") ? 0 : 101; }
int cuDeviceGetName(char *name, int length, int device) {
  strncpy(name, device == 70 ? "Fake GPU" : "Other GPU", length); return 0;
}
int cuDeviceGetAttribute(int *value, int attribute, int device) {
  if (device < 70) return 101;
  switch (attribute) {
    case 75: *value = setting("FAKE_CAPABILITY") / 10; return 0;
    case 76: *value = setting("FAKE_CAPABILITY") % 10; return 0;
    case 20: *value = setting("FAKE_MODE"); return 0;
    default: return 1;
  }
}
int cuDevicePrimaryCtxRetain(void **context, int device) { *context = 0; return setting("FAKE_RETAIN"); }
"#;

const MAJOR: &str = env!("TRANSCRIBE_CUDA_MAJOR");

/// The folder of the fake driver.
static FAKE_DRIVER: LazyLock<TempDir> = LazyLock::new(|| {
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

/// Returns the compute capability that the kernels were compiled for, such as 90 for 9.0.
fn supported_capability() -> String {
    transcribe::device::cuda::open::compiled_for().chars().filter(char::is_ascii_digit).collect()
}

/// Returns the program with the fake driver, which reports two suitable devices except for these settings.
fn with_driver(settings: &[(&str, &str)]) -> Command {
    let mut program = bare();
    let [major, minor] = [MAJOR, env!("TRANSCRIBE_CUDA_MINOR")].map(|number| number.parse::<u32>().unwrap());
    program.env("LD_LIBRARY_PATH", FAKE_DRIVER.path()).env("HOME", "/nonexistent");
    program.env("FAKE_VERSION", (major * 1000 + minor * 10).to_string());
    program.env("FAKE_COUNT", "2").env("FAKE_CAPABILITY", supported_capability());
    // Out of memory, if all other checks pass.
    program.env("FAKE_RETAIN", "2");
    program.envs(settings.iter().copied());
    program
}

/// Transcribes a fixture, and returns the exit code, stderr, and whether the output exists.
fn transcribe(mut program: Command, device: &str) -> (i32, String, bool) {
    let folder = tempfile::tempdir().unwrap();
    program
        .arg(fixture("long/short_en.flac"))
        .args(["--model", "demo", "--export", "srt", "--device", device]);
    let output = program.arg("--output-dir").arg(folder.path()).output().unwrap();
    let has_output = folder.path().join("short_en.srt").is_file();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap(), has_output)
}

/// Checks that the reason is an error if the device was requested, and a warning otherwise.
fn assert_unavailable(program: impl Fn() -> Command, reason: &str) {
    let (code, stderr, has_output) = transcribe(program(), "cuda");
    assert_eq!((code, has_output), (4, false), "{stderr}");
    let errors: Vec<&str> = stderr.lines().filter(|line| line.starts_with("error: ")).collect();
    assert!(errors.len() == 1 && errors[0].contains("device `cuda:0`: "), "{stderr}");
    assert!(errors[0].contains(reason), "{reason}: {stderr}");

    let (code, stderr, has_output) = transcribe(program(), "auto");
    assert_eq!((code, has_output), (0, true), "{stderr}");
    let warnings: Vec<&str> = stderr.lines().filter(|line| line.starts_with("warning: ")).collect();
    assert!(warnings.len() == 1 && warnings[0].contains("using the CPU: "), "{stderr}");
    assert!(warnings[0].contains(reason) && !stderr.contains("error: "), "{reason}: {stderr}");
}

#[test]
fn starts_without_the_libraries_of_nvidia() {
    for program in [assert_cmd::cargo::cargo_bin!("transcribe").to_owned(), std::env::current_exe().unwrap()]
    {
        let output = Command::new("readelf").arg("-d").arg(&program).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let needed: Vec<&str> = text.lines().filter(|line| line.contains("(NEEDED)")).collect();
        assert!(needed.iter().any(|line| line.contains("libc.so")), "{needed:?}");
        let nvidia = ["libcuda", "libcublas", "libcurand", "libnvrtc"];
        let found = needed.iter().find(|line| nvidia.iter().any(|name| line.contains(name)));
        assert_eq!(found, None, "is a function missing in `src/device/cuda/functions`?");
    }
}

#[test]
fn reports_a_missing_driver() {
    if Path::new("/proc/driver/nvidia/version").exists()
        || Path::new("/usr/lib/wsl/lib/libcuda.so.1").exists()
    {
        eprintln!("SKIPPED: this machine has an NVIDIA driver");
        return;
    }
    assert_unavailable(bare, "no NVIDIA driver is installed: `libcuda.so.1` was not found");
    let broken = tempfile::tempdir().unwrap();
    fs::write(broken.path().join("libcuda.so.1"), "not a library").unwrap();
    let program = || {
        let mut program = bare();
        program.env("LD_LIBRARY_PATH", broken.path());
        program
    };
    assert_unavailable(program, "`libcuda.so.1` cannot be loaded: ");
}

#[test]
fn reports_an_old_driver_with_both_versions() {
    let reason = format!("supports CUDA 11.4, and this program was built with CUDA {MAJOR}.");
    assert_unavailable(|| with_driver(&[("FAKE_VERSION", "11040")]), &reason);
}

#[test]
fn distinguishes_missing_devices_from_hidden_ones() {
    assert_unavailable(
        || with_driver(&[("FAKE_COUNT", "0")]),
        "the NVIDIA driver is installed, but finds no GPU",
    );
    // The real driver returns this code if no device is visible.
    let hidden = || with_driver(&[("FAKE_INIT", "100"), ("CUDA_VISIBLE_DEVICES", "-1")]);
    assert_unavailable(hidden, "no GPU is visible: CUDA_VISIBLE_DEVICES is `-1`");
    let (code, stderr, _) = transcribe(with_driver(&[]), "cuda:7");
    assert_eq!(code, 4);
    assert!(
        stderr.contains("device `cuda:7`: there is no such GPU; there are `cuda:0` to `cuda:1`"),
        "{stderr}"
    );
    assert_unavailable(
        || with_driver(&[("FAKE_INIT", "802")]),
        "initializing the NVIDIA driver failed: CUDA_ERROR_SYSTEM_NOT_READY",
    );
}

#[test]
fn reports_a_device_that_the_kernels_do_not_run_on() {
    let old = || with_driver(&[("FAKE_CAPABILITY", "61")]);
    assert_unavailable(old, "Fake GPU has compute capability 6.1, but at least 8.0 is required");
    assert_unavailable(|| with_driver(&[("FAKE_MODE", "2")]), "its compute mode is `Prohibited`");

    let output = old().args(["doctor", "--json"]).output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let found = report["accelerators"].as_array().unwrap();
    let device = |at: usize| (found[at]["device"].as_str().unwrap(), found[at]["why_not"].as_str().unwrap());
    assert!(
        device(0).0 == "cuda:0" && device(0).1.contains("Fake GPU has compute capability 6.1"),
        "{found:?}"
    );
    assert!(device(1).0 == "cuda:1" && device(1).1.contains("Other GPU"), "{found:?}");
}

/// Creates a Python environment with fakes of these libraries.
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
fn finds_libraries_in_a_python_environment_or_reports_them_as_missing() {
    let (_, stderr, _) = transcribe(with_driver(&[]), "cuda");
    if stderr.contains("not have enough free memory") {
        eprintln!("SKIPPED: this machine has the real libraries");
        return;
    }
    assert!(stderr.contains(&format!("`libcublas.so.{MAJOR}` was not found")), "{stderr}");
    assert!(stderr.contains("hint: run `pip install "), "{stderr}");

    let within = |folder: &Path, retain: &str| {
        with_driver(&[("VIRTUAL_ENV", folder.to_str().unwrap()), ("FAKE_RETAIN", retain)])
    };
    let part = environment(&all_libraries()[2..]);
    let missing = format!("`libcublas.so.{MAJOR}` was not found by the system's loader or in ");
    assert_unavailable(|| within(part.path(), "2"), &missing);
    let whole = environment(&all_libraries());
    assert_unavailable(|| within(whole.path(), "2"), "it does not have enough free memory to start");
    assert_unavailable(|| within(whole.path(), "46"), "another process uses it exclusively");
    assert_unavailable(|| within(whole.path(), "719"), "opening it failed: CUDA_ERROR_LAUNCH_FAILED");

    let part = environment(&all_libraries()[..2]);
    assert_unavailable(|| within(part.path(), "2"), "`libcurand.so.10` was not found");
    let damaged: PathBuf = part.path().join("lib/python3.12/site-packages/nvidia/curand/lib");
    fs::create_dir_all(&damaged).unwrap();
    fs::write(damaged.join("libcurand.so.10"), "truncated").unwrap();
    assert_unavailable(|| within(part.path(), "2"), "`libcurand.so.10` cannot be loaded: ");
}
