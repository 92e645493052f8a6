//! Telling speakers apart beside the transcription: a thread for each input that reads the same samples.

use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::cancel::CancelToken;
use crate::error::{Error, Result, catch_panic};
use crate::speakers::voices::{self, KnownVoice};
use crate::speakers::{Diarizer, Networks, SpeakerCount, SpeakerMode, SpeakerOptions};
use crate::transcript::SpeakerTurns;

/// Blocks that may wait for the thread.
const WAITING_BLOCKS: usize = 16;

/// What all inputs of a run tell speakers apart with.
#[derive(Debug)]
pub enum SpeakerSetup {
    Channels { names: Vec<String> },
    Voices(VoiceSetup),
}

#[derive(Debug)]
pub struct VoiceSetup {
    networks: Arc<Networks>,
    count: SpeakerCount,
    known: Vec<KnownVoice>,
    names: Vec<String>,
}

impl SpeakerSetup {
    /// Returns what the speakers are called, in their order.
    pub fn names(&self) -> &[String] {
        match self {
            SpeakerSetup::Channels { names } | SpeakerSetup::Voices(VoiceSetup { names, .. }) => names,
        }
    }

    /// Loads the networks, and learns the known voices.
    pub fn prepare(options: &SpeakerOptions, cancel: &CancelToken) -> Result<Self> {
        let names = options.names.clone();
        let count = match options.mode {
            SpeakerMode::Channels => return Ok(SpeakerSetup::Channels { names }),
            SpeakerMode::Voices(count) => count,
        };
        let networks = match &options.networks {
            Some(folder) => Arc::new(Networks::load(&folder.path)?),
            None => Networks::built_in(),
        };
        let known = match &options.voices {
            Some(folder) => voices::learn(&folder.path, &networks, cancel)?,
            None => Vec::new(),
        };
        Ok(SpeakerSetup::Voices(VoiceSetup { networks, count, known, names }))
    }
}

/// Setups that several inputs share, so that networks and voices are read once.
#[derive(Debug, Default)]
pub struct SpeakerSetups(Vec<(SpeakerOptions, Arc<SpeakerSetup>)>);

impl SpeakerSetups {
    /// Setups that are kept; inputs have many different ones only if they come from many people.
    const MOST: usize = 8;

    /// Returns the setup for these options, preparing it if it is the first time.
    pub fn prepare(
        &mut self,
        options: Option<&SpeakerOptions>,
        cancel: &CancelToken,
    ) -> Result<Option<Arc<SpeakerSetup>>> {
        let Some(options) = options else { return Ok(None) };
        if let Some((_, setup)) = self.0.iter().find(|(known, _)| known == options) {
            return Ok(Some(Arc::clone(setup)));
        }
        let setup = Arc::new(SpeakerSetup::prepare(options, cancel)?);
        if self.0.len() == Self::MOST {
            self.0.remove(0);
        }
        self.0.push((options.clone(), Arc::clone(&setup)));
        Ok(Some(setup))
    }
}

enum DiarizationMessage {
    Samples(Vec<f32>),
    End,
}

/// The thread of one input. Dropping it ends and joins it.
pub struct Diarization {
    sender: Option<Sender<DiarizationMessage>>,
    thread: Option<JoinHandle<Result<Option<SpeakerTurns>>>>,
}

impl Diarization {
    /// Starts the thread, if this is how speakers are told apart.
    pub fn start(setup: &Arc<SpeakerSetup>) -> Result<Option<Self>> {
        if !matches!(&**setup, SpeakerSetup::Voices(_)) {
            return Ok(None);
        }
        let setup = Arc::clone(setup);
        let (sender, blocks) = bounded(WAITING_BLOCKS);
        let work = move || match &*setup {
            SpeakerSetup::Voices(setup) => {
                catch_panic("telling speakers apart", || Ok(diarize(setup, &blocks)))
            }
            SpeakerSetup::Channels { .. } => Ok(None),
        };
        let thread = std::thread::Builder::new().name("speakers".into()).spawn(work);
        let thread = thread.map_err(|error| Error::compute("starting a thread", error))?;
        Ok(Some(Diarization { sender: Some(sender), thread: Some(thread) }))
    }

    /// Hands on samples; waits while too many wait already.
    pub fn push(&self, samples: &[f32]) {
        if let Some(sender) = &self.sender {
            // A thread that has ended early says why when it is joined.
            let _ = sender.send(DiarizationMessage::Samples(samples.to_vec()));
        }
    }

    /// Returns the turns once all samples are read.
    pub fn finish(mut self) -> Result<SpeakerTurns> {
        if let Some(sender) = self.sender.take() {
            let _ = sender.send(DiarizationMessage::End);
        }
        let turns = self.thread.take().map_or(Ok(None), |thread| {
            thread
                .join()
                .unwrap_or_else(|_| Err(Error::compute("telling speakers apart", "its thread panicked")))
        });
        Ok(turns?.unwrap_or_default())
    }
}

impl Drop for Diarization {
    fn drop(&mut self) {
        self.sender = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Reads samples until their end; none if the input was abandoned.
fn diarize(setup: &VoiceSetup, blocks: &Receiver<DiarizationMessage>) -> Option<SpeakerTurns> {
    let mut diarizer = Diarizer::new(&setup.networks, setup.count);
    loop {
        match blocks.recv() {
            Ok(DiarizationMessage::Samples(samples)) => diarizer.push(&samples),
            Ok(DiarizationMessage::End) => return Some(diarizer.finish(&setup.known, &setup.names)),
            Err(_) => return None,
        }
    }
}
