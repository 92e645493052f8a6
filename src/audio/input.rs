//! The source of a recording: a file, or a stream spooled to a temporary file so that it can be read more than once.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::decode::{MediaBytes, TrackDecoder};
use super::decoder::{DecoderRoute, Otherwise, RecordingDecoder, choose_decoder};
use super::ffmpeg::{FfmpegDecoder, FfmpegInput, find_ffmpeg, foreign_format};
use super::sniff::SNIFF_BYTES;
use super::stream::CancellableStream;
use super::{AudioOptions, AudioReader, DecoderChoice};
use crate::cancel::CancelToken;
use crate::error::{Error, InputProblem, Result, catch_panic};

/// Bytes of a stream that are read by default: a day of CD quality.
const MAX_STREAM: u64 = 16 << 30;

/// A recording that can be opened as often as needed.
#[derive(Debug, Clone)]
pub struct AudioInput {
    name: String,
    source: ByteSource,
    cancel: CancelToken,
}

#[derive(Debug, Clone)]
enum ByteSource {
    File(PathBuf),
    Spool(Arc<File>),
}

impl AudioInput {
    /// Opens a file; a pipe is read to its end first.
    pub fn file(path: impl AsRef<Path>) -> Result<Self> {
        Self::file_cancellable(path, &CancelToken::new())
    }

    /// Like [`AudioInput::file`], but stops waiting for a pipe when the run is cancelled.
    pub fn file_cancellable(path: impl AsRef<Path>, cancel: &CancelToken) -> Result<Self> {
        Self::file_limited(path, cancel, None)
    }

    /// Like [`AudioInput::file_cancellable`], with the most bytes that are read of a pipe; 16 GiB by default.
    pub fn file_limited(path: impl AsRef<Path>, cancel: &CancelToken, limit: Option<u64>) -> Result<Self> {
        let path = path.as_ref();
        let name = path.display().to_string();
        let unreadable = |e| Error::input(&name, InputProblem::Unreadable(e));
        let kind = std::fs::metadata(path).map_err(unreadable)?;
        if kind.is_dir() {
            return Err(Error::input(&name, InputProblem::Directory));
        }
        if !kind.is_file() {
            let stream = CancellableStream::open(path, cancel).map_err(unreadable)?;
            return Ok(Self { cancel: cancel.clone(), ..Self::spooled(name.clone(), stream, limit)? });
        }
        if kind.len() == 0 {
            return Err(Error::input(&name, InputProblem::Empty));
        }
        Ok(Self { name, source: ByteSource::File(path.to_owned()), cancel: cancel.clone() })
    }

    /// Reads standard input to its end, or until the run is cancelled; at most `limit` bytes, 16 GiB by default.
    pub fn stdin(cancel: &CancelToken, limit: Option<u64>) -> Result<Self> {
        let stream = CancellableStream::stdin(cancel);
        let stream = stream.map_err(|e| Error::input("-", InputProblem::Unreadable(e)))?;
        Ok(Self { cancel: cancel.clone(), ..Self::spooled("-".to_owned(), stream, limit)? })
    }

    /// Reads any stream to its end into an unnamed temporary file, still compressed: most containers must be read from both
    /// ends, and some callers read everything twice.
    pub fn reader(name: impl Into<String>, from: impl Read) -> Result<Self> {
        Self::spooled(name.into(), from, None)
    }

    fn spooled(name: String, from: impl Read, limit: Option<u64>) -> Result<Self> {
        let limit = limit.unwrap_or(MAX_STREAM);
        let unreadable = |e| Error::input(&name, InputProblem::Unreadable(e));
        let mut spool = tempfile::tempfile().map_err(unreadable)?;
        match io::copy(&mut from.take(limit.saturating_add(1)), &mut spool).map_err(unreadable)? {
            0 => return Err(Error::input(&name, InputProblem::Empty)),
            read if read > limit => return Err(Error::input(&name, InputProblem::LongStream { limit })),
            _ => {}
        }
        Ok(Self { name, source: ByteSource::Spool(Arc::new(spool)), cancel: CancelToken::new() })
    }

    /// Returns the name for messages: the path as given, `-` for standard input.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Starts reading from the beginning. Readers of one input are independent.
    pub fn open(&self, options: &AudioOptions) -> Result<AudioReader> {
        Ok(AudioReader::inline(self.name.clone(), self.decoder(options)?))
    }

    /// Returns the number of channels, which is known once something is decoded.
    pub fn channels(&self, options: &AudioOptions) -> Result<usize> {
        // No recording has that many, and the decoder says how many there are.
        let beyond = AudioOptions { channel: Some(usize::MAX), ..options.clone() };
        match self.open(&beyond).and_then(|mut reader| reader.next_block().map(drop)) {
            Err(Error::Input { why: InputProblem::NoSuchChannel { available, .. }, .. }) => Ok(available),
            Err(error) => Err(error),
            // Nothing could be decoded.
            Ok(()) => Ok(1),
        }
    }

    /// Like [`AudioInput::open`], but decodes on separate threads ahead of the consumer, on up to `threads` in parallel
    /// where the codec allows it. The samples do not depend on the number of threads.
    pub fn open_prefetching(&self, options: &AudioOptions, threads: usize) -> Result<AudioReader> {
        AudioReader::prefetching(&self.name, self.decoder(options)?.in_parallel(threads))
    }

