//! Secrets, permissions and links: what other users of a machine or a folder can see and do.

#![cfg(unix)]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output};

use crate::hub::server::{Plan, Server};
use crate::program::{LEDGER, Running, bare, demo, fixture, names};

const SECRETS: [&str; 3] = ["hf_Token0123", "proxyPassword", "endpointPassword"];

/// Checks that no secret is in what a run has printed or written below a folder.
fn check(output: &Output, folder: &Path, what: &str) {
    let mut texts = vec![output.stdout.clone(), output.stderr.clone()];
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            match entry.file_type().unwrap().is_dir() {
                true => folders.push(entry.path()),
                false => texts.push(fs::read(entry.path()).unwrap_or_default()),
            }
        }
    }
    for text in &texts {
        let text = String::from_utf8_lossy(text);
        for secret in SECRETS {
            assert!(!text.contains(secret), "{what}: {secret} in {text}");
        }
    }
    assert!(!output.stderr.is_empty(), "{what}");
}

#[test]
fn no_secret_is_printed_or_written() {
    let token = Some(SECRETS[0].to_owned());
    let server = Server::start(Plan { token, ..Plan::demo("openai/whisper-tiny") });
    let host = server.endpoint().replace("http://", "");
    // A download, one that is refused, no hub, and a proxy that is not there.
    for (endpoint, token, proxy) in [
        (format!("http://user:{}@{host}", SECRETS[2]), SECRETS[0], ""),
        (format!("http://user:{}@{host}", SECRETS[2]), "hf_Token0123wrong", ""),
        (format!("http://user:{}@127.0.0.1:1", SECRETS[2]), SECRETS[0], ""),
        (
            format!("http://user:{}@hub.invalid", SECRETS[2]),
            SECRETS[0],
            "http://user:proxyPassword@127.0.0.1:1",
        ),
    ] {
        for arguments in [
            &["--export", "all", "--report", "report.jsonl", "--metrics-file", "metrics.prom", "-v"][..],
            &["--log-format", "json", "--print-config"],
            &["--dry-run"],
            &["doctor", "--json"],
            &["doctor"],
            &["models", "pull", "tiny"],
        ] {
            let folder = tempfile::tempdir().unwrap();
            let mut program = bare();
            program.current_dir(folder.path()).env("HF_HOME", folder.path().join("cache"));
            program.env("HF_ENDPOINT", &endpoint).env("HF_TOKEN", token).args(arguments);
            if !proxy.is_empty() {
                program.env("HTTP_PROXY", proxy).env("ALL_PROXY", proxy);
            }
            if arguments[0].starts_with('-') {
                fs::copy(fixture("long/short_en.flac"), folder.path().join("talk.flac")).unwrap();
                program.arg("talk.flac").args(["--model", "tiny"]);
            }
            let what = format!("{endpoint} {arguments:?}");
            let mut output = program.output().unwrap();
            assert_ne!(output.status.code(), Some(2), "{what}: {output:?}");
            // Some commands say everything on standard output.
            output.stderr.push(b'\n');
            check(&output, folder.path(), &what);
        }
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// Returns the program as a shell with this umask starts it.
fn masked(program: &Command, mask: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("umask {mask}; exec \"$@\""), "sh"]);
    shell.arg(program.get_program()).args(program.get_args()).env_clear();
    shell.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell
}

#[test]
fn outputs_and_state_have_the_permissions_that_the_umask_leaves() {
    for (mask, expected) in [("077", 0o600), ("027", 0o640), ("022", 0o644)] {
        let folder = tempfile::tempdir().unwrap();
        let mut program = demo();
        program.arg(fixture("long/short_en.flac")).args(["--export", "txt,html", "--chunk-length", "4"]);
        program.args(["--report", "report.jsonl", "--metrics-file", "metrics.prom", "--output-dir", "out"]);
        let mut stopped = masked(&program, mask);
        stopped.current_dir(folder.path());
        let mut running = Running::start_until(stopped, "stop encode 1");
        assert!(running.wait_for("test hook: "));
        let journal = folder.path().join("out/.short_en.transcribe");
        assert_eq!(mode(&journal), expected, "{mask}");
        running.signal("TERM");
        running.end();
        let mut again = masked(&program, mask);
        assert_eq!(again.current_dir(folder.path()).output().unwrap().status.code(), Some(0));
        for file in ["out/short_en.txt", "out/short_en.html", &format!("out/{LEDGER}"), "report.jsonl"] {
            assert_eq!(mode(&folder.path().join(file)), expected, "{mask} {file}");
        }
        assert_eq!(
            mode(&folder.path().join("out")) & 0o077,
            0o777 & !u32::from_str_radix(mask, 8).unwrap() & 0o077
        );
    }
}

#[test]
fn state_is_not_kept_through_links_that_others_have_put_there() {
    let folder = tempfile::tempdir().unwrap();
    let (out, precious) = (folder.path().join("out"), folder.path().join("precious"));
    fs::create_dir(&out).unwrap();
    fs::write(&precious, "precious").unwrap();
    for name in [".short_en.transcribe", LEDGER] {
        symlink(&precious, out.join(name)).unwrap();
    }
    let mut program = demo();
    program.arg(fixture("long/short_en.flac")).args(["--export", "txt", "--output-dir"]).arg(&out);
    let output = program.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
    assert!(String::from_utf8(output.stderr).unwrap().contains("cannot write the resume journal"));
    assert!(out.join("short_en.txt").is_file());
    assert_eq!(names(&out), [".short_en.transcribe", "short_en.txt"]);
}
