//! The shelf under every order of events that proptest finds: borrowers, closers and an owner, one step of one of
//! them at a time, each step what the cache does under its lock.
//!
//! A waiter sleeps until a load or a closing ends, as it does in the cache: a wake-up that the cache would miss
//! shows as a run in which nobody can go on.

mod promises;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::shelf::{Id, Shelf, Step, Sweep};
use super::{CachePolicy, CacheStats};
use crate::error::Error;

type Key = u8;

const BORROWERS: usize = 5;
const KEYS: u8 = 4;

#[derive(Debug, Clone)]
enum Doing {
    Nothing,
    Asking {
        key: Key,
        joined: Option<Id>,
    },
    Loading {
        key: Key,
        id: Id,
    },
    Holding {
        id: Id,
    },
    /// Waits for closings of its own and of others, then goes on.
    Waiting {
        started: Vec<Id>,
        awaited: Vec<Id>,
        promised: Vec<Id>,
        then: Box<Doing>,
    },
}

/// What somebody ordered closed.
struct Order {
    sweep: Sweep,
    /// What must be gone when it returns in time, by the promises and not by the shelf.
    promised: Vec<Id>,
    forced: bool,
}

impl Order {
    fn one(id: Id, forced: bool) -> Self {
        Order { sweep: Sweep { close: vec![id], await_end: vec![id] }, promised: vec![id], forced }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Loading,
    Live,
    Closing,
    Gone,
}

/// What truly is, whatever the shelf believes.
#[derive(Debug)]
struct Resource {
    key: Key,
    phase: Phase,
    opened: bool,
    closings: usize,
    stale: bool,
    forced: bool,
    /// Invalidated while it was leased, so that another of its key may live beside it.
    outdated: bool,
    released: Option<Instant>,
}

#[derive(Debug)]
struct World {
    shelf: Shelf<Key>,
    policy: CachePolicy,
    actors: Vec<(Doing, /* asleep */ bool)>,
    resources: BTreeMap<Id, Resource>,
    closers: Vec<Id>,
    now: Instant,
    expected: CacheStats,
    granted: u64,
    /// Loads that did not lead to a lease.
    vain: u64,
}

fn why() -> Arc<Error> {
    Arc::new(Error::BackendClosed { what: "simulated".into() })
}

impl World {
    fn new(policy: CachePolicy) -> Self {
        World {
            shelf: Shelf::new(policy),
            policy,
            actors: vec![(Doing::Nothing, false); BORROWERS + 1],
            resources: BTreeMap::new(),
            closers: Vec::new(),
            now: Instant::now(),
            expected: CacheStats::default(),
            granted: 0,
            vain: 0,
        }
    }

    fn wake(&mut self) {
        self.actors.iter_mut().for_each(|(_, asleep)| *asleep = false);
    }

    /// One step of one of those who can take one; `pick` chooses who, `choice` how it goes. False if nobody can.
    fn step(&mut self, pick: usize, choice: u8, draining: bool) -> bool {
        let mut able: Vec<usize> = (0..self.actors.len())
            .filter(|&actor| match &self.actors[actor] {
                (_, true) => false,
                (Doing::Nothing, _) => !draining,
                _ => true,
            })
            .collect();
        able.extend((0..self.closers.len()).map(|closer| BORROWERS + 1 + closer));
        let sleepers: Vec<usize> = (0..self.actors.len())
            .filter(|&actor| matches!(&self.actors[actor], (Doing::Waiting { .. }, true)))
            .collect();
        // A deadline passes now and then, and when nothing else can happen.
        let hung = draining && choice.is_multiple_of(3);
        if !sleepers.is_empty() && (able.is_empty() || choice % 16 == 7 || hung) {
            self.expire(sleepers[pick % sleepers.len()]);
        } else if able.is_empty() {
            return false;
        } else {
            match able[pick % able.len()] {
                actor @ 0..BORROWERS => self.borrower(actor, choice),
                BORROWERS => self.owner(choice),
                closer => self.end_closing(closer - BORROWERS - 1, choice),
            }
        }
        self.check();
        true
    }

