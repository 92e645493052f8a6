//! Inputs that go to another folder when they are over.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use super::seen::{Ended, Look};
use crate::cancel::CancelToken;

const PIECE: usize = 1 << 20;

/// What became of a move.
#[derive(Debug, PartialEq, Eq)]
pub enum Moved {
    To(PathBuf),
    /// It is not what it was, or not there: it is looked at anew.
    No,
}

/// Moves a file into a folder, below the folders that lay between it and the inbox, and never over another one. The
/// copy to another file system ends when somebody asks to stop.
pub fn into_folder(ended: &Ended, folder: &Path, cancel: &CancelToken) -> io::Result<Moved> {
    let Ended { path, below, look } = ended;
    match path.metadata() {
        Ok(metadata) if Look::of(&metadata) == *look => {}
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => return Ok(Moved::No),
    }
    let folder = folder.join(below);
    fs::create_dir_all(&folder)?;
    let target = free_name(&folder, path);
    match fs::rename(path, &target) {
        Err(error) if error.kind() == ErrorKind::CrossesDevices => copy(path, &folder, &target, cancel)?,
        outcome => outcome?,
    }
    Ok(Moved::To(target))
}

/// `talk.wav`, or `talk (2).wav` if that is taken.
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
    let is_free = |place: &PathBuf| place.symlink_metadata().is_err();
    (1..).map(numbered).find(is_free).unwrap_or_else(|| numbered(1))
}

fn copy(path: &Path, folder: &Path, target: &Path, cancel: &CancelToken) -> io::Result<()> {
    let mut from = File::open(path)?;
    let metadata = from.metadata()?;
    let mut to = tempfile::Builder::new().prefix(".transcribe-").tempfile_in(folder)?;
    let mut piece = vec![0; PIECE];
    loop {
        if cancel.reason().is_some() {
            return Err(ErrorKind::Interrupted.into());
        }
        match from.read(&mut piece)? {
            0 => break,
            bytes => to.write_all(&piece[..bytes])?,
        }
    }
    to.as_file().set_permissions(metadata.permissions())?;
    // What the other file system does not keep is not worth a failure.
    let _ = metadata.modified().and_then(|time| to.as_file().set_modified(time));
    to.as_file().sync_all()?;
    to.persist_noclobber(target).map_err(|error| error.error)?;
    fs::remove_file(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_goes_below_its_folders_and_never_over_another() {
        let folder = tempfile::tempdir().unwrap();
        let (inbox, done) = (folder.path().join("in"), folder.path().join("done"));
        let ended = |content: &str| {
            fs::create_dir_all(inbox.join("a")).unwrap();
            let path = inbox.join("a/talk.v1.wav");
            fs::write(&path, content).unwrap();
            let look = Look::of(&path.metadata().unwrap());
            Ended { path, below: "a".into(), look }
        };
        let token = CancelToken::new();
        for (content, name) in
            [("one", "talk.v1.wav"), ("two", "talk.v1 (2).wav"), ("three", "talk.v1 (3).wav")]
        {
            let target = done.join("a").join(name);
            assert_eq!(into_folder(&ended(content), &done, &token).unwrap(), Moved::To(target.clone()));
            assert_eq!(fs::read_to_string(target).unwrap(), content);
        }
        let changed = ended("four");
        fs::write(&changed.path, "more than four").unwrap();
        assert_eq!(into_folder(&changed, &done, &token).unwrap(), Moved::No);
        assert!(changed.path.is_file());
        fs::remove_file(&changed.path).unwrap();
        assert_eq!(into_folder(&changed, &done, &token).unwrap(), Moved::No);
    }

    #[test]
    fn a_copy_keeps_its_times_and_can_be_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        let token = CancelToken::new();
        fs::write(&from, vec![7; 3 * PIECE]).unwrap();
        let modified = from.metadata().unwrap().modified().unwrap();
        token.cancel(crate::cancel::CancelReason::Terminate);
        assert!(copy(&from, folder.path(), &to, &token).is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        copy(&from, folder.path(), &to, &CancelToken::new()).unwrap();
        assert_eq!(to.metadata().unwrap().modified().unwrap(), modified);
        assert!(!from.exists() && fs::read(&to).unwrap().len() == 3 * PIECE);
    }
}
