//! Decodes several runs of packets of one track in parallel.
//!
//! A batch of packets is split into runs, each decoded by a codec of its own. A codec with bounded memory is first warmed
//! up on so many packets before its run that its state should equal that of a codec that decoded everything. To verify
//! that, its output for the last warm-up packets is compared with what the previous run produced for the same packets. If
//! they differ, and after any packet that a codec rejects, packets are decoded one by one, so the samples are bit-identical
//! in every case.

use std::collections::VecDeque;
use std::ops::Range;

use rayon::prelude::*;
use symphonia::core::codecs::audio::well_known::{CODEC_ID_FLAC, CODEC_ID_MP3};
use symphonia::core::codecs::audio::{AudioCodecId, AudioDecoder};
use symphonia::core::packet::Packet;

use super::mix::Mixer;
use super::track::{audio_params, make_codec};
use super::{DecodedBlock, NextPacket, PacketOutcome, SampleLocation, TrackDecoder, decode_packet};
use crate::error::InputProblem;

/// Bytes that an MP3 frame may borrow from earlier frames (the bit reservoir).
const RESERVOIR: usize = 511;
/// Maximum bytes of an MP3 frame outside the reservoir: header, checksum, side information.
const FRAME_OVERHEAD: usize = 38;
/// Frames with a full reservoir after which an MP3 decoder's overlap state has settled, at most.
const SETTLING: usize = 3;
/// Frames that two runs both decode, for comparison.
const COMPARED: usize = 2;

/// How much earlier input a codec's output depends on.
#[derive(Clone, Copy)]
enum CodecMemory {
    /// On nothing but the packet.
    None,
    /// On the last few frames of an MP3.
    Frames,
}

impl CodecMemory {
    /// Returns None for codecs whose memory is unknown or unbounded.
    fn of(codec: AudioCodecId) -> Option<Self> {
        match codec {
            CODEC_ID_FLAC => Some(CodecMemory::None),
            CODEC_ID_MP3 => Some(CodecMemory::Frames),
            _ => None,
        }
    }

    /// Returns the number of packets in a run: about 3 s.
    fn run_length(self) -> usize {
        match self {
            CodecMemory::None => 32,
            CodecMemory::Frames => 128,
        }
    }

    /// Returns how many packets before `start` warm up a codec; None if there are too few.
    fn warm_up(self, packets: &[Packet], start: usize) -> Option<usize> {
        let CodecMemory::Frames = self else { return Some(0) };
        let settled = start.checked_sub(SETTLING + COMPARED)?;
        let mut bytes = 0;
        let stored = packets[..settled].iter().rev().position(|packet| {
            bytes += packet.data.len().saturating_sub(FRAME_OVERHEAD);
            bytes >= RESERVOIR
        });
        stored.map(|last| last + 1 + SETTLING + COMPARED)
    }
}

/// The packets and samples between the demuxer and the consumer.
pub(super) struct ParallelDecoding {
    /// Maximum runs in a batch, each decoded on a thread.
    threads: usize,
    /// Packets to be decoded one by one.
    sequential: VecDeque<Packet>,
    /// What the demuxer returned after them, if it was not a packet.
    after: Option<NextPacket>,
    rate: u32,
    samples: Vec<f32>,
}

impl ParallelDecoding {
    pub(super) fn new(threads: usize) -> Option<Self> {
        let decoding =
            Self { threads, sequential: VecDeque::new(), after: None, rate: 0, samples: Vec::new() };
        (threads > 1).then_some(decoding)
    }

    pub(super) fn block(&self) -> DecodedBlock<'_> {
        DecodedBlock { rate: self.rate, samples: &self.samples }
    }
}

/// The output of one codec for consecutive packets.
#[derive(Default)]
struct DecodedPackets {
    rate: u32,
    samples: Vec<f32>,
    /// The number of samples from each packet.
    frames: Vec<usize>,
    /// The failure that ended decoding early, if any.
    failure: Option<PacketOutcome>,
}

impl DecodedPackets {
    fn decode(&mut self, codec: &mut dyn AudioDecoder, mixer: &mut Mixer, packets: &[Packet]) {
        for packet in packets {
            let outcome = decode_packet(codec, packet, mixer, |frames, _| 0..frames);
            let PacketOutcome::Decoded = outcome else {
                self.failure = Some(outcome);
                return;
            };
            if self.frames.is_empty() {
                self.rate = mixer.rate();
            }
            self.samples.extend_from_slice(mixer.samples());
            self.frames.push(mixer.samples().len());
        }
    }

