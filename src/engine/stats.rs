//! Counters of one engine.

/// Sums since the engine was started; times in seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct EngineStats {
    /// Windows encoded, and the time that took.
    pub windows: u64,
    pub encoding: f64,
    /// Steps of the decoder, each over all running sequences.
    pub steps: u64,
    /// Sequences in all steps together.
    pub rows: u64,
    pub decoding: f64,
    /// Tokens chosen, in all attempts.
    pub tokens: u64,
    /// Windows whose words were timed, and the time that took.
    pub aligned: u64,
    pub aligning: f64,
    /// Windows whose first attempt was rejected.
    pub fallbacks: u64,
    /// Chunks finished.
    pub chunks: u64,
    /// Time spent on giving memory back, and the bytes given back by the host and by the device.
    pub releasing: f64,
    pub released_host: u64,
    pub released_device: u64,
    /// Time without work although more was to come: the front end was too slow.
    pub starved: f64,
    /// Time with work.
    pub busy: f64,
    /// The same, times the share of the window slots that were taken.
    pub occupied: f64,
    /// Window slots that are taken now, and how many there are.
    pub taken: usize,
    pub slots: usize,
}

impl std::ops::AddAssign for EngineStats {
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

impl EngineStats {
    /// Returns the counters of an engine that has ended: it has no slots.
    pub fn at_end(self) -> Self {
        EngineStats { taken: 0, slots: 0, ..self }
    }

    /// Returns the mean share of the window slots that were taken while there was work, 0 to 1.
    pub fn occupancy(&self) -> f64 {
        if self.busy > 0.0 { self.occupied / self.busy } else { 0.0 }
    }
}
