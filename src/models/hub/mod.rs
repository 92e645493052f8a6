//! Checkpoints from the Hugging Face hub: taken from the cache that all hub clients share, else downloaded into it.
//!
//! The order of writes is chosen so that an interruption at any moment leaves a cache that has either all of the
//! checkpoint or no reference to it. Requests and verification are in `fetch`.

mod digest;
mod fetch;
mod layout;
mod limits;
pub mod store;
mod watch;

use std::env;
use std::path::{Path, PathBuf};

use hf_hub::{Cache, CacheRepo, Repo, RepoType};

pub use self::limits::DownloadLimits;

use self::layout::RepositoryLayout;
use crate::cancel::CancelToken;
use crate::error::{Error, ModelProblem, Result};
use crate::models::checkpoint::{self, CONFIG, Checkpoint, GENERATION_CONFIG, WEIGHTS};
use crate::models::elsewhere::OtherCaches;

/// Progress of the download of one file, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DownloadProgress<'a> {
    pub file: &'a str,
    pub done: u64,
    pub total: u64,
}

/// Location of the hub and of its cache, and whether the network may be used.
#[derive(Debug, Clone, PartialEq)]
pub struct Hub {
    pub endpoint: String,
    pub cache: PathBuf,
    pub token: Option<String>,
    pub offline: bool,
    /// Where other programs keep models, to be used in place of a download; `None` to use none of theirs.
    pub others: Option<OtherCaches>,
    pub limits: DownloadLimits,
}

impl Hub {
    /// Reads the environment, with the variables and defaults of the hub's own clients.
    pub fn from_env(offline: bool) -> Self {
        let set = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        let home = set("HF_HOME")
            .map(PathBuf::from)
            .or_else(|| set("XDG_CACHE_HOME").map(|cache| Path::new(&cache).join("huggingface")))
            .or_else(|| env::home_dir().map(|home| home.join(".cache/huggingface")))
            .unwrap_or_else(|| env::temp_dir().join("huggingface"));
        let cache = set("HF_HUB_CACHE").or_else(|| set("HUGGINGFACE_HUB_CACHE")).map(PathBuf::from);
        let token = set("HF_TOKEN").or_else(|| {
            let path = set("HF_TOKEN_PATH").map_or_else(|| home.join("token"), PathBuf::from);
            let token = String::from_utf8(checkpoint::read_small("token", &path).ok()?).ok()?;
            Some(token.trim().to_owned()).filter(|token| !token.is_empty())
        });
        let is_true = |value: String| matches!(value.to_uppercase().as_str(), "1" | "ON" | "YES" | "TRUE");
        Self {
            endpoint: set("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".to_owned()),
            cache: cache.unwrap_or_else(|| home.join("hub")),
            token,
            offline: offline || set("HF_HUB_OFFLINE").is_some_and(is_true),
            others: Some(OtherCaches::from_env()),
            limits: DownloadLimits::default(),
        }
    }

    /// Returns the endpoint as it may be shown.
    pub fn shown_endpoint(&self) -> String {
        fetch::without_credentials(&self.endpoint)
    }

    #[cfg(test)]
    pub fn nowhere() -> Self {
        let endpoint = "http://127.0.0.1:1".to_owned();
        Self {
            endpoint,
            cache: PathBuf::from("/nonexistent"),
            token: None,
            offline: true,
            others: None,
            limits: DownloadLimits::default(),
        }
    }
}

/// One revision of a repository, in the cache and on the hub.
struct HubRevision<'a> {
    model: &'a str,
    repository: &'a str,
    revision: &'a str,
    hub: &'a Hub,
    repo: CacheRepo,
}

