//! The cache with real threads: what the simulation cannot see, the waiting, the closing threads and the causes.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{scope, yield_now};

use super::*;
use crate::error::ModelProblem;

/// What happened, in order.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn add(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    fn count(&self, what: &str) -> usize {
        self.all().iter().filter(|line| *line == what).count()
    }
}

enum Closing {
    Works,
    Fails,
    Panics,
    /// Tells that it has begun, then waits to be let go.
    Waits(Sender<()>, Mutex<Receiver<()>>),
}

struct Thing {
    name: &'static str,
    log: Log,
    closing: Closing,
}

impl Resource for Thing {
    fn close(&self, _: Instant) -> Result<()> {
        match &self.closing {
            Closing::Works => (),
            Closing::Fails => return Err(Error::compute("unplugging", "stuck")),
            Closing::Panics => panic!("out of order"),
            Closing::Waits(begun, go) => {
                begun.send(()).unwrap();
                go.lock().unwrap().recv().unwrap();
            }
        }
        self.log.add(format!("closed {}", self.name));
        Ok(())
    }

    fn bytes(&self) -> u64 {
        100
    }
}

impl Drop for Thing {
    fn drop(&mut self) {
        let thread = thread::current().name().unwrap_or("?").to_owned();
        self.log.add(format!("dropped {} by {thread}", self.name));
    }
}

type TestCache = Cache<&'static str, Thing>;

fn cache(policy: CachePolicy) -> (TestCache, Log) {
    let log = Log::default();
    let failures = log.clone();
    (Cache::new(policy, move |error| failures.add(chain(error))), log)
}

fn chain(error: &dyn std::error::Error) -> String {
    let cause = error.source().map(|source| format!(": {}", chain(source)));
    format!("{error}{}", cause.unwrap_or_default())
}

fn borrow(cache: &TestCache, log: &Log, name: &'static str) -> Result<Lease<&'static str, Thing>> {
    borrow_as(cache, log, name, Closing::Works)
}

fn borrow_as(
    cache: &TestCache,
    log: &Log,
    name: &'static str,
    closing: Closing,
) -> Result<Lease<&'static str, Thing>> {
    cache.borrow(name, || {
        log.add(format!("loaded {name}"));
        Ok(Thing { name, log: log.clone(), closing })
    })
}

/// A closing that waits, when it has begun, and what lets it go.
fn waiting() -> (Closing, Receiver<()>, Sender<()>) {
    let (begun, has_begun) = channel();
    let (go, may_go) = channel();
    (Closing::Waits(begun, Mutex::new(may_go)), has_begun, go)
}

/// Returns when the shelf's state says so; without it, never.
fn until(cache: &TestCache, says: &str) {
    while !format!("{:?}", cache.0.lock().shelf).contains(says) {
        yield_now();
    }
}

fn short() -> CachePolicy {
    CachePolicy { unload_deadline: Duration::from_millis(50), ..CachePolicy::default() }
}

#[test]
fn borrowers_of_one_key_share_one_load() {
    let (cache, log) = cache(CachePolicy::default());
    scope(|scope| {
        let first = scope.spawn(|| {
            cache.borrow("a", || {
                until(&cache, "leases: 4");
                // Another key is not held up by this load.
                drop(borrow(&cache, &log, "b").unwrap());
                Ok(Thing { name: "a", log: log.clone(), closing: Closing::Works })
            })
        });
        until(&cache, "Loading");
        let others: Vec<_> = (0..3).map(|_| scope.spawn(|| borrow(&cache, &log, "a"))).collect();
        let leases: Vec<_> = others.into_iter().map(|other| other.join().unwrap().unwrap()).collect();
        let first = first.join().unwrap().unwrap();
        assert!(leases.iter().all(|lease| std::ptr::eq(lease.get().unwrap(), first.get().unwrap())));
    });
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.misses, stats.bytes_loaded, stats.resident), (3, 2, 200, 2));
    assert_eq!(log.all(), ["loaded b"]);
}

