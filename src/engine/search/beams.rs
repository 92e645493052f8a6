//! A beam search in its seats. A beginning that goes on in one way stays where it sits; one that goes on in several
//! is copied to seats of beginnings that were dropped, from where the two differ: mostly a few tokens, never the
//! prompt nor what was heard.

use super::{Needs, Searching, Stage, not_broken};
use crate::decode::Hypothesis;
use crate::decode::beam::Beam;
use crate::decode::sequence::Status;
use crate::engine::seats::Seats;
use crate::error::{Error, Result};
use crate::models::{AheadInput, Chosen, RowInput};

pub struct Beams {
    beam: Beam,
    /// One for each beginning that may be live, the window's own first; none before the search begins.
    seats: Vec<Seat>,
    /// Which of the seats each live beginning sits at.
    at: Vec<usize>,
    /// They went on, and are to be seated anew.
    has_moved: bool,
    is_finished: bool,
}

struct Seat {
    sequence: usize,
    /// The tokens whose keys and values lie there.
    holds: Vec<u32>,
}

impl Beams {
    pub fn new(beam: Beam) -> Self {
        Beams { beam, seats: Vec::new(), at: Vec::new(), has_moved: false, is_finished: false }
    }

    fn advance(&mut self, logits: &mut [f32]) -> Result<u64> {
        self.has_fed();
        let status = self.beam.advance(logits);
        self.has_advanced(status)
    }

    /// All that the beginnings consist of.
    fn has_fed(&mut self) {
        for (index, &at) in self.at.iter().enumerate() {
            let (holds, tokens) = (&mut self.seats[at].holds, self.beam.tokens(index));
            holds.truncate(common(holds, tokens));
            holds.extend_from_slice(&tokens[holds.len()..]);
        }
    }

    fn has_advanced(&mut self, status: Status) -> Result<u64> {
        self.is_finished = not_broken(status)? == Status::Finished;
        self.has_moved = true;
        Ok(self.beam.last().count() as u64)
    }

    /// Seats for all beginnings at once: with some of them nothing could begin. False if there are not enough now.
    fn take_seats(&mut self, stage: &mut Stage<'_>) -> Result<bool> {
        let others = self.beam.width() - 1;
        let there_are = stage.backend.capacity();
        if there_are.sequences < there_are.windows + others {
            return Err(Error::compute("decoding", "there are fewer sequence slots than beams"));
        }
        let Some(taken) = stage.seats.take_many(others) else { return Ok(false) };
        let seat = |sequence| Seat { sequence, holds: Vec::new() };
        self.seats = std::iter::once(stage.window).chain(taken).map(seat).collect();
        self.at = vec![0];
        Ok(true)
    }

    /// Every live beginning to a seat that holds what it goes on from.
    fn move_seats(&mut self, stage: &mut Stage<'_>) -> Result<()> {
        let parents: Vec<usize> = self.beam.last().map(|(_, _, parent)| self.at[parent]).collect();
        let mut is_free = vec![true; self.seats.len()];
        // The first child stays.
        let mut at: Vec<Option<usize>> =
            parents.iter().map(|&parent| std::mem::take(&mut is_free[parent]).then_some(parent)).collect();
        for (at, &parent) in at.iter_mut().zip(&parents).filter(|(at, _)| at.is_none()) {
            let shared = |seat: usize| common(&self.seats[seat].holds, &self.seats[parent].holds);
            let nearest = (0..is_free.len()).filter(|seat| is_free[*seat]).max_by_key(|seat| shared(*seat));
            let Some(to) = nearest else {
                return Err(Error::compute("decoding", "more beams than there are seats"));
            };
            let (from, holds) = (self.seats[parent].sequence, self.seats[parent].holds.clone());
            stage.backend.copy_sequence(from, self.seats[to].sequence, shared(to)..holds.len())?;
            self.seats[to].holds = holds;
            is_free[to] = false;
            *at = Some(to);
        }
        self.at = at.into_iter().flatten().collect();
        self.has_moved = false;
        Ok(())
    }
}

impl Searching for Beams {
    fn rows<'a>(&'a self, window: usize, out: &mut Vec<RowInput<'a>>) {
        for ((position, tokens, _), &at) in self.beam.last().zip(&self.at) {
            let sequence = self.seats[at].sequence;
            out.push(RowInput { sequence, window, position, tokens, logits_after: &[0] });
        }
    }

    fn accept(&mut self, logits: &mut [f32]) -> Result<u64> {
        // Nobody waits for a seat with rows of logits under way.
        if self.at.is_empty() { Ok(0) } else { self.advance(logits) }
    }

    fn needs(&self) -> Needs {
        match !self.at.is_empty() && self.beam.standings().is_some() {
            true => Needs::Ranks(self.beam.ranks()),
            false => Needs::Scores,
        }
    }

    fn ahead<'a>(&'a self, window: usize, _: usize, out: &mut Vec<AheadInput<'a>>) {
        let standings = self.beam.standings().into_iter().flatten();
        for (((position, last, _), standing), &at) in self.beam.last().zip(standings).zip(&self.at) {
            let sequence = self.seats[at].sequence;
            out.push(AheadInput::of(standing, (sequence, window), (position, last[0])));
        }
    }

    fn take_chosen(&mut self, chosen: &[Chosen]) -> Result<u64> {
        self.has_fed();
        let status = self.beam.advance_by(chosen);
        self.has_advanced(status)
    }

    fn seat(&mut self, stage: &mut Stage<'_>) -> Result<u64> {
        let mut tokens = 0;
        if self.seats.is_empty() {
            if !self.take_seats(stage)? {
                return Ok(0);
            }
            let mut logits = std::mem::take(stage.logits);
            tokens = self.advance(&mut logits)?;
        }
        if self.has_moved && !self.is_finished {
            self.move_seats(stage)?;
        }
        Ok(tokens)
    }

    fn is_finished(&self) -> bool {
        self.is_finished
    }

    fn abandon(&mut self, window: usize, seats: &mut Seats) {
        let others = self.seats.iter().map(|seat| seat.sequence).filter(|sequence| *sequence != window);
        others.for_each(|sequence| seats.give_back(sequence));
        self.seats.clear();
        self.at.clear();
    }

    fn finish(self: Box<Self>) -> Vec<Hypothesis> {
        self.beam.finish()
    }
}

/// How many tokens two texts begin with alike.
fn common(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}
