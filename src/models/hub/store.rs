//! The cache that the hub's clients share: listing, verification and removal.
//!
//! `models--owner--name` has `snapshots/<commit>`, whose files are links into `blobs`; `refs/<branch>` with a commit; and
//! `.no_exist/<commit>`, which marks files that a commit does not have.

use std::collections::HashSet;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::layout::RepositoryLayout;
use super::{digest, layout};
use crate::cancel::CancelToken;
use crate::error::{Error, ModelProblem, Result};
use crate::models::checkpoint::{self, CONFIG};

/// A cached repository.
#[derive(Debug, Clone)]
pub struct CachedRepository {
    /// `owner/name`
    pub name: String,
    pub root: PathBuf,
    pub revisions: Vec<CachedRevision>,
    /// Bytes of unfinished downloads.
    pub unfinished: u64,
}

/// A cached commit of a repository.
#[derive(Debug, Clone)]
pub struct CachedRevision {
    pub commit: String,
    /// Branches and tags that point to it.
    pub references: Vec<String>,
    pub path: PathBuf,
    pub files: Vec<CachedFile>,
}

#[derive(Debug, Clone)]
pub struct CachedFile {
    /// Path below the snapshot, with slashes.
    pub name: String,
    pub path: PathBuf,
    /// The blob that the file links to, if it is a link. Its name may be a checksum.
    pub blob: Option<PathBuf>,
    pub bytes: u64,
    /// Time of the last access; `None` if the file system does not record it.
    pub used: Option<SystemTime>,
}

/// Result of verifying every byte of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileVerdict {
    /// Matches its checksum, of this kind.
    Right(&'static str),
    Wrong(String),
    /// The cache has no checksum of it.
    Unknown,
}