    fn borrower(&mut self, actor: usize, choice: u8) {
        let doing = std::mem::replace(&mut self.actors[actor].0, Doing::Nothing);
        self.actors[actor].0 = match doing {
            Doing::Nothing => Doing::Asking { key: choice % KEYS, joined: None },
            Doing::Asking { key, mut joined } => match self.shelf.borrow(&key, &mut joined, self.now) {
                Step::Wait => {
                    self.actors[actor].1 = true;
                    Doing::Asking { key, joined }
                }
                Step::Close(id) => {
                    assert!(self.is_crowded(), "closed {id} with room to spare");
                    let oldest = self.idle().into_iter().map(|id| self.idle_since(id)).min();
                    assert_eq!(Some(self.idle_since(id)), oldest, "not the one used longest ago");
                    self.expected.evictions += 1;
                    let then = Doing::Asking { key, joined };
                    self.start(Order::one(id, false), then)
                }
                Step::Load(id) => {
                    self.expected.misses += 1;
                    if self.is_crowded() {
                        let closing = self.count(|resource| resource.phase == Phase::Closing);
                        assert!(self.idle().is_empty() && closing == 0, "there was room to be made");
                        self.expected.exceeded += 1;
                    }
                    let (phase, opened, closings) = (Phase::Loading, false, 0);
                    let resource = Resource {
                        key,
                        phase,
                        opened,
                        closings,
                        stale: false,
                        forced: false,
                        outdated: false,
                        released: None,
                    };
                    assert!(self.resources.insert(id, resource).is_none(), "{id} given twice");
                    Doing::Loading { key, id }
                }
                Step::Lease(id) => {
                    self.expected.hits += 1;
                    self.grant(id, key)
                }
                Step::Failed(_) | Step::Void(_) => Doing::Nothing,
            },
            Doing::Loading { key, id } => self.end_loading(id, key, choice),
            Doing::Holding { id } => match self.release(id) {
                None => Doing::Nothing,
                Some(closed) => {
                    assert_eq!(closed, id, "releasing one closes that one");
                    let stale = self.resources[&id].stale;
                    self.expected.evictions += u64::from(!self.policy.eager_release && !stale);
                    self.start(Order::one(id, false), Doing::Nothing)
                }
            },
            waiting @ Doing::Waiting { .. } => self.go_on(actor, waiting),
        };
    }

    fn release(&mut self, id: Id) -> Option<Id> {
        self.resources.get_mut(&id).unwrap().released = Some(self.now);
        self.shelf.release(id, self.now)
    }

    fn idle_since(&self, id: Id) -> Instant {
        self.resources[&id].released.expect("leased once")
    }

    fn owner(&mut self, choice: u8) {
        let doing = std::mem::replace(&mut self.actors[BORROWERS].0, Doing::Nothing);
        self.actors[BORROWERS].0 = match doing {
            Doing::Nothing => {
                let key = choice / 8 % KEYS;
                let order = match choice % 8 {
                    0 | 1 => self.invalidate(|k| *k == key, false),
                    2 => self.invalidate(|_| true, false),
                    3 => self.invalidate(|_| true, true),
                    4 | 5 => self.sweep_idle(),
                    _ => {
                        self.now += Duration::from_secs(1);
                        return;
                    }
                };
                self.start(order, Doing::Nothing)
            }
            waiting => self.go_on(BORROWERS, waiting),
        };
    }

    fn invalidate(&mut self, matches: impl Fn(&Key) -> bool, forced: bool) -> Order {
        let leased: Vec<Id> = self.resources.keys().copied().filter(|&id| self.leases(id) > 0).collect();
        let mut promised = Vec::new();
        for (&id, resource) in self.resources.iter_mut().filter(|(_, resource)| matches(&resource.key)) {
            let busy = match resource.phase {
                Phase::Loading => true,
                Phase::Live => leased.contains(&id),
                Phase::Closing | Phase::Gone => false,
            };
            resource.outdated |= busy && !forced;
            resource.stale = true;
            resource.forced |= forced;
            if resource.phase != Phase::Gone && (forced || !busy) {
                promised.push(id);
            }
        }
        Order { sweep: self.shelf.sweep(matches, forced), promised, forced }
    }

    fn sweep_idle(&mut self) -> Order {
        let due: Vec<Id> = match self.policy.idle_timeout {
            None => Vec::new(),
            Some(limit) => {
                self.idle().into_iter().filter(|&id| self.now - self.idle_since(id) > limit).collect()
            }
        };
        let sweep = self.shelf.sweep_idle(self.now);
        assert_eq!((&sweep.close, &sweep.await_end), (&due, &due));
        Order { sweep, promised: due, forced: false }
    }

    fn grant(&mut self, id: Id, key: Key) -> Doing {
        self.granted += 1;
        let resource = &self.resources[&id];
        assert_eq!((resource.phase, resource.key), (Phase::Live, key), "{id} was lent as it is not");
        assert!(self.shelf.is_ready(id) && !resource.forced, "{id} was lent after it was closed by force");
        Doing::Holding { id }
    }

    fn end_loading(&mut self, id: Id, key: Key, choice: u8) -> Doing {
        let resource = self.resources.get_mut(&id).unwrap();
        let works = !choice.is_multiple_of(4);
        let outcome = if works { Ok((u64::from(key) + 1, 0.5)) } else { Err(why()) };
        (resource.phase, resource.opened) = if works { (Phase::Live, true) } else { (Phase::Gone, false) };
        if works {
            self.expected.bytes_loaded += u64::from(key) + 1;
            self.expected.load_seconds += 0.5;
        }
        let step = self.shelf.loaded(id, outcome);
        self.wake();
        match step {
            Step::Lease(leased) => {
                assert_eq!((leased, works), (id, true));
                self.grant(id, key)
            }
            Step::Failed(_) => {
                assert!(!works);
                self.vain += 1;
                Doing::Nothing
            }
            Step::Void(Some(void)) => {
                assert!(void == id && works && self.resources[&id].forced);
                self.vain += 1;
                self.start(Order::one(id, true), Doing::Nothing)
            }
            other => panic!("{other:?} after a load"),
        }
    }

