//! Which stretches of the audio are to be understood, and where they are cut: a stream of marks.

use std::collections::VecDeque;
use std::mem;
use std::ops::Range;

use super::clips::{Clip, Clips};
use super::cutter::{Cut, Cutting};
use crate::time::HOP;
use crate::vad::Frame;
use crate::vad::Listener;
use crate::vad::{SpeechFinder, Step, VoiceOptions};

/// What of a recording is to be understood; all of it by default.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Selection {
    pub clips: Clips,
    /// Only where somebody speaks, found so.
    pub voice: Option<VoiceOptions>,
    /// Where somebody speaks is to be told, even if all is taken.
    pub witness: bool,
}

/// How a stretch is cut.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Manner {
    /// At pauses, about so many seconds long.
    AtPauses(f64),
    /// Every so many frames.
    Evenly(u64),
}

/// A place in the audio, in the order of time: a stretch begins, is cut any number of times, and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    Begin(u64),
    Cut(Cut),
    /// One past its last frame.
    End(u64),
}

/// Why frames are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gap {
    /// Nobody asked for them.
    Clip,
    /// Nobody speaks.
    Silence,
}

/// What was found, in frames.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Account {
    /// Where somebody speaks; empty if nobody listened for it.
    pub voice: Vec<Range<u64>>,
    /// Somebody listened for it.
    pub listened: bool,
    pub skipped: Vec<(Range<u64>, Gap)>,
    /// Clips that begin behind the end of the audio.
    pub missed: Vec<Clip>,
}

impl Account {
    /// Frames left out.
    pub fn skipped_frames(&self) -> u64 {
        self.skipped.iter().map(|(frames, _)| frames.end - frames.start).sum()
    }
}

enum Cutter {
    AtPauses(Cutting),
    Evenly { piece: u64, at: u64, next: u64 },
}

impl Cutter {
    fn new(manner: Manner, start: u64) -> Self {
        match manner {
            Manner::AtPauses(seconds) => Cutter::AtPauses(Cutting::new(seconds, start)),
            Manner::Evenly(piece) => Cutter::Evenly { piece, at: start, next: start + piece },
        }
    }

    fn push(&mut self, frame: Frame, cuts: &mut Vec<Cut>) {
        match self {
            Cutter::AtPauses(cutting) => cutting.push(frame, cuts),
            // A seam is known once there is audio behind it.
            Cutter::Evenly { piece, at, next } => {
                if at == next {
                    cuts.push(Cut { frame: *next, silent: false });
                    *next += *piece;
                }
                *at += 1;
            }
        }
    }

    fn finish(&mut self, cuts: &mut Vec<Cut>) {
        if let Cutter::AtPauses(cutting) = self {
            cutting.finish(cuts);
        }
    }
}

/// See the module.
pub struct Divider {
    manner: Manner,
    voice: Option<VoiceOptions>,
    /// None if nobody needs to know what is in the frames.
    listener: Option<Listener>,
    frames: Vec<Frame>,
    samples: u64,
    /// One past the last frame that was looked at.
    at: u64,
    /// Those that are not over.
    clips: VecDeque<Clip>,
    /// The first of them has begun.
    in_clip: bool,
    finder: Option<SpeechFinder>,
    /// Where all is taken: finds speech only to tell of it.
    witness: Option<SpeechFinder>,
    steps: Vec<Step>,
    /// Of the stretch that has begun.
    cutter: Option<Cutter>,
    cuts: Vec<Cut>,
    /// All frames before this one are accounted for.
    reached: u64,
    account: Account,
}

impl Divider {
    pub fn new(manner: Manner, selection: &Selection) -> Self {
        let listens = selection.witness || selection.voice.is_some() || matches!(manner, Manner::AtPauses(_));
        Self {
            manner,
            voice: selection.voice,
            listener: listens.then(Listener::new),
            frames: Vec::new(),
            samples: 0,
            at: 0,
            clips: selection.clips.iter().collect(),
            in_clip: false,
            finder: None,
            witness: None,
            steps: Vec::new(),
            cutter: None,
            cuts: Vec::new(),
            reached: 0,
            account: Account { listened: listens, ..Account::default() },
        }
    }

    /// Takes 16 kHz mono samples and appends the marks that are settled.
    pub fn push(&mut self, samples: &[f32], marks: &mut Vec<Mark>) {
        self.samples += samples.len() as u64;
        match &mut self.listener {
            Some(listener) => listener.push(samples, &mut self.frames),
            None => {
                let new = self.samples / HOP as u64 - self.at;
                self.frames.resize(new as usize, Frame { speech: 1.0, power: 0.0 });
            }
        }
        self.look(marks);
    }

    /// Appends the marks that only the end of the audio settles; a stretch that has begun ends there.
    pub fn finish(mut self, marks: &mut Vec<Mark>) -> Account {
        if let Some(listener) = &mut self.listener {
            listener.finish(&mut self.frames);
        }
        self.look(marks);
        if self.in_clip {
            self.leave(marks);
        }
        self.account.missed = mem::take(&mut self.clips).into_iter().collect();
        if !self.account.missed.is_empty() {
            self.skip(self.at, Gap::Clip);
        }
        self.account
    }

    /// Nothing that is still to come is asked for.
    pub fn is_done(&self) -> bool {
        self.clips.is_empty()
    }

    /// The first frame that may still be in a stretch; none while one is open.
    pub fn keep_from(&self) -> Option<u64> {
        match (&self.finder, self.clips.front()) {
            (Some(finder), _) => finder.keep_from(),
            (None, Some(clip)) => (!self.in_clip).then_some(clip.start),
            (None, None) => Some(self.at),
        }
    }

