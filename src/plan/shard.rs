//! One part of the inputs, where several machines share the work and know nothing of each other.

use std::path::Path;
use std::str::FromStr;

use super::{InputSource, PlannedInput};
use crate::error::{Error, Result};

/// Bytes of a recording that count for a second where it does not tell its length.
const BYTES_PER_SECOND: f64 = 16_000.0;

/// The variable that says how many parts there are, where the system tells only which one this is.
const COUNT: &str = "TRANSCRIBE_SHARDS";

/// Part `index`, from 0, of `count`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    index: usize,
    count: usize,
}

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShardRequest {
    /// As the system says that has started the program.
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
            Some((number, count)) => {
                Shard::nth(number, 1, count).map(ShardRequest::This).ok_or_else(|| wrong(number, count))
            }
            None => Err("must be `auto`, or which part of how many: 2/5".into()),
        }
    }
}

fn wrong(number: usize, count: usize) -> String {
    format!("there is no part {number} of {count}; parts count from 1")
}

impl ShardRequest {
    /// Which part this is; `variable` tells what the environment says.
    pub fn resolve(self, variable: &dyn Fn(&str) -> Option<String>) -> Result<Shard> {
        match self {
            ShardRequest::This(shard) => Ok(shard),
            ShardRequest::Auto => Environment { variable }.shard(),
        }
    }
}

struct Environment<'a> {
    variable: &'a dyn Fn(&str) -> Option<String>,
}

impl Environment<'_> {
    /// By whichever system is there; the most particular first.
    fn shard(&self) -> Result<Shard> {
        let count = self.number(COUNT)?;
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
        // The variable of the part, of the number of parts, and the first part's number.
        let systems = [
            ("JOB_COMPLETION_INDEX", COUNT, 0),
            ("AWS_BATCH_JOB_ARRAY_INDEX", "AWS_BATCH_JOB_ARRAY_SIZE", 0),
            ("CLOUD_RUN_TASK_INDEX", "CLOUD_RUN_TASK_COUNT", 0),
            ("PARALLEL_SEQ", COUNT, 1),
        ];
        for (variable, total, first) in systems {
            let Some(number) = self.number(variable)? else { continue };
            let known = count.map_or_else(|| self.number(total), |count| Ok(Some(count)))?;
            let Some(count) = known else {
                let why = format!("`{variable}` says which part this is, but nothing says of how many");
                return Err(auto(why, &format!("set `{COUNT}` to the number of parts")));
            };
            return Shard::nth(number, first, count)
                .ok_or_else(|| auto(format!("`{variable}={number}` is no part of {count}"), &same_count()));
        }
        let why = "nothing in the environment says which part this is";
        Err(auto(
            why.into(),
            "Slurm arrays, indexed jobs of Kubernetes and GNU parallel do; or say it: `--shard 2/5`",
        ))
    }

    /// One of an array of tasks that need neither begin at 1 nor follow one another.
    fn array(&self, name: &str, task: usize, count: Option<usize>, names: [&str; 4]) -> Result<Shard> {
        let [first, last, step, total] = names;
        let at_least = |name: &str| Ok(self.number(name)?.unwrap_or(1).max(1));
        let (first, step) = (self.number(first)?.unwrap_or(1), at_least(step)?);
        let last = self.number(last)?.unwrap_or(first);
        let tasks = last.saturating_sub(first) / step + 1;
        let told = if total.is_empty() { tasks } else { self.number(total)?.unwrap_or(tasks) };
        let is_regular = told == tasks && task >= first && (task - first).is_multiple_of(step);
        if !is_regular {
            let why = format!("the tasks of this array are not evenly numbered (`{name}={task}`)");
            return Err(auto(why, "number them from 1 without gaps, or say it: `--shard 2/5`"));
        }
        // Some tasks of an earlier array, done again: only their numbers are still true.
        let (number, count) = match count {
            Some(count) if count != told => (task, count),
            _ => ((task - first) / step + 1, told),
        };
        Shard::nth(number, 1, count)
            .ok_or_else(|| auto(format!("`{name}={task}` is no part of {count}"), &same_count()))
    }

    fn number(&self, name: &str) -> Result<Option<usize>> {
        match (self.variable)(name).filter(|text| !["", "undefined"].contains(&text.trim())) {
            None => Ok(None),
            Some(text) => {
                let number = text.trim().parse();
                number
                    .map(Some)
                    .map_err(|_| auto(format!("`{name}={text}` is no number"), "unset it, or correct it"))
            }
        }
    }
}

