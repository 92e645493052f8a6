//! Samples and speech regions → where to cut a recording into chunks that can be transcribed apart from each other.
//!
//! [`Clips`] are the parts that were asked for, [`cut_point`] finds the best place to cut, [`Cutter`] applies it to a
//! stream of frames, and [`Divider`] puts clips, speech and cuts together.

mod clips;
mod cut_point;
mod cutter;
mod divider;

pub use clips::{Clip, Clips, seconds};
pub use cutter::{Cut, Cutter};
pub use divider::{Account, Divider, Gap, Manner, Mark, Selection};
