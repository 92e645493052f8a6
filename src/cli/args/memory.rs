//! How much memory and disk may be used, and how long loaded models stay.

use std::time::Duration;

use clap::Args;
use clap::builder::FalseyValueParser;

use crate::models::cache::CachePolicy;
use crate::run::GuardOptions;

const MEMORY: &str = "Memory";

/// A number of bytes, as people write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bytes(u64);

impl std::str::FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "must be a size such as `500MB`, `2GiB` or a number of bytes".to_owned();
        let text = text.trim();
        let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let number: f64 = number.parse().map_err(|_| wrong())?;
        let unit: u64 = match unit.trim().to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "k" | "kb" => 1_000,
            "m" | "mb" => 1_000_000,
            "g" | "gb" => 1_000_000_000,
            "t" | "tb" => 1_000_000_000_000,
            "kib" => 1 << 10,
            "mib" => 1 << 20,
            "gib" => 1 << 30,
            "tib" => 1 << 40,
            _ => return Err(wrong()),
        };
        Ok(Bytes((number * unit as f64) as u64))
    }
}

/// A time, as people write it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Time(pub Duration);

impl std::str::FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "must be a time such as `90`, `90s`, `5m` or `2h`".to_owned();
        let text = text.trim();
        let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let number: f64 = number.parse().map_err(|_| wrong())?;
        let unit = match unit.trim() {
            "" | "s" => 1.0,
            "ms" => 1e-3,
            "m" | "min" => 60.0,
            "h" => 3600.0,
            _ => return Err(wrong()),
        };
        Duration::try_from_secs_f64(number * unit).map(Time).map_err(|_| wrong())
    }
}

#[derive(Debug, Args)]
pub struct MemoryArgs {
    /// What models may take at most where they compute, such as 6GB [default: what is free]
    #[arg(long, env = "TRANSCRIBE_MAX_MEMORY", value_name = "SIZE", help_heading = MEMORY)]
    max_memory: Option<Bytes>,

    /// So many models are loaded at a time; with more in a manifest the one used longest ago goes
    /// [default: as many as there is room for]
    #[arg(long, env = "TRANSCRIBE_MAX_MODELS", value_name = "N", value_parser = clap::value_parser!(u16).range(1..),
        help_heading = MEMORY)]
    max_models: Option<u16>,

    /// Close a model as soon as no input needs it, rather than keep it for the next
    #[arg(long, env = "TRANSCRIBE_EAGER_RELEASE", value_parser = FalseyValueParser::new(), help_heading = MEMORY)]
    eager_release: bool,

    /// Close a model that was not needed for so long, such as 5m; it comes back when it is
    #[arg(long, env = "TRANSCRIBE_IDLE_TIMEOUT", value_name = "TIME", help_heading = MEMORY)]
    idle_timeout: Option<Time>,

    /// Before an input is started, so much memory must be free
    #[arg(long, env = "TRANSCRIBE_MIN_FREE_MEMORY", value_name = "SIZE", default_value = "128MiB", help_heading = MEMORY)]
    min_free_memory: Bytes,

    /// The same of the GPU's memory
    #[arg(long, env = "TRANSCRIBE_MIN_FREE_DEVICE_MEMORY", value_name = "SIZE", default_value = "64MiB",
        help_heading = MEMORY)]
    min_free_device_memory: Bytes,

    /// The same of the disk where outputs go
    #[arg(long, env = "TRANSCRIBE_MIN_FREE_DISK", value_name = "SIZE", default_value = "1MiB", help_heading = MEMORY)]
    min_free_disk: Bytes,

    /// How long an input waits for memory or disk before it is given up
    #[arg(long, env = "TRANSCRIBE_GUARD_TIMEOUT", value_name = "TIME", default_value = "10m", help_heading = MEMORY)]
    guard_timeout: Time,

    /// Give up inputs that are larger, such as 20GB
    #[arg(long, env = "TRANSCRIBE_MAX_FILE_SIZE", value_name = "SIZE", help_heading = MEMORY)]
    max_file_size: Option<Bytes>,
}

impl MemoryArgs {
    pub fn policy(&self) -> CachePolicy {
        CachePolicy {
            eager_release: self.eager_release,
            max_models: self.max_models.map(usize::from),
            idle_timeout: self.idle_timeout.map(|time| time.0),
            ..CachePolicy::default()
        }
    }

    pub fn most(&self) -> Option<u64> {
        self.max_memory.map(|bytes| bytes.0)
    }

    pub fn guard(&self) -> GuardOptions {
        GuardOptions {
            memory: self.min_free_memory.0,
            device_memory: self.min_free_device_memory.0,
            disk: self.min_free_disk.0,
            max_file_size: self.max_file_size.map(|bytes| bytes.0),
            timeout: self.guard_timeout.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_read_as_people_write_them() {
        let bytes = |text: &str| text.parse::<Bytes>().ok().map(|bytes| bytes.0);
        assert_eq!(bytes("0"), Some(0));
        assert_eq!(bytes("1.5 GB"), Some(1_500_000_000));
        assert_eq!(bytes("64MiB"), Some(64 << 20));
        assert_eq!(bytes("2k"), Some(2_000));
        for wrong in ["", "MB", "-1", "1.2.3", "5 apples", "nan"] {
            assert_eq!(bytes(wrong), None, "{wrong}");
        }
        let time = |text: &str| text.parse::<Time>().ok().map(|time| time.0.as_secs_f64());
        assert_eq!(time("90"), Some(90.0));
        assert_eq!(time("1.5h"), Some(5_400.0));
        assert_eq!(time("250ms"), Some(0.25));
        for wrong in ["", "m", "-1s", "1e99h", "5 weeks"] {
            assert_eq!(time(wrong), None, "{wrong}");
        }
    }
}