    /// Threads begin to close; whoever ordered it waits.
    fn start(&mut self, Order { sweep, promised, forced }: Order, then: Doing) -> Doing {
        for &id in &sweep.close {
            let leased = self
                .actors
                .iter()
                .any(|(doing, _)| matches!(doing, Doing::Holding { id: held } if *held == id));
            assert!(!leased || forced, "{id} is closed while it is leased");
            assert!(!self.shelf.is_ready(id), "{id} can be used while it is closed");
            let resource = self.resources.get_mut(&id).unwrap();
            assert_eq!(resource.phase, Phase::Live, "{id} is closed as it is not open");
            resource.phase = Phase::Closing;
            resource.closings += 1;
            self.closers.push(id);
        }
        Doing::Waiting { started: sweep.close, awaited: sweep.await_end, promised, then: Box::new(then) }
    }

    fn go_on(&mut self, actor: usize, waiting: Doing) -> Doing {
        match waiting {
            Doing::Waiting { awaited, promised, then, .. }
                if awaited.iter().all(|&id| self.shelf.is_over(id)) =>
            {
                let gone = |id: &Id| self.resources[id].phase == Phase::Gone;
                assert!(promised.iter().all(gone), "{promised:?} were to be gone by now");
                *then
            }
            still => {
                self.actors[actor].1 = true;
                still
            }
        }
    }

    fn expire(&mut self, actor: usize) {
        let doing = std::mem::replace(&mut self.actors[actor].0, Doing::Nothing);
        let Doing::Waiting { started, then, .. } = doing else { panic!("{doing:?} has no deadline") };
        for id in started.into_iter().filter(|&id| !self.shelf.is_over(id)).collect::<Vec<_>>() {
            assert!(self.shelf.closed(id, Err(why())));
            self.resources.get_mut(&id).unwrap().phase = Phase::Gone;
            self.expected.close_failures += 1;
        }
        self.actors[actor] = (*then, false);
        self.wake();
    }

    fn end_closing(&mut self, closer: usize, choice: u8) {
        // Some hang for as long as there is anything else to do.
        if choice % 4 == 1 {
            return;
        }
        let id = self.closers.swap_remove(closer);
        let fails = choice % 4 == 2;
        let in_time = self.shelf.closed(id, if fails { Err(why()) } else { Ok(()) });
        let resource = self.resources.get_mut(&id).unwrap();
        assert_eq!(in_time, resource.phase == Phase::Closing);
        resource.phase = Phase::Gone;
        self.expected.close_failures += u64::from(fails && in_time);
        self.wake();
    }

    /// As when the cache is dropped, after everybody has finished.
    fn end(mut self, choices: &[u8]) {
        let mut budget = 10_000;
        let mut steps = choices.iter().cycle().map(|&choice| usize::from(choice)).chain(std::iter::once(0));
        let mut drain = |world: &mut World| {
            while world.actors.iter().any(|(doing, _)| !matches!(doing, Doing::Nothing)) {
                let pick = steps.next().unwrap_or_default() + budget;
                assert!(world.step(pick, (pick / 3) as u8, true), "nobody can go on: {world:#?}");
                budget -= 1;
                assert!(budget > 0, "it does not end: {world:#?}");
            }
        };
        drain(&mut self);
        let order = self.invalidate(|_| true, true);
        self.actors[BORROWERS].0 = self.start(order, Doing::Nothing);
        drain(&mut self);
        assert_eq!(self.shelf.stats().resident, 0);
        for (id, resource) in &self.resources {
            assert_eq!(resource.closings, usize::from(resource.opened), "{id}: {resource:?}");
            assert!(self.shelf.is_over(*id) && self.shelf.key(*id).is_none(), "{id} is still on the shelf");
        }
    }
}

fn policy() -> impl Strategy<Value = CachePolicy> {
    let max_models = prop::option::of(0usize..4);
    let idle_timeout = prop::option::of((0u64..4).prop_map(Duration::from_secs));
    (any::<bool>(), max_models, idle_timeout).prop_map(|(eager_release, max_models, idle_timeout)| {
        CachePolicy { eager_release, max_models, idle_timeout, ..CachePolicy::default() }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn every_schedule_keeps_the_promises(
        policy in policy(),
        schedule in prop::collection::vec((any::<u8>(), any::<u8>()), 1..150),
    ) {
        let mut world = World::new(policy);
        for &(pick, choice) in &schedule {
            world.step(usize::from(pick), choice, false);
        }
        let choices: Vec<u8> = schedule.iter().map(|&(pick, _)| pick).collect();
        world.end(&choices);
    }
}