/// Finds `repository` in the cache or downloads it; sends no request if the cache is complete.
pub fn checkpoint(
    model: &str,
    repository: &str,
    revision: Option<&str>,
    hub: &Hub,
    cancel: &CancelToken,
    on_progress: &mut dyn FnMut(DownloadProgress<'_>),
) -> Result<Checkpoint> {
    let wanted = HubRevision::new(model, repository, revision, hub)?;
    let cached = wanted.cached()?;
    match cached {
        Some((checkpoint, true)) => checkpoint::checked(checkpoint),
        Some((checkpoint, false)) if hub.offline => checkpoint::checked(checkpoint),
        None if hub.offline => Err(Error::model(model, ModelProblem::Offline)),
        cached => match (wanted.download(cancel, on_progress), cached) {
            (Ok(()), _) => match wanted.cached()? {
                Some((checkpoint, _)) => checkpoint::checked(checkpoint),
                None => Err(checkpoint::missing(model, WEIGHTS)),
            },
            // Without the hub, the files that another client downloaded are enough to run.
            (Err(Error::Model { .. }), Some((checkpoint, _))) => checkpoint::checked(checkpoint),
            (Err(error), _) => Err(error),
        },
    }
}

/// Returns the checkpoint of a repository that is in the cache, as far as it is needed to run.
pub fn cached(model: &str, repository: &str, hub: &Hub) -> Result<Option<Checkpoint>> {
    Ok(HubRevision::new(model, repository, None, hub)?.cached()?.map(|(checkpoint, _)| checkpoint))
}

/// Whether git allows the name, as far as it matters for a path and a URL.
fn is_revision(revision: &str) -> bool {
    !revision.is_empty()
        && revision.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
        && revision.bytes().all(|b| b.is_ascii_graphic() && !b"?*[\\^~: ".contains(&b))
}

fn is_commit(revision: &str) -> bool {
    revision.len() == 40 && revision.bytes().all(|b| b.is_ascii_hexdigit())
}

impl<'a> HubRevision<'a> {
    fn new(model: &'a str, repository: &'a str, revision: Option<&'a str>, hub: &'a Hub) -> Result<Self> {
        let revision = revision.unwrap_or("main");
        if !is_revision(revision) {
            return Err(Error::usage(
                format!("`--revision {revision}`"),
                "not a valid name of a branch, tag or commit",
            ));
        }
        let repo = Repo::with_revision(repository.to_owned(), RepoType::Model, revision.to_owned());
        let repo = Cache::new(hub.cache.clone()).repo(repo);
        Ok(Self { model, repository, revision, hub, repo })
    }

    /// Returns the folder `models--owner--name` in the cache.
    fn root(&self) -> PathBuf {
        let mut root = self.repo.pointer_path("commit");
        root.pop();
        root.pop();
        root
    }

    fn snapshot(&self) -> Option<PathBuf> {
        if is_commit(self.revision) {
            return Some(self.repo.pointer_path(self.revision));
        }
        let config = self.repo.get(CONFIG)?;
        config.parent().map(Path::to_path_buf)
    }

    /// Returns the cached checkpoint, and whether it is complete: optional files are there or known to be absent.
    fn cached(&self) -> Result<Option<(Checkpoint, bool)>> {
        let Some(snapshot) = self.snapshot() else { return Ok(None) };
        let Some(layout) = RepositoryLayout::of_folder(self.model, &snapshot)? else { return Ok(None) };
        let commit = snapshot.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
        let is_complete = match layout.may_have_generation_config() {
            true => {
                snapshot.join(GENERATION_CONFIG).is_file()
                    || self.absence(&commit, GENERATION_CONFIG).exists()
            }
            false => true,
        };
        let identity = format!("{}@{commit}", self.repository);
        Ok(Some((layout.checkpoint(self.model, identity, &snapshot)?, is_complete)))
    }

    /// Returns the empty file that marks a file as absent from a commit.
    fn absence(&self, commit: &str, file: &str) -> PathBuf {
        self.root().join(".no_exist").join(commit).join(file)
    }

    /// Downloads every needed file and writes the reference last, when the snapshot is complete.
    fn download(
        &self,
        cancel: &CancelToken,
        on_progress: &mut dyn FnMut(DownloadProgress<'_>),
    ) -> Result<()> {
        let client = fetch::HubClient::new(self.model, self.hub, cancel);
        let at = |revision: &str, file: &str| fetch::url(&self.hub.endpoint, self.repository, revision, file);
        let first = client.locate(&at(self.revision, CONFIG))?;
        let Some(first) = first else { return Err(checkpoint::missing(self.model, CONFIG)) };
        let commit = first.commit.clone();
        // Everything else is requested by commit, so that a push in between cannot mix two versions.
        let locate = |file: &str| client.locate(&at(&commit, file));
        let mut get =
            |file: &str, remote: &fetch::RemoteFile| self.download_file(&client, file, remote, on_progress);

        let config = get(CONFIG, &first)?;
        let mut remote = layout::RemoteRepository {
            model: self.model,
            get: &mut |file| locate(file)?.map(|remote| get(file, &remote)).transpose(),
        };
        if !remote.download(&config)? {
            self.mark_absent(&commit, GENERATION_CONFIG)?;
        }
        if !is_commit(self.revision) {
            self.repo.create_ref(&commit).map_err(|e| self.unwritable(&self.root(), e))?;
        }
        Ok(())
    }

    /// Downloads one file of the snapshot unless it is there, and returns its path.
    fn download_file(
        &self,
        client: &fetch::HubClient<'_>,
        file: &str,
        remote: &fetch::RemoteFile,
        on_progress: &mut dyn FnMut(DownloadProgress<'_>),
    ) -> Result<PathBuf> {
        let pointer = self.repo.pointer_path(&remote.commit).join(file);
        let blob = self.root().join("blobs").join(&remote.etag);
        if pointer.metadata().is_ok_and(|found| found.len() == remote.size) {
            return Ok(pointer);
        }
        client.check_size(file, remote)?;
        let locks = self.hub.cache.join(".locks").join(self.root().file_name().unwrap_or_default());
        for folder in [pointer.parent(), blob.parent(), Some(locks.as_path())].into_iter().flatten() {
            std::fs::create_dir_all(folder).map_err(|e| self.unwritable(folder, e))?;
        }
        let lock = locks.join(format!("{}.lock", remote.etag));
        let lock = client.lock(&lock)?;
        let mut report = |done| on_progress(DownloadProgress { file, done, total: remote.size });
        client.fetch(file, remote, &blob, &mut report)?;
        drop(lock);
        link(&blob, &pointer).map_err(|e| self.unwritable(&pointer, e))?;
        Ok(pointer)
    }

    fn mark_absent(&self, commit: &str, file: &str) -> Result<()> {
        let marker = self.absence(commit, file);
        let write = || {
            std::fs::create_dir_all(marker.parent().unwrap_or(&marker))?;
            std::fs::write(&marker, b"")
        };
        write().map_err(|e| self.unwritable(&marker, e))
    }

    fn unwritable(&self, path: &Path, source: std::io::Error) -> Error {
        let path = path.display().to_string();
        Error::model(self.model, ModelProblem::CacheUnwritable { path, source })
    }
}

/// Links a finished blob into the snapshot, by a relative path so that the cache can be moved.
fn link(blob: &Path, pointer: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(pointer) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    #[cfg(unix)]
    {
        let name = blob.file_name().unwrap_or_default();
        std::os::unix::fs::symlink(Path::new("../../blobs").join(name), pointer)
    }
    #[cfg(not(unix))]
    std::fs::hard_link(blob, pointer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejects_revisions_that_leave_the_cache() {
        for yes in ["main", "refs/pr/1", "v1.0", "0123456789abcdef0123456789abcdef01234567"] {
            assert!(is_revision(yes), "{yes}");
        }
        for no in ["", "../x", "a/../b", "/etc", "a//b", "a b", "a?b", "a\nb"] {
            assert!(!is_revision(no), "{no}");
        }
    }
}
