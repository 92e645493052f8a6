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

enum CloseBehavior {
    Works,
    Fails,
    Panics,
    /// Reports that it has begun, then waits for permission to end.
    Waits(Sender<()>, Mutex<Receiver<()>>),
}

struct TestModel {
    name: &'static str,
    log: Log,
    closing: CloseBehavior,
}

impl TestModel {
    fn close(&self) -> Result<()> {
        match &self.closing {
            CloseBehavior::Works => (),
            CloseBehavior::Fails => return Err(Error::compute("releasing memory", "stuck")),
            CloseBehavior::Panics => panic!("out of order"),
            CloseBehavior::Waits(begun, end) => {
                begun.send(()).unwrap();
                end.lock().unwrap().recv().unwrap();
            }
        }
        self.log.add(format!("closed {}", self.name));
        Ok(())
    }
}

impl Drop for TestModel {
    fn drop(&mut self) {
        let thread = thread::current().name().unwrap_or("?").to_owned();
        self.log.add(format!("dropped {} by {thread}", self.name));
    }
}

type TestPool = ModelPool<TestModel>;

fn pool(policy: PoolPolicy) -> (TestPool, Log) {
    let log = Log::default();
    let failures = log.clone();
    (
        ModelPool::new(
            policy,
            |model: &TestModel, _| model.close(),
            move |error| failures.add(error.chain()),
        ),
        log,
    )
}

fn key(name: &str) -> ModelKey {
    ModelKey { name: name.into(), identity: name.into(), device: "cpu".into() }
}

fn borrow(pool: &TestPool, log: &Log, name: &'static str) -> Result<Lease<TestModel>> {
    borrow_with(pool, log, name, CloseBehavior::Works)
}

fn borrow_with(
    pool: &TestPool,
    log: &Log,
    name: &'static str,
    closing: CloseBehavior,
) -> Result<Lease<TestModel>> {
    pool.borrow(&key(name), || {
        log.add(format!("loaded {name}"));
        Ok((TestModel { name, log: log.clone(), closing }, 100))
    })
}

/// Returns a closing that waits, a receiver that reports its begin, and a sender that lets it end.
fn waiting() -> (CloseBehavior, Receiver<()>, Sender<()>) {
    let (begun, has_begun) = channel();
    let (end, may_end) = channel();
    (CloseBehavior::Waits(begun, Mutex::new(may_end)), has_begun, end)
}

/// Waits until the debug form of the pool's state contains a text.
fn until(pool: &TestPool, text: &str) {
    while !format!("{:?}", pool.0.lock().state).contains(text) {
        yield_now();
    }
}

fn short_deadline() -> PoolPolicy {
    PoolPolicy { unload_deadline: Duration::from_millis(50), ..PoolPolicy::default() }
}

#[test]
fn borrowers_of_one_key_share_one_load() {
    let (pool, log) = pool(PoolPolicy::default());
    scope(|scope| {
        let first = scope.spawn(|| {
            pool.borrow(&key("a"), || {
                // Another key is not blocked by this load.
                drop(borrow(&pool, &log, "b").unwrap());
                // The load lasts until the others ask, so that all of them find it in progress.
                while log.count("asking") < 3 {
                    yield_now();
                }
                Ok((TestModel { name: "a", log: log.clone(), closing: CloseBehavior::Works }, 100))
            })
        });
        until(&pool, "Loading");
        let other = || {
            log.add("asking");
            borrow(&pool, &log, "a")
        };
        let others: Vec<_> = (0..3).map(|_| scope.spawn(other)).collect();
        let leases: Vec<_> = others.into_iter().map(|other| other.join().unwrap().unwrap()).collect();
        let first = first.join().unwrap().unwrap();
        assert!(leases.iter().all(|lease| std::ptr::eq(lease.get().unwrap(), first.get().unwrap())));
    });
    let stats = pool.stats();
    assert_eq!((stats.hits, stats.misses, stats.bytes_loaded, stats.resident), (3, 2, 200, 2));
    assert_eq!((log.count("loaded a"), log.count("loaded b")), (0, 1));
}

