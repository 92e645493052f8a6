//! Inputs that claim or promise more than is there: each ends, and takes time and memory in proportion to what is there.

#![cfg(target_os = "linux")]

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use allocation_counter::measure;
use tempfile::TempDir;
use transcribe::audio::{AudioInput, AudioOptions, DecoderChoice};

use crate::fuzz::targets::forged;
use crate::program::{bare, fixture};

/// Address space of the program in KB: with the demo model it takes about a third of this.
const ADDRESS_SPACE: usize = 3 << 20;

/// Runs the program with the demo model in limited memory. A limit that it hits ends it by a signal or with a code of its own.
fn limited(arguments: &[&Path], options: &[&str]) -> Output {
    let mut program = bare();
    program.env("TRANSCRIBE_MODEL", "demo").args(arguments).args(options);
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("ulimit -v {ADDRESS_SPACE}; exec \"$@\""), "sh"]);
    shell.arg(program.get_program()).args(program.get_args()).env_clear();
    shell.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell.stdin(Stdio::null()).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn file(folder: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn the_limit_leaves_room_for_a_recording() {
    let output = limited(&[&fixture("long/short_en.flac")], &[]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(!output.stdout.is_empty());
}

#[test]
fn forged_recordings_fail_alone() {
    let folder = tempfile::tempdir().unwrap();
    let recordings = forged::recordings();
    let paths: Vec<PathBuf> =
        (0..recordings.len()).map(|at| folder.path().join(format!("{at}.mp4"))).collect();
    for (path, (_, bytes)) in paths.iter().zip(&recordings) {
        fs::write(path, bytes).unwrap();
    }
    let good = fixture("long/short_en.flac");
    let mut arguments: Vec<&Path> = paths.iter().map(PathBuf::as_path).collect();
    arguments.push(&good);
    let output = limited(&arguments, &["--export", "txt", "--output-dir", folder.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(!stderr(&output).contains("this is a bug"), "{}", stderr(&output));
    assert!(!fs::read(folder.path().join("short_en.txt")).unwrap().is_empty());
}

/// An hour in two kilobytes.
#[test]
fn silence_takes_no_memory_however_long_it_is() {
    let bytes = forged::flac_silence(8_000, 440);
    assert!(bytes.len() < 8_000, "{}", bytes.len());
    let input = AudioInput::reader("silence", bytes.as_slice()).unwrap();
    let options = AudioOptions { decoder: DecoderChoice::Builtin, ..AudioOptions::default() };
    let mut samples = 0;
    let taken = measure(|| {
        let mut reader = input.open(&options).unwrap();
        while let Some(block) = reader.next_block().unwrap() {
            assert!(block.iter().all(|sample| *sample == 0.0));
            samples += block.len();
        }
        assert!(!reader.damage().any(), "{:?}", reader.damage());
    });
    assert_eq!(samples, 440 * usize::from(u16::MAX) * 2);
    assert!(taken.bytes_max < 16 << 20, "{}", taken.bytes_max);
}

#[test]
fn a_device_without_end_is_read_up_to_the_limit() {
    let output = limited(&[Path::new("/dev/zero")], &["--max-file-size", "20MB"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let expected = "`/dev/zero`: is a stream of more than 20000000 bytes\nhint: raise `--max-file-size`";
    assert!(stderr(&output).contains(expected), "{}", stderr(&output));
}

#[test]
fn a_pipe_without_end_is_read_up_to_the_limit() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let endless = {
        let pipe = pipe.clone();
        std::thread::spawn(move || {
            let mut pipe = File::options().write(true).open(pipe).unwrap();
            // Until the program closes its end.
            while pipe.write_all(&[7; 1 << 16]).is_ok() {}
        })
    };
    let output = limited(&[&pipe], &["--max-file-size", "20MB"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("is a stream of more than 20000000 bytes"), "{}", stderr(&output));
    endless.join().unwrap();
    // The same on standard input.
    let mut program = bare();
    program.args(["-", "--model", "demo", "--max-file-size", "20MB"]);
    let mut child = program.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    while stdin.write_all(&[7; 1 << 16]).is_ok() {}
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(said.contains("`-`: is a stream of more than 20000000 bytes"), "{said}");
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

/// Returns a file of 100 GB without content, of which only the first bytes are there.
fn sparse(folder: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = file(folder, name, bytes);
    File::options().write(true).open(&path).unwrap().set_len(100 << 30).unwrap();
    path
}

#[test]
fn files_without_content_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let names = ["a.mp3", "b.mp4", "c.ogg", "d.flac", "e.mkv"];
    let paths: Vec<PathBuf> = names.iter().map(|name| sparse(&folder, name, b"")).collect();
    let paths: Vec<&Path> = paths.iter().map(PathBuf::as_path).collect();
    let output = limited(&paths, &[]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert_eq!(stderr(&output).matches("error: `").count(), names.len(), "{}", stderr(&output));
    // Transcripts, lists and the like, of which all is read.
    let transcript = sparse(&folder, "t.srt", b"1\n");
    let output = limited(&[Path::new("export"), &transcript], &["--export", "txt"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("has 107374182400 bytes, more than the limit of"),
        "{}",
        stderr(&output)
    );
    let list = sparse(&folder, "list", b"a.mp3\n");
    for options in
        [vec!["--manifest", list.to_str().unwrap()], vec!["--config", list.to_str().unwrap(), "x.wav"]]
    {
        let output = limited(&[], &options);
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(stderr(&output).contains("more than the limit of"), "{}", stderr(&output));
    }
}

#[test]
fn small_files_of_a_model_are_not_read_beyond_any_size() {
    let demo = fixture("../models/demo");
    for name in ["config.json", "tokenizer.json", "generation_config.json", "model.safetensors"] {
        let folder = tempfile::tempdir().unwrap();
        for other in ["config.json", "tokenizer.json", "generation_config.json", "model.safetensors"] {
            symlink(demo.join(other), folder.path().join(other)).unwrap();
        }
        fs::remove_file(folder.path().join(name)).unwrap();
        let header = [0, 0, 0, 0, 10, 0, 0, 0, b'{'];
        sparse(&folder, name, if name.starts_with("model") { &header } else { b"{" });
        let model = folder.path().to_str().unwrap();
        let output = limited(&[&fixture("long/short_en.flac")], &["--model", model]);
        assert_eq!(output.status.code(), Some(3), "{name}: {}", stderr(&output));
        assert!(stderr(&output).contains(name) && stderr(&output).contains("hint: "), "{}", stderr(&output));
    }
}

#[test]
fn cycles_of_links_end() {
    let folder = tempfile::tempdir().unwrap();
    symlink("b.mp3", folder.path().join("a.mp3")).unwrap();
    symlink("a.mp3", folder.path().join("b.mp3")).unwrap();
    fs::create_dir(folder.path().join("in")).unwrap();
    symlink("..", folder.path().join("in/up")).unwrap();
    fs::copy(fixture("long/short_en.flac"), folder.path().join("in/talk.flac")).unwrap();
    let output = limited(&[&folder.path().join("a.mp3")], &[]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    let output = limited(&[folder.path()], &["--recursive", "--export", "txt"]);
    let talk = folder.path().join("in/talk.txt");
    assert!(fs::read_to_string(&talk).unwrap().contains("The door is blue"), "{}", stderr(&output));
    // An output that leads to itself.
    fs::remove_file(&talk).unwrap();
    fs::remove_file(folder.path().join("in/.transcribe-done")).unwrap();
    symlink("talk.txt", &talk).unwrap();
    let output = limited(&[&folder.path().join("in/talk.flac")], &["--export", "txt", "--overwrite"]);
    assert_eq!(output.status.code(), Some(6), "{}", stderr(&output));
    assert!(stderr(&output).contains("talk.txt` cannot be written"), "{}", stderr(&output));
}

#[test]
fn sixty_four_descriptors_are_enough() {
    let folder = tempfile::tempdir().unwrap();
    let mut program = bare();
    program.env("TRANSCRIBE_MODEL", "demo").args(["--export", "txt", "--output-dir"]).arg(folder.path());
    for number in 0..20 {
        let copy = folder.path().join(format!("{number}.flac"));
        fs::copy(fixture("long/short_es.flac"), &copy).unwrap();
        program.arg(copy);
    }
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -n 64; exec \"$@\"", "sh"]);
    shell.arg(program.get_program()).args(program.get_args()).env_clear();
    shell.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = shell.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = fs::read(folder.path().join("0.txt")).unwrap();
    assert!(!text.is_empty());
    assert!((1..20).all(|number| fs::read(folder.path().join(format!("{number}.txt"))).unwrap() == text));
}

/// Reads a recording of a minute after a block of which something happens to the file; returns the samples, or the error.
fn read_while(name: &str, change: impl FnOnce(&Path)) -> Result<(usize, bool), String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::copy(fixture("long").join(name), &path).unwrap();
    let input = AudioInput::file(&path).unwrap();
    let mut reader = input.open(&AudioOptions::default()).unwrap();
    let mut samples = reader.next_block().unwrap().unwrap().len();
    change(&path);
    while let Some(block) = reader.next_block().map_err(|error| error.chain())? {
        samples += block.len();
    }
    Ok((samples, reader.damage().any()))
}

#[test]
fn an_input_that_changes_while_it_is_read_is_damaged_at_most() {
    let (whole, damaged) = read_while("long_en.flac", |_| {}).unwrap();
    assert!(!damaged);
    // It stays readable for whoever has it open.
    assert_eq!(read_while("long_en.flac", |path| fs::remove_file(path).unwrap()), Ok((whole, false)));
    let shorter = |path: &Path| {
        let length = path.metadata().unwrap().len();
        File::options().write(true).open(path).unwrap().set_len(length / 2).unwrap();
    };
    let (samples, damaged) = read_while("long_en.flac", shorter).unwrap();
    assert!(samples < whole && damaged, "{samples} of {whole}");
    let overwritten = |path: &Path| {
        let length = path.metadata().unwrap().len() as usize;
        let mut file = File::options().write(true).open(path).unwrap();
        file.write_all(&vec![0xa5; length]).unwrap();
    };
    let (samples, damaged) = read_while("long_en.flac", overwritten).unwrap();
    assert!(samples < whole && damaged, "{samples} of {whole}");
    let longer = |path: &Path| {
        File::options().append(true).open(path).unwrap().write_all(&[0; 100_000]).unwrap();
    };
    assert_eq!(read_while("long_en.flac", longer).unwrap().0, whole);
}
