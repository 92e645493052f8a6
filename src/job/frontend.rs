//! The thread that reads an input and makes its features while the engine uses them. How audio is decoded and
//! how a mel is computed is not known here.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::JoinHandle;

use crossbeam_channel::Sender;

use crate::audio::AudioReader;
use crate::cancel::CancelToken;
use crate::error::{Error, InputFault, Result};
use crate::mel::{Extent, Features, MelMeter, MelStream, StreamedFeatures};

/// Blocks of frames made ahead of the engine, about ten seconds each.
const AHEAD: usize = 4;
const DURING: &str = "reading the audio";

/// Where samples come from: 16 kHz, mono, a block at a time.
pub trait Samples: Send {
    /// None at the end.
    fn next_block(&mut self) -> Result<Option<&[f32]>>;
}

impl Samples for AudioReader {
    fn next_block(&mut self) -> Result<Option<&[f32]>> {
        AudioReader::next_block(self)
    }
}

/// The first pass over an input: how long and how loud it is. `progress` hears how many samples were read.
pub fn measure(
    source: &mut impl Samples,
    bins: usize,
    cancel: &CancelToken,
    mut progress: impl FnMut(u64),
) -> Result<Extent> {
    let mut meter = MelMeter::new(bins);
    let mut samples = 0;
    while let Some(block) = source.next_block()? {
        cancel.check()?;
        meter.push(block);
        samples += block.len() as u64;
        progress(samples);
    }
    Ok(meter.finish())
}

/// The second pass: features of an input, made on a thread that ends at the latest when this is dropped.
pub struct FrontEnd {
    /// None only while dropping: the thread may wait for room in its channel until the other end is gone.
    features: Option<StreamedFeatures>,
    thread: Option<JoinHandle<()>>,
}

impl FrontEnd {
    /// `source` must begin anew and yield what was measured; `input` names it in errors.
    pub fn start(
        source: impl Samples + 'static,
        input: &str,
        bins: usize,
        extent: Extent,
        cancel: &CancelToken,
    ) -> Result<Self> {
        let (sender, receiver) = crossbeam_channel::bounded(AHEAD);
        let producer = Producer { source, input: input.into(), bins, extent, cancel: cancel.clone() };
        let thread = std::thread::Builder::new()
            .name("front end".into())
            .spawn(move || {
                let made = catch_unwind(AssertUnwindSafe(|| producer.run(&sender)));
                if let Err(error) = made.unwrap_or_else(|panic| Err(panicked(&*panic))) {
                    // Nobody listens any more: then nobody needs to know.
                    let _ = sender.send(Err(error));
                }
            })
            .map_err(|error| Error::compute("starting a thread", error))?;
        let features = StreamedFeatures::new(bins, extent, receiver);
        Ok(Self { features: Some(features), thread: Some(thread) })
    }

    fn features(&mut self) -> &mut StreamedFeatures {
        self.features.as_mut().expect("present until it is dropped; anything else is a bug")
    }
}

impl Features for FrontEnd {
    fn content_frames(&self) -> usize {
        self.features.as_ref().map_or(0, Features::content_frames)
    }

    fn window(&mut self, seek: usize, frames: usize, out: &mut Vec<f32>) -> Result<()> {
        self.features().window(seek, frames, out)
    }
}

impl Drop for FrontEnd {
    fn drop(&mut self) {
        self.features = None;
        if let Some(thread) = self.thread.take() {
            // Its panic, had it one, was caught and sent.
            let _ = thread.join();
        }
    }
}

struct Producer<S> {
    source: S,
    input: String,
    bins: usize,
    extent: Extent,
    cancel: CancelToken,
}

impl<S: Samples> Producer<S> {
    fn run(mut self, to: &Sender<Result<Vec<f32>>>) -> Result<()> {
        let mut stream = MelStream::new(self.bins);
        let mut frames = Vec::new();
        while let Some(block) = self.source.next_block()? {
            self.cancel.check()?;
            stream.push(block, &mut frames);
            if !frames.is_empty() && to.send(Ok(std::mem::take(&mut frames))).is_err() {
                return Ok(());
            }
        }
        if stream.finish(&mut frames) < self.extent.samples {
            let why = io::Error::other("it became shorter while it was read");
            return Err(Error::input(self.input, InputFault::Unreadable(why)));
        }
        let _ = to.send(Ok(frames));
        Ok(())
    }
}

