//! Reads a recording ahead of its consumer: one thread decodes and mixes to mono, a second one resamples. The queues
//! between them are short, so memory stays bounded and no thread runs far ahead.

use std::mem;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};

use super::decoder::RecordingDecoder;
use super::resample::Resampler;
use super::stream::StopFlag;
use super::{AudioDamage, BLOCK};
use crate::error::{Error, Result, catch_panic};
use crate::time::seconds_of_samples;

/// Messages that may wait in each queue.
const QUEUE: usize = 4;
/// Blocks per second of audio that the decoding thread sends.
const BLOCKS_PER_SECOND: usize = 2;

/// Mono samples at the file's own rate.
#[derive(Default)]
struct SourceBlock {
    rate: u32,
    samples: Vec<f32>,
    /// The damage so far, if it grew since the last block.
    damage: Option<AudioDamage>,
}

/// A message from the decoding thread to the resampling thread.
enum DecodeMessage {
    Block(SourceBlock),
    End(Box<RecordingDecoder>),
}

/// A message from the resampling thread to the consumer; samples are at 16 kHz.
enum PrefetchMessage {
    Block {
        samples: Vec<f32>,
        damage: Option<AudioDamage>,
    },
    /// The end of the recording, with the total damage and the error if the end is a failure.
    End(AudioDamage, Option<Error>),
}

impl SourceBlock {
    /// Takes the samples out and leaves an empty buffer of the same capacity.
    fn take(&mut self) -> Self {
        let empty = Vec::with_capacity(self.samples.capacity());
        Self { rate: self.rate, samples: mem::replace(&mut self.samples, empty), damage: None }
    }
}

/// The consumer's end of both threads. Dropping it ends and joins them.
pub(super) struct Prefetcher {
    /// None after the end or an error.
    messages: Option<Receiver<Result<PrefetchMessage>>>,
    threads: Vec<JoinHandle<()>>,
    /// Ends the decoder's wait for samples.
    stop: StopFlag,
    block: Vec<f32>,
    damage: AudioDamage,
}

impl Prefetcher {
    pub(super) fn start(name: &str, decoder: RecordingDecoder) -> Result<Self> {
        let (to_resampler, decoded) = sync_channel(QUEUE);
        let (to_consumer, messages) = sync_channel(QUEUE);
        let mut prefetcher = Self {
            messages: Some(messages),
            threads: Vec::new(),
            stop: decoder.stop_flag(),
            block: Vec::new(),
            damage: AudioDamage::default(),
        };
        let input = name.to_owned();
        prefetcher
            .spawn("decoding", move || run_stage(&to_resampler, |output| decode(&input, decoder, output)))?;
        let input = name.to_owned();
        prefetcher.spawn("resampling", move || {
            run_stage(&to_consumer, |output| resample(&input, &decoded, output))
        })?;
        Ok(prefetcher)
    }

    fn spawn(&mut self, name: &str, work: impl FnOnce() + Send + 'static) -> Result<()> {
        let thread = Builder::new().name(name.into()).spawn(work);
        self.threads.push(thread.map_err(|error| Error::compute("starting a thread", error))?);
        Ok(())
    }

    pub(super) fn next_block(&mut self) -> Result<Option<&[f32]>> {
        let Some(messages) = &self.messages else { return Ok(None) };
        // Both threads send a last message before they end, so the channel never closes unannounced.
        let message = messages.recv().map_err(|error| Error::compute("reading the audio", error));
        match message.and_then(|message| message) {
            Ok(PrefetchMessage::Block { samples, damage }) => {
                self.block = samples;
                self.damage = damage.unwrap_or_else(|| mem::take(&mut self.damage));
                Ok(Some(&self.block))
            }
            Ok(PrefetchMessage::End(damage, error)) => {
                self.damage = damage;
                self.messages = None;
                error.map_or(Ok(None), Err)
            }
            Err(error) => {
                self.messages = None;
                Err(error)
            }
        }
    }

