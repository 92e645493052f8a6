//! Selects one part of the inputs, so that several machines can share the work without communicating.

use std::path::Path;
use std::str::FromStr;

use super::{InputSource, PlannedInput};
use crate::error::{Error, Result};

/// Estimated bytes per second of a recording that does not state its length.
const BYTES_PER_SECOND: f64 = 16_000.0;

/// The variable with the number of shards, for job systems that provide only the index.
const COUNT_VARIABLE: &str = "TRANSCRIBE_SHARDS";

/// Shard `index`, counted from 0, of `count`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    index: usize,
    count: usize,
}

/// A value of `--shard`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShardRequest {
    /// From the environment of the job system.
    Auto,
    This(Shard),
}

impl std::fmt::Display for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.index + 1, self.count)
    }
}

impl FromStr for ShardRequest {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("auto") {
            return Ok(ShardRequest::Auto);
        }
        let parts =
            text.split_once('/').and_then(|(k, n)| Some((k.trim().parse().ok()?, n.trim().parse().ok()?)));
        match parts {
            Some((number, count)) => Shard::from_number(number, 1, count)
                .map(ShardRequest::This)
                .ok_or_else(|| out_of_range(number, count)),
            None => Err("must be `auto` or a shard and their number, such as 2/5".into()),
        }
    }
}

fn out_of_range(number: usize, count: usize) -> String {
    format!("there is no shard {number} of {count}; shards are counted from 1")
}

impl ShardRequest {
    /// Returns the shard; `variable` reads the environment.
    pub fn resolve(self, variable: &dyn Fn(&str) -> Option<String>) -> Result<Shard> {
        match self {
            ShardRequest::This(shard) => Ok(shard),
            ShardRequest::Auto => ShardEnvironment { variable }.shard(),
        }
    }
}

struct ShardEnvironment<'a> {
    variable: &'a dyn Fn(&str) -> Option<String>,
}

impl ShardEnvironment<'_> {
    /// Tries the job systems in turn, the most specific first.
    fn shard(&self) -> Result<Shard> {
        let count = self.number(COUNT_VARIABLE)?;
        if let Some(task) = self.number("SLURM_ARRAY_TASK_ID")? {
            return self.array(
                "SLURM_ARRAY_TASK_ID",
                task,
                count,
                [
                    "SLURM_ARRAY_TASK_MIN",
                    "SLURM_ARRAY_TASK_MAX",
                    "SLURM_ARRAY_TASK_STEP",
                    "SLURM_ARRAY_TASK_COUNT",
                ],
            );
        }
        if let Some(task) = self.number("SGE_TASK_ID")? {
            return self.array(
                "SGE_TASK_ID",
                task,
                count,
                ["SGE_TASK_FIRST", "SGE_TASK_LAST", "SGE_TASK_STEPSIZE", ""],
            );
        }
        // The variables of the shard and of the number of shards, and the number of the first shard.
        let systems = [
            ("JOB_COMPLETION_INDEX", COUNT_VARIABLE, 0),
            ("AWS_BATCH_JOB_ARRAY_INDEX", "AWS_BATCH_JOB_ARRAY_SIZE", 0),
            ("CLOUD_RUN_TASK_INDEX", "CLOUD_RUN_TASK_COUNT", 0),
            ("PARALLEL_SEQ", COUNT_VARIABLE, 1),
        ];
        for (variable, total, first) in systems {
            let Some(number) = self.number(variable)? else { continue };
            let known = count.map_or_else(|| self.number(total), |count| Ok(Some(count)))?;
            let Some(count) = known else {
                let why = format!("`{variable}` is set, but not the number of shards");
                return Err(auto(why, &format!("set `{COUNT_VARIABLE}` to the number of shards")));
            };
            return Shard::from_number(number, first, count).ok_or_else(|| {
                auto(format!("`{variable}={number}` is out of range for {count} shards"), &same_count())
            });
        }
        let why = "the environment does not say which shard this is";
        Err(auto(
            why.into(),
            "run it in a Slurm array, an indexed Kubernetes job or GNU parallel, or give the shard: `--shard 2/5`",
        ))
    }

    /// Returns the shard of an array task; arrays need not begin at 1 nor have a step of 1.
    fn array(&self, name: &str, task: usize, count: Option<usize>, names: [&str; 4]) -> Result<Shard> {
        let [first, last, step, total] = names;
        let at_least = |name: &str| Ok(self.number(name)?.unwrap_or(1).max(1));
        let (first, step) = (self.number(first)?.unwrap_or(1), at_least(step)?);
        let last = self.number(last)?.unwrap_or(first);
        let tasks = last.saturating_sub(first) / step + 1;
        let stated = if total.is_empty() { tasks } else { self.number(total)?.unwrap_or(tasks) };
        let is_regular = stated == tasks && task >= first && (task - first).is_multiple_of(step);
        if !is_regular {
            let why = format!("the tasks of this array are not evenly numbered (`{name}={task}`)");
            return Err(auto(why, "number them from 1 without gaps, or give the shard: `--shard 2/5`"));
        }
        // Some tasks of an earlier array run again: only their ids still count.
        let (number, count) = match count {
            Some(count) if count != stated => (task, count),
            _ => ((task - first) / step + 1, stated),
        };
        Shard::from_number(number, 1, count)
            .ok_or_else(|| auto(format!("`{name}={task}` is out of range for {count} shards"), &same_count()))
    }

    fn number(&self, name: &str) -> Result<Option<usize>> {
        match (self.variable)(name).filter(|text| !["", "undefined"].contains(&text.trim())) {
            None => Ok(None),
            Some(text) => {
                let number = text.trim().parse();
                number
                    .map(Some)
                    .map_err(|_| auto(format!("`{name}={text}` is not a number"), "unset or correct it"))
            }
        }
    }
}