    /// Returns whether an installed `ffmpeg` is what decodes the file. False for files that cannot be opened.
    pub fn uses_ffmpeg(&self, options: &AudioOptions) -> bool {
        matches!(self.route(options), Ok(DecoderRoute::Ffmpeg(_)))
    }

    /// Opens the container and the codec.
    fn decoder(&self, options: &AudioOptions) -> Result<RecordingDecoder> {
        let opened = match self.route(options) {
            Ok(DecoderRoute::Builtin(decoder)) => Ok(RecordingDecoder::Builtin(decoder)),
            Ok(DecoderRoute::Ffmpeg(otherwise)) => {
                let opened = self.ffmpeg(options);
                // A cancelled run must not go on with another decoder.
                self.cancel.check()?;
                match (opened, otherwise) {
                    (Ok(decoder), _) => Ok(RecordingDecoder::Ffmpeg(Box::new(decoder))),
                    (Err(_), Otherwise::Decode(decoder)) => Ok(RecordingDecoder::Builtin(decoder)),
                    (
                        Err(InputProblem::Undecodable(_) | InputProblem::NoAudioTrack),
                        Otherwise::Report(problem),
                    ) => Err(problem),
                    (Err(problem), _) => Err(problem),
                }
            }
            Err(problem) => Err(problem),
        };
        opened.map_err(|why| Error::input(&self.name, why))
    }

    fn route(&self, options: &AudioOptions) -> Result<DecoderRoute, InputProblem> {
        let extension = match &self.source {
            ByteSource::File(path) => path.extension().and_then(|e| e.to_str()),
            ByteSource::Spool(_) => None,
        };
        let foreign = match options.decoder {
            DecoderChoice::Builtin => None,
            _ => foreign_format(&self.first_bytes().map_err(InputProblem::Unreadable)?),
        };
        let open = || TrackDecoder::open(|| self.source.media(), extension, options);
        choose_decoder(options.decoder, || find_ffmpeg().is_some(), foreign, open)
    }

    fn first_bytes(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.source.media()?.take(SNIFF_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn ffmpeg(&self, options: &AudioOptions) -> Result<FfmpegDecoder, InputProblem> {
        let missing = || InputProblem::NeedsFfmpeg("it was there a moment ago".into());
        let program = find_ffmpeg().ok_or_else(missing)?;
        let input = match &self.source {
            ByteSource::File(path) => FfmpegInput::File(path.clone()),
            ByteSource::Spool(file) => FfmpegInput::Open(file.try_clone().map_err(InputProblem::Unreadable)?),
        };
        FfmpegDecoder::open(&program, input, options, &self.cancel)
    }
}

/// Returns the duration in seconds that a file's headers claim, without decoding it. Returns None for pipes, which can be
/// read only once, and for files that cannot be opened: reading them reports the error.
pub fn probe_duration(path: &Path, options: &AudioOptions) -> Option<f64> {
    if !path.metadata().is_ok_and(|metadata| metadata.is_file()) {
        return None;
    }
    // Starting another program for every file would take long.
    let options = &AudioOptions { decoder: DecoderChoice::Builtin, ..options.clone() };
    let duration =
        catch_panic("probing the audio", || Ok(AudioInput::file(path)?.open(options)?.duration_hint()));
    duration.ok().flatten().filter(|seconds| seconds.is_finite() && *seconds >= 0.0)
}

impl ByteSource {
    /// Opens the bytes from their beginning.
    fn media(&self) -> io::Result<MediaBytes> {
        match self {
            ByteSource::File(path) => {
                let file = File::open(path)?;
                let len = file.metadata()?.len();
                Ok(MediaBytes::new(file, len))
            }
            ByteSource::Spool(file) => {
                let len = file.metadata()?.len();
                Ok(MediaBytes::new(SpoolReader { file: Arc::clone(file), position: 0, len }, len))
            }
        }
    }
}

/// Reads a shared file with a position of its own.
struct SpoolReader {
    file: Arc<File>,
    position: u64,
    len: u64,
}

impl Read for SpoolReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        #[cfg(unix)]
        let read = std::os::unix::fs::FileExt::read_at(&*self.file, buf, self.position)?;
        #[cfg(windows)]
        let read = std::os::windows::fs::FileExt::seek_read(&*self.file, buf, self.position)?;
        self.position += read as u64;
        Ok(read)
    }
}

impl Seek for SpoolReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(n) => Some(n),
            SeekFrom::End(n) => self.len.checked_add_signed(n),
            SeekFrom::Current(n) => self.position.checked_add_signed(n),
        };
        self.position = target.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_duration_without_decoding_and_ignores_errors() {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
        let probe = |path: &str| probe_duration(&fixtures.join(path), &AudioOptions::default());
        assert!((probe("long/short_en.flac").unwrap() - 10.0).abs() < 5.0);
        for path in ["audio/damaged/text.mp3", "audio/damaged/empty.wav", "audio", "nowhere"] {
            assert_eq!(probe(path), None, "{path}");
        }
    }
}
