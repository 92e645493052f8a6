//! Models that other programs have downloaded: used in place of a download, by the names that those programs know.

use std::env;
use std::path::PathBuf;

use super::checkpoint::Checkpoint;
use super::hub::{self, Hub};
use super::local;
use crate::error::Result;

/// Where programs keep models that are not in the cache of the hub.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OtherCaches {
    /// The folder with openai-whisper's `small.pt`.
    pub openai: Option<PathBuf>,
    /// Folders that may have whisper.cpp's `ggml-small.bin`.
    pub whisper_cpp: Vec<PathBuf>,
}

/// The program that has downloaded a model, and its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherProgram {
    pub program: &'static str,
    pub path: PathBuf,
}

impl OtherCaches {
    /// Reads the environment, with the variables and defaults of those programs.
    pub fn from_env() -> Self {
        let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let home = env::home_dir().filter(|home| !home.as_os_str().is_empty());
        let below = |folder: &str| home.as_ref().map(|home| home.join(folder));
        let cache = set("XDG_CACHE_HOME").or_else(|| below(".cache"));
        let data = if cfg!(target_os = "macos") {
            below("Library/Application Support")
        } else {
            set("XDG_DATA_HOME").or_else(|| below(".local/share"))
        };
        let whisper_cpp = [
            set("WHISPER_MODEL_DIR"),
            set("WHISPER_MODELS_DIR"),
            data.map(|data| data.join("pywhispercpp/models")),
            cache.as_ref().map(|cache| cache.join("whisper.cpp")),
            cache.as_ref().map(|cache| cache.join("whisper")),
            below("whisper.cpp/models"),
        ];
        Self {
            openai: cache.map(|cache| cache.join("whisper")),
            whisper_cpp: whisper_cpp.into_iter().flatten().collect(),
        }
    }

    /// Returns the files that may be the model with this name, and the programs that they belong to.
    fn files(&self, name: &str) -> Vec<OtherProgram> {
        let file = match name {
            "large" => "large-v3",
            "turbo" => "large-v3-turbo",
            name => name,
        };
        let openai = self.openai.iter().map(|folder| ("openai-whisper", folder.join(format!("{file}.pt"))));
        let ggml =
            self.whisper_cpp.iter().map(|folder| ("whisper.cpp", folder.join(format!("ggml-{file}.bin"))));
        let all = openai.chain(ggml).filter(|(_, path)| path.is_file());
        all.map(|(program, path)| OtherProgram { program, path }).collect()
    }

    /// Returns the models that are there, each under the first of its names.
    pub fn list<'n>(&self, names: impl Iterator<Item = &'n str>) -> Vec<(&'n str, OtherProgram)> {
        let mut all: Vec<(&str, OtherProgram)> = Vec::new();
        for (name, found) in
            names.flat_map(|name| self.files(name).into_iter().map(move |found| (name, found)))
        {
            if !all.iter().any(|(_, listed)| listed.path == found.path) {
                all.push((name, found));
            }
        }
        all
    }
}

/// Finds the model with this name among those of other programs. Of several that cannot be read, returns the first error.
pub fn find(name: &str, hub: &Hub) -> Result<Option<Checkpoint>> {
    let Some(others) = &hub.others else { return Ok(None) };
    let mut failed = None;
    for found in others.files(name) {
        match local::file(name, &found.path) {
            Ok(checkpoint) => return Ok(Some(Checkpoint { found: Some(found), ..checkpoint })),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    match hub::cached(name, &faster_whisper(name), hub) {
        Ok(Some(checkpoint)) => {
            let path = checkpoint.weight_files().first().map_or_else(PathBuf::new, PathBuf::clone);
            let found = OtherProgram { program: "faster-whisper", path };
            return Ok(Some(Checkpoint { found: Some(found), ..checkpoint }));
        }
        Ok(None) => {}
        Err(error) => failed = failed.or(Some(error)),
    }
    failed.map_or(Ok(None), Err)
}

/// Returns the repository that faster-whisper downloads for a name.
fn faster_whisper(name: &str) -> String {
    match name {
        "large" => "Systran/faster-whisper-large-v3".into(),
        "turbo" | "large-v3-turbo" => "mobiuslabsgmbh/faster-whisper-large-v3-turbo".into(),
        "distil-large-v3.5" => "distil-whisper/distil-large-v3.5-ct2".into(),
        name => match name.strip_prefix("distil-") {
            Some(size) => format!("Systran/faster-distil-whisper-{size}"),
            None => format!("Systran/faster-whisper-{name}"),
        },
    }
}
