//! Several packets of one track decoded side by side.
//!
//! A run of packets is dealt out in lanes, each with a codec of its own. A codec that forgets is told so much of
//! what comes before its lane that it has the same state as one that was told everything; that it has is seen by
//! what it gives for the last of those packets, which the lane before has decoded, too. Where it has not, and behind
//! whatever a codec refuses, packets go one by one: the samples are the same bits in every case.

use std::collections::VecDeque;
use std::ops::Range;

use rayon::prelude::*;
use symphonia::core::codecs::audio::well_known::{CODEC_ID_FLAC, CODEC_ID_MP3};
use symphonia::core::codecs::audio::{AudioCodecId, AudioDecoder};
use symphonia::core::packet::Packet;

use super::mix::Mixer;
use super::track::{audio, make_codec};
use super::{DecodedBlock, NextPacket, PacketOutcome, SampleLocation, TrackDecoder, decode_one};
use crate::error::InputProblem;

/// Bytes that an MP3 frame may take from those before it.
const RESERVOIR: usize = 511;
/// Bytes of an MP3 frame that are no such store, at most: header, checksum, side information.
const HEAD: usize = 38;
/// Frames after which an MP3 decoder with a full store has overlapped what it had not, at the most.
const SETTLING: usize = 3;
/// Frames that two lanes decode and compare.
const COMPARED: usize = 2;

/// How much a codec remembers.
#[derive(Clone, Copy)]
enum CodecMemory {
    /// Nothing.
    None,
    /// The last frames of an MP3.
    Frames,
}

impl CodecMemory {
    /// None where it is not known, or endless.
    fn of(codec: AudioCodecId) -> Option<Self> {
        match codec {
            CODEC_ID_FLAC => Some(CodecMemory::None),
            CODEC_ID_MP3 => Some(CodecMemory::Frames),
            _ => None,
        }
    }

    /// Packets in a lane: some 3 s.
    fn lane(self) -> usize {
        match self {
            CodecMemory::None => 32,
            CodecMemory::Frames => 128,
        }
    }

    /// How many of the packets before `start` a codec must be told; None if they are too few.
    fn run_up(self, packets: &[Packet], start: usize) -> Option<usize> {
        let CodecMemory::Frames = self else { return Some(0) };
        let settled = start.checked_sub(SETTLING + COMPARED)?;
        let mut bytes = 0;
        let stored = packets[..settled].iter().rev().position(|packet| {
            bytes += packet.data.len().saturating_sub(HEAD);
            bytes >= RESERVOIR
        });
        stored.map(|last| last + 1 + SETTLING + COMPARED)
    }
}

/// What lies between the demuxer and whoever wants samples.
pub(super) struct ParallelDecoding {
    lanes: usize,
    /// Packets that are to be decoded one by one.
    one_by_one: VecDeque<Packet>,
    /// What came behind them, if it was no packet.
    behind: Option<NextPacket>,
    rate: u32,
    samples: Vec<f32>,
}

impl ParallelDecoding {
    pub(super) fn new(lanes: usize) -> Option<Self> {
        let spread = Self { lanes, one_by_one: VecDeque::new(), behind: None, rate: 0, samples: Vec::new() };
        (lanes > 1).then_some(spread)
    }

    pub(super) fn chunk(&self) -> DecodedBlock<'_> {
        DecodedBlock { rate: self.rate, samples: &self.samples }
    }
}

/// What one codec made of its packets.
#[derive(Default)]
struct DecodedPackets {
    rate: u32,
    samples: Vec<f32>,
    /// How many samples each packet gave.
    frames: Vec<usize>,
    /// Where it ended before its time.
    fault: Option<PacketOutcome>,
}

impl DecodedPackets {
    fn decode(&mut self, codec: &mut dyn AudioDecoder, mixer: &mut Mixer, packets: &[Packet]) {
        for packet in packets {
            let outcome = decode_one(codec, packet, mixer, |frames, _| 0..frames);
            let PacketOutcome::Done = outcome else {
                self.fault = Some(outcome);
                return;
            };
            if self.frames.is_empty() {
                self.rate = mixer.rate();
            }
            self.samples.extend_from_slice(mixer.samples());
            self.frames.push(mixer.samples().len());
        }
    }

