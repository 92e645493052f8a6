//! What an engine did and what it waited for.

/// Sums since the engine was started; times in seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Stats {
    pub windows: u64,
    pub encoding: f64,
    /// Runs of the decoder, each over all busy sequences.
    pub steps: u64,
    /// Sequences in all of them, together.
    pub rows: u64,
    pub decoding: f64,
    /// Tokens chosen, of all attempts.
    pub tokens: u64,
    /// Timing words: windows, and seconds.
    pub aligned: u64,
    pub aligning: f64,
    /// Windows whose first result was not good enough.
    pub fallbacks: u64,
    /// Chunks that were finished.
    pub chunks: u64,
    /// Giving memory back, and bytes given back, of the host and of the device.
    pub releasing: f64,
    pub released_host: u64,
    pub released_device: u64,
    /// With nothing to do although more was to come: the front end was too slow.
    pub starved: f64,
    /// With something to do.
    pub busy: f64,
    /// The same, times the part of the slots that were taken.
    pub occupied: f64,
    /// Slots that are taken now, of how many.
    pub taken: usize,
    pub slots: usize,
}

impl std::ops::AddAssign for Stats {
    fn add_assign(&mut self, other: Self) {
        self.windows += other.windows;
        self.encoding += other.encoding;
        self.steps += other.steps;
        self.rows += other.rows;
        self.decoding += other.decoding;
        self.tokens += other.tokens;
        self.aligned += other.aligned;
        self.aligning += other.aligning;
        self.fallbacks += other.fallbacks;
        self.chunks += other.chunks;
        self.releasing += other.releasing;
        self.released_host += other.released_host;
        self.released_device += other.released_device;
        self.starved += other.starved;
        self.busy += other.busy;
        self.occupied += other.occupied;
        self.taken += other.taken;
        self.slots += other.slots;
    }
}

impl Stats {
    /// Of an engine that is no more: it has no slots.
    pub fn at_end(self) -> Self {
        Stats { taken: 0, slots: 0, ..self }
    }

    /// The part of the slots that were taken while there was work, 0 to 1.
    pub fn occupancy(&self) -> f64 {
        if self.busy > 0.0 { self.occupied / self.busy } else { 0.0 }
    }
}
