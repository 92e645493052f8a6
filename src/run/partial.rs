//! Partial outputs of a stopped input, in files with names of their own such as `talk.partial.srt`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::active_input::ActiveInput;
use super::{RunContext, output};
use crate::error::{Error, Result};
use crate::export::{Rendering, is_partial};

/// Returns the path of the partial file for an output.
pub fn path_of(output: &Path) -> PathBuf {
    let mut extension = std::ffi::OsString::from("partial");
    if let Some(kind) = output.extension() {
        extension.push(".");
        extension.push(kind);
    }
    output.with_extension(extension)
}

/// Writes a partial file for every output of the input.
pub fn write(input: &ActiveInput, rendering: &Rendering<'_>, context: RunContext<'_>) -> Result<()> {
    for (format, output) in &input.item.outputs {
        let path = path_of(output);
        if path.is_file() && !is_ours(&path) {
            let source = io::Error::from(io::ErrorKind::AlreadyExists);
            return Err(Error::Output { path, source });
        }
        let content = output::render(*format, &path, rendering, &input.item.source, None, context);
        output::write(&input.name, &path, &content, context)?;
    }
    Ok(())
}

/// Removes partial files of outputs that exist.
pub fn sweep(outputs: &[PathBuf]) {
    for path in outputs.iter().filter(|output| output.is_file()).map(|output| path_of(output)) {
        if path.is_file() && is_ours(&path) {
            // A leftover costs only disk space.
            let _ = fs::remove_file(path);
        }
    }
}

/// Whether this program wrote the file: `talk.partial.srt` may also be the whole output of `talk.partial.mp3`.
fn is_ours(path: &Path) -> bool {
    fs::read(path).is_ok_and(|content| is_partial(&content))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_extension() {
        assert_eq!(path_of(Path::new("a/talk.v2.srt")), Path::new("a/talk.v2.partial.srt"));
    }

    #[test]
    fn sweeps_only_partial_files_of_existing_outputs() {
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
