//! Models in files and folders on this machine, in any format that is read.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use sha2::{Digest, Sha256};

use super::checkpoint::{
    CONFIG, Checkpoint, CheckpointFiles, GENERATION_CONFIG, TOKENIZER, WEIGHTS, WEIGHTS_INDEX, checked,
    missing, read_small, shards, unreadable,
};
use super::formats::{ForeignModel, ModelFormat};
use crate::digest::hex;
use crate::error::{Error, ModelProblem, Result};

/// PyTorch's weights in Hugging Face form, and the list of their shards.
pub const PYTORCH_WEIGHTS: &str = "pytorch_model.bin";
pub const PYTORCH_INDEX: &str = "pytorch_model.bin.index.json";

/// The names of CTranslate2's and PyTorch's weights in a folder.
const USUAL_NAMES: [&str; 2] = ["model.bin", PYTORCH_WEIGHTS];

/// Reads a model from a file of weights, and from what belongs to it in the same folder.
pub fn file(model: &str, path: &Path) -> Result<Checkpoint> {
    match format(model, path)? {
        Some(ModelFormat::Safetensors) => hugging_face(model, parent(path), Some(path)),
        Some(format) => foreign(model, format, vec![path.to_owned()]),
        None => {
            let why = format!("`{}` is in none of the formats that are read", path.display());
            Err(Error::model(model, ModelProblem::NotWhisper { why }))
        }
    }
}

/// Reads the model in a folder: safetensors if there are any, else the only other file of weights.
pub fn folder(model: &str, folder: &Path) -> Result<Checkpoint> {
    if folder.join(WEIGHTS).is_file() || folder.join(WEIGHTS_INDEX).is_file() {
        return hugging_face(model, folder, None);
    }
    let index = folder.join(PYTORCH_INDEX);
    if index.is_file() {
        let bytes = read_small(model, &index)?;
        let shards = shards(model, PYTORCH_INDEX, &bytes)?;
        let shards = shards.iter().map(|shard| required(model, folder, shard)).collect::<Result<_>>()?;
        return foreign(model, ModelFormat::PyTorch, shards);
    }
    // The usual names first: what trainers keep beside their weights is in the same format.
    if let Some(path) = USUAL_NAMES.iter().map(|name| folder.join(name)).find(|path| path.is_file()) {
        return file(model, &path);
    }
    let mut found = Vec::new();
    let entries = std::fs::read_dir(folder).map_err(|e| unreadable(model, folder, e))?;
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_file()) {
        if format(model, &path)?.is_some() {
            found.push(path);
        }
    }
    found.sort();
    match found.as_slice() {
        // Reports what a checkpoint of Hugging Face lacks.
        [] => hugging_face(model, folder, None),
        [only] => file(model, only),
        several => {
            let names: Vec<String> = several
                .iter()
                .filter_map(|path| path.file_name())
                .map(|name| format!("`{}`", name.display()))
                .collect();
            let why = format!("the folder has several models; pass one of the files {}", names.join(", "));
            Err(Error::model(model, ModelProblem::NotFound(Some(why))))
        }
    }
}

/// Reads a model of another program from its files.
pub fn foreign(model: &str, format: ModelFormat, files: Vec<PathBuf>) -> Result<Checkpoint> {
    let opened = ForeignModel::open(model, format, files)?;
    let beside: Vec<&Path> = opened.all_files().skip(opened.files().len()).collect();
    let identity = identity(model, "file", &beside, opened.files())?;
    Ok(Checkpoint {
        name: model.to_owned(),
        identity,
        found: None,
        files: CheckpointFiles::Foreign(Arc::new(opened)),
    })
}