fn panicked(panic: &(dyn Any + Send)) -> Error {
    let message = match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => (*text).into(),
        (_, Some(text)) => text.clone(),
        _ => "for an unknown reason".into(),
    };
    Error::Panicked { during: DURING, message }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::cancel::CancelReason;

    const SECOND: usize = 16_000;

    /// Seconds of a tone, then what the test wants to happen.
    struct Tone {
        seconds: usize,
        end: fn() -> Result<()>,
        block: Vec<f32>,
        /// Set when the thread that owns this has let go of it.
        gone: Arc<AtomicBool>,
    }

    impl Tone {
        fn new(seconds: usize, end: fn() -> Result<()>) -> Self {
            let block = (0..SECOND).map(|i| (i as f32 * 0.3).sin() * 0.5).collect();
            Self { seconds, end, block, gone: Arc::default() }
        }

        fn extent(seconds: usize) -> Extent {
            measure(&mut Self::new(seconds, || Ok(())), 80, &CancelToken::new(), |_| ()).unwrap()
        }
    }

    impl Samples for Tone {
        fn next_block(&mut self) -> Result<Option<&[f32]>> {
            if self.seconds == 0 {
                return (self.end)().map(|()| None);
            }
            self.seconds -= 1;
            Ok(Some(&self.block))
        }
    }

    impl Drop for Tone {
        fn drop(&mut self) {
            self.gone.store(true, Ordering::SeqCst);
        }
    }

    fn last_window(source: Tone, measured: usize, cancel: &CancelToken) -> Result<Vec<f32>> {
        let mut front_end = FrontEnd::start(source, "tone.wav", 80, Tone::extent(measured), cancel)?;
        let (content, mut out) = (front_end.content_frames(), Vec::new());
        front_end.window(content - 100, 100, &mut out)?;
        Ok(out)
    }

    #[test]
    fn measuring_tells_how_far_it_is() {
        let mut heard = Vec::new();
        let mut tone = Tone::new(3, || Ok(()));
        let extent = measure(&mut tone, 80, &CancelToken::new(), |samples| heard.push(samples)).unwrap();
        assert_eq!((extent.samples, extent.frames), (48_000, 300));
        assert_eq!(heard, [16_000, 32_000, 48_000]);
    }

    #[test]
    fn the_loudest_value_is_what_the_extent_says() {
        let out = last_window(Tone::new(100, || Ok(())), 100, &CancelToken::new()).unwrap();
        let loudest = out.iter().copied().fold(f32::MIN, f32::max);
        assert!((loudest - (Tone::extent(100).max + 4.0) / 4.0).abs() < 0.01, "{loudest}");
        assert_eq!(out.len(), 80 * 3_000);
    }

    #[test]
    fn what_goes_wrong_on_the_thread_is_told_with_the_window() {
        let none = CancelToken::new();
        let error = last_window(Tone::new(50, || panic!("no good")), 100, &none).unwrap_err();
        assert!(matches!(error, Error::Panicked { message, .. } if message == "no good"));

        let fail = || Err(Error::input("tone.wav", InputFault::Empty));
        let error = last_window(Tone::new(50, fail), 100, &none).unwrap_err();
        assert!(matches!(error, Error::Input { why: InputFault::Empty, .. }));

        let error = last_window(Tone::new(50, || Ok(())), 100, &none).unwrap_err();
        assert!(error.to_string().contains("tone.wav"), "{error}");

        let cancelled = CancelToken::new();
        cancelled.cancel(CancelReason::Interrupt);
        let error = last_window(Tone::new(100, || Ok(())), 100, &cancelled).unwrap_err();
        assert!(matches!(error, Error::Cancelled(CancelReason::Interrupt)));
    }

    #[test]
    fn dropping_it_ends_the_thread_in_the_middle_of_its_work() {
        let tone = Tone::new(100_000, || panic!("it must never get there"));
        let gone = Arc::clone(&tone.gone);
        let extent = Extent { samples: 1_600_000_000, frames: 10_000_000, max: 1.0 };
        let mut front_end = FrontEnd::start(tone, "tone.wav", 80, extent, &CancelToken::new()).unwrap();
        front_end.window(0, 10, &mut Vec::new()).unwrap();
        assert!(!gone.load(Ordering::SeqCst));
        drop(front_end);
        assert!(gone.load(Ordering::SeqCst));
    }
}
