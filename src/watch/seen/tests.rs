//! Files that come, change, fail and go, by a clock that is moved by hand.

use super::*;

/// An inbox in which only one file lies, and a clock that is moved by hand.
struct Inbox {
    ledger: Ledger,
    now: Instant,
    bytes: u64,
    is_marked: bool,
}

const NAME: &str = "in/talk.wav";

impl Inbox {
    fn new(change: impl FnOnce(&mut Terms)) -> Self {
        let seconds = Duration::from_secs;
        let mut terms = Terms { settle: seconds(5), retry: None, elsewhere: seconds(2), once: false };
        change(&mut terms);
        Self { ledger: Ledger::new(terms), now: Instant::now(), bytes: 1, is_marked: false }
    }

    fn look(&self) -> Look {
        Look { bytes: self.bytes, modified: None, changed: (0, 0), place: (0, 0) }
    }

    /// So many seconds later it is looked into.
    fn after(&mut self, seconds: u64) -> bool {
        self.now += Duration::from_secs(seconds);
        let (look, is_marked) = (self.look(), self.is_marked);
        let sight = Sight { path: NAME.into(), below: PathBuf::new(), look, is_marked };
        self.ledger.see(vec![sight], self.now);
        self.ledger.settled(self.now) == [Path::new(NAME)]
    }

    fn work(&mut self, end: End) -> Option<Ended> {
        self.ledger.hand_out(Path::new(NAME)).unwrap();
        self.ledger.planned(NAME);
        self.ledger.begun(NAME);
        assert_eq!(self.ledger.census().in_flight, 1);
        assert!(self.ledger.settled(self.now).is_empty());
        self.ledger.ended(NAME, end, self.now)
    }
}

#[test]
fn a_file_is_complete_when_it_stays_as_it_is() {
    let mut inbox = Inbox::new(|_| ());
    assert!(!inbox.after(0) && !inbox.after(4));
    inbox.bytes = 2;
    assert!(!inbox.after(2) && !inbox.after(4));
    assert_eq!(inbox.ledger.next_due(), Some(inbox.now + Duration::from_secs(1)));
    assert!(inbox.after(1));
    inbox.ledger.busy(Path::new(NAME), inbox.now);
    assert!(!inbox.after(4) && inbox.after(1));
    inbox.is_marked = true;
    assert!(!inbox.after(1) && !inbox.after(60));
    inbox.is_marked = false;
    assert!(!inbox.after(1) && inbox.after(5));
    assert!(inbox.work(End::Done).is_some());
    assert!(!inbox.after(1_000));
    inbox.bytes = 3;
    assert!(!inbox.after(0) && inbox.after(5));
}

#[test]
fn what_failed_is_left_alone_until_it_changes() {
    let mut inbox = Inbox::new(|_| ());
    inbox.after(0);
    assert!(inbox.after(5));
    inbox.work(End::Failed);
    assert!(!inbox.after(100_000));
    // Also if it is away for a while, with its share.
    inbox.ledger.see(Vec::new(), inbox.now);
    assert!(!inbox.after(60) && inbox.ledger.census().failed == 1);
    inbox.bytes = 2;
    assert!(!inbox.after(0) && inbox.after(5));
}

#[test]
fn what_failed_is_tried_again_if_that_is_asked_for() {
    let mut inbox = Inbox::new(|terms| terms.retry = Some(Duration::from_secs(60)));
    inbox.after(0);
    inbox.after(5);
    inbox.work(End::Failed);
    assert!(!inbox.after(59) && inbox.after(1));
}

#[test]
fn trouble_is_waited_out_longer_each_time() {
    let mut inbox = Inbox::new(|_| ());
    inbox.after(0);
    inbox.after(5);
    for pause in [5, 10, 20, 40, 80, 160, 300, 300] {
        inbox.work(End::Trouble);
        assert_eq!(inbox.ledger.census().troubled, 1);
        assert!(!inbox.after(pause - 1) && inbox.after(1), "{pause}");
    }
    inbox.work(End::Elsewhere);
    assert!(!inbox.after(1) && inbox.after(1));
    inbox.work(End::Trouble);
    assert!(inbox.after(5));
}

#[test]
fn what_changes_while_it_is_in_work_is_done_again() {
    let mut inbox = Inbox::new(|_| ());
    inbox.after(0);
    inbox.after(5);
    inbox.ledger.hand_out(Path::new(NAME));
    inbox.bytes = 2;
    assert!(!inbox.after(10));
    let ended = inbox.ledger.ended(NAME, End::Done, inbox.now).unwrap();
    assert_ne!(ended.look, inbox.look());
    assert!(!inbox.after(4) && inbox.after(1));
    inbox.ledger.hand_out(Path::new(NAME));
    assert!(inbox.ledger.ended(NAME, End::Gone, inbox.now).is_some());
    assert_eq!(inbox.ledger.census(), Census::default());
    assert!(inbox.ledger.ended(NAME, End::Done, inbox.now).is_none());
}

#[test]
fn once_is_what_was_there_and_complete() {
    let mut inbox = Inbox::new(|terms| terms.once = true);
    assert!(!inbox.ledger.is_drained());
    inbox.after(0);
    assert!(!inbox.ledger.is_drained() && inbox.after(5));
    inbox.work(End::Trouble);
    assert!(inbox.ledger.is_drained() && !inbox.after(1_000));

    let mut growing = Inbox::new(|terms| terms.once = true);
    growing.after(0);
    growing.bytes = 2;
    growing.after(1);
    assert!(growing.ledger.is_drained() && !growing.after(100));
    let (look, path) = (growing.look(), PathBuf::from("in/late.wav"));
    let late = Sight { path, below: PathBuf::new(), look, is_marked: false };
    growing.ledger.see(vec![late], growing.now);
    assert!(growing.ledger.is_drained() && growing.ledger.settled(growing.now + MEMORY).is_empty());
}

#[test]
fn what_nobody_speaks_of_is_not_waited_for() {
    let mut inbox = Inbox::new(|_| ());
    inbox.after(0);
    inbox.after(5);
    inbox.ledger.hand_out(Path::new(NAME));
    inbox.ledger.settle_unspoken();
    assert!(inbox.ledger.in_work().is_empty() && inbox.ledger.census().done == 1);
    assert!(!inbox.after(100));
}