#[test]
fn a_borrower_that_waited_for_a_failed_load_loads_itself() {
    let (pool, log) = pool(PoolPolicy::default());
    scope(|scope| {
        let first = scope.spawn(|| {
            pool.borrow(&key("a"), || {
                while log.count("asking") == 0 {
                    yield_now();
                }
                Err(Error::model("a", ModelProblem::Offline))
            })
        });
        until(&pool, "Loading");
        let second = scope.spawn(|| {
            log.add("asking");
            borrow(&pool, &log, "a").map(drop)
        });
        let error = first.join().unwrap().unwrap_err();
        assert!(matches!(error, Error::Model { why: ModelProblem::Offline, .. }), "{error:?}");
        second.join().unwrap().unwrap();
    });
    assert_eq!(log.all(), ["asking", "loaded a"]);
    assert_eq!(pool.stats().misses, 2);
}

#[test]
fn a_panic_during_a_load_is_an_error() {
    let (pool, log) = pool(PoolPolicy::default());
    let error = pool.borrow(&key("a"), || panic!("no {}", "good")).unwrap_err();
    assert!(matches!(error, Error::Panicked { message, .. } if message == "no good"));
    assert!(borrow(&pool, &log, "a").is_ok());
}

#[test]
fn a_forced_close_waits_for_loads() {
    let (pool, log) = pool(PoolPolicy::default());
    scope(|scope| {
        let borrower = scope.spawn(|| {
            pool.borrow(&key("a"), || {
                until(&pool, "retired: true");
                log.add("loaded a");
                Ok((TestModel { name: "a", log: log.clone(), closing: CloseBehavior::Works }, 100))
            })
        });
        until(&pool, "Loading");
        pool.force_close();
        log.add("returned");
        let error = borrower.join().unwrap().unwrap_err();
        assert!(matches!(error, Error::BackendClosed { what } if what == "a on cpu"));
    });
    assert_eq!(log.all(), ["loaded a", "closed a", "dropped a by close", "returned"]);
    assert!(borrow(&pool, &log, "a").is_ok());
}

#[test]
fn a_forced_close_waits_for_loads_until_the_deadline() {
    let (pool, log) = pool(short_deadline());
    let borrowed = pool.borrow(&key("a"), || {
        pool.force_close();
        Ok((TestModel { name: "a", log: log.clone(), closing: CloseBehavior::Works }, 100))
    });
    assert!(matches!(borrowed, Err(Error::BackendClosed { .. })));
    assert!(log.all()[0].contains("still being loaded"), "{:?}", log.all());
    assert_eq!(log.all()[1..], ["closed a", "dropped a by close"]);
}

#[test]
fn two_forced_closes_close_once_and_both_wait() {
    let (pool, log) = pool(PoolPolicy::default());
    let (closing, begun, end) = waiting();
    drop(borrow_with(&pool, &log, "a", closing).unwrap());
    let force_close = || {
        log.add("closing");
        pool.force_close();
        assert_eq!(log.count("closed a"), 1);
    };
    scope(|scope| {
        scope.spawn(force_close);
        begun.recv().unwrap();
        scope.spawn(force_close);
        while log.count("closing") < 2 {
            yield_now();
        }
        end.send(()).unwrap();
    });
    assert_eq!((log.count("closed a"), log.count("dropped a by close")), (1, 1));
}

#[test]
fn a_borrower_waits_for_unloading_and_loads_again() {
    let (pool, log) = pool(PoolPolicy::default());
    let (closing, begun, end) = waiting();
    drop(borrow_with(&pool, &log, "a", closing).unwrap());
    scope(|scope| {
        scope.spawn(|| pool.close_unused());
        begun.recv().unwrap();
        let borrower = scope.spawn(|| {
            log.add("asking");
            borrow(&pool, &log, "a").map(drop)
        });
        while log.count("asking") == 0 {
            yield_now();
        }
        end.send(()).unwrap();
        borrower.join().unwrap().unwrap();
    });
    assert_eq!(log.all(), ["loaded a", "asking", "closed a", "dropped a by close", "loaded a"]);
}

