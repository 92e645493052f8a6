//! Watches an inbox: transcribes recordings as soon as they are complete, with a model that stays loaded while there
//! is work.

mod inbox;
mod moving;
mod open_files;
mod snapshot;
mod status;
mod tracker;
mod watcher;

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use self::snapshot::{ModelStage, WatchSnapshot, WatchState};

use self::status::Publish;
use self::watcher::Watcher;
use crate::error::{Error, Result};
use crate::plan::{DiscoveredFile, PlanRequest, Template, requested_outputs};
use crate::run::{Feed, FeedItem, RunContext, RunEvent, RunRequest, Session};

/// How soon cancellation is noticed while nothing is in flight.
const CANCEL_INTERVAL: Duration = Duration::from_millis(50);
/// How often idle models are checked for their timeout.
const CLOSE_IDLE_INTERVAL: Duration = Duration::from_millis(500);

#[derive(Debug, Clone)]
pub struct WatchOptions {
    pub inbox: PathBuf,
    /// Include folders below the inbox.
    pub recursive: bool,
    pub include: Vec<String>,
    pub exclude: Vec<String>,
    /// How long a file must stay unchanged to count as complete.
    pub settle: Duration,
    /// How often the inbox is listed.
    pub poll: Duration,
    /// How long after a failure an input is retried.
    pub retry: Option<Duration>,
    /// Folders that finished and failed inputs are moved to.
    pub done_dir: Option<PathBuf>,
    pub failed_dir: Option<PathBuf>,
    /// End when everything is done that was there at the beginning.
    pub once: bool,
}

/// Watches until cancelled, which is returned as an error, or with `once` until everything is done that was there at
/// the beginning. Closes the models at the end.
pub fn watch(
    mut session: Session,
    request: &RunRequest,
    options: &WatchOptions,
    context: RunContext<'_>,
    publish: Publish<'_>,
) -> Result<(), Vec<Error>> {
    let outcome = check(&request.plan, options).and_then(|()| {
        let watcher = Watcher::new(&request.plan, options, context.cancel, publish, Instant::now())?;
        let watcher = RefCell::new(watcher);
        let sink = |event: RunEvent| forward(&watcher, event, context);
        let watched = RunContext::new(context.cancel, &sink);
        let mut watch =
            WatchLoop { session: &mut session, request, options, context: watched, watcher: &watcher };
        let outcome = watch.run();
        watcher.borrow_mut().set_state(WatchState::Stopping);
        Ok((watcher, outcome.map_err(|error| vec![error])))
    });
    match outcome {
        Err(errors) => {
            session.close(context);
            Err(errors)
        }
        Ok((watcher, outcome)) => {
            session.close(RunContext::new(context.cancel, &|event| forward(&watcher, event, context)));
            watcher.borrow_mut().set_state(WatchState::Stopped);
            outcome
        }
    }
}

/// Passes an event to the watcher and on. An input that another process has locked has not failed.
fn forward(watcher: &RefCell<Watcher<'_>>, event: RunEvent, context: RunContext<'_>) {
    let is_locked = watcher.borrow_mut().on_event(&event, Instant::now());
    match event {
        RunEvent::Failed { input, error } if is_locked => {
            context.emit(RunEvent::HeldElsewhere { input, why: error.to_string() });
        }
        event => context.emit(event),
    }
}