#[test]
fn a_load_that_fails_tells_all_who_waited_and_the_next_one_can_work() {
    let (cache, log) = cache(CachePolicy::default());
    scope(|scope| {
        let first = scope.spawn(|| {
            cache.borrow("a", || {
                until(&cache, "leases: 2");
                Err(Error::model("a", ModelProblem::Offline))
            })
        });
        until(&cache, "Loading");
        let second = scope.spawn(|| borrow(&cache, &log, "a"));
        for borrower in [first, second] {
            let error = borrower.join().unwrap().unwrap_err();
            assert!(matches!(error.unshared(), Error::Model { why: ModelProblem::Offline, .. }), "{error:?}");
            assert!(error.hint().unwrap().contains("--offline"));
        }
    });
    assert!(log.all().is_empty());
    assert!(borrow(&cache, &log, "a").unwrap().get().is_ok());
}

#[test]
fn a_load_that_panics_is_an_error_and_holds_nobody_up() {
    let (cache, log) = cache(CachePolicy::default());
    let error = cache.borrow("a", || panic!("no {}", "good")).unwrap_err();
    assert!(matches!(error, Error::Panicked { message, .. } if message == "no good"));
    assert!(borrow(&cache, &log, "a").is_ok());
}

#[test]
fn to_unload_what_is_being_loaded_waits_for_the_load() {
    let (cache, log) = cache(CachePolicy::default());
    scope(|scope| {
        let borrower = scope.spawn(|| {
            cache.borrow("a", || {
                until(&cache, "Doomed");
                log.add("loaded a");
                Ok(Thing { name: "a", log: log.clone(), closing: Closing::Works })
            })
        });
        until(&cache, "Loading");
        cache.clear(true);
        log.add("cleared");
        assert!(
            matches!(borrower.join().unwrap().unwrap_err(), Error::BackendClosed { what } if what == "a")
        );
    });
    assert_eq!(log.all(), ["loaded a", "closed a", "dropped a by close", "cleared"]);
    assert!(borrow(&cache, &log, "a").is_ok());
}

#[test]
fn nobody_waits_longer_than_the_deadline_for_a_load_to_end() {
    let (cache, log) = cache(short());
    let borrowed = cache.borrow("a", || {
        cache.clear(true);
        Ok(Thing { name: "a", log: log.clone(), closing: Closing::Works })
    });
    assert!(matches!(borrowed, Err(Error::BackendClosed { .. })));
    assert!(log.all()[0].contains("still being loaded"), "{:?}", log.all());
    assert_eq!(log.all()[1..], ["closed a", "dropped a by close"]);
}

#[test]
fn to_unload_twice_closes_once_and_both_wait() {
    let (cache, log) = cache(CachePolicy::default());
    let (closing, begun, go) = waiting();
    drop(borrow_as(&cache, &log, "a", closing).unwrap());
    let clear = || {
        log.add("clearing");
        cache.clear(true);
        assert_eq!(log.count("closed a"), 1);
    };
    scope(|scope| {
        scope.spawn(clear);
        begun.recv().unwrap();
        scope.spawn(clear);
        while log.count("clearing") < 2 {
            yield_now();
        }
        go.send(()).unwrap();
    });
    assert_eq!((log.count("closed a"), log.count("dropped a by close")), (1, 1));
}

#[test]
fn what_is_being_closed_is_loaded_anew_when_that_is_over() {
    let (cache, log) = cache(CachePolicy::default());
    let (closing, begun, go) = waiting();
    drop(borrow_as(&cache, &log, "a", closing).unwrap());
    scope(|scope| {
        scope.spawn(|| cache.clear(false));
        begun.recv().unwrap();
        let borrower = scope.spawn(|| {
            log.add("asking");
            borrow(&cache, &log, "a").map(drop)
        });
        while log.count("asking") == 0 {
            yield_now();
        }
        go.send(()).unwrap();
        borrower.join().unwrap().unwrap();
    });
    assert_eq!(log.all(), ["loaded a", "asking", "closed a", "dropped a by close", "loaded a"]);
}

