//! What there is of an input that was stopped, in files of a name of their own: `talk.partial.srt`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::active_input::File;
use super::{Event, output};
use crate::error::{Error, Result};
use crate::export::{Shape, is_partial};
use crate::transcript::Transcript;

/// The name of such a file.
pub fn path_of(output: &Path) -> PathBuf {
    let mut extension = std::ffi::OsString::from("partial");
    if let Some(kind) = output.extension() {
        extension.push(".");
        extension.push(kind);
    }
    output.with_extension(extension)
}

/// Writes one for every output that is missing.
pub fn write(
    file: &File,
    transcript: &Transcript,
    shape: &Shape,
    on_event: &mut dyn FnMut(Event<'_>),
) -> Result<()> {
    for (format, output) in &file.item.outputs {
        let path = path_of(output);
        if path.is_file() && !is_ours(&path) {
            let source = io::Error::from(io::ErrorKind::AlreadyExists);
            return Err(Error::Output { path, source });
        }
        let content = output::content(*format, &path, transcript, shape, &file.item.source, on_event);
        output::write(&file.name, &path, &content, on_event)?;
    }
    Ok(())
}

/// Removes those whose whole is there.
pub fn sweep(outputs: &[PathBuf]) {
    for path in outputs.iter().filter(|output| output.is_file()).map(|output| path_of(output)) {
        if path.is_file() && is_ours(&path) {
            // Left over, it only takes up room.
            let _ = fs::remove_file(path);
        }
    }
}

/// Somebody may have made a whole file of this name, of `talk.partial.mp3` for example.
fn is_ours(path: &Path) -> bool {
    fs::read(path).is_ok_and(|content| is_partial(&content))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_says_it_and_keeps_the_kind() {
        assert_eq!(path_of(Path::new("a/talk.v2.srt")), Path::new("a/talk.v2.partial.srt"));
    }

    #[test]
    fn only_what_is_partial_is_swept() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for (name, content) in [
            ("a.srt", "1\n"),
            ("a.partial.srt", "1\n00:00:01,000 --> 00:00:03,000\n[partial]\n\n"),
            ("b.txt", "words\n"),
            ("b.partial.txt", "of somebody else\n"),
            ("c.partial.json", "{\"text\": \"\", \"partial\": true}"),
        ] {
            fs::write(at(name), content).unwrap();
        }
        sweep(&[at("a.srt"), at("b.txt"), at("c.json")]);
        let mut left: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["a.srt", "b.partial.txt", "b.txt", "c.partial.json"]);
    }
}
