//! What the two subtitle formats share: clock times and the text of a cue.

use super::python;
use crate::transcript::Segment;

/// Whether hours are written when there are none, and what stands before the milliseconds.
pub struct Clock {
    pub hours_always: bool,
    pub marker: char,
}

impl Clock {
    pub fn time(&self, seconds: f64) -> String {
        let all = python::milliseconds(seconds);
        let (hours, minutes) = (all / 3_600_000, all / 60_000 % 60);
        let (seconds, milliseconds) = (all / 1_000 % 60, all % 1_000);
        let rest = format!("{minutes:02}:{seconds:02}{}{milliseconds:03}", self.marker);
        if self.hours_always || hours > 0 { format!("{hours:02}:{rest}") } else { rest }
    }

    /// The times of a cue, its text and the empty line behind it.
    pub fn cue(&self, segment: &Segment) -> String {
        let (start, end) = (self.time(segment.start), self.time(segment.end));
        // An arrow in the text would be read as another pair of times.
        let text = python::strip(&segment.text).replace("-->", "->");
        format!("{start} --> {end}\n{text}\n\n")
    }
}
