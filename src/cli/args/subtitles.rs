//! Options that decide how subtitles and other files look.

use clap::builder::{BoolishValueParser, FalseyValueParser};
use clap::{Args, value_parser};

use crate::error::{Error, Result};
use crate::export::{CueLimits, ExportOptions, Format, HtmlAudio, JsonStyle, Preset, SpeakerLabels};

const SUBTITLES: &str = "Subtitles";
const OUTPUT: &str = "Output";

/// The largest duration of a cue or gap in seconds.
const MAX_SECONDS: f64 = 3_600.0;

#[derive(Debug, Args)]
pub struct SubtitleArgs {
    #[arg(long, env = "TRANSCRIBE_SUBTITLES", value_name = "PRESET", help = preset_help(),
        help_heading = SUBTITLES)]
    subtitles: Option<Preset>,

    /// Maximum columns per line; wide characters count as two [default: that of the preset, 42 if readable]
    #[arg(long, alias = "max_line_width", env = "TRANSCRIBE_MAX_LINE_WIDTH", value_name = "N",
        value_parser = value_parser!(u16).range(1..), help_heading = SUBTITLES)]
    max_line_width: Option<u16>,

    /// Maximum lines per cue [default: that of the preset, 2 if readable]
    #[arg(long, alias = "max_line_count", env = "TRANSCRIBE_MAX_LINE_COUNT", value_name = "N",
        value_parser = value_parser!(u16).range(1..), help_heading = SUBTITLES)]
    max_line_count: Option<u16>,

    /// Maximum words per line [default: unlimited]
    #[arg(long, alias = "max_words_per_line", env = "TRANSCRIBE_MAX_WORDS_PER_LINE", value_name = "N",
        value_parser = value_parser!(u16).range(1..), help_heading = SUBTITLES)]
    max_words_per_line: Option<u16>,

    /// Highlight the spoken word: underlined in srt and vtt, as karaoke in ass, with its time in lrc
    #[arg(long, env = "TRANSCRIBE_HIGHLIGHT_WORDS",
        value_parser = FalseyValueParser::new(), conflicts_with = "vtt_words", help_heading = SUBTITLES)]
    highlight_words: bool,

    /// The spelling of openai's program, with a value.
    #[arg(long = "highlight_words", value_name = "BOOL", hide = true,
        conflicts_with_all = ["highlight_words", "vtt_words"], value_parser = BoolishValueParser::new())]
    highlight_words_value: Option<bool>,

    /// Write word timestamps into the cues of vtt
    #[arg(long, env = "TRANSCRIBE_VTT_WORDS", value_parser = FalseyValueParser::new(),
        help_heading = SUBTITLES)]
    vtt_words: bool,

    /// Minimum duration of a cue, if the next one leaves the time [default: that of the preset, 0.833 if readable]
    #[arg(long, env = "TRANSCRIBE_MIN_CUE_DURATION", value_name = "SECONDS", help_heading = SUBTITLES)]
    min_cue_duration: Option<f64>,

    /// Maximum duration of a cue [default: that of the preset, 7 if readable]
    #[arg(long, env = "TRANSCRIBE_MAX_CUE_DURATION", value_name = "SECONDS", help_heading = SUBTITLES)]
    max_cue_duration: Option<f64>,

    /// Minimum gap between cues [default: that of the preset, 0.083 if readable]
    #[arg(long, env = "TRANSCRIBE_MIN_CUE_GAP", value_name = "SECONDS", help_heading = SUBTITLES)]
    min_cue_gap: Option<f64>,

    /// Reading speed in columns per second: cues stay long enough for it if the next one leaves the time [default: that
    /// of the preset, 17 if readable]
    #[arg(long, env = "TRANSCRIBE_MAX_READING_SPEED", value_name = "N", help_heading = SUBTITLES)]
    max_reading_speed: Option<f64>,

    /// How long before its first word a cue appears, where there is room [default: that of the preset, 0.1 if readable]
    #[arg(long, env = "TRANSCRIBE_CUE_LEAD_IN", value_name = "SECONDS", help_heading = SUBTITLES)]
    cue_lead_in: Option<f64>,

    /// How long a cue stays after its last word, where there is room [default: that of the preset, 0.5 if readable]
    #[arg(long, env = "TRANSCRIBE_CUE_LAG_OUT", value_name = "SECONDS", help_heading = SUBTITLES)]
    cue_lag_out: Option<f64>,

    /// Names of the speakers in subtitles, if they are known: auto (in srt and lrc where the speaker changes; vtt and ass
    /// have voices and styles for them), always (in the text of every cue) or never
    #[arg(long, env = "TRANSCRIBE_SPEAKER_LABELS", value_name = "WHEN", default_value = "auto",
        help_heading = SUBTITLES)]
    speaker_labels: SpeakerLabels,

    /// Style of json: full (openai's with more keys), openai, whisper-cpp, whisperx or hf
    #[arg(long, env = "TRANSCRIBE_JSON_STYLE", value_name = "STYLE", default_value = "full",
        help_heading = OUTPUT)]
    json_style: JsonStyle,

    /// Audio of html pages: link to the file, embed it (up to 128 MiB) or none
    #[arg(long, env = "TRANSCRIBE_HTML_AUDIO", value_name = "HOW", default_value = "link",
        help_heading = OUTPUT)]
    html_audio: HtmlAudio,
}

