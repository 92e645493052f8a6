//! Reading ahead of whoever listens: one thread decodes and mixes, a second one changes the rate. Short queues lie
//! between them, so that little is held, and nobody works far ahead.

use std::mem;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};

use super::decode::TrackDecoder;
use super::resample::Resampler;
use super::{AudioDamage, BLOCK};
use crate::error::{Error, Result, catch_panic};
use crate::time::seconds_of_samples;

/// Pieces that may wait in each queue.
const QUEUE: usize = 4;
/// So many pieces of this part of a second make one second.
const PIECES_PER_SECOND: usize = 2;

/// Samples at the file's own rate.
#[derive(Default)]
struct SourceBlock {
    rate: u32,
    samples: Vec<f32>,
    /// What was damaged so far, if that is news.
    damage: Option<AudioDamage>,
}

enum DecodeMessage {
    Block(SourceBlock),
    End(Box<TrackDecoder>),
}

/// Samples at ours.
enum PrefetchMessage {
    Block {
        samples: Vec<f32>,
        damage: Option<AudioDamage>,
    },
    /// With the reason, if it is a failure that there is no more.
    End(AudioDamage, Option<Error>),
}

impl SourceBlock {
    /// What is there; the next samples come behind it.
    fn take(&mut self) -> Self {
        let room = Vec::with_capacity(self.samples.capacity());
        Self { rate: self.rate, samples: mem::replace(&mut self.samples, room), damage: None }
    }
}

/// See the module. Dropping it ends the threads.
pub(super) struct Prefetcher {
    /// None when all has come.
    ready: Option<Receiver<Result<PrefetchMessage>>>,
    threads: Vec<JoinHandle<()>>,
    block: Vec<f32>,
    damage: AudioDamage,
}

impl Prefetcher {
    pub(super) fn start(name: &str, decoder: TrackDecoder) -> Result<Self> {
        let (to_resampler, decoded) = sync_channel(QUEUE);
        let (to_listener, ready) = sync_channel(QUEUE);
        let mut ahead = Self {
            ready: Some(ready),
            threads: Vec::new(),
            block: Vec::new(),
            damage: AudioDamage::default(),
        };
        let input = name.to_owned();
        ahead.spawn("decoding", move || pass_on(&to_resampler, |to| decode(&input, decoder, to)))?;
        let input = name.to_owned();
        ahead.spawn("resampling", move || pass_on(&to_listener, |to| resample(&input, &decoded, to)))?;
        Ok(ahead)
    }

    fn spawn(&mut self, name: &str, work: impl FnOnce() + Send + 'static) -> Result<()> {
        let thread = Builder::new().name(name.into()).spawn(work);
        self.threads.push(thread.map_err(|error| Error::compute("starting a thread", error))?);
        Ok(())
    }

    pub(super) fn next_block(&mut self) -> Result<Option<&[f32]>> {
        let Some(ready) = &self.ready else { return Ok(None) };
        // Both threads tell when they end, so that the queue is never found abandoned.
        let next = ready.recv().map_err(|error| Error::compute("reading the audio", error));
        match next.and_then(|ready| ready) {
            Ok(PrefetchMessage::Block { samples, damage }) => {
                self.block = samples;
                self.damage = damage.unwrap_or_else(|| mem::take(&mut self.damage));
                Ok(Some(&self.block))
            }
            Ok(PrefetchMessage::End(damage, why)) => {
                self.damage = damage;
                self.ready = None;
                why.map_or(Ok(None), Err)
            }
            Err(error) => {
                self.ready = None;
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
        // Who has nobody to give to ends.
        self.ready = None;
        // What a thread has panicked of was told as an error.
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

/// Nobody takes what comes.
struct ReceiverDropped;

/// Who takes what one of the threads makes.
struct MessageSender<'a, T>(&'a SyncSender<Result<T>>);

impl<T> MessageSender<'_, T> {
    fn give(&self, made: T) -> Result<(), ReceiverDropped> {
        self.0.send(Ok(made)).map_err(|_| ReceiverDropped)
    }
}

/// Does the work, and tells why it could not be done.
fn pass_on<T>(to: &SyncSender<Result<T>>, work: impl FnOnce(&MessageSender<'_, T>) -> Result<()>) {
    if let Err(error) = catch_panic("reading the audio", || work(&MessageSender(to))) {
        // Nobody listens any more: then nobody needs to know.
        let _ = to.send(Err(error));
    }
}

fn decode(name: &str, mut decoder: TrackDecoder, to: &MessageSender<'_, DecodeMessage>) -> Result<()> {
    let (mut piece, mut told) = (SourceBlock::default(), 0);
    loop {
        let over = match decoder.next().map_err(|fault| Error::input(name, fault))? {
            Some(chunk) if chunk.rate == piece.rate => {
                piece.samples.extend_from_slice(chunk.samples);
                let is_enough = piece.samples.len() >= chunk.rate as usize / PIECES_PER_SECOND;
                is_enough.then(|| piece.take())
            }
            Some(chunk) => {
                let other = SourceBlock { rate: chunk.rate, samples: chunk.samples.to_vec(), damage: None };
                Some(mem::replace(&mut piece, other))
            }
            None => {
                let _ = to
                    .give(DecodeMessage::Block(piece))
                    .and_then(|()| to.give(DecodeMessage::End(Box::new(decoder))));
                return Ok(());
            }
        };
        if let Some(piece) = over {
            let damage = decoder.damage();
            let is_news = mem::replace(&mut told, damage.packets) < damage.packets;
            let damage = is_news.then(|| damage.clone());
            if to.give(DecodeMessage::Block(SourceBlock { damage, ..piece })).is_err() {
                return Ok(());
            }
        }
    }
}

fn resample(
    name: &str,
    from: &Receiver<Result<DecodeMessage>>,
    to: &MessageSender<'_, PrefetchMessage>,
) -> Result<()> {
    let (mut resampling, mut block, mut news, mut given) = (Resampler::default(), Vec::new(), None, 0);
    for decoded in from {
        match decoded? {
            DecodeMessage::Block(SourceBlock { rate, samples, damage }) => {
                news = damage.or(news);
                if !samples.is_empty() {
                    resampling.push(rate, &samples, &mut block)?;
                }
                if block.len() < BLOCK {
                    continue;
                }
                given += block.len() as u64;
                let samples = mem::take(&mut block);
                if to.give(PrefetchMessage::Block { samples, damage: news.take() }).is_err() {
                    return Ok(());
                }
            }
            DecodeMessage::End(mut decoder) => {
                resampling.finish(&mut block)?;
                given += block.len() as u64;
                if !block.is_empty()
                    && to.give(PrefetchMessage::Block { samples: block, damage: None }).is_err()
                {
                    return Ok(());
                }
                let why = decoder.verdict(seconds_of_samples(given)).map(|why| Error::input(name, why));
                let _ = to.give(PrefetchMessage::End(decoder.damage().clone(), why));
                return Ok(());
            }
        }
    }
    Ok(())
}