    /// Returns whether the last packets yielded exactly the samples of all packets of `other`.
    fn ends_with(&self, other: &DecodedPackets) -> bool {
        let is_same = |(a, b): (&f32, &f32)| a.to_bits() == b.to_bits();
        let last = self.samples.iter().rev().zip(other.samples.iter().rev());
        self.frames.ends_with(&other.frames)
            && (other.frames.is_empty() || self.rate == other.rate)
            && last.into_iter().all(is_same)
    }
}

/// A run of packets for one codec, and where its warm-up starts.
struct PacketRun {
    warm_up_start: usize,
    packets: Range<usize>,
}

impl PacketRun {
    fn decode(&self, codec: &mut dyn AudioDecoder, channel: Option<usize>, all: &[Packet]) -> DecodedRun {
        let (mut mixer, start) = (Mixer::new(channel), self.packets.start);
        let overlap_start = self.warm_up_start.max(start.saturating_sub(COMPARED));
        let mut decode = |packets: Range<usize>| {
            let mut decoded = DecodedPackets::default();
            decoded.decode(codec, &mut mixer, &all[packets]);
            decoded
        };
        let (warm_up, overlap) = (decode(self.warm_up_start..overlap_start), decode(overlap_start..start));
        let is_warm = warm_up.failure.is_none() && overlap.failure.is_none();
        let decoded = if is_warm { decode(self.packets.clone()) } else { DecodedPackets::default() };
        DecodedRun { is_warm, overlap, decoded }
    }
}

/// The output of a run.
struct DecodedRun {
    /// The codec decoded its whole warm-up.
    is_warm: bool,
    /// The output for the last packets of the warm-up.
    overlap: DecodedPackets,
    decoded: DecodedPackets,
}

impl DecodedRun {
    /// Returns whether the codec had the state that it has after `previous`, and continued at the same rate.
    fn continues(&self, previous: &DecodedPackets) -> bool {
        let is_same_rate = self.decoded.frames.is_empty() || self.decoded.rate == previous.rate;
        self.is_warm && is_same_rate && previous.failure.is_none() && previous.ends_with(&self.overlap)
    }
}

impl TrackDecoder {
    /// Decodes up to the next samples, a batch of packets at once if possible.
    pub(super) fn advance_parallel(
        &mut self,
        parallel: &mut ParallelDecoding,
    ) -> Result<Option<SampleLocation>, InputProblem> {
        while !self.has_ended {
            if let Some(packet) = parallel.sequential.pop_front() {
                if self.decode(&packet)? {
                    return Ok(Some(SampleLocation::Mixer));
                }
            } else if let Some(after) = parallel.after.take() {
                parallel.sequential.extend(self.accept(after)?);
            } else {
                // The first packet is decoded alone: it reveals more about the audio than the headers do.
                let memory = self.codec_memory().filter(|_| self.has_decoded);
                let wanted = memory.map_or(1, |memory| parallel.threads * memory.run_length());
                let packets = self.collect(wanted, parallel);
                let memory = memory.filter(|memory| packets.len() > memory.run_length());
                if self.decode_batch(memory, packets, parallel) {
                    return Ok(Some(SampleLocation::Parallel));
                }
            }
        }
        Ok(None)
    }

    fn codec_memory(&self) -> Option<CodecMemory> {
        CodecMemory::of(self.codec.codec_params().codec)
    }

    /// Demuxes up to `wanted` packets of the track, fewer at the end or an error.
    fn collect(&mut self, wanted: usize, parallel: &mut ParallelDecoding) -> Vec<Packet> {
        let mut packets = Vec::with_capacity(wanted);
        while packets.len() < wanted {
            match self.next_packet() {
                Ok(Ok(Some(packet))) if packet.track_id == self.track => packets.push(packet),
                Ok(Ok(Some(_))) => {}
                other => {
                    parallel.after = Some(other);
                    break;
                }
            }
        }
        packets
    }