    /// Whether the last packets gave the very same as all of the other's.
    fn ends_with(&self, other: &DecodedPackets) -> bool {
        let same = |(a, b): (&f32, &f32)| a.to_bits() == b.to_bits();
        let last = self.samples.iter().rev().zip(other.samples.iter().rev());
        self.frames.ends_with(&other.frames)
            && (other.frames.is_empty() || self.rate == other.rate)
            && last.into_iter().all(same)
    }
}

/// Which packets are decoded in a lane, and from where on its codec is told what comes before them.
struct PacketRun {
    told: usize,
    packets: Range<usize>,
}

impl PacketRun {
    fn decode(&self, codec: &mut dyn AudioDecoder, channel: Option<usize>, all: &[Packet]) -> DecodedRun {
        let (mut mixer, seam) = (Mixer::new(channel), self.packets.start);
        let compared = self.told.max(seam.saturating_sub(COMPARED));
        let mut decode = |packets: Range<usize>| {
            let mut lane = DecodedPackets::default();
            lane.decode(codec, &mut mixer, &all[packets]);
            lane
        };
        let (told, before) = (decode(self.told..compared), decode(compared..seam));
        let is_told = told.fault.is_none() && before.fault.is_none();
        DecodedRun {
            is_told,
            before,
            lane: if is_told { decode(self.packets.clone()) } else { DecodedPackets::default() },
        }
    }
}

/// What came of a stretch.
struct DecodedRun {
    /// The codec has taken all that came before.
    is_told: bool,
    /// What it gave for the last of that.
    before: DecodedPackets,
    lane: DecodedPackets,
}

impl DecodedRun {
    /// The codec had the state that it has behind the other lane, and went on at the same rate.
    fn follows(&self, other: &DecodedPackets) -> bool {
        let is_same = self.lane.frames.is_empty() || self.lane.rate == other.rate;
        self.is_told && is_same && other.fault.is_none() && other.ends_with(&self.before)
    }
}

impl TrackDecoder {
    /// To the next samples: those of many packets, if it can be.
    pub(super) fn advance_spread(
        &mut self,
        spread: &mut ParallelDecoding,
    ) -> Result<Option<SampleLocation>, InputProblem> {
        while !self.ended {
            if let Some(packet) = spread.one_by_one.pop_front() {
                if self.decode(&packet)? {
                    return Ok(Some(SampleLocation::Mixer));
                }
            } else if let Some(behind) = spread.behind.take() {
                spread.one_by_one.extend(self.settle(behind)?);
            } else {
                // The first packet tells more of the sound than the headers do.
                let memory = self.memory().filter(|_| self.heard);
                let wanted = memory.map_or(1, |memory| spread.lanes * memory.lane());
                let packets = self.collect(wanted, spread);
                let memory = memory.filter(|memory| packets.len() > memory.lane());
                if self.decode_in_lanes(memory, packets, spread) {
                    return Ok(Some(SampleLocation::Parallel));
                }
            }
        }
        Ok(None)
    }

    fn memory(&self) -> Option<CodecMemory> {
        CodecMemory::of(self.codec.codec_params().codec)
    }

    /// So many packets, or fewer if something else comes.
    fn collect(&mut self, wanted: usize, spread: &mut ParallelDecoding) -> Vec<Packet> {
        let mut packets = Vec::with_capacity(wanted);
        while packets.len() < wanted {
            match self.pull() {
                Ok(Ok(Some(packet))) if packet.track_id == self.track => packets.push(packet),
                Ok(Ok(Some(_))) => {}
                other => {
                    spread.behind = Some(other);
                    break;
                }
            }
        }
        packets
    }

    /// Decodes as many packets as the codecs agree on; the others go one by one. Whether there are samples.
    fn decode_in_lanes(
        &mut self,
        memory: Option<CodecMemory>,
        packets: Vec<Packet>,
        spread: &mut ParallelDecoding,
    ) -> bool {
        spread.samples.clear();
        let stretches = memory.map_or(Vec::new(), |memory| plan(memory, &packets));
        let mut done = 0;
        if stretches.len() > 1 {
            let (lanes, mut fresh) = self.decode_stretches(&stretches, &packets);
            let differs = lanes.windows(2).position(|pair| !pair[1].follows(&pair[0].lane));
            let agreed = differs.map_or(lanes.len(), |lane| lane + 1);
            if agreed > 1 {
                self.codec = fresh.swap_remove(agreed - 2);
            }
            spread.rate = lanes[0].lane.rate;
            for decoded in lanes.into_iter().take(agreed) {
                done += self.take_over(decoded.lane, &packets[done..], spread);
            }
        }
        spread.one_by_one.extend(packets.into_iter().skip(done));
        !spread.samples.is_empty()
    }