#[test]
fn leases_of_force_closed_models_return_errors() {
    let (pool, log) = pool(PoolPolicy::default());
    let lease = borrow(&pool, &log, "a").unwrap();
    pool.close_unused();
    assert!(lease.get().is_ok(), "in use and not force-closed");
    pool.force_close();
    let error = lease.get().err().unwrap();
    assert_eq!(error.to_string(), "`a on cpu` is closed");
    let again = borrow(&pool, &log, "a").unwrap();
    assert!(again.get().is_ok() && lease.get().is_err());
    drop(lease);
    assert!(again.get().is_ok());
    drop(pool);
    assert!(matches!(again.get(), Err(Error::BackendClosed { .. })));
    assert_eq!(log.count("closed a"), 2);
}

#[test]
fn reports_close_failures_with_their_causes() {
    let (pool, log) = pool(PoolPolicy::default());
    drop(borrow_with(&pool, &log, "fails", CloseBehavior::Fails).unwrap());
    drop(borrow_with(&pool, &log, "panics", CloseBehavior::Panics).unwrap());
    drop(borrow(&pool, &log, "works").unwrap());
    pool.close_unused();
    let failure = "`fails on cpu` could not be closed: releasing memory failed: stuck";
    let panic = "`panics on cpu` could not be closed: closing a model panicked: out of order";
    assert_eq!(
        (log.count(failure), log.count(panic), log.count("closed works")),
        (1, 1, 1),
        "{:?}",
        log.all()
    );
    assert!(["fails", "panics", "works"].iter().all(|n| log.count(&format!("dropped {n} by close")) == 1));
    assert_eq!((pool.stats().close_failures, pool.stats().resident), (2, 0));
    assert!(borrow(&pool, &log, "fails").is_ok());
}

#[test]
fn a_hanging_close_times_out_and_is_joined_later() {
    let (pool, log) = pool(short_deadline());
    let (closing, begun, end) = waiting();
    drop(borrow_with(&pool, &log, "a", closing).unwrap());
    pool.close_unused();
    begun.recv().unwrap();
    assert_eq!(log.all()[1], "`a on cpu` could not be closed: it did not close within 50ms");
    assert_eq!((pool.stats().close_failures, pool.stats().resident), (1, 0));
    assert!(borrow(&pool, &log, "a").is_ok());
    assert_eq!(pool.0.lock().closers.len(), 1);
    end.send(()).unwrap();
    while !pool.0.lock().closers.values().all(JoinHandle::is_finished) {
        yield_now();
    }
    pool.close_idle(Instant::now());
    assert!(pool.0.lock().closers.is_empty());
    assert_eq!((log.count("closed a"), log.count("dropped a by close")), (1, 1));
    assert_eq!(pool.stats().close_failures, 1);
}

#[test]
fn eager_release_keeps_no_model_warm() {
    for eager_release in [true, false] {
        let (pool, log) = pool(PoolPolicy { eager_release, ..PoolPolicy::default() });
        let (one, two) = (borrow(&pool, &log, "a").unwrap(), borrow(&pool, &log, "a").unwrap());
        drop(one);
        assert!(two.get().is_ok());
        drop(two);
        assert_eq!(pool.stats().resident, usize::from(!eager_release));
        assert_eq!(pool.stats().evictions, 0);
    }
}