/// Checks for faults that would fail every input.
fn check(request: &PlanRequest, options: &WatchOptions) -> Result<(), Vec<Error>> {
    let fault = |what: String, why: String, hint: &str| {
        Err(vec![Error::Usage { what, why, hint: Some(hint.into()) }])
    };
    let inbox = &options.inbox;
    let inbox_name = || format!("`{}`", inbox.display());
    match inbox.metadata() {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => {
            let hint = "name the folder that recordings arrive in; `transcribe FILE` transcribes one file";
            return fault(inbox_name(), "not a folder".into(), hint);
        }
        Err(error) => {
            let hint = "create the folder or check the path; a folder that disappears later is waited for";
            return fault(inbox_name(), format!("cannot be watched: {error}"), hint);
        }
    }
    if request.outputs.formats.is_empty() {
        let why = "needs `--export`: without outputs the watch cannot know which inputs are done";
        return fault("`watch`".into(), why.into(), "choose formats, for example `--export srt,txt`");
    }
    if request.outputs.to_stdout {
        let why = "cannot be used with `watch`: without files the watch cannot know which inputs are done";
        return fault("`--output-dir -`".into(), why.into(), "name a folder, or leave it out");
    }
    if request.outputs.template.as_ref().is_some_and(Template::uses_index) {
        let why = "`{index}` numbers the inputs of one run, and a watch has no fixed list of inputs";
        return fault("`--output-template`".into(), why.into(), "use `{stem}` or `{name}` instead");
    }
    let example = DiscoveredFile { path: inbox.join("recording.wav"), subfolder: PathBuf::new() };
    requested_outputs(&example, request).map(drop).map_err(|error| vec![error])
}

struct WatchLoop<'w, 'a> {
    session: &'w mut Session,
    request: &'w RunRequest,
    options: &'w WatchOptions,
    context: RunContext<'w>,
    watcher: &'w RefCell<Watcher<'a>>,
}

impl WatchLoop<'_, '_> {
    fn run(&mut self) -> Result<()> {
        let (options, context, watcher) = (self.options, self.context, self.watcher);
        // A missing model is reported at once rather than with the first file; `once` may need no model.
        if !options.once {
            watcher.borrow_mut().set_state(WatchState::Starting);
            self.session.find_model(&self.request.plan.settings.model, context)?;
        }
        watcher.borrow_mut().set_state(WatchState::Waiting);
        let mut idle_checked = Instant::now();
        loop {
            context.check()?;
            let files = watcher.borrow_mut().next_files(0, Instant::now());
            let rejected = watcher.borrow_mut().take_rejected();
            for (input, error) in rejected {
                context.emit(RunEvent::Failed { input: input.into(), error: Arc::new(error) });
            }
            if !files.is_empty() {
                self.transcribe(files)?;
                continue;
            }
            if idle_checked.elapsed() >= CLOSE_IDLE_INTERVAL {
                self.session.close_idle(context);
                idle_checked = Instant::now();
            }
            let now = Instant::now();
            if options.once {
                if let Some(problem) = watcher.borrow().inbox_problem() {
                    return Err(Error::usage(format!("`{}`", options.inbox.display()), problem));
                }
                if watcher.borrow().is_drained(now) {
                    return Ok(());
                }
            }
            let idle = watcher.borrow().idle_time(now);
            std::thread::sleep(idle.min(CANCEL_INTERVAL));
        }
    }

    /// Transcribes files, and those that become complete meanwhile.
    fn transcribe(&mut self, files: Vec<DiscoveredFile>) -> Result<()> {
        let watcher = self.watcher;
        watcher.borrow_mut().set_state(WatchState::Working);
        let mut first = Some(files);
        let mut next = |leases| {
            let files = first.take();
            let files = files.unwrap_or_else(|| watcher.borrow_mut().next_files(leases, Instant::now()));
            files.into_iter().map(FeedItem::File).collect()
        };
        let outcome = self.session.transcribe_feed(self.request, Feed::polled(&mut next), self.context);
        self.handle_outcome(outcome)?;
        watcher.borrow_mut().set_state(WatchState::Waiting);
        Ok(())
    }

    /// Returns the errors that end the watch. Others fail the active inputs only: the machine may recover.
    fn handle_outcome(&self, outcome: Result<()>) -> Result<()> {
        let Err(error) = outcome else { return Ok(()) };
        if self.options.once || matches!(error, Error::Cancelled(_) | Error::Usage { .. }) {
            return Err(error);
        }
        let error = Arc::new(error);
        self.watcher.borrow_mut().run_aborted();
        let active = self.watcher.borrow().active();
        for input in active {
            self.context.emit(RunEvent::Failed { input: input.into(), error: Arc::clone(&error) });
        }
        Ok(())
    }
}
