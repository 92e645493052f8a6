//! Options that limit memory and disk space, and how long models stay loaded.

use std::time::Duration;

use bytesize::ByteSize;
use clap::Args;
use clap::builder::FalseyValueParser;
use jiff::SignedDuration;

use crate::models::pool::PoolPolicy;
use crate::run::GuardOptions;

const MEMORY: &str = "Memory";

/// A number of bytes such as `500MB` or `2GiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct SizeArg(u64);

impl std::str::FromStr for SizeArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        // bytesize accepts fractions only with a unit.
        let size = text.parse::<ByteSize>().or_else(|_| format!("{text}B").parse());
        size.map(|size| SizeArg(size.as_u64()))
            .map_err(|_| "must be a size such as `500MB`, `2GiB` or a number of bytes".into())
    }
}

/// A duration such as `90`, in seconds, `5m` or `1h 30m`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DurationArg(pub Duration);

impl std::str::FromStr for DurationArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let duration = match text.parse::<f64>() {
            Ok(seconds) => Duration::try_from_secs_f64(seconds).ok(),
            // jiff requires a digit before the decimal point.
            Err(_) if text.starts_with('.') && text.len() > 1 => return format!("0{text}").parse(),
            Err(_) => text.parse::<SignedDuration>().ok().and_then(|span| span.try_into().ok()),
        };
        duration.map(DurationArg).ok_or_else(|| "must be a duration such as `90`, `90s`, `5m` or `2h`".into())
    }
}

#[derive(Debug, Args)]
pub struct MemoryArgs {
    /// Maximum memory for models on their device, such as 6GB [default: all that is free]
    #[arg(long, env = "TRANSCRIBE_MAX_MEMORY", value_name = "SIZE", help_heading = MEMORY)]
    max_memory: Option<SizeArg>,

    /// Maximum number of loaded models; beyond it the least recently used one is unloaded [default: as many as fit]
    #[arg(long, env = "TRANSCRIBE_MAX_MODELS", value_name = "N", value_parser = clap::value_parser!(u16).range(1..),
        help_heading = MEMORY)]
    max_models: Option<u16>,

    /// Unload a model as soon as no input uses it
    #[arg(long, env = "TRANSCRIBE_EAGER_RELEASE", value_parser = FalseyValueParser::new(), help_heading = MEMORY)]
    eager_release: bool,

    /// Unload a model that has been unused for this long, such as 5m; it is loaded again when needed
    #[arg(long, env = "TRANSCRIBE_IDLE_TIMEOUT", value_name = "TIME", help_heading = MEMORY)]
    idle_timeout: Option<DurationArg>,

    /// Free memory required before an input is started
    #[arg(long, env = "TRANSCRIBE_MIN_FREE_MEMORY", value_name = "SIZE", default_value = "128MiB", help_heading = MEMORY)]
    min_free_memory: SizeArg,

    /// Free GPU memory required before an input is started
    #[arg(long, env = "TRANSCRIBE_MIN_FREE_DEVICE_MEMORY", value_name = "SIZE", default_value = "64MiB",
        help_heading = MEMORY)]
    min_free_device_memory: SizeArg,

    /// Free disk space in the output folder required before an input is started
    #[arg(long, env = "TRANSCRIBE_MIN_FREE_DISK", value_name = "SIZE", default_value = "1MiB", help_heading = MEMORY)]
    min_free_disk: SizeArg,

    /// How long an input waits for memory or disk space before it fails
    #[arg(long, env = "TRANSCRIBE_GUARD_TIMEOUT", value_name = "TIME", default_value = "10m", help_heading = MEMORY)]
    guard_timeout: DurationArg,

    /// Reject inputs larger than this, such as 20GB
    #[arg(long, env = "TRANSCRIBE_MAX_FILE_SIZE", value_name = "SIZE", help_heading = MEMORY)]
    max_file_size: Option<SizeArg>,
}

impl MemoryArgs {
    pub fn policy(&self) -> PoolPolicy {
        PoolPolicy {
            eager_release: self.eager_release,
            max_models: self.max_models.map(usize::from),
            idle_timeout: self.idle_timeout.map(|duration| duration.0),
            ..PoolPolicy::default()
        }
    }

    pub fn max_memory(&self) -> Option<u64> {
        self.max_memory.map(|size| size.0)
    }

    pub fn guard(&self) -> GuardOptions {
        GuardOptions {
            memory: self.min_free_memory.0,
            device_memory: self.min_free_device_memory.0,
            disk: self.min_free_disk.0,
            max_file_size: self.max_file_size.map(|size| size.0),
            timeout: self.guard_timeout.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_sizes() {
        let size = |text: &str| text.parse::<SizeArg>().ok().map(|size| size.0);
        assert_eq!(size("0"), Some(0));
        assert_eq!([size("1.5 GB"), size(".5GB")], [Some(1_500_000_000), Some(500_000_000)]);
        assert_eq!(size("1.5"), Some(1));
        assert_eq!(size("64MiB"), Some(64 << 20));
        assert_eq!(size("1tib"), Some(1 << 40));
        assert_eq!([size("2k"), size("2kb"), size("2KB"), size("2000b")], [Some(2_000); 4]);
        for wrong in ["", "MB", "-1", "1.2.3", "5 apples", "nan"] {
            assert_eq!(size(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn parses_durations() {
        let seconds = |text: &str| text.parse::<DurationArg>().ok().map(|time| time.0.as_secs_f64());
        assert_eq!([seconds("90"), seconds("90s"), seconds("90 s")], [Some(90.0); 3]);
        assert_eq!([seconds("5m"), seconds("5min"), seconds("0.5m")], [Some(300.0), Some(300.0), Some(30.0)]);
        assert_eq!([seconds("1.5h"), seconds("1h 30m")], [Some(5_400.0); 2]);
        assert_eq!(seconds(".5h"), Some(1_800.0));
        assert_eq!([seconds("250ms"), seconds("0.25")], [Some(0.25); 2]);
        for wrong in ["", "m", "-1s", "-1", "nan", "1e99h", "5 weeks"] {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
    }
}