#[test]
fn a_lease_of_what_was_closed_by_force_is_a_clear_error() {
    let (cache, log) = cache(CachePolicy::default());
    let lease = borrow(&cache, &log, "a").unwrap();
    cache.clear(false);
    assert!(lease.get().is_ok(), "in use, and nobody forced it");
    cache.clear(true);
    let error = lease.get().err().unwrap();
    assert_eq!(error.to_string(), "`a` is closed");
    let again = borrow(&cache, &log, "a").unwrap();
    assert!(again.get().is_ok() && lease.get().is_err());
    drop(lease);
    assert!(again.get().is_ok());
    drop(cache);
    assert!(matches!(again.get(), Err(Error::BackendClosed { .. })));
    assert_eq!(log.count("closed a"), 2);
}

#[test]
fn failures_while_closing_are_told_with_their_cause_and_hide_nothing() {
    let (cache, log) = cache(CachePolicy::default());
    drop(borrow_as(&cache, &log, "fails", Closing::Fails).unwrap());
    drop(borrow_as(&cache, &log, "panics", Closing::Panics).unwrap());
    drop(borrow(&cache, &log, "works").unwrap());
    cache.clear(false);
    assert_eq!(log.count("`fails` could not be closed: unplugging failed: stuck"), 1, "{:?}", log.all());
    let panic = "`panics` could not be closed: closing a model panicked: out of order";
    assert_eq!((log.count(panic), log.count("closed works")), (1, 1), "{:?}", log.all());
    assert!(["fails", "panics", "works"].iter().all(|n| log.count(&format!("dropped {n} by close")) == 1));
    assert_eq!((cache.stats().close_failures, cache.stats().resident), (2, 0));
    assert!(borrow(&cache, &log, "fails").is_ok());
}

#[test]
fn a_closing_that_hangs_is_given_up_and_joined_later() {
    let (cache, log) = cache(short());
    let (closing, begun, go) = waiting();
    drop(borrow_as(&cache, &log, "a", closing).unwrap());
    cache.clear(false);
    begun.recv().unwrap();
    assert_eq!(log.all()[1], "`a` could not be closed: it did not end within 50ms");
    assert_eq!((cache.stats().close_failures, cache.stats().resident), (1, 0));
    assert!(borrow(&cache, &log, "a").is_ok());
    assert_eq!(cache.0.lock().overdue.len(), 1);
    go.send(()).unwrap();
    while !cache.0.lock().overdue[0].is_finished() {
        yield_now();
    }
    cache.close_idle(Instant::now());
    assert!(cache.0.lock().overdue.is_empty());
    assert_eq!((log.count("closed a"), log.count("dropped a by close")), (1, 1));
    assert_eq!(cache.stats().close_failures, 1);
}

#[test]
fn an_eager_cache_keeps_nothing_and_a_warm_one_all() {
    for eager_release in [true, false] {
        let (cache, log) = cache(CachePolicy { eager_release, ..CachePolicy::default() });
        let (one, two) = (borrow(&cache, &log, "a").unwrap(), borrow(&cache, &log, "a").unwrap());
        drop(one);
        assert!(two.get().is_ok());
        drop(two);
        assert_eq!(cache.stats().resident, usize::from(!eager_release));
        assert_eq!(cache.stats().evictions, 0);
    }
}

#[test]
fn the_one_used_longest_ago_goes_before_another_comes() {
    let (cache, log) = cache(CachePolicy { max_models: Some(2), ..CachePolicy::default() });
    for name in ["a", "b", "a", "c"] {
        drop(borrow(&cache, &log, name).unwrap());
    }
    assert_eq!(log.all(), ["loaded a", "loaded b", "closed b", "dropped b by close", "loaded c"]);
    // With all in use there is one more, until one is not.
    let held = [borrow(&cache, &log, "a").unwrap(), borrow(&cache, &log, "c").unwrap()];
    let third = borrow(&cache, &log, "d").unwrap();
    assert_eq!((cache.stats().resident, cache.stats().exceeded, cache.stats().evictions), (3, 1, 1));
    drop(held);
    assert!(third.get().is_ok());
    assert_eq!((cache.stats().resident, cache.stats().evictions), (2, 2));
}