    /// All of them side by side. The first one goes on with the codec that has decoded what came before, the others
    /// with fresh ones, which are returned.
    fn decode_stretches(
        &mut self,
        stretches: &[PacketRun],
        packets: &[Packet],
    ) -> (Vec<DecodedRun>, Vec<Box<dyn AudioDecoder>>) {
        let track = self.format.tracks().iter().find(|track| track.id == self.track).and_then(audio);
        let make = |_| make_codec(&*self.format, track?, &self.options).ok();
        let mut fresh: Vec<_> = stretches[1..].iter().map_while(make).collect();
        let codecs = std::iter::once(&mut self.codec).chain(&mut fresh);
        let work: Vec<_> = stretches.iter().zip(codecs).collect();
        let channel = self.options.channel;
        let decode = |(stretch, codec): (&PacketRun, &mut Box<dyn AudioDecoder>)| {
            stretch.decode(&mut **codec, channel, packets)
        };
        (work.into_par_iter().map(decode).collect(), fresh)
    }

    /// Appends what is to be heard of a lane, and draws the consequences of where it ended. How many of the packets
    /// are done.
    fn take_over(
        &mut self,
        lane: DecodedPackets,
        packets: &[Packet],
        spread: &mut ParallelDecoding,
    ) -> usize {
        let (mut at, done) = (0, lane.frames.len());
        for (packet, frames) in packets.iter().zip(&lane.frames) {
            self.note_gap(packet);
            let keep = self.trim.keep(packet, *frames, lane.rate);
            spread.samples.extend_from_slice(&lane.samples[at + keep.start..at + keep.end]);
            at += frames;
            self.failures = 0;
        }
        match (lane.fault, packets.get(done)) {
            (Some(fault), Some(packet)) => {
                self.note_gap(packet);
                self.judge(fault);
                done + 1
            }
            _ => done,
        }
    }
}

/// Deals the packets out, as long as enough is known of what comes before them.
fn plan(memory: CodecMemory, packets: &[Packet]) -> Vec<PacketRun> {
    let lane = memory.lane();
    let stretch = |start: usize| {
        let run_up = if start == 0 { 0 } else { memory.run_up(packets, start)? };
        Some(PacketRun { told: start - run_up, packets: start..packets.len().min(start + lane) })
    };
    (0..packets.len()).step_by(lane).map_while(stretch).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;
    use std::path::Path;

    use super::*;
    use crate::audio::AudioOptions;
    use crate::audio::decode::MediaBytes;

    /// Samples of each piece that comes.
    fn pieces(name: &str, times: usize, lanes: usize) -> Vec<usize> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name);
        let bytes = std::fs::read(path).unwrap().repeat(times);
        let media = || Ok(MediaBytes::new(Cursor::new(bytes.clone()), bytes.len() as u64));
        let decoder = TrackDecoder::open(media, None, &AudioOptions::default()).unwrap();
        let (mut decoder, mut pieces) = (decoder.spread(lanes), Vec::new());
        while let Some(chunk) = decoder.next().unwrap() {
            pieces.push(chunk.samples.len());
        }
        pieces
    }

    #[test]
    fn many_packets_come_in_one_piece() {
        // 128 frames of 1152 samples, and 32 of as many, in each lane.
        for (name, times, lane) in [("audio/cbr.mp3", 40, 147_456), ("long/long_en.flac", 1, 36_864)] {
            let lanes = pieces(name, times, 4);
            let whole = lanes.iter().filter(|piece| **piece == 4 * lane).count();
            assert!(whole >= 3, "{name}: {lanes:?}");
            let singles = pieces(name, times, 1);
            assert!(
                singles.len() > 100 && singles.iter().sum::<usize>() == lanes.iter().sum::<usize>(),
                "{name}"
            );
        }
    }
}
