//! Known voices: a folder with a folder of samples for each person. Speakers who sound like one of them get the name.

use std::fs;
use std::path::{Path, PathBuf};

use super::analysis::Analyzer;
use super::clustering::similarity;
use super::embedding::normalize;
use super::{Networks, clear_voices};
use crate::audio::{AudioInput, AudioOptions, is_recording};
use crate::cancel::CancelToken;
use crate::error::{Error, InputProblem, Result};

/// Similarity above which a speaker is a known person. Recordings of one voice mostly reach 0.6, different voices stay below
/// 0.4.
const SAME_VOICE: f32 = 0.5;

/// A person whose voice is known.
#[derive(Debug, Clone, PartialEq)]
pub struct KnownVoice {
    pub name: String,
    /// Of length 1.
    embedding: Vec<f32>,
}

impl KnownVoice {
    /// Returns whether speakers with this voice might get the other's name.
    pub fn sounds_like(&self, other: &KnownVoice) -> bool {
        similarity(&self.embedding, &other.embedding) >= SAME_VOICE
    }
}

/// The samples of one person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VoiceSamples {
    pub name: String,
    pub files: Vec<PathBuf>,
}

/// Returns the people of a folder, by name, with the recordings of each.
pub fn samples_in(folder: &Path) -> Result<Vec<VoiceSamples>> {
    let unreadable = |error| Error::input(folder.display().to_string(), InputProblem::Unreadable(error));
    let mut people = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let Some(name) = path.file_name().map(|name| name.to_string_lossy().into_owned()) else { continue };
        if !path.is_dir() || name.starts_with('.') {
            continue;
        }
        let files = fs::read_dir(&path).map_err(unreadable)?;
        let files = files.filter_map(|file| file.ok().map(|file| file.path()));
        let mut files: Vec<PathBuf> = files.filter(|file| is_recording(file)).collect();
        files.sort();
        people.push(VoiceSamples { name, files });
    }
    people.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(people)
}

/// Learns the voices of all people of a folder.
pub fn learn(folder: &Path, networks: &Networks, cancel: &CancelToken) -> Result<Vec<KnownVoice>> {
    let people = samples_in(folder)?.into_iter().filter(|person| !person.files.is_empty());
    people.map(|person| learn_one(&person, networks, cancel)).collect()
}

/// Learns the voice of one person.
pub fn learn_one(person: &VoiceSamples, networks: &Networks, cancel: &CancelToken) -> Result<KnownVoice> {
    let mut sum: Vec<f32> = Vec::new();
    for file in &person.files {
        let input = AudioInput::file_cancellable(file, cancel)?;
        let mut reader = input.open(&AudioOptions::default())?;
        let mut analyzer = Analyzer::new(networks);
        while let Some(block) = reader.next_block()? {
            cancel.check()?;
            analyzer.push(block);
        }
        let (windows, _) = analyzer.finish();
        let voices = clear_voices(&windows);
        if voices.is_empty() {
            let why = "nobody speaks in it for long enough to know the voice by".into();
            return Err(Error::input(file.display().to_string(), InputProblem::UnsupportedRequest { why }));
        }
        for voice in voices {
            sum.resize(voice.embedding.len(), 0.0);
            sum.iter_mut().zip(&voice.embedding).for_each(|(sum, value)| *sum += voice.seconds * value);
        }
    }
    normalize(&mut sum);
    Ok(KnownVoice { name: person.name.clone(), embedding: sum })
}

/// Returns the name of each centre that is a known voice: the most similar pairs first, each name and each centre once.
pub fn recognize(centres: &[Vec<f32>], known: &[KnownVoice]) -> Vec<Option<String>> {
    let mut pairs: Vec<(f32, usize, usize)> = Vec::new();
    for (centre, embedding) in centres.iter().enumerate() {
        for (voice, known) in known.iter().enumerate() {
            pairs.push((similarity(embedding, &known.embedding), centre, voice));
        }
    }
    pairs.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    let mut names = vec![None; centres.len()];
    let mut taken = vec![false; known.len()];
    for (_, centre, voice) in pairs.into_iter().filter(|(similarity, ..)| *similarity >= SAME_VOICE) {
        if names[centre].is_none() && !taken[voice] {
            taken[voice] = true;
            names[centre] = Some(known[voice].name.clone());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(name: &str, embedding: [f32; 2]) -> KnownVoice {
        KnownVoice { name: name.into(), embedding: embedding.to_vec() }
    }

    #[test]
    fn each_name_goes_to_the_most_similar_speaker() {
        let people = [known("Anna", [1.0, 0.0]), known("Ben", [0.8, 0.6])];
        let centres = [vec![0.9, 0.436], vec![0.98, 0.199], vec![-1.0, 0.0]];
        let names = recognize(&centres, &people);
        assert_eq!(names, [Some("Ben".to_owned()), Some("Anna".to_owned()), None]);
        assert_eq!(recognize(&centres[..1], &[]), [None]);
    }

    #[test]
    fn folders_of_recordings_are_people() {
        let folder = tempfile::tempdir().unwrap();
        for file in ["Ben/b.wav", "Ben/a.mp3", "Ben/notes.txt", "Anna/x.flac", ".hidden/x.wav"] {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let people = samples_in(folder.path()).unwrap();
        let names: Vec<_> = people.iter().map(|person| (person.name.as_str(), person.files.len())).collect();
        assert_eq!(names, [("Anna", 1), ("Ben", 2)]);
        assert!(people[1].files[0].ends_with("Ben/a.mp3"));
    }
}