fn same_count() -> String {
    format!("`{COUNT}` must be the number of parts, the same for each of them")
}

fn auto(why: String, hint: &str) -> Error {
    Error::Usage { what: "`--shard auto`".into(), why, hint: Some(hint.into()) }
}

impl Shard {
    /// The part of this number, where the first has the number `first`.
    pub fn nth(number: usize, first: usize, count: usize) -> Option<Self> {
        let index = number.checked_sub(first)?;
        (index < count).then_some(Shard { index, count })
    }

    /// Leaves the inputs of this part, in their order. Each goes, longest first, to the part that has least to do, so
    /// that every machine comes to the same result, in whatever order its files are listed.
    pub fn take(self, items: Vec<PlannedInput>) -> Vec<PlannedInput> {
        let mut order: Vec<(f64, String, usize)> =
            items.iter().enumerate().map(|(nth, item)| (weight(item), item.name(), nth)).collect();
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

/// Seconds that it will count for; everything costs a little.
fn weight(item: &PlannedInput) -> f64 {
    let bytes = |path: &Path| path.metadata().map_or(0.0, |metadata| metadata.len() as f64);
    let guess = || match &item.source {
        InputSource::Stdin => 0.0,
        InputSource::File(path) => bytes(path) / BYTES_PER_SECOND,
    };
    item.length.unwrap_or_else(guess) + 1.0
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
    fn parts_are_disjoint_complete_and_balanced_in_any_order() {
        let lengths: Vec<f64> = (0..101).map(|n| f64::from(n * n % 37) * 60.0).collect();
        let all = items(&lengths);
        let mut backwards = all.clone();
        backwards.reverse();
        for count in [1, 3, 4, 200] {
            let mut names = Vec::new();
            let mut loads = Vec::new();
            for number in 1..=count {
                let shard = Shard::nth(number, 1, count).unwrap();
                let part = shard.take(all.clone());
                let mut again: Vec<String> =
                    shard.take(backwards.clone()).iter().map(PlannedInput::name).collect();
                again.reverse();
                assert_eq!(part.iter().map(PlannedInput::name).collect::<Vec<_>>(), again);
                loads.push(part.iter().filter_map(|item| item.length).sum::<f64>());
                names.extend(again);
            }
            names.sort();
            assert_eq!(names, all.iter().map(PlannedInput::name).collect::<Vec<_>>());
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
    fn the_environment_tells_which_part_this_is() {
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
        // One task of four, done again.
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
            (&[("JOB_COMPLETION_INDEX", "2")][..], "of how many"),
            (&[("PARALLEL_SEQ", "4"), ("TRANSCRIBE_SHARDS", "3")], "is no part of 3"),
            (&[("JOB_COMPLETION_INDEX", "x")], "is no number"),
            (&[], "nothing in the environment"),
        ] {
            let error = auto(variables).unwrap_err();
            assert!(error.to_string().contains(why), "{error}");
        }
    }

    #[test]
    fn parts_are_named_from_1_on() {
        let read = |text: &str| text.parse::<ShardRequest>();
        assert_eq!(read("2/5"), Ok(ShardRequest::This(Shard { index: 1, count: 5 })));
        assert_eq!(read("AUTO"), Ok(ShardRequest::Auto));
        for wrong in ["0/5", "6/5", "1/0", "2", "a/b", "1/2/3", "-1/2", ""] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
