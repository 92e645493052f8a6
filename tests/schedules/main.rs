//! Runs threads that share a pool of models in many orders: no model is resident twice, every model that was loaded is closed
//! once, nobody waits for ever, and the pool is empty in the end.
//!
//!   schedules [ORDERS]
//!
//! A failure prints the order, which `shuttle::replay` takes.

// Compiled from the program's sources, of which only a part is used here.
#![allow(dead_code)]

#[path = "../../src/cancel.rs"]
mod cancel;
#[path = "../../src/error.rs"]
mod error;
#[path = "../../src/models/pool/mod.rs"]
mod pool;

/// In place of the program's module of this name.
mod sync {
    pub use shuttle::sync::{Condvar, Mutex, MutexGuard};
    pub use shuttle::thread;
}

use std::sync::Arc;
use std::time::{Duration, Instant};

use shuttle::sync::atomic::{AtomicUsize, Ordering};
use shuttle::thread;

use self::error::Error;
use self::pool::{ModelKey, ModelPool, PoolPolicy};

/// Keys that the threads borrow, fewer than threads.
const KEYS: usize = 2;
const ORDERS: usize = 5_000;

/// What is loaded: counts itself.
#[derive(Clone)]
struct Counted {
    resident: Arc<[AtomicUsize; KEYS]>,
    key: usize,
}

/// How many models were loaded and closed.
#[derive(Default)]
struct Tally {
    loaded: AtomicUsize,
    closed: AtomicUsize,
}

type Shared = (Arc<ModelPool<Counted>>, Arc<[AtomicUsize; KEYS]>, Arc<Tally>);

fn key(number: usize) -> ModelKey {
    ModelKey { name: number.to_string(), identity: number.to_string(), device: "cpu".into() }
}

fn pool(policy: PoolPolicy) -> Shared {
    let tally = Arc::new(Tally::default());
    let closing = Arc::clone(&tally);
    let close = move |model: &Counted, _: Instant| {
        assert_eq!(model.resident[model.key].fetch_sub(1, Ordering::SeqCst), 1, "closed twice");
        closing.closed.fetch_add(1, Ordering::SeqCst);
        Ok(())
    };
    let pool = ModelPool::new(policy, close, |error: &Error| panic!("{error:?}"));
    (Arc::new(pool), Arc::new([const { AtomicUsize::new(0) }; KEYS]), tally)
}

/// Borrows a model, uses it and gives it back. `fails` is the outcome of a load.
fn borrow((pool, resident, tally): &Shared, number: usize, fails: bool) {
    let load = || {
        if fails {
            return Err(Error::compute("loading", std::io::Error::other("asked for")));
        }
        let model = Counted { resident: Arc::clone(resident), key: number };
        assert_eq!(resident[number].fetch_add(1, Ordering::SeqCst), 0, "resident twice");
        tally.loaded.fetch_add(1, Ordering::SeqCst);
        Ok((model, 1))
    };
    match pool.borrow(&key(number), load) {
        Ok(lease) => {
            thread::yield_now();
            drop(lease.get());
        }
        Err(Error::BackendClosed { .. } | Error::Compute { .. }) => {}
        Err(error) => panic!("{error:?}"),
    }
}

/// Three threads that borrow, one of which sees loads fail, and one that closes what it can.
fn borrowers_and_a_closer(policy: PoolPolicy, close: fn(&ModelPool<Counted>)) {
    let shared = pool(policy);
    let mut threads = Vec::new();
    for number in 0..3 {
        let shared = shared.clone();
        threads.push(thread::spawn(move || {
            for round in 0..2 {
                borrow(&shared, (number + round) % KEYS, number == 2 && round == 0);
            }
        }));
    }
    let closed = Arc::clone(&shared.0);
    threads.push(thread::spawn(move || close(&closed)));
    for thread in threads {
        thread.join().expect("no panic");
    }
    let (pool, _, tally) = shared;
    assert_eq!(pool.leases(), 0);
    drop(pool);
    assert_eq!(tally.loaded.load(Ordering::SeqCst), tally.closed.load(Ordering::SeqCst), "not closed");
}

fn main() {
    let orders = std::env::args().nth(1).map_or(ORDERS, |orders| orders.parse().expect("a number"));
    let policies = [
        ("warm", PoolPolicy::default()),
        ("eager", PoolPolicy { eager_release: true, ..PoolPolicy::default() }),
        ("one", PoolPolicy { max_models: Some(1), ..PoolPolicy::default() }),
        ("idle", PoolPolicy { idle_timeout: Some(Duration::ZERO), ..PoolPolicy::default() }),
    ];
    let closings: [(&str, fn(&ModelPool<Counted>)); 3] = [
        ("force_close", |pool| pool.force_close()),
        ("close_unused", |pool| pool.close_unused()),
        ("close_idle", |pool| pool.close_idle(Instant::now())),
    ];
    for (name, policy) in policies {
        for (closing, close) in closings {
            shuttle::check_random(move || borrowers_and_a_closer(policy, close), orders);
            shuttle::check_pct(move || borrowers_and_a_closer(policy, close), orders, 3);
            println!("{name:6} {closing:13} {} orders", 2 * orders);
        }
    }
}