    pub fn account(&self) -> &Account {
        &self.account
    }

    fn look(&mut self, marks: &mut Vec<Mark>) {
        for frame in mem::take(&mut self.frames) {
            if !self.in_clip && self.clips.front().is_some_and(|clip| clip.start == self.at) {
                self.enter(marks);
            }
            if self.in_clip {
                self.take(frame, marks);
            }
            self.at += 1;
            if self.in_clip && self.clips.front().is_some_and(|clip| clip.end == Some(self.at)) {
                self.leave(marks);
            }
        }
    }

    fn enter(&mut self, marks: &mut Vec<Mark>) {
        self.skip(self.at, Gap::Clip);
        self.in_clip = true;
        match &self.voice {
            Some(options) => self.finder = Some(SpeechFinder::new(options, self.at)),
            None => {
                let listens = self.listener.is_some();
                self.witness = listens.then(|| SpeechFinder::new(&VoiceOptions::default(), self.at));
                self.step(Step::Begin(self.at), marks);
            }
        }
    }

    fn take(&mut self, frame: Frame, marks: &mut Vec<Mark>) {
        match &mut self.finder {
            Some(finder) => {
                finder.push(frame, &mut self.steps);
                self.all_steps(marks);
            }
            None => {
                if let Some(witness) = &mut self.witness {
                    witness.push(frame, &mut self.steps);
                    self.hear_witness();
                }
                self.step(Step::Go(frame), marks);
            }
        }
    }

    fn leave(&mut self, marks: &mut Vec<Mark>) {
        match self.finder.take() {
            Some(mut finder) => {
                finder.finish(&mut self.steps);
                self.all_steps(marks);
                self.skip(self.at, Gap::Silence);
            }
            None => {
                if let Some(mut witness) = self.witness.take() {
                    witness.finish(&mut self.steps);
                    self.hear_witness();
                }
                self.step(Step::End(self.at), marks);
            }
        }
        self.in_clip = false;
        self.clips.pop_front();
    }

    fn hear_witness(&mut self) {
        let voices = self.steps.drain(..).filter_map(|step| match step {
            Step::Voice(frames) => Some(frames),
            _ => None,
        });
        self.account.voice.extend(voices);
    }

    fn all_steps(&mut self, marks: &mut Vec<Mark>) {
        let mut steps = mem::take(&mut self.steps);
        steps.drain(..).for_each(|step| self.step(step, marks));
        self.steps = steps;
    }

    fn step(&mut self, step: Step, marks: &mut Vec<Mark>) {
        match step {
            Step::Begin(at) => {
                self.skip(at, Gap::Silence);
                self.cutter = Some(Cutter::new(self.manner, at));
                marks.push(Mark::Begin(at));
            }
            Step::Go(frame) => {
                if let Some(cutter) = &mut self.cutter {
                    cutter.push(frame, &mut self.cuts);
                    marks.extend(self.cuts.drain(..).map(Mark::Cut));
                }
            }
            Step::End(at) => {
                if let Some(mut cutter) = self.cutter.take() {
                    cutter.finish(&mut self.cuts);
                    marks.extend(self.cuts.drain(..).map(Mark::Cut));
                }
                self.reached = at;
                marks.push(Mark::End(at));
            }
            Step::Voice(frames) => self.account.voice.push(frames),
        }
    }

    fn skip(&mut self, to: u64, gap: Gap) {
        if to > self.reached {
            self.account.skipped.push((self.reached..to, gap));
            self.reached = to;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(selection: &Selection, manner: Manner, seconds: usize, block: usize) -> (Vec<Mark>, Account) {
        let (mut divider, mut marks) = (Divider::new(manner, selection), Vec::new());
        let audio = vec![0.0; seconds * 16_000];
        audio.chunks(block).for_each(|block| divider.push(block, &mut marks));
        let account = divider.finish(&mut marks);
        (marks, account)
    }

    fn clips(text: &str) -> Selection {
        Selection { clips: text.parse().unwrap(), ..Selection::default() }
    }

    #[test]
    fn clips_begin_and_end_where_they_are_asked_for() {
        let cut = |frame| Mark::Cut(Cut { frame, silent: false });
        let expected = [
            Mark::Begin(750),
            cut(1_750),
            Mark::End(2_000),
            Mark::Begin(2_000),
            Mark::End(2_100),
            Mark::Begin(3_000),
            Mark::End(4_000),
        ];
        for block in [100, 8_000, 1_000_000] {
            let (marks, account) = marks(&clips("7.5,20,20,21,30,50,60"), Manner::Evenly(1_000), 40, block);
            assert_eq!(marks, expected);
            assert_eq!(account.skipped, [(0..750, Gap::Clip), (2_100..3_000, Gap::Clip)]);
            assert_eq!(account.missed, [Clip { start: 6_000, end: None }]);
        }
    }

    #[test]
    fn silence_is_all_left_out() {
        let voice = Some(VoiceOptions::default());
        let selection = Selection { voice, ..clips("5,20") };
        let (marks, account) = marks(&selection, Manner::AtPauses(120.0), 40, 8_000);
        assert_eq!(marks, []);
        assert_eq!(account.skipped, [(0..500, Gap::Clip), (500..2_000, Gap::Silence)]);
        assert_eq!(account.skipped_frames(), 2_000);
    }

    #[test]
    fn the_whole_is_one_stretch() {
        for seconds in [0, 3] {
            let (marks, account) = marks(&Selection::default(), Manner::AtPauses(120.0), seconds, 8_000);
            let expected = [Mark::Begin(0), Mark::End(300)];
            assert_eq!(marks, if seconds == 0 { &[][..] } else { &expected });
            assert_eq!(account.skipped, []);
        }
    }
}