/// Reads a folder in Hugging Face form, or one file of weights in it.
fn hugging_face(model: &str, folder: &Path, file: Option<&Path>) -> Result<Checkpoint> {
    let config = required(model, folder, CONFIG)?;
    let index = folder.join(WEIGHTS_INDEX);
    let weights = match file.map_or_else(|| required(model, folder, WEIGHTS), |path| Ok(path.to_owned())) {
        Ok(path) => vec![path],
        Err(none) if !index.is_file() => return Err(none),
        Err(_) => {
            let bytes = read_small(model, &index)?;
            let shards = shards(model, WEIGHTS_INDEX, &bytes)?;
            shards.iter().map(|shard| required(model, folder, shard)).collect::<Result<_>>()?
        }
    };
    let generation_config = Some(folder.join(GENERATION_CONFIG)).filter(|path| path.is_file());
    let tokenizer = required(model, folder, TOKENIZER)?;
    let identity = identity(model, "folder", &[&config, &tokenizer], &weights)?;
    let files = CheckpointFiles::Folder { config, generation_config, tokenizer, weights };
    checked(Checkpoint { name: model.to_owned(), identity, found: None, files })
}

fn required(model: &str, folder: &Path, file: &str) -> Result<PathBuf> {
    let path = folder.join(file);
    if path.is_file() { Ok(path) } else { Err(missing(model, file)) }
}

fn format(model: &str, path: &Path) -> Result<Option<ModelFormat>> {
    ModelFormat::of(path).map_err(|e| unreadable(model, path, e))
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

/// Identifies the weights by their sizes and modification times, because hashing gigabytes at every start is slow.
fn identity(model: &str, kind: &str, small: &[&Path], weights: &[PathBuf]) -> Result<String> {
    let mut digest = Sha256::new();
    for path in small {
        digest.update(read_small(model, path)?);
    }
    for path in weights {
        let metadata = std::fs::metadata(path).map_err(|e| unreadable(model, path, e))?;
        let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        digest.update(metadata.len().to_le_bytes());
        digest.update(modified.map_or(0, |time| time.as_nanos()).to_le_bytes());
    }
    Ok(format!("{kind}@{}", hex(&digest.finalize())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cancel::CancelToken;
    use crate::models::hub::Hub;
    use crate::models::{demo, source};

    fn find_local(model: &str) -> Result<Checkpoint> {
        source::find(model, None, &Hub::nowhere(), &CancelToken::new(), &mut |_| {})
    }

    fn problem(model: &str) -> String {
        find_local(model).unwrap_err().to_string()
    }

    #[test]
    fn reads_a_folder_and_names_its_problems() {
        let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/demo");
        let found = find_local(demo.to_str().unwrap()).unwrap();
        assert!(found.identity.starts_with("folder@"));
        assert!(found.generation_config().unwrap().is_some());
        assert_eq!(found.config().unwrap(), demo::checkpoint().unwrap().config().unwrap());

        let copy = tempfile::tempdir().unwrap();
        let name = copy.path().to_str().unwrap();
        assert!(problem(name).ends_with("`config.json` is missing"));
        std::fs::copy(demo.join(CONFIG), copy.path().join(CONFIG)).unwrap();
        assert!(problem(name).ends_with("`model.safetensors` is missing"));
        std::fs::write(copy.path().join("pytorch_model.bin"), b"").unwrap();
        assert!(problem(name).contains("pytorch_model.bin` is in none of the formats"));
        std::fs::remove_file(copy.path().join("pytorch_model.bin")).unwrap();
        assert!(problem(copy.path().join(CONFIG).to_str().unwrap()).contains("none of the formats"));
        let weights = std::fs::read(demo.join(WEIGHTS)).unwrap();
        let cut = copy.path().join(WEIGHTS);
        std::fs::write(&cut, &weights[..weights.len() / 2]).unwrap();
        assert!(problem(name).ends_with("`tokenizer.json` is missing"));
        std::fs::copy(demo.join(TOKENIZER), copy.path().join(TOKENIZER)).unwrap();
        assert!(problem(name).contains(&format!("bytes instead of {}", weights.len())), "{}", problem(name));
        for (length, why) in [(0, "only 0 bytes"), (100, "ends within its header")] {
            std::fs::write(&cut, &weights[..length]).unwrap();
            assert!(problem(name).contains(why), "{}", problem(name));
        }
        std::fs::write(&cut, &weights).unwrap();
        assert!(find_local(name).unwrap().generation_config().unwrap().is_none());
        assert_eq!(find_local(cut.to_str().unwrap()).unwrap().identity, find_local(name).unwrap().identity);
    }
}
