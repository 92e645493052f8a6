//! What the cache of the hub's clients holds: told, proved and removed.
//!
//! `models--owner--name` has `snapshots/<commit>`, whose files are links into `blobs`; `refs/<branch>` with a commit; and
//! `.no_exist/<commit>`, which remembers what a commit has not.

use std::collections::HashSet;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::digest;
use crate::cancel::CancelToken;
use crate::error::{Error, ModelProblem, Result};
use crate::models::checkpoint::{self, CONFIG, TOKENIZER, WEIGHTS, WEIGHTS_INDEX};

/// One repository of the cache.
#[derive(Debug, Clone)]
pub struct CachedRepository {
    /// `owner/name`
    pub name: String,
    pub root: PathBuf,
    pub revisions: Vec<CachedRevision>,
    /// Bytes of downloads that were not finished.
    pub unfinished: u64,
}

/// One commit of it.
#[derive(Debug, Clone)]
pub struct CachedRevision {
    pub commit: String,
    /// Branches and tags that stand for it.
    pub references: Vec<String>,
    pub path: PathBuf,
    pub files: Vec<CachedFile>,
}

#[derive(Debug, Clone)]
pub struct CachedFile {
    /// Below the snapshot, with slashes.
    pub name: String,
    pub path: PathBuf,
    /// Where the bytes are, if that is elsewhere. Its name may tell their checksum.
    pub blob: Option<PathBuf>,
    pub bytes: u64,
    /// None where the file system does not tell.
    pub used: Option<SystemTime>,
}

/// What a look at every byte of a file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileVerdict {
    /// By this kind of checksum.
    Right(&'static str),
    Wrong(String),
    /// There is no checksum to compare with.
    Unknown,
}

/// All models of the cache, by name; none if there is no cache.
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
            let commit = fs::read_to_string(path).unwrap_or_default();
            references.push((name.to_owned(), commit.trim().to_owned()));
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

    /// On the disk; what several revisions share counts once.
    pub fn bytes(&self) -> u64 {
        let mut seen = HashSet::new();
        let files = self.revisions.iter().flat_map(|revision| &revision.files);
        let once = files.filter(|file| seen.insert(file.blob.as_ref().unwrap_or(&file.path)));
        once.map(|file| file.bytes).sum::<u64>() + self.unfinished
    }

    pub fn is_whisper(&self) -> bool {
        self.revisions.iter().any(CachedRevision::is_whisper)
    }

    /// Those that a branch, a tag, or the beginning of a commit names; all if nothing is named.
    pub fn named(&self, revision: Option<&str>) -> Vec<&CachedRevision> {
        let is_meant = |found: &&CachedRevision| match revision {
            None => true,
            Some(name) => {
                found.references.iter().any(|reference| reference == name)
                    || (name.len() >= 7 && found.commit.starts_with(name))
            }
        };
        self.revisions.iter().filter(is_meant).collect()
    }

    /// Deletes these commits and what only they need; the bytes that are free now. A reference goes first and the bytes
    /// last, so that a cut leaves a cache without the commit.
    pub fn remove(&self, cache: &Path, commits: &[String]) -> Result<u64> {
        let (gone, kept): (Vec<&CachedRevision>, Vec<&CachedRevision>) =
            self.revisions.iter().partition(|revision| commits.contains(&revision.commit));
        let folder = self.root.file_name().unwrap_or_default();
        let locks = cache.join(".locks").join(folder);
        let _held = self.lock(&locks)?;
        for revision in &gone {
            for reference in &revision.references {
                self.delete(&self.root.join("refs").join(reference))?;
            }
        }
        if kept.is_empty() {
            let bytes = self.bytes();
            self.delete(&self.root)?;
            // Others may wait for a lock in it, and then make it anew.
            let _ = fs::remove_dir_all(&locks);
            return Ok(bytes);
        }
        for revision in &gone {
            self.delete(&revision.path)?;
            self.delete(&self.root.join(".no_exist").join(&revision.commit))?;
        }
        self.delete_blobs(&gone, &kept)
    }

    fn delete_blobs(&self, gone: &[&CachedRevision], kept: &[&CachedRevision]) -> Result<u64> {
        let blobs = |revisions: &[&CachedRevision]| -> Option<HashSet<PathBuf>> {
            revisions.iter().flat_map(|revision| &revision.files).map(|file| file.blob.clone()).collect()
        };
        // Where files are no links, nobody knows which bytes are still needed.
        let (Some(gone), Some(kept)) = (blobs(gone), blobs(kept)) else { return Ok(0) };
        let mut bytes = 0;
        for blob in gone.difference(&kept).filter(|blob| blob.starts_with(self.root.join("blobs"))) {
            bytes += blob.metadata().map_or(0, |found| found.len());
            self.delete(blob)?;
        }
        Ok(bytes)
    }

    /// Holds every lock of the repository, if no download does.
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
        let config = fs::read(self.path.join(CONFIG)).unwrap_or_default();
        let config: serde_json::Value = serde_json::from_slice(&config).unwrap_or_default();
        config["model_type"] == "whisper"
    }

    /// Whether it can be transcribed with as it is.
    pub fn is_complete(&self) -> bool {
        let has = |file: &str| self.path.join(file).is_file();
        let has_weights = || match fs::read(self.path.join(WEIGHTS_INDEX)) {
            _ if has(WEIGHTS) => true,
            Ok(index) => checkpoint::shards("", &index).is_ok_and(|shards| shards.iter().all(|s| has(s))),
            Err(_) => false,
        };
        has(CONFIG) && has(TOKENIZER) && has_weights()
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

    /// The checksum that the cache knows it by, if it does.
    pub fn checksum(&self) -> Option<(&'static str, &str)> {
        let name = self.blob.as_ref()?.file_name()?.to_str()?;
        digest::kind(name).map(|kind| (kind, name))
    }

    /// Reads all of it; `on_bytes` hears how much was read.
    pub fn verify(
        &self,
        model: &str,
        cancel: &CancelToken,
        on_bytes: &mut dyn FnMut(u64),
    ) -> Result<FileVerdict> {
        if !self.path.is_file() {
            return Ok(FileVerdict::Wrong("its bytes are missing".into()));
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
        let fault = digest::fault(model, &self.path, name, cancel, on_bytes)?;
        Ok(fault.map_or(FileVerdict::Right(kind), FileVerdict::Wrong))
    }
}

/// What is in a folder; nothing if there is none.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let listed = fs::read_dir(folder).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    match listed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(checkpoint::unreadable("cache", folder, error)),
        Ok(paths) => Ok(paths),
    }
}

/// Every file below a folder with its name there; links to files count as files.
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