fn preset_help() -> String {
    let formats = Format::ALL.into_iter().filter(|format| format.is_subtitles()).map(Format::name);
    let formats = formats.collect::<Vec<_>>().join(", ");
    format!(
        "Layout of cues ({formats}): readable breaks them into short, even lines that stay long enough to be read; netflix, \
         bbc and social do so within limits of their own; openai writes them as openai's program does. Without word \
         timestamps, all but openai estimate them from the text [default: readable with word timestamps, openai without]"
    )
}

impl SubtitleArgs {
    pub fn export_options(&self) -> Result<ExportOptions> {
        Ok(ExportOptions {
            preset: self.subtitles,
            max_line_width: self.max_line_width.map(usize::from),
            max_line_count: self.max_line_count.map(usize::from),
            max_words_per_line: self.max_words_per_line.map(usize::from),
            highlight_words: self.highlight_words_value.unwrap_or(self.highlight_words),
            vtt_words: self.vtt_words,
            limits: self.limits()?,
            json_style: self.json_style,
            html_audio: self.html_audio,
            speaker_labels: self.speaker_labels,
        })
    }

    /// Returns the limits of the preset, except for those that were given.
    fn limits(&self) -> Result<CueLimits> {
        let mut limits = self.subtitles.unwrap_or(Preset::Readable).limits();
        for (option, value, limit) in [
            ("min-cue-duration", self.min_cue_duration, &mut limits.min_duration),
            ("max-cue-duration", self.max_cue_duration, &mut limits.max_duration),
            ("min-cue-gap", self.min_cue_gap, &mut limits.min_gap),
            ("cue-lead-in", self.cue_lead_in, &mut limits.lead_in),
            ("cue-lag-out", self.cue_lag_out, &mut limits.lag_out),
        ] {
            let Some(seconds) = value else { continue };
            if !(0.0..=MAX_SECONDS).contains(&seconds) {
                return Err(rejected(option, seconds, "must lie between 0 and 3600 seconds"));
            }
            *limit = (seconds * 1000.0).round() as i64;
        }
        if limits.max_duration < limits.min_duration.max(100) {
            let why = "must be at least 0.1, and no less than `--min-cue-duration`";
            return Err(rejected("max-cue-duration", limits.max_duration as f64 / 1000.0, why));
        }
        if let Some(speed) = self.max_reading_speed {
            if !(1.0..=1_000.0).contains(&speed) {
                return Err(rejected("max-reading-speed", speed, "must lie between 1 and 1000"));
            }
            limits.max_speed = speed;
        }
        Ok(limits)
    }
}

fn rejected(option: &str, value: f64, why: &str) -> Error {
    Error::usage(format!("`--{option} {value}`"), why.to_owned())
}

/// Returns the options that count with or without word times. Where those that need them have no effect, they are ignored
/// if they `may_lack` them, and otherwise rejected before any work starts.
pub fn for_words(options: ExportOptions, has_words: bool, may_lack: bool) -> Result<ExportOptions> {
    options.for_words(has_words, may_lack).map_err(|option| Error::Usage {
        what: format!("`{option}`"),
        why: "needs `--word-timestamps`".into(),
        hint: Some(
            "add it or `--align-words`, or use `--subtitles readable`, which estimates word times".into(),
        ),
    })
}
