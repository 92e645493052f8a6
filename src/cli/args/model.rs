//! Options that select the model, its device and how much runs at a time.

use clap::Args;
use clap::builder::FalseyValueParser;

use crate::device::memory::ReleasePolicy;
use crate::device::{DeviceList, Precision};
use crate::models::hub::Hub;
use crate::plan::ModelRequest;

const MODEL: &str = "Model";

/// A count from 1 to 1024, or `auto`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AutoCount(pub Option<usize>);

impl std::str::FromStr for AutoCount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<usize>() {
            Ok(1..=1024) => Ok(AutoCount(text.parse().ok())),
            _ if text.eq_ignore_ascii_case("auto") => Ok(AutoCount(None)),
            _ => Err("must be `auto` or a number from 1 to 1024".into()),
        }
    }
}

/// When memory is returned to the device and the system.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReleaseArg(pub ReleasePolicy);

impl std::str::FromStr for ReleaseArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "must be `every-chunk`, `never` or a number of chunks".to_owned();
        Ok(ReleaseArg(match text {
            "every-chunk" => ReleasePolicy::default(),
            "never" => ReleasePolicy::Never,
            number => ReleasePolicy::Every(number.parse().map_err(|_| wrong())?),
        }))
    }
}

#[derive(Debug, Args)]
pub struct ModelArgs {
    /// Size (tiny, base, small, medium, large-v3, large-v3-turbo, tiny.en …, distil-large-v3 …), hub repository
    /// (owner/name), file or folder of a model (safetensors, PyTorch, CTranslate2, ggml, GGUF), or demo, which is
    /// built in and knows only a few words, for trying out. auto uses large-v3-turbo on a GPU and base on a CPU
    #[arg(long, short, env = "TRANSCRIBE_MODEL", default_value = "auto", help_heading = MODEL)]
    model: String,

    /// Branch, tag or commit of the model's repository [default: main]
    #[arg(long, env = "TRANSCRIBE_REVISION", help_heading = MODEL)]
    revision: Option<String>,

    /// Do not download models
    #[arg(long, env = "TRANSCRIBE_OFFLINE", value_parser = FalseyValueParser::new(), help_heading = MODEL)]
    offline: bool,

    /// Device to compute on: auto, cpu, cuda, cuda:N or metal; cuda:all or cuda:0,cuda:1 share the work
    #[arg(long, env = "TRANSCRIBE_DEVICE", default_value = "auto", help_heading = MODEL)]
    pub device: DeviceList,

    /// Number format: auto (f16 on a GPU, f32 on the CPU), f32, f16, bf16, or int8 on the CPU. The CPU computes in f32 what it
    /// stores in f16 and bf16
    #[arg(long, alias = "compute_type", env = "TRANSCRIBE_DTYPE", value_name = "TYPE", default_value = "auto",
        help_heading = MODEL)]
    pub dtype: Precision,

    /// Number of CPU threads [default: one per core]
    #[arg(long, env = "TRANSCRIBE_THREADS", value_parser = clap::value_parser!(u16).range(1..), help_heading = MODEL)]
    pub threads: Option<u16>,

    /// Number of windows processed at a time: auto or a number. More is faster and needs more memory; the text is the
    /// same
    #[arg(long, alias = "batch_size", env = "TRANSCRIBE_BATCH_SIZE", value_name = "N", default_value = "auto",
        help_heading = MODEL)]
    pub batch_size: AutoCount,

    /// When to return unused memory to the device and the system: every-chunk, after a number of chunks, or never
    #[arg(long, env = "TRANSCRIBE_RELEASE", value_name = "WHEN", default_value = "every-chunk", help_heading = MODEL)]
    pub release: ReleaseArg,

    /// Number of inputs processed at a time: auto (as many as the batch has slots) or a number
    #[arg(long, env = "TRANSCRIBE_JOBS", value_name = "N", default_value = "auto", help_heading = MODEL)]
    pub jobs: AutoCount,
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
