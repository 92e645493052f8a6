//! What the two subtitle formats share: clock times and the shape of a cue.

use super::cues::Cue;

/// Whether hours are written when there are none, and what stands before the milliseconds.
pub struct Clock {
    pub hours_always: bool,
    pub marker: char,
}

impl Clock {
    /// What is before the beginning is shown from the beginning.
    pub fn time(&self, milliseconds: i64) -> String {
        let milliseconds = milliseconds.max(0);
        let (hours, minutes) = (milliseconds / 3_600_000, milliseconds / 60_000 % 60);
        let (seconds, milliseconds) = (milliseconds / 1_000 % 60, milliseconds % 1_000);
        let rest = format!("{minutes:02}:{seconds:02}{}{milliseconds:03}", self.marker);
        if self.hours_always || hours > 0 { format!("{hours:02}:{rest}") } else { rest }
    }

    /// The times of a cue, its text as the format spells it, and the empty line behind it.
    pub fn cue(&self, cue: &Cue, text: &str) -> String {
        format!("{} --> {}\n{text}\n\n", self.time(cue.start), self.time(cue.end))
    }
}
