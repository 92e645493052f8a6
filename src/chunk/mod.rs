//! Placeholder.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    pub frame: u64,
    pub silent: bool,
}

pub struct Cutter {
    target: u64,
    samples: u64,
    next: u64,
}

impl Cutter {
    pub fn new(target_seconds: f64) -> Self {
        let target = (target_seconds * 100.0) as u64;
        Cutter { target, samples: 0, next: target }
    }

    pub fn push(&mut self, samples: &[f32], cuts: &mut Vec<Cut>) {
        self.samples += samples.len() as u64;
        while self.samples / 160 > self.next {
            cuts.push(Cut { frame: self.next, silent: true });
            self.next += self.target;
        }
    }

    pub fn finish(&mut self, _cuts: &mut Vec<Cut>) {}
}