    /// Decodes the runs that the codecs agree on and leaves the other packets to sequential decoding. Returns whether
    /// there are samples.
    fn decode_batch(
        &mut self,
        memory: Option<CodecMemory>,
        packets: Vec<Packet>,
        parallel: &mut ParallelDecoding,
    ) -> bool {
        parallel.samples.clear();
        let runs = memory.map_or(Vec::new(), |memory| split_into_runs(memory, &packets));
        let mut done = 0;
        if runs.len() > 1 {
            let (decoded, mut codecs) = self.decode_runs(&runs, &packets);
            let mismatch = decoded.windows(2).position(|pair| !pair[1].continues(&pair[0].decoded));
            let agreed = mismatch.map_or(decoded.len(), |run| run + 1);
            if agreed > 1 {
                self.codec = codecs.swap_remove(agreed - 2);
            }
            parallel.rate = decoded[0].decoded.rate;
            for run in decoded.into_iter().take(agreed) {
                done += self.append(run.decoded, &packets[done..], parallel);
            }
        }
        parallel.sequential.extend(packets.into_iter().skip(done));
        !parallel.samples.is_empty()
    }

    /// Decodes the runs in parallel. The first one continues with the current codec, the others get new codecs, which
    /// are returned.
    fn decode_runs(
        &mut self,
        runs: &[PacketRun],
        packets: &[Packet],
    ) -> (Vec<DecodedRun>, Vec<Box<dyn AudioDecoder>>) {
        let params = self.format.tracks().iter().find(|track| track.id == self.track).and_then(audio_params);
        let make = |_| make_codec(&*self.format, params?, &self.options).ok();
        let mut new_codecs: Vec<_> = runs[1..].iter().map_while(make).collect();
        let codecs = std::iter::once(&mut self.codec).chain(&mut new_codecs);
        let work: Vec<_> = runs.iter().zip(codecs).collect();
        let channel = self.options.channel;
        let decode = |(run, codec): (&PacketRun, &mut Box<dyn AudioDecoder>)| {
            run.decode(&mut **codec, channel, packets)
        };
        (work.into_par_iter().map(decode).collect(), new_codecs)
    }

    /// Appends the trimmed samples of a run and handles the failure that ended it, if any. Returns the number of
    /// packets consumed.
    fn append(&mut self, run: DecodedPackets, packets: &[Packet], parallel: &mut ParallelDecoding) -> usize {
        let (mut offset, done) = (0, run.frames.len());
        for (packet, frames) in packets.iter().zip(&run.frames) {
            self.detect_gap(packet);
            let keep = self.trim.keep(packet, *frames, run.rate);
            parallel.samples.extend_from_slice(&run.samples[offset + keep.start..offset + keep.end]);
            offset += frames;
            self.failures = 0;
        }
        match (run.failure, packets.get(done)) {
            (Some(failure), Some(packet)) => {
                self.detect_gap(packet);
                self.is_decoded(failure);
                done + 1
            }
            _ => done,
        }
    }
}

/// Splits packets into runs, up to the first run with too few packets to warm up on.
fn split_into_runs(memory: CodecMemory, packets: &[Packet]) -> Vec<PacketRun> {
    let length = memory.run_length();
    let run = |start: usize| {
        let warm_up = if start == 0 { 0 } else { memory.warm_up(packets, start)? };
        Some(PacketRun { warm_up_start: start - warm_up, packets: start..packets.len().min(start + length) })
    };
    (0..packets.len()).step_by(length).map_while(run).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;
    use std::path::Path;

    use super::*;
    use crate::audio::AudioOptions;
    use crate::audio::decode::MediaBytes;

    /// Returns the number of samples in each decoded block.
    fn block_sizes(name: &str, times: usize, threads: usize) -> Vec<usize> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name);
        let bytes = std::fs::read(path).unwrap().repeat(times);
        let media = || Ok(MediaBytes::new(Cursor::new(bytes.clone()), bytes.len() as u64));
        let decoder = TrackDecoder::open(media, None, &AudioOptions::default()).unwrap();
        let (mut decoder, mut sizes) = (decoder.in_parallel(threads), Vec::new());
        while let Some(block) = decoder.next().unwrap() {
            sizes.push(block.samples.len());
        }
        sizes
    }

    #[test]
    fn batches_of_packets_are_decoded_at_once() {
        // A run is 128 MP3 frames or 32 FLAC frames of 1152 samples each.
        for (name, times, run) in [("audio/cbr.mp3", 40, 147_456), ("long/long_en.flac", 1, 36_864)] {
            let parallel = block_sizes(name, times, 4);
            let full = parallel.iter().filter(|size| **size == 4 * run).count();
            assert!(full >= 3, "{name}: {parallel:?}");
            let sequential = block_sizes(name, times, 1);
            assert!(
                sequential.len() > 100 && sequential.iter().sum::<usize>() == parallel.iter().sum::<usize>(),
                "{name}"
            );
        }
    }
}