    pub(super) fn damage(&self) -> &AudioDamage {
        &self.damage
    }
}

impl Drop for Prefetcher {
    fn drop(&mut self) {
        // Closing the channel ends both threads at their next send, if they are not waiting for samples.
        self.stop.stop();
        self.messages = None;
        // A panic was already reported as an error.
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

/// The receiving end of a channel is gone, so the stage should end.
struct ReceiverDropped;

/// The sending end of a stage's output channel.
struct StageOutput<'a, T>(&'a SyncSender<Result<T>>);

impl<T> StageOutput<'_, T> {
    fn send(&self, message: T) -> Result<(), ReceiverDropped> {
        self.0.send(Ok(message)).map_err(|_| ReceiverDropped)
    }
}

/// Runs the work of one thread and sends its error or panic downstream.
fn run_stage<T>(to: &SyncSender<Result<T>>, work: impl FnOnce(&StageOutput<'_, T>) -> Result<()>) {
    if let Err(error) = catch_panic("reading the audio", || work(&StageOutput(to))) {
        // With the receiver gone nobody needs the error.
        let _ = to.send(Err(error));
    }
}

fn decode(name: &str, mut decoder: RecordingDecoder, output: &StageOutput<'_, DecodeMessage>) -> Result<()> {
    let (mut block, mut reported) = (SourceBlock::default(), 0);
    loop {
        let full = match decoder.next().map_err(|problem| Error::input(name, problem))? {
            Some(decoded) if decoded.rate == block.rate => {
                block.samples.extend_from_slice(decoded.samples);
                let is_full = block.samples.len() >= decoded.rate as usize / BLOCKS_PER_SECOND;
                is_full.then(|| block.take())
            }
            Some(decoded) => {
                let next =
                    SourceBlock { rate: decoded.rate, samples: decoded.samples.to_vec(), damage: None };
                Some(mem::replace(&mut block, next))
            }
            None => {
                let _ = output
                    .send(DecodeMessage::Block(block))
                    .and_then(|()| output.send(DecodeMessage::End(Box::new(decoder))));
                return Ok(());
            }
        };
        if let Some(full) = full {
            let damage = decoder.damage();
            let has_grown = mem::replace(&mut reported, damage.packets) < damage.packets;
            let damage = has_grown.then(|| damage.clone());
            if output.send(DecodeMessage::Block(SourceBlock { damage, ..full })).is_err() {
                return Ok(());
            }
        }
    }
}

fn resample(
    name: &str,
    input: &Receiver<Result<DecodeMessage>>,
    output: &StageOutput<'_, PrefetchMessage>,
) -> Result<()> {
    let (mut resampler, mut block, mut unsent_damage, mut sent) = (Resampler::default(), Vec::new(), None, 0);
    for message in input {
        match message? {
            DecodeMessage::Block(SourceBlock { rate, samples, damage }) => {
                unsent_damage = damage.or(unsent_damage);
                if !samples.is_empty() {
                    resampler.push(rate, &samples, &mut block)?;
                }
                if block.len() < BLOCK {
                    continue;
                }
                sent += block.len() as u64;
                let samples = mem::take(&mut block);
                if output.send(PrefetchMessage::Block { samples, damage: unsent_damage.take() }).is_err() {
                    return Ok(());
                }
            }
            DecodeMessage::End(mut decoder) => {
                resampler.finish(&mut block)?;
                sent += block.len() as u64;
                if !block.is_empty()
                    && output.send(PrefetchMessage::Block { samples: block, damage: None }).is_err()
                {
                    return Ok(());
                }
                let problem = decoder.finish(seconds_of_samples(sent));
                let error = problem.map(|problem| Error::input(name, problem));
                let _ = output.send(PrefetchMessage::End(decoder.damage().clone(), error));
                return Ok(());
            }
        }
    }
    Ok(())
}
