//! The span of a chunk.

use serde::{Deserialize, Serialize};

/// Which mel frames a chunk consists of, and how far around them its windows and segments reach. Frames are counted
/// from the start of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkSpan {
    /// The first frame.
    pub first: usize,
    /// One past the last frame of its own, where the next chunk begins: no window begins here or later.
    pub end: usize,
    /// One past the last frame of audio that its windows may see; after `end` if the chunk ends at a seam, so that the
    /// next chunk's beginning is in sight.
    pub visible: usize,
    /// From which frame on the audio before `first` is heard for the sake of the prompt; none if the chunk before this one
    /// is continued, or nothing is known of what was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<usize>,
    /// Where its last segment ends at the latest: at the pause, or at the end of the audio. None if the next chunk
    /// continues its text, and in an input that is not cut, where times stay as the network writes them.
    pub limit: Option<usize>,
    /// Whether it begins at a seam: where the last window of the chunk before it ended. Journals keep it beside the
    /// other fields.
    #[serde(skip)]
    pub follows: bool,
}

impl ChunkSpan {
    /// Returns the first frame that its windows may see.
    pub fn heard_from(&self) -> usize {
        self.context.unwrap_or(self.first)
    }

    /// Returns how many frames are its own.
    pub fn frames(&self) -> usize {
        self.end - self.first
    }
}