fn same_count() -> String {
    format!("set `{COUNT_VARIABLE}` to the number of shards, the same for each of them")
}

fn auto(why: String, hint: &str) -> Error {
    Error::Usage { what: "`--shard auto`".into(), why, hint: Some(hint.into()) }
}

impl Shard {
    /// Returns the shard with this number if the first shard has the number `first`.
    pub fn from_number(number: usize, first: usize, count: usize) -> Option<Self> {
        let index = number.checked_sub(first)?;
        (index < count).then_some(Shard { index, count })
    }

    /// Keeps the inputs of this shard, in their order. Each input goes, longest first, to the shard with the least work,
    /// so that every machine arrives at the same result in whatever order its files are listed.
    pub fn select(self, items: Vec<PlannedInput>) -> Vec<PlannedInput> {
        let mut order: Vec<(f64, String, usize)> =
            items.iter().enumerate().map(|(nth, item)| (weight(item), item.source.name(), nth)).collect();
        order.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)).then(a.2.cmp(&b.2)));
        let mut loads = vec![0.0; self.count];
        let mut is_ours = vec![false; items.len()];
        for (weight, _, nth) in order {
            let least = (0..self.count).min_by(|a, b| f64::total_cmp(&loads[*a], &loads[*b])).unwrap_or(0);
            loads[least] += weight;
            is_ours[nth] = least == self.index;
        }
        items.into_iter().zip(is_ours).filter(|(_, is_ours)| *is_ours).map(|(item, _)| item).collect()
    }
}

