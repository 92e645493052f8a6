//! What is asked for: how to tell speakers apart, how many there are, and what they are called.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::UNIX_EPOCH;

use sha2::{Digest, Sha256};

use crate::digest::hex;
use crate::error::{Error, Result};

/// Speakers of a recording, unless more are asked for.
const MAX_SPEAKERS: usize = 20;

/// How to tell the speakers of a recording apart.
#[derive(Debug, Clone, PartialEq)]
pub struct SpeakerOptions {
    pub mode: SpeakerMode,
    /// What to call them, in the order in which they are first heard or of the channels.
    pub names: Vec<String>,
    /// A folder of other networks of the same kind.
    pub networks: Option<FolderState>,
    /// A folder with samples of known voices.
    pub voices: Option<FolderState>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpeakerMode {
    /// By their voices.
    Voices(SpeakerCount),
    /// Each channel is a speaker.
    Channels,
}

impl FromStr for SpeakerMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            channels if channels.eq_ignore_ascii_case("channels") => Ok(SpeakerMode::Channels),
            count => count.parse().map(SpeakerMode::Voices),
        }
    }
}

impl fmt::Display for SpeakerMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SpeakerMode::Voices(count) => count.fmt(f),
            SpeakerMode::Channels => f.write_str("channels"),
        }
    }
}

/// How many speakers to look for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpeakerCount {
    pub min: usize,
    pub max: usize,
}

impl SpeakerCount {
    /// As many as there are.
    pub const AUTO: SpeakerCount = SpeakerCount { min: 1, max: MAX_SPEAKERS };
}

impl FromStr for SpeakerCount {
    type Err = String;

    /// Parses `auto`, a number, or a range such as `2-6`.
    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim().eq_ignore_ascii_case("auto") {
            return Ok(Self::AUTO);
        }
        let (min, max) = text.split_once('-').unwrap_or((text, text));
        let number =
            |text: &str| text.trim().parse::<usize>().ok().filter(|number| (1..=60).contains(number));
        match (number(min), number(max)) {
            (Some(min), Some(max)) if min <= max => Ok(SpeakerCount { min, max }),
            _ => Err("must be `auto`, `channels`, a number from 1 to 60, or a range such as `2-6`".into()),
        }
    }
}

impl fmt::Display for SpeakerCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::AUTO => f.write_str("auto"),
            SpeakerCount { min, max } if min == max => write!(f, "{min}"),
            SpeakerCount { min, max } => write!(f, "{min}-{max}"),
        }
    }
}

/// A folder, and what tells its content from another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderState {
    pub path: PathBuf,
    /// Of the names, sizes and times of all files in it.
    pub digest: String,
}

impl FolderState {
    /// Reads the state of the folder that an option names.
    pub fn of(option: &str, path: &Path) -> Result<Self> {
        let mut digest = Sha256::new();
        let faulty = |error: std::io::Error| Error::Usage {
            what: format!("`{option} {}`", path.display()),
            why: error.to_string(),
            hint: Some("name a folder that exists".into()),
        };
        let mut folders = vec![path.to_owned()];
        while let Some(folder) = folders.pop() {
            let entries = fs::read_dir(&folder).map_err(faulty)?;
            let mut entries = entries.collect::<std::io::Result<Vec<_>>>().map_err(faulty)?;
            entries.sort_by_key(|entry| entry.file_name());
            for entry in entries {
                let metadata = entry.metadata().map_err(faulty)?;
                if metadata.is_dir() {
                    folders.push(entry.path());
                    continue;
                }
                let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
                let name = entry.path();
                let name = name.strip_prefix(path).unwrap_or(&name).to_string_lossy().into_owned();
                digest.update(format!("{name}\n{}\n{modified:?}\n", metadata.len()));
            }
        }
        Ok(FolderState { path: path.to_owned(), digest: hex(&digest.finalize()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_read_and_shown() {
        for (text, shown) in [
            ("auto", "auto"),
            ("3", "3"),
            ("2-6", "2-6"),
            ("4-4", "4"),
            (" 2 - 3 ", "2-3"),
            ("Channels", "channels"),
        ] {
            assert_eq!(text.parse::<SpeakerMode>().unwrap().to_string(), shown);
        }
        for text in ["", "0", "-", "6-2", "1-", "100", "many", "1.5"] {
            assert!(text.parse::<SpeakerMode>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_state_of_a_folder_follows_its_files() {
        let folder = tempfile::tempdir().unwrap();
        let state = || FolderState::of("--voices", folder.path()).unwrap();
        let empty = state();
        fs::create_dir(folder.path().join("Anna")).unwrap();
        assert_eq!(state(), empty);
        fs::write(folder.path().join("Anna/1.wav"), "x").unwrap();
        let one = state();
        assert_ne!(one, empty);
        fs::rename(folder.path().join("Anna/1.wav"), folder.path().join("Anna/2.wav")).unwrap();
        assert_ne!(state(), one);
        let error = FolderState::of("--voices", &folder.path().join("none")).unwrap_err();
        assert!(error.to_string().starts_with("`--voices "), "{error}");
    }
}