/// Returns all models in the cache, sorted by name; none if there is no cache.
pub fn repositories(cache: &Path) -> Result<Vec<CachedRepository>> {
    let mut found = Vec::new();
    for path in entries(cache)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if let Some(name) = name.strip_prefix("models--").filter(|_| path.is_dir()) {
            found.push(CachedRepository::read(name.replace("--", "/"), path.clone())?);
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

impl CachedRepository {
    fn read(name: String, root: PathBuf) -> Result<Self> {
        let mut references = Vec::new();
        walk(&root.join("refs"), "", &mut |name, path| {
            let commit = checkpoint::read_small("cache", path).unwrap_or_default();
            references.push((name.to_owned(), String::from_utf8_lossy(&commit).trim().to_owned()));
        })?;
        let mut revisions = Vec::new();
        for path in entries(&root.join("snapshots"))? {
            let commit = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let references = references.iter().filter(|(_, of)| *of == commit).map(|(name, _)| name.clone());
            let mut files = Vec::new();
            walk(&path, "", &mut |name, path| files.push(CachedFile::read(name, path)))?;
            files.sort_by(|a, b| a.name.cmp(&b.name));
            revisions.push(CachedRevision { references: references.collect(), commit, path, files });
        }
        revisions.sort_by(|a, b| a.commit.cmp(&b.commit));
        let blobs = entries(&root.join("blobs"))?;
        let unfinished = blobs.iter().filter(|blob| blob.extension().is_some_and(|end| end == "incomplete"));
        let unfinished = unfinished.filter_map(|blob| blob.metadata().ok()).map(|found| found.len()).sum();
        Ok(Self { name, root, revisions, unfinished })
    }

    /// Returns the size on disk; blobs that several revisions share count once.
    pub fn bytes(&self) -> u64 {
        let mut seen = HashSet::new();
        let files = self.revisions.iter().flat_map(|revision| &revision.files);
        let once = files.filter(|file| seen.insert(file.blob.as_ref().unwrap_or(&file.path)));
        once.map(|file| file.bytes).sum::<u64>() + self.unfinished
    }

    pub fn is_whisper(&self) -> bool {
        self.revisions.iter().any(CachedRevision::is_whisper)
    }

    /// Returns the revisions that a branch, a tag or a prefix of a commit selects; all without one.
    pub fn select(&self, revision: Option<&str>) -> Vec<&CachedRevision> {
        let is_selected = |found: &&CachedRevision| match revision {
            None => true,
            Some(name) => {
                found.references.iter().any(|reference| reference == name)
                    || (name.len() >= 7 && found.commit.starts_with(name))
            }
        };
        self.revisions.iter().filter(is_selected).collect()
    }

    /// Deletes these commits and the blobs that only they use, and returns the freed bytes. References go first and blobs
    /// last, so an interruption leaves a cache without the commit.
    pub fn remove(&self, cache: &Path, commits: &[String]) -> Result<u64> {
        let (removed, kept): (Vec<&CachedRevision>, Vec<&CachedRevision>) =
            self.revisions.iter().partition(|revision| commits.contains(&revision.commit));
        let folder = self.root.file_name().unwrap_or_default();
        let locks = cache.join(".locks").join(folder);
        let _held = self.lock(&locks)?;
        for revision in &removed {
            for reference in &revision.references {
                self.delete(&self.root.join("refs").join(reference))?;
            }
        }
        if kept.is_empty() {
            let bytes = self.bytes();
            self.delete(&self.root)?;
            // Other processes may be waiting for a lock in it and then create it again.
            let _ = fs::remove_dir_all(&locks);
            return Ok(bytes);
        }
        for revision in &removed {
            self.delete(&revision.path)?;
            self.delete(&self.root.join(".no_exist").join(&revision.commit))?;
        }
        self.delete_blobs(&removed, &kept)
    }

    fn delete_blobs(&self, removed: &[&CachedRevision], kept: &[&CachedRevision]) -> Result<u64> {
        let blobs = |revisions: &[&CachedRevision]| -> Option<HashSet<PathBuf>> {
            revisions.iter().flat_map(|revision| &revision.files).map(|file| file.blob.clone()).collect()
        };
        // Without links it is unknown which blobs are still needed.
        let (Some(removed), Some(kept)) = (blobs(removed), blobs(kept)) else { return Ok(0) };
        let mut bytes = 0;
        for blob in removed.difference(&kept).filter(|blob| blob.starts_with(self.root.join("blobs"))) {
            bytes += blob.metadata().map_or(0, |found| found.len());
            self.delete(blob)?;
        }
        Ok(bytes)
    }

    /// Takes every lock of the repository; fails if a download holds one.
    fn lock(&self, locks: &Path) -> Result<Vec<File>> {
        let mut held = Vec::new();
        for path in entries(locks)? {
            let Ok(file) = File::open(&path) else { continue };
            match file.try_lock() {
                Err(TryLockError::WouldBlock) => {
                    return Err(Error::model(&self.name, ModelProblem::CacheLocked));
                }
                _ => held.push(file),
            }
        }
        Ok(held)
    }

    fn delete(&self, path: &Path) -> Result<()> {
        let deleted = match fs::symlink_metadata(path) {
            Ok(found) if found.is_dir() => fs::remove_dir_all(path),
            Ok(_) => fs::remove_file(path),
            Err(error) => Err(error),
        };
        match deleted {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                let path = path.display().to_string();
                Err(Error::model(&self.name, ModelProblem::CacheUnwritable { path, source }))
            }
            _ => Ok(()),
        }
    }
}

impl CachedRevision {
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    pub fn used(&self) -> Option<SystemTime> {
        self.files.iter().filter_map(|file| file.used).max()
    }

    pub fn is_whisper(&self) -> bool {
        let config = checkpoint::read_small("cache", &self.path.join(CONFIG)).unwrap_or_default();
        let config: serde_json::Value = serde_json::from_slice(&config).unwrap_or_default();
        layout::check_config(&config).is_ok()
    }

    /// Whether all files needed to transcribe are there.
    pub fn is_complete(&self) -> bool {
        matches!(RepositoryLayout::of_folder("", &self.path), Ok(Some(_)))
    }
}

impl CachedFile {
    fn read(name: &str, path: &Path) -> Self {
        let found = path.metadata().ok();
        let linked = fs::read_link(path).ok().map(|target| path.parent().unwrap_or(path).join(target));
        Self {
            name: name.to_owned(),
            path: path.to_owned(),
            blob: linked.map(|target| target.canonicalize().unwrap_or(target)),
            bytes: found.as_ref().map_or(0, fs::Metadata::len),
            used: found.and_then(|found| found.accessed().ok()),
        }
    }

    /// Returns the kind and the value of the checksum in the blob's name, if it is one.
    pub fn checksum(&self) -> Option<(&'static str, &str)> {
        let name = self.blob.as_ref()?.file_name()?.to_str()?;
        digest::kind(name).map(|kind| (kind, name))
    }

    /// Reads the whole file and compares its checksum. `on_bytes` receives the number of bytes read so far.
    pub fn verify(
        &self,
        model: &str,
        cancel: &CancelToken,
        on_bytes: &mut dyn FnMut(u64),
    ) -> Result<FileVerdict> {
        if !self.path.is_file() {
            return Ok(FileVerdict::Wrong("its content is missing".into()));
        }
        if self.name.ends_with(".safetensors") {
            match checkpoint::header(model, &self.path) {
                Err(Error::Model { why: ModelProblem::Damaged { why, .. }, .. }) => {
                    return Ok(FileVerdict::Wrong(why));
                }
                header => drop(header?),
            }
        }
        let Some((kind, name)) = self.checksum() else { return Ok(FileVerdict::Unknown) };
        let mismatch = digest::mismatch(model, &self.path, name, cancel, on_bytes)?;
        Ok(mismatch.map_or(FileVerdict::Right(kind), FileVerdict::Wrong))
    }
}

/// Returns the entries of a folder; none if it does not exist.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let listed = fs::read_dir(folder).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    match listed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(checkpoint::unreadable("cache", folder, error)),
        Ok(paths) => Ok(paths),
    }
}

/// Calls `on_file` with the relative name and the path of every file below a folder; links to files count as files.
fn walk(folder: &Path, prefix: &str, on_file: &mut dyn FnMut(&str, &Path)) -> Result<()> {
    for path in entries(folder)? {
        let name = format!("{prefix}{}", path.file_name().unwrap_or_default().to_string_lossy());
        match fs::symlink_metadata(&path).is_ok_and(|found| found.is_dir()) {
            true => walk(&path, &format!("{name}/"), on_file)?,
            false => on_file(&name, &path),
        }
    }
    Ok(())
}
