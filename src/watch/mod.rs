//! An inbox that is watched: what comes in is transcribed as soon as it is complete, by a model that stays loaded
//! while there is something to do.

mod inbox;
mod moving;
mod seen;
mod snapshot;
mod watcher;

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use self::snapshot::{Doing, ModelStage, Snapshot};

use self::watcher::{Show, Watcher};
use crate::error::{Error, Result};
use crate::plan::{PlanRequest, Template, asked};
use crate::run::{RunContext, RunEvent, RunRequest, Session};

/// How soon a request to stop is heard while nothing is in work.
const NAP: Duration = Duration::from_millis(50);
/// How often idle models are looked after.
const TIDY_EVERY: Duration = Duration::from_millis(500);

/// What is watched, and how.
#[derive(Debug, Clone)]
pub struct WatchOptions {
    pub inbox: PathBuf,
    /// Folders below it, too.
    pub recursive: bool,
    pub include: Vec<String>,
    pub exclude: Vec<String>,
    /// How long a file must stay as it is to count as complete.
    pub settle: Duration,
    /// How often the inbox is looked into.
    pub poll: Duration,
    /// How long after a failure an input is tried again.
    pub retry: Option<Duration>,
    /// Where inputs go that are done, and that failed.
    pub done_dir: Option<PathBuf>,
    pub failed_dir: Option<PathBuf>,
    /// End when all is done that was there at the beginning.
    pub once: bool,
}

/// Watches until somebody asks to stop, which is told as an error, or until all is done that was there if that is
/// wanted. The models are closed at the end.
pub fn watch(
    mut session: Session,
    request: &RunRequest,
    options: &WatchOptions,
    context: RunContext<'_>,
    show: Show<'_>,
) -> Result<(), Vec<Error>> {
    let outcome = check(&request.plan, options).and_then(|()| {
        let watcher = RefCell::new(Watcher::new(&request.plan, options, context.cancel, show)?);
        let sink = |event: RunEvent| hear(&watcher, event, context);
        let watched = RunContext::new(context.cancel, &sink);
        let watch = Watch { session: &mut session, request, options, context: watched, watcher: &watcher };
        let outcome = watch.run();
        watcher.borrow_mut().doing(Doing::Stopping);
        Ok((watcher, outcome.map_err(|error| vec![error])))
    });
    match outcome {
        Err(errors) => {
            session.close(context);
            Err(errors)
        }
        Ok((watcher, outcome)) => {
            session.close(RunContext::new(context.cancel, &|event| hear(&watcher, event, context)));
            watcher.borrow_mut().doing(Doing::Stopped);
            outcome
        }
    }
}

/// That another process does an input is no failure of it.
fn hear(watcher: &RefCell<Watcher<'_>>, event: RunEvent, context: RunContext<'_>) {
    let is_elsewhere = watcher.borrow_mut().hear(&event);
    match event {
        RunEvent::Failed { input, error } if is_elsewhere => {
            context.emit(RunEvent::HeldElsewhere { input, why: error.to_string() });
        }
        event => context.emit(event),
    }
}

/// What would be wrong with every input.
fn check(request: &PlanRequest, options: &WatchOptions) -> Result<(), Vec<Error>> {
    let inbox = &options.inbox;
    let usage = |why: &str, hint: &str| {
        let what = format!("`{}`", inbox.display());
        vec![Error::Usage { what, why: why.into(), hint: Some(hint.into()) }]
    };
    match inbox.metadata() {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => {
            return Err(usage(
                "is no folder",
                "name the folder that recordings come into; `transcribe FILE` does one",
            ));
        }
        Err(error) => {
            let hint = "make the folder, or check the path; one that goes later is waited for";
            return Err(usage(&format!("cannot be watched: {error}"), hint));
        }
    }
    if request.outputs.formats.is_empty() {
        return Err(vec![Error::Usage {
            what: "`watch`".into(),
            why: "without `--export` nothing is written, and nothing tells what is done".into(),
            hint: Some("say which formats, for example `--export srt,txt`".into()),
        }]);
    }
    if request.outputs.template.as_ref().is_some_and(Template::counts) {
        return Err(vec![Error::Usage {
            what: "`--output-template`".into(),
            why: "`{index}` counts the inputs of one run, and a watch has no first one".into(),
            hint: Some("tell outputs apart by `{stem}` or `{name}`".into()),
        }]);
    }
    let example = (inbox.join("recording.wav"), PathBuf::new());
    asked(&[example], request).map(drop).map_err(|error| vec![error])
}

struct Watch<'w, 'a> {
    session: &'w mut Session,
    request: &'w RunRequest,
    options: &'w WatchOptions,
    context: RunContext<'w>,
    watcher: &'w RefCell<Watcher<'a>>,
}

impl Watch<'_, '_> {
    fn run(self) -> Result<()> {
        let Self { session, request, options, context, watcher } = self;
        // Better at once than with the first file. Who only looks once may find none.
        if !options.once {
            watcher.borrow_mut().doing(Doing::Starting);
            session.find_model(request, context)?;
        }
        watcher.borrow_mut().doing(Doing::Waiting);
        let mut tidied = Instant::now();
        loop {
            context.check()?;
            let known = watcher.borrow_mut().more(0);
            let refused = std::mem::take(&mut watcher.borrow_mut().refused);
            for (input, error) in refused {
                context.emit(RunEvent::Failed { input, error: Arc::new(error) });
            }
            if !known.is_empty() {
                watcher.borrow_mut().doing(Doing::Working);
                let mut first = Some(known);
                let mut feed = |leases| first.take().unwrap_or_else(|| watcher.borrow_mut().more(leases));
                let outcome = session.transcribe_feed(request, &mut feed, context);
                settle(outcome, options, watcher, context)?;
                watcher.borrow_mut().doing(Doing::Waiting);
                continue;
            }
            if tidied.elapsed() >= TIDY_EVERY {
                session.close_idle(context);
                tidied = Instant::now();
            }
            if options.once {
                if let Some(problem) = watcher.borrow().inbox_problem() {
                    return Err(Error::usage(format!("`{}`", options.inbox.display()), problem));
                }
                if watcher.borrow().is_drained() {
                    return Ok(());
                }
            }
            let rest = watcher.borrow().rest();
            std::thread::sleep(rest.min(NAP));
        }
    }
}

/// What ends the work on all that is there need not end the watch: the machine may do better later.
fn settle(
    outcome: Result<()>,
    options: &WatchOptions,
    watcher: &RefCell<Watcher<'_>>,
    context: RunContext<'_>,
) -> Result<()> {
    match outcome {
        Err(error) if options.once || matches!(error, Error::Cancelled(_) | Error::Usage { .. }) => {
            Err(error)
        }
        Err(error) => {
            let error = Arc::new(error);
            watcher.borrow_mut().unloaded();
            let in_work = watcher.borrow().in_work();
            for input in in_work {
                context.emit(RunEvent::Failed { input, error: Arc::clone(&error) });
            }
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}