#[test]
fn the_idle_are_closed_and_come_back() {
    let idle_timeout = Some(Duration::from_secs(60));
    let (cache, log) = cache(CachePolicy { idle_timeout, ..CachePolicy::default() });
    drop(borrow(&cache, &log, "idle").unwrap());
    let used = borrow(&cache, &log, "used").unwrap();
    cache.close_idle(Instant::now());
    assert_eq!(cache.stats().resident, 2);
    cache.close_idle(Instant::now() + Duration::from_secs(61));
    assert!(used.get().is_ok());
    assert_eq!((log.count("closed idle"), cache.stats().resident), (1, 1));
    drop(borrow(&cache, &log, "idle").unwrap());
    assert_eq!(log.count("loaded idle"), 2);
}

#[test]
fn the_invalid_are_used_up_by_those_who_have_them() {
    let (cache, log) = cache(CachePolicy::default());
    let old = borrow(&cache, &log, "gpu 0").unwrap();
    drop(borrow(&cache, &log, "gpu 0 idle").unwrap());
    drop(borrow(&cache, &log, "gpu 1").unwrap());
    cache.invalidate(|key| key.starts_with("gpu 0"));
    assert_eq!((log.count("closed gpu 0 idle"), log.count("closed gpu 0")), (1, 0));
    let new = borrow(&cache, &log, "gpu 0").unwrap();
    assert!(!std::ptr::eq(old.get().unwrap(), new.get().unwrap()));
    drop(old);
    assert_eq!(log.count("closed gpu 0"), 1);
    drop(new);
    assert_eq!((log.count("closed gpu 0"), cache.stats().resident), (1, 2));
}

/// One of these may be open per key, as nobody invalidates while it is leased.
struct Counted(&'static AtomicUsize, &'static AtomicUsize);

impl Resource for Counted {
    fn close(&self, _: Instant) -> Result<()> {
        self.1.fetch_sub(1, Ordering::SeqCst);
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn bytes(&self) -> u64 {
        1
    }
}

#[test]
fn many_threads_at_once() {
    static CLOSED: AtomicUsize = AtomicUsize::new(0);
    static OPEN: [AtomicUsize; 3] = [const { AtomicUsize::new(0) }; 3];
    let policies = [(true, None), (false, Some(1)), (true, Some(2)), (false, None)];
    let mut loads = 0;
    for (eager_release, max_models) in policies {
        let idle_timeout = Some(Duration::ZERO);
        let policy = CachePolicy { eager_release, max_models, idle_timeout, ..CachePolicy::default() };
        let cache = Cache::<usize, Counted>::new(policy, |error| panic!("{error:?}"));
        scope(|scope| {
            for thread in 0..6usize {
                let cache = &cache;
                scope.spawn(move || {
                    for round in 0..300usize {
                        let key = (thread + round * round) % OPEN.len();
                        let lease = cache.borrow(key, || {
                            assert_eq!(OPEN[key].fetch_add(1, Ordering::SeqCst), 0, "two at once");
                            Ok(Counted(&CLOSED, &OPEN[key]))
                        });
                        match lease {
                            Ok(lease) => drop(lease.get()),
                            Err(error) => assert!(matches!(error, Error::BackendClosed { .. }), "{error:?}"),
                        }
                        match round % 32 {
                            7 if thread == 0 => cache.clear(true),
                            9 if thread == 1 => cache.close_idle(Instant::now()),
                            _ => (),
                        }
                    }
                });
            }
        });
        let stats = cache.stats();
        loads += stats.misses as usize;
        drop(cache);
        assert_eq!(CLOSED.load(Ordering::SeqCst), loads);
    }
}