/// Returns the cost of an input in seconds; every input costs a little.
fn weight(item: &PlannedInput) -> f64 {
    let bytes = |path: &Path| path.metadata().map_or(0.0, |metadata| metadata.len() as f64);
    let estimate = || match &item.source {
        InputSource::Stdin => 0.0,
        InputSource::File(path) => bytes(path) / BYTES_PER_SECOND,
    };
    item.length.unwrap_or_else(estimate) + 1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(lengths: &[f64]) -> Vec<PlannedInput> {
        let item = |(nth, length): (usize, &f64)| PlannedInput {
            length: Some(*length),
            ..PlannedInput::new(InputSource::File(format!("/nowhere/{nth:03}").into()))
        };
        lengths.iter().enumerate().map(item).collect()
    }

    #[test]
    fn shards_are_disjoint_complete_and_balanced_in_any_order() {
        let lengths: Vec<f64> = (0..101).map(|n| f64::from(n * n % 37) * 60.0).collect();
        let all = items(&lengths);
        let name = |item: &PlannedInput| item.source.name();
        let mut backwards = all.clone();
        backwards.reverse();
        for count in [1, 3, 4, 200] {
            let mut names = Vec::new();
            let mut loads = Vec::new();
            for number in 1..=count {
                let shard = Shard::from_number(number, 1, count).unwrap();
                let part = shard.select(all.clone());
                let mut again: Vec<String> = shard.select(backwards.clone()).iter().map(name).collect();
                again.reverse();
                assert_eq!(part.iter().map(name).collect::<Vec<_>>(), again);
                loads.push(part.iter().filter_map(|item| item.length).sum::<f64>());
                names.extend(again);
            }
            names.sort();
            assert_eq!(names, all.iter().map(name).collect::<Vec<_>>());
            let (most, least) =
                (loads.iter().copied().fold(0.0, f64::max), loads.iter().copied().fold(f64::MAX, f64::min));
            assert!(count > 4 || most - least < 60.0 * 37.0, "{loads:?}");
        }
    }

    fn auto(variables: &[(&str, &str)]) -> Result<String> {
        let get = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| value.to_string());
        ShardRequest::Auto.resolve(&get).map(|shard| shard.to_string())
    }

    #[test]
    fn reads_the_shard_from_the_environment() {
        let slurm = |id: &'static str,
                     min: &'static str,
                     max: &'static str,
                     step: &'static str,
                     count: &'static str| {
            [
                ("SLURM_ARRAY_TASK_ID", id),
                ("SLURM_ARRAY_TASK_MIN", min),
                ("SLURM_ARRAY_TASK_MAX", max),
                ("SLURM_ARRAY_TASK_STEP", step),
                ("SLURM_ARRAY_TASK_COUNT", count),
            ]
        };
        assert_eq!(auto(&slurm("1", "1", "4", "1", "4")).unwrap(), "1/4");
        assert_eq!(auto(&slurm("0", "0", "3", "", "4")).unwrap(), "1/4");
        assert_eq!(auto(&slurm("15", "5", "20", "5", "4")).unwrap(), "3/4");
        assert!(
            auto(&slurm("7", "1", "7", "1", "3")).unwrap_err().to_string().contains("not evenly numbered")
        );
        // One task of four, run again.
        let again = [&slurm("2", "2", "2", "1", "1")[..], &[("TRANSCRIBE_SHARDS", "4")]].concat();
        assert_eq!(auto(&again).unwrap(), "2/4");
        assert_eq!(auto(&[("JOB_COMPLETION_INDEX", "2"), ("TRANSCRIBE_SHARDS", "3")]).unwrap(), "3/3");
        assert_eq!(
            auto(&[("PARALLEL_SEQ", "2"), ("PARALLEL_JOBSLOT", "1"), ("TRANSCRIBE_SHARDS", "3")]).unwrap(),
            "2/3"
        );
        assert_eq!(
            auto(&[("SGE_TASK_ID", "3"), ("SGE_TASK_FIRST", "1"), ("SGE_TASK_LAST", "3")]).unwrap(),
            "3/3"
        );
        assert_eq!(
            auto(&[("AWS_BATCH_JOB_ARRAY_INDEX", "0"), ("AWS_BATCH_JOB_ARRAY_SIZE", "2")]).unwrap(),
            "1/2"
        );
        for (variables, why) in [
            (&[("JOB_COMPLETION_INDEX", "2")][..], "not the number of shards"),
            (&[("PARALLEL_SEQ", "4"), ("TRANSCRIBE_SHARDS", "3")], "is out of range for 3 shards"),
            (&[("JOB_COMPLETION_INDEX", "x")], "is not a number"),
            (&[], "the environment does not say"),
        ] {
            let error = auto(variables).unwrap_err();
            assert!(error.to_string().contains(why), "{error}");
        }
    }

    #[test]
    fn shards_are_counted_from_1() {
        let read = |text: &str| text.parse::<ShardRequest>();
        assert_eq!(read("2/5"), Ok(ShardRequest::This(Shard { index: 1, count: 5 })));
        assert_eq!(read("AUTO"), Ok(ShardRequest::Auto));
        for wrong in ["0/5", "6/5", "1/0", "2", "a/b", "1/2/3", "-1/2", ""] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