#[test]
fn evicts_the_least_recently_used_model_before_a_load() {
    let (pool, log) = pool(PoolPolicy { max_models: Some(2), ..PoolPolicy::default() });
    for name in ["a", "b", "a", "c"] {
        drop(borrow(&pool, &log, name).unwrap());
    }
    assert_eq!(log.all(), ["loaded a", "loaded b", "closed b", "dropped b by close", "loaded c"]);
    // With all in use the limit is exceeded until a lease ends.
    let held = [borrow(&pool, &log, "a").unwrap(), borrow(&pool, &log, "c").unwrap()];
    let third = borrow(&pool, &log, "d").unwrap();
    assert_eq!((pool.stats().resident, pool.stats().exceeded, pool.stats().evictions), (3, 1, 1));
    drop(held);
    assert!(third.get().is_ok());
    assert_eq!((pool.stats().resident, pool.stats().evictions), (2, 2));
}

#[test]
fn closes_idle_models_and_loads_them_again() {
    let idle_timeout = Some(Duration::from_secs(60));
    let (pool, log) = pool(PoolPolicy { idle_timeout, ..PoolPolicy::default() });
    drop(borrow(&pool, &log, "idle").unwrap());
    let used = borrow(&pool, &log, "used").unwrap();
    pool.close_idle(Instant::now());
    assert_eq!(pool.stats().resident, 2);
    pool.close_idle(Instant::now() + Duration::from_secs(61));
    assert!(used.get().is_ok());
    assert_eq!((log.count("closed idle"), pool.stats().resident), (1, 1));
    drop(borrow(&pool, &log, "idle").unwrap());
    assert_eq!(log.count("loaded idle"), 2);
}

#[test]
fn a_retired_model_is_closed_with_its_last_lease() {
    let (pool, log) = pool(PoolPolicy::default());
    let (one, other) = (borrow(&pool, &log, "a").unwrap(), borrow(&pool, &log, "a").unwrap());
    one.retire();
    assert!(other.get().is_ok());
    let new = borrow(&pool, &log, "a").unwrap();
    assert!(!std::ptr::eq(other.get().unwrap(), new.get().unwrap()));
    drop(other);
    assert_eq!(log.count("closed a"), 1);
    drop(new);
    assert_eq!((log.count("closed a"), pool.stats().resident), (1, 1));
}

#[test]
fn many_threads_never_load_a_key_twice_at_a_time() {
    static CLOSED: AtomicUsize = AtomicUsize::new(0);
    static OPEN: [AtomicUsize; 3] = [const { AtomicUsize::new(0) }; 3];
    let policies = [(true, None), (false, Some(1)), (true, Some(2)), (false, None)];
    let mut loads = 0;
    for (eager_release, max_models) in policies {
        let idle_timeout = Some(Duration::ZERO);
        let policy = PoolPolicy { eager_release, max_models, idle_timeout, ..PoolPolicy::default() };
        let close = |open: &&AtomicUsize, _| {
            open.fetch_sub(1, Ordering::SeqCst);
            CLOSED.fetch_add(1, Ordering::SeqCst);
            Ok(())
        };
        let pool = ModelPool::<&AtomicUsize>::new(policy, close, |error| panic!("{error:?}"));
        scope(|scope| {
            for thread in 0..6usize {
                let pool = &pool;
                scope.spawn(move || {
                    for round in 0..300usize {
                        let number = (thread + round * round) % OPEN.len();
                        let lease = pool.borrow(&key(&number.to_string()), || {
                            assert_eq!(OPEN[number].fetch_add(1, Ordering::SeqCst), 0, "two at once");
                            Ok((&OPEN[number], 1))
                        });
                        match lease {
                            Ok(lease) => drop(lease.get()),
                            Err(error) => assert!(matches!(error, Error::BackendClosed { .. }), "{error:?}"),
                        }
                        match round % 32 {
                            7 if thread == 0 => pool.force_close(),
                            9 if thread == 1 => pool.close_idle(Instant::now()),
                            _ => (),
                        }
                    }
                });
            }
        });
        let stats = pool.stats();
        loads += stats.misses as usize;
        drop(pool);
        assert_eq!(CLOSED.load(Ordering::SeqCst), loads);
    }
}
