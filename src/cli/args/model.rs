//! Which model, where it computes, and how much at a time.

use clap::Args;
use clap::builder::FalseyValueParser;

use crate::device::memory::ReleasePolicy;
use crate::device::{DeviceList, Precision};
use crate::models::hub::Hub;
use crate::plan::ModelRequest;

const MODEL: &str = "Model";

/// A number that the program chooses if nobody says it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Auto(pub Option<usize>);

impl std::str::FromStr for Auto {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<usize>() {
            Ok(1..=1024) => Ok(Auto(text.parse().ok())),
            _ if text.eq_ignore_ascii_case("auto") => Ok(Auto(None)),
            _ => Err("must be `auto` or a number from 1 to 1024".into()),
        }
    }
}

/// When memory is given back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Release(pub ReleasePolicy);

impl std::str::FromStr for Release {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "must be `every-chunk`, `never` or a number of chunks".to_owned();
        Ok(Release(match text {
            "every-chunk" => ReleasePolicy::default(),
            "never" => ReleasePolicy::Never,
            number => ReleasePolicy::Every(number.parse().map_err(|_| wrong())?),
        }))
    }
}

#[derive(Debug, Args)]
pub struct ModelArgs {
    /// Which model: a size (tiny, base, small, medium, large-v3, large-v3-turbo, tiny.en …, distil-large-v3 …), a
    /// hub repository (owner/name), a folder with a checkpoint, or demo, which is built in. auto takes
    /// large-v3-turbo on a GPU and base on a CPU
    #[arg(long, short, env = "TRANSCRIBE_MODEL", default_value = "auto", help_heading = MODEL)]
    model: String,

    /// Branch, tag or commit of the model's repository [default: main]
    #[arg(long, env = "TRANSCRIBE_REVISION", help_heading = MODEL)]
    revision: Option<String>,

    /// Use only models that are on this machine
    #[arg(long, env = "TRANSCRIBE_OFFLINE", value_parser = FalseyValueParser::new(), help_heading = MODEL)]
    offline: bool,

    /// Where to compute: auto, cpu, cuda, cuda:N or metal; cuda:all or cuda:0,cuda:1 share the work
    #[arg(long, env = "TRANSCRIBE_DEVICE", default_value = "auto", help_heading = MODEL)]
    pub device: DeviceList,

    /// In which numbers to compute: auto (f16 on a GPU, f32 on the CPU), f32, f16 or bf16
    #[arg(long, alias = "compute_type", env = "TRANSCRIBE_DTYPE", value_name = "NUMBERS", default_value = "auto",
        help_heading = MODEL)]
    pub dtype: Precision,

    /// Threads on the CPU [default: one per core]
    #[arg(long, env = "TRANSCRIBE_THREADS", value_parser = clap::value_parser!(u16).range(1..), help_heading = MODEL)]
    pub threads: Option<u16>,

    /// How many half minutes to understand side by side: auto, or a number. More is faster and needs more memory;
    /// the text is the same
    #[arg(long, alias = "batch_size", env = "TRANSCRIBE_BATCH_SIZE", value_name = "N", default_value = "auto",
        help_heading = MODEL)]
    pub batch_size: Auto,

    /// When to give memory back to the device and the system: every-chunk, a number of chunks, or never
    #[arg(long, env = "TRANSCRIBE_RELEASE", value_name = "WHEN", default_value = "every-chunk", help_heading = MODEL)]
    pub release: Release,

    /// How many inputs to have open at a time: auto (as many as the batch has places), or a number
    #[arg(long, env = "TRANSCRIBE_JOBS", value_name = "N", default_value = "auto", help_heading = MODEL)]
    pub jobs: Auto,
}

impl ModelArgs {
    pub fn request(&self) -> ModelRequest {
        ModelRequest {
            name: self.model.clone(),
            revision: self.revision.clone(),
            hub: Hub::from_env(self.offline),
        }
    }
}
