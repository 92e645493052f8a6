//! Mixes decoded packets of any sample format and channel count to mono `f32`.

use std::ops::Range;

use symphonia::core::audio::conv::IntoSample;
use symphonia::core::audio::sample::Sample;
use symphonia::core::audio::{
    Audio, AudioBuffer, AudioSpec, ChannelLabel, Channels, GenericAudioBufferRef, Position,
};

use crate::audio::channels::{ChannelPosition, weights};

/// Sample rates outside this range mean a corrupt header.
const RATES: std::ops::RangeInclusive<u32> = 1_000..=768_000;
const MAX_CHANNELS: usize = 1_024;

/// Mixes one packet at a time into a reused buffer.
pub(super) struct Mixer {
    channel: Option<usize>,
    spec: Option<AudioSpec>,
    weights: Vec<f32>,
    samples: Vec<f32>,
}

impl Mixer {
    pub(super) fn new(channel: Option<usize>) -> Self {
        Self { channel, spec: None, weights: Vec::new(), samples: Vec::new() }
    }

    /// Returns the sample rate of the last packet.
    pub(super) fn rate(&self) -> u32 {
        self.spec.as_ref().map_or(0, AudioSpec::rate)
    }

    /// Returns the number of channels of the last packet before mixing.
    pub(super) fn channels(&self) -> usize {
        self.weights.len()
    }

    /// Returns the last packet, mixed.
    pub(super) fn samples(&self) -> &[f32] {
        &self.samples
    }

    /// Mixes the frames `keep` of a packet, replacing the previous packet.
    pub(super) fn mix(
        &mut self,
        packet: &GenericAudioBufferRef<'_>,
        keep: Range<usize>,
    ) -> Result<(), String> {
        use GenericAudioBufferRef as Any;
        self.samples.clear();
        if self.spec.as_ref() != Some(packet.spec()) {
            self.set_spec(packet.spec())?;
        }
        self.samples.resize(keep.len(), 0.0);
        match packet {
            Any::U8(b) => self.add(b, keep),
            Any::U16(b) => self.add(b, keep),
            Any::U24(b) => self.add(b, keep),
            Any::U32(b) => self.add(b, keep),
            Any::S8(b) => self.add(b, keep),
            Any::S16(b) => self.add(b, keep),
            Any::S24(b) => self.add(b, keep),
            Any::S32(b) => self.add(b, keep),
            Any::F32(b) => self.add(b, keep),
            Any::F64(b) => self.add(b, keep),
        }
        Ok(())
    }

    fn set_spec(&mut self, spec: &AudioSpec) -> Result<(), String> {
        self.spec = None;
        let count = spec.channels().count();
        if !RATES.contains(&spec.rate()) {
            return Err(format!("implausible sample rate of {} Hz", spec.rate()));
        }
        if !(1..=MAX_CHANNELS).contains(&count) {
            return Err(format!("implausible number of channels: {count}"));
        }
        self.weights = weights(&channel_positions(spec.channels()), self.channel);
        self.spec = Some(spec.clone());
        Ok(())
    }

    fn add<S: Sample + IntoSample<f32>>(&mut self, packet: &AudioBuffer<S>, keep: Range<usize>) {
        let planes = packet.iter_planes().zip(&self.weights).filter(|(_, weight)| **weight != 0.0);
        for (index, (plane, &weight)) in planes.enumerate() {
            let plane = plane.get(keep.clone()).unwrap_or_default();
            if index == 0 {
                for (out, &sample) in self.samples.iter_mut().zip(plane) {
                    *out = plausible(sample.into_sample()) * weight;
                }
            } else {
                for (out, &sample) in self.samples.iter_mut().zip(plane) {
                    *out += plausible(sample.into_sample()) * weight;
                }
            }
        }
    }
}

/// Louder than any real float file, including those scaled to 32768 instead of 1.
const MAX_AMPLITUDE: f32 = 1e6;

/// Replaces implausible samples with silence. Float files may hold any value, and one infinity, or a value that becomes
/// one when squared, would spoil everything computed from it.
pub(in crate::audio) fn plausible(sample: f32) -> f32 {
    if sample.abs() <= MAX_AMPLITUDE { sample } else { 0.0 }
}

fn channel_positions(channels: &Channels) -> Vec<ChannelPosition> {
    match channels {
        Channels::Positioned(positions) => positions.iter().map(channel_position).collect(),
        Channels::Custom(labels) => labels
            .iter()
            .map(|label| match label {
                ChannelLabel::Positioned(position) => channel_position(*position),
                _ => ChannelPosition::Unknown,
            })
            .collect(),
        // The first component of an ambisonic set is the omnidirectional signal.
        Channels::Ambisonic(_) => {
            let mut all = vec![ChannelPosition::Lfe; channels.count()];
            all[0] = ChannelPosition::Center;
            all
        }
        _ => vec![ChannelPosition::Unknown; channels.count()],
    }
}

fn channel_position(position: Position) -> ChannelPosition {
    const FRONT: Position = Position::FRONT_LEFT
        .union(Position::FRONT_RIGHT)
        .union(Position::FRONT_LEFT_CENTER)
        .union(Position::FRONT_RIGHT_CENTER);
    const SURROUND: Position = Position::REAR_LEFT
        .union(Position::REAR_RIGHT)
        .union(Position::REAR_CENTER)
        .union(Position::SIDE_LEFT)
        .union(Position::SIDE_RIGHT);
    const LFE: Position = Position::LFE1.union(Position::LFE2);
    if position == Position::FRONT_CENTER {
        ChannelPosition::Center
    } else if FRONT.contains(position) {
        ChannelPosition::Front
    } else if SURROUND.contains(position) {
        ChannelPosition::Surround
    } else if LFE.contains(position) {
        ChannelPosition::Lfe
    } else {
        ChannelPosition::Unknown
    }
}
