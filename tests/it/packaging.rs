//! Completions in a real shell, and the manual as a real roff reads it.

use std::path::Path;
use std::process::{Command, Output};

use crate::program::bare;

fn printed(line: &[&str]) -> String {
    let output = bare().args(line).output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]), "{line:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// None where there is no such program.
fn run(program: &str, line: &[&str]) -> Option<Output> {
    match Command::new(program).args(line).output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        output => Some(output.unwrap()),
    }
}

#[test]
fn every_shell_gets_its_script() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = printed(&["completions", shell]);
        for word in ["output-dir", "word-timestamps", "large-v3-turbo", "doctor", "verify"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    let output = bare().args(["completions", "tcsh"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        String::from_utf8_lossy(&output.stderr)
            .contains("must be one of bash, elvish, fish, powershell, zsh")
    );
}

#[test]
fn bash_completes_options_models_and_commands() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("transcribe.bash");
    std::fs::write(&script, printed(&["completions", "bash"])).unwrap();
    let complete = |words: &[&str]| -> Option<String> {
        let (last, before) = (words.last().unwrap(), words[words.len() - 2]);
        let line = format!(
            "source {}; COMP_WORDS=({}); COMP_CWORD={}; $(complete -p transcribe | sed 's/.*-F \\([^ ]*\\).*/\\1/') \
             transcribe '{last}' '{before}'; echo \"${{COMPREPLY[@]}}\"",
            script.display(),
            words.join(" "),
            words.len() - 1,
        );
        let output = run("bash", &["--norc", "-c", &line])?;
        assert!(output.status.success(), "{output:?}");
        Some(String::from_utf8(output.stdout).unwrap().trim().to_owned())
    };
    let Some(options) = complete(&["transcribe", "--output-d"]) else { return };
    assert_eq!(options, "--output-dir");
    assert_eq!(
        complete(&["transcribe", "--model", "distil-l"]).unwrap(),
        "distil-large-v2 distil-large-v3 distil-large-v3.5"
    );
    assert_eq!(complete(&["transcribe", "--export", "s"]).unwrap(), "srt");
    assert_eq!(complete(&["transcribe", "-e", "srt,t"]).unwrap(), "srt,txt srt,tsv");
    assert_eq!(complete(&["transcribe", "models", "ver"]).unwrap(), "verify");
    assert_eq!(complete(&["transcribe", "doctor", "--js"]).unwrap(), "--json");
}

/// Has roff read a page, and say what is wrong with it.
fn check_page(page: &Path) {
    let path = page.to_str().unwrap();
    let Some(output) = run("groff", &["-man", "-Tutf8", "-ww", path]) else { return };
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{path}");
    if let Some(output) = run("mandoc", &["-Tlint", "-Werror", path]) {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
}

#[test]
fn the_manual_is_whole_and_right() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man1");
    assert_eq!(printed(&["man", "--dir", pages.to_str().unwrap()]), "");
    let names = crate::program::names(&pages);
    for name in ["transcribe.1", "transcribe-models.1", "transcribe-models-remove.1", "transcribe-doctor.1"] {
        assert!(names.iter().any(|found| found == name), "{name} in {names:?}");
    }
    names.iter().for_each(|name| check_page(&pages.join(name)));
    let main = printed(&["man"]);
    assert_eq!(main, std::fs::read_to_string(pages.join("transcribe.1")).unwrap());
    assert!(main.is_ascii());
    for part in [".SH SYNOPSIS", ".SH \"EXAMPLES\"", ".SH \"EXIT CODES\"", "TRANSCRIBE_BEAM_SIZE"] {
        assert!(main.contains(part), "{part}");
    }
    let output = bare().args(["man", "--dir", "/dev/null/x"]).output().unwrap();
    assert_eq!(output.status.code(), Some(6));
}

#[test]
fn help_lists_every_command() {
    let help = printed(&["--help"]);
    for command in ["bench", "completions", "doctor", "export", "man", "models", "score"] {
        assert!(help.lines().any(|line| line.trim_start().starts_with(&format!("{command} "))), "{command}");
        let own = printed(&[command, "--help"]);
        assert!(own.contains(&format!("Usage: transcribe {command}")), "{own}");
    }
    for command in ["completions", "doctor", "man", "models"] {
        assert!(printed(&[command, "--help"]).contains("\nExamples:\n"), "{command}");
    }
}
