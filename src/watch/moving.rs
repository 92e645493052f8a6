//! Moves inputs to another folder when they are finished or have failed.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use super::tracker::{EndedInput, FileState};
use crate::cancel::CancelToken;

/// Bytes copied between two checks for cancellation.
const COPY_BLOCK: usize = 1 << 20;

#[derive(Debug, PartialEq, Eq)]
pub enum MoveOutcome {
    Moved(PathBuf),
    /// The file has changed or gone since; it stays in the inbox as a new file.
    Changed,
}

/// Moves a file into a folder, keeping its subfolders of the inbox, and never over another file. A copy to another
/// file system can be cancelled.
pub fn move_input(ended: &EndedInput, folder: &Path, cancel: &CancelToken) -> io::Result<MoveOutcome> {
    let EndedInput { path, subfolder, state } = ended;
    match path.metadata() {
        Ok(metadata) if FileState::of(&metadata) == *state => {}
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => return Ok(MoveOutcome::Changed),
    }
    let folder = folder.join(subfolder);
    fs::create_dir_all(&folder)?;
    let target = free_name(&folder, path);
    match fs::rename(path, &target) {
        Err(error) if error.kind() == ErrorKind::CrossesDevices => copy(path, &folder, &target, cancel)?,
        outcome => outcome?,
    }
    Ok(MoveOutcome::Moved(target))
}

/// Returns `talk.wav`, or `talk (2).wav` and so on if that is taken.
fn free_name(folder: &Path, path: &Path) -> PathBuf {
    let numbered = |number: u32| {
        let mut name = OsString::from(path.file_stem().unwrap_or_default());
        if number > 1 {
            name.push(format!(" ({number})"));
        }
        if let Some(extension) = path.extension() {
            name.push(".");
            name.push(extension);
        }
        folder.join(name)
    };
    let is_free = |target: &PathBuf| target.symlink_metadata().is_err();
    (1..).map(numbered).find(is_free).unwrap_or_else(|| numbered(1))
}

fn copy(path: &Path, folder: &Path, target: &Path, cancel: &CancelToken) -> io::Result<()> {
    let mut from = File::open(path)?;
    let metadata = from.metadata()?;
    let mut to = tempfile::Builder::new().prefix(".transcribe-").tempfile_in(folder)?;
    let mut block = vec![0; COPY_BLOCK];
    loop {
        if cancel.reason().is_some() {
            return Err(ErrorKind::Interrupted.into());
        }
        match from.read(&mut block)? {
            0 => break,
            bytes => to.write_all(&block[..bytes])?,
        }
    }
    to.as_file().set_permissions(metadata.permissions())?;
    // Not every file system keeps times; that is no reason to fail.
    let _ = metadata.modified().and_then(|time| to.as_file().set_modified(time));
    to.as_file().sync_all()?;
    to.persist_noclobber(target).map_err(|error| error.error)?;
    fs::remove_file(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moves_below_subfolders_and_never_over_another_file() {
        let folder = tempfile::tempdir().unwrap();
        let (inbox, done) = (folder.path().join("in"), folder.path().join("done"));
        let ended = |content: &str| {
            fs::create_dir_all(inbox.join("a")).unwrap();
            let path = inbox.join("a/talk.v1.wav");
            fs::write(&path, content).unwrap();
            let state = FileState::of(&path.metadata().unwrap());
            EndedInput { path, subfolder: "a".into(), state }
        };
        let token = CancelToken::new();
        for (content, name) in
            [("one", "talk.v1.wav"), ("two", "talk.v1 (2).wav"), ("three", "talk.v1 (3).wav")]
        {
            let target = done.join("a").join(name);
            let moved = move_input(&ended(content), &done, &token).unwrap();
            assert_eq!(moved, MoveOutcome::Moved(target.clone()));
            assert_eq!(fs::read_to_string(target).unwrap(), content);
        }
        let changed = ended("four");
        fs::write(&changed.path, "more than four").unwrap();
        assert_eq!(move_input(&changed, &done, &token).unwrap(), MoveOutcome::Changed);
        assert!(changed.path.is_file());
        fs::remove_file(&changed.path).unwrap();
        assert_eq!(move_input(&changed, &done, &token).unwrap(), MoveOutcome::Changed);
    }

    #[test]
    fn a_copy_keeps_its_times_and_can_be_cancelled() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        let token = CancelToken::new();
        fs::write(&from, vec![7; 3 * COPY_BLOCK]).unwrap();
        let modified = from.metadata().unwrap().modified().unwrap();
        token.cancel(crate::cancel::CancelReason::Terminate);
        assert!(copy(&from, folder.path(), &to, &token).is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        copy(&from, folder.path(), &to, &CancelToken::new()).unwrap();
        assert_eq!(to.metadata().unwrap().modified().unwrap(), modified);
        assert!(!from.exists() && fs::read(&to).unwrap().len() == 3 * COPY_BLOCK);
    }
}
