//! Files that arrive, change, fail and go, by a clock that the test moves.

use super::*;

/// An inbox with a single file.
struct TestInbox {
    tracker: InboxTracker,
    now: Instant,
    bytes: u64,
    is_incomplete: bool,
}

const NAME: &str = "in/talk.wav";

impl TestInbox {
    fn new(change: impl FnOnce(&mut TrackerOptions)) -> Self {
        let seconds = Duration::from_secs;
        let mut options =
            TrackerOptions { settle: seconds(5), retry: None, locked_retry: seconds(2), once: false };
        change(&mut options);
        Self { tracker: InboxTracker::new(options), now: Instant::now(), bytes: 1, is_incomplete: false }
    }

    fn state(&self) -> FileState {
        FileState { bytes: self.bytes, modified: None, changed: (0, 0), inode: (0, 0) }
    }

    /// Lists the inbox so many seconds later; returns whether the file is due.
    fn is_due_after(&mut self, seconds: u64) -> bool {
        self.now += Duration::from_secs(seconds);
        let (state, is_incomplete) = (self.state(), self.is_incomplete);
        let file = InboxFile { path: NAME.into(), subfolder: PathBuf::new(), state, is_incomplete };
        self.tracker.update(vec![file], self.now);
        self.tracker.due_files(self.now) == [Path::new(NAME)]
    }

    fn transcribe(&mut self, outcome: InputEnd) -> Option<EndedInput> {
        self.tracker.take(Path::new(NAME)).unwrap();
        self.tracker.mark_planned(NAME);
        self.tracker.mark_started(NAME);
        assert_eq!(self.tracker.counts().in_flight, 1);
        assert!(self.tracker.due_files(self.now).is_empty());
        self.tracker.end(NAME, outcome, self.now)
    }
}

#[test]
fn a_file_is_complete_once_it_stays_unchanged() {
    let mut inbox = TestInbox::new(|_| ());
    assert!(!inbox.is_due_after(0) && !inbox.is_due_after(4));
    inbox.bytes = 2;
    assert!(!inbox.is_due_after(2) && !inbox.is_due_after(4));
    assert_eq!(inbox.tracker.next_due(), Some(inbox.now + Duration::from_secs(1)));
    assert!(inbox.is_due_after(1));
    inbox.tracker.mark_being_written(Path::new(NAME), inbox.now);
    assert!(!inbox.is_due_after(4) && inbox.is_due_after(1));
    inbox.is_incomplete = true;
    assert!(!inbox.is_due_after(1) && !inbox.is_due_after(60));
    inbox.is_incomplete = false;
    assert!(!inbox.is_due_after(1) && inbox.is_due_after(5));
    assert!(inbox.transcribe(InputEnd::Done).is_some());
    assert!(!inbox.is_due_after(1_000));
    inbox.bytes = 3;
    assert!(!inbox.is_due_after(0) && inbox.is_due_after(5));
}

#[test]
fn a_failed_file_is_left_alone_until_it_changes() {
    let mut inbox = TestInbox::new(|_| ());
    inbox.is_due_after(0);
    assert!(inbox.is_due_after(5));
    inbox.transcribe(InputEnd::Failed);
    assert!(!inbox.is_due_after(100_000));
    // Also if it is missing for a while, together with its share.
    inbox.tracker.update(Vec::new(), inbox.now);
    assert!(!inbox.is_due_after(60) && inbox.tracker.counts().failed == 1);
    inbox.bytes = 2;
    assert!(!inbox.is_due_after(0) && inbox.is_due_after(5));
}

#[test]
fn a_failed_file_is_retried_if_that_is_requested() {
    let mut inbox = TestInbox::new(|options| options.retry = Some(Duration::from_secs(60)));
    inbox.is_due_after(0);
    inbox.is_due_after(5);
    inbox.transcribe(InputEnd::Failed);
    assert!(!inbox.is_due_after(59) && inbox.is_due_after(1));
}

#[test]
fn retry_delays_grow_until_something_else_happens() {
    let mut inbox = TestInbox::new(|_| ());
    inbox.is_due_after(0);
    inbox.is_due_after(5);
    for delay in [5, 10, 20, 40, 80, 160, 300, 300] {
        inbox.transcribe(InputEnd::Postponed);
        assert_eq!(inbox.tracker.counts().postponed, 1);
        assert!(!inbox.is_due_after(delay - 1) && inbox.is_due_after(1), "{delay}");
    }
    inbox.transcribe(InputEnd::Locked);
    assert_eq!(inbox.tracker.counts().locked, 1);
    assert!(!inbox.is_due_after(1) && inbox.is_due_after(1));
    inbox.transcribe(InputEnd::Postponed);
    assert!(inbox.is_due_after(5));
}

#[test]
fn a_file_that_changes_while_it_is_transcribed_is_transcribed_again() {
    let mut inbox = TestInbox::new(|_| ());
    inbox.is_due_after(0);
    inbox.is_due_after(5);
    inbox.tracker.take(Path::new(NAME));
    inbox.bytes = 2;
    assert!(!inbox.is_due_after(10));
    let ended = inbox.tracker.end(NAME, InputEnd::Done, inbox.now).unwrap();
    assert_ne!(ended.state, inbox.state());
    assert!(!inbox.is_due_after(4) && inbox.is_due_after(1));
    inbox.tracker.take(Path::new(NAME));
    assert!(inbox.tracker.end(NAME, InputEnd::Gone, inbox.now).is_some());
    assert_eq!(inbox.tracker.counts(), TrackerCounts::default());
    assert!(inbox.tracker.end(NAME, InputEnd::Done, inbox.now).is_none());
}

#[test]
fn once_takes_only_complete_files_of_the_first_listing() {
    let mut inbox = TestInbox::new(|options| options.once = true);
    assert!(!inbox.tracker.is_drained());
    inbox.is_due_after(0);
    assert!(!inbox.tracker.is_drained() && inbox.is_due_after(5));
    inbox.transcribe(InputEnd::Postponed);
    assert!(inbox.tracker.is_drained() && !inbox.is_due_after(1_000));

    let mut growing = TestInbox::new(|options| options.once = true);
    growing.is_due_after(0);
    growing.bytes = 2;
    growing.is_due_after(1);
    assert!(growing.tracker.is_drained() && !growing.is_due_after(100));
    let (state, path) = (growing.state(), PathBuf::from("in/late.wav"));
    let late = InboxFile { path, subfolder: PathBuf::new(), state, is_incomplete: false };
    growing.tracker.update(vec![late], growing.now);
    let much_later = growing.now + FAILURE_MEMORY;
    assert!(growing.tracker.is_drained() && growing.tracker.due_files(much_later).is_empty());
}

#[test]
fn inputs_left_out_of_the_plan_are_not_waited_for() {
    let mut inbox = TestInbox::new(|_| ());
    inbox.is_due_after(0);
    inbox.is_due_after(5);
    inbox.tracker.take(Path::new(NAME));
    inbox.tracker.end_unplanned();
    assert!(inbox.tracker.active().is_empty() && inbox.tracker.counts().done == 1);
    assert!(!inbox.is_due_after(100));
}
