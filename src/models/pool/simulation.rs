//! Model check of [`PoolState`]: borrowers, an owner and closing threads take steps in any order that proptest finds,
//! each step being what the pool does under its lock, and the state is compared with the truth after each.
//!
//! A waiting thread sleeps until a load or a closing ends, as it does in the pool, so a missing wake-up shows as a run
//! in which no thread can continue.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::state::{BorrowStep, EntryId, LoadedStep, ModelState, PoolState};
use super::{ModelKey, PoolPolicy, PoolStats};

const BORROWERS: usize = 5;
const OWNER: usize = BORROWERS;
const KEYS: u8 = 4;

/// The allowed changes of an entry's state; `None` is unloaded.
const TRANSITIONS: [(Option<ModelState>, Option<ModelState>); 8] = [
    (None, Some(ModelState::Loading)),
    (Some(ModelState::Loading), Some(ModelState::Ready)),
    (Some(ModelState::Loading), Some(ModelState::Unloading)),
    (Some(ModelState::Loading), None),
    (Some(ModelState::Ready), Some(ModelState::Unloading)),
    (Some(ModelState::Unloading), None),
    (Some(ModelState::Unloading), Some(ModelState::Failed)),
    (Some(ModelState::Failed), None),
];

fn key(number: u8) -> ModelKey {
    ModelKey { name: number.to_string(), identity: String::new(), device: String::new() }
}

#[derive(Debug, Clone)]
enum Activity {
    Idle,
    Asking(u8),
    Loading(u8, EntryId),
    Holding(EntryId),
    /// Waits until these are closed, then continues.
    Closing(Vec<EntryId>, Box<Activity>),
}

#[derive(Debug)]
struct Actor {
    activity: Activity,
    is_asleep: bool,
}

/// The truth about an entry, whatever the pool believes.
#[derive(Debug)]
struct SimulatedModel {
    key: u8,
    state: Option<ModelState>,
    was_loaded: bool,
    closings: usize,
    /// Retired while it was leased, so another model of its key may exist beside it.
    is_retired: bool,
    is_forced: bool,
    released: Option<Instant>,
}

#[derive(Debug)]
struct World {
    pool: PoolState,
    policy: PoolPolicy,
    actors: Vec<Actor>,
    models: BTreeMap<EntryId, SimulatedModel>,
    closers: Vec<EntryId>,
    now: Instant,
    expected: PoolStats,
}

impl World {
    fn new(policy: PoolPolicy) -> Self {
        let actor = || Actor { activity: Activity::Idle, is_asleep: false };
        World {
            pool: PoolState::new(policy),
            policy,
            actors: std::iter::repeat_with(actor).take(BORROWERS + 1).collect(),
            models: BTreeMap::new(),
            closers: Vec::new(),
            now: Instant::now(),
            expected: PoolStats::default(),
        }
    }

    /// Performs one step of an actor or closer: `pick` chooses which, `choice` how it goes. Returns `false` if none can
    /// take one.
    fn step(&mut self, pick: usize, choice: u8, draining: bool) -> bool {
        let is_able = |actor: &Actor| {
            let is_done = draining && matches!(actor.activity, Activity::Idle);
            !actor.is_asleep && !is_done
        };
        let mut able: Vec<usize> = (0..=OWNER).filter(|&actor| is_able(&self.actors[actor])).collect();
        able.extend((0..self.closers.len()).map(|closer| OWNER + 1 + closer));
        let is_waiting = |actor: &Actor| actor.is_asleep && matches!(actor.activity, Activity::Closing(..));
        let waiting: Vec<usize> = (0..=OWNER).filter(|&actor| is_waiting(&self.actors[actor])).collect();
        // A deadline passes now and then, and when nothing else can happen.
        let expires = able.is_empty() || choice % 16 == 7 || (draining && choice.is_multiple_of(3));
        if !waiting.is_empty() && expires {
            self.time_out(waiting[pick % waiting.len()]);
        } else if able.is_empty() {
            return false;
        } else {
            match able[pick % able.len()] {
                closer if closer > OWNER => self.end_closing(closer - OWNER - 1, choice),
                actor => self.act(actor, choice),
            }
        }
        self.check();
        true
    }

    fn act(&mut self, actor: usize, choice: u8) {
        let activity = std::mem::replace(&mut self.actors[actor].activity, Activity::Idle);
        let next = match activity {
            Activity::Idle if actor == OWNER => self.order(choice),
            Activity::Idle => Activity::Asking(choice % KEYS),
            Activity::Asking(number) => self.ask(actor, number),
            Activity::Loading(number, id) => self.end_loading(number, id, !choice.is_multiple_of(4)),
            Activity::Holding(id) => self.release(id, choice % 8 == 5),
            Activity::Closing(ids, then) if ids.iter().all(|&id| !self.pool.is_live(id)) => {
                assert!(ids.iter().all(|id| self.models[id].state.is_none_or(|s| s == ModelState::Failed)));
                *then
            }
            closing => {
                self.actors[actor].is_asleep = true;
                closing
            }
        };
        self.actors[actor].activity = next;
    }

    fn ask(&mut self, actor: usize, number: u8) -> Activity {
        match self.pool.borrow(&key(number), self.now) {
            BorrowStep::Wait => {
                self.actors[actor].is_asleep = true;
                Activity::Asking(number)
            }
            BorrowStep::Close(id) => {
                assert!(self.is_at_limit(), "{id} was evicted below the limit");
                let oldest = self.idle().into_iter().map(|id| self.models[&id].released).min();
                assert_eq!(Some(self.models[&id].released), oldest, "{id} was not the least recently used");
                self.expected.evictions += 1;
                self.close(vec![id], Activity::Asking(number))
            }
            BorrowStep::Load(id) => {
                self.expected.misses += 1;
                if self.is_at_limit() {
                    let is_unloading = |model: &SimulatedModel| model.state == Some(ModelState::Unloading);
                    assert!(
                        self.idle().is_empty() && self.count(is_unloading) == 0,
                        "{id} exceeds the limit"
                    );
                    self.expected.exceeded += 1;
                }
                let model = SimulatedModel {
                    key: number,
                    state: None,
                    was_loaded: false,
                    closings: 0,
                    is_retired: false,
                    is_forced: false,
                    released: None,
                };
                assert!(self.models.insert(id, model).is_none(), "{id} was used twice");
                self.change(id, Some(ModelState::Loading));
                Activity::Loading(number, id)
            }
            BorrowStep::Lease(id) => {
                self.expected.hits += 1;
                self.hold(number, id)
            }
        }
    }

    fn hold(&self, number: u8, id: EntryId) -> Activity {
        let model = &self.models[&id];
        assert_eq!((model.state, model.key), (Some(ModelState::Ready), number), "{id} was lent");
        assert!(!model.is_forced && !model.is_retired, "{id} was lent after it was retired");
        Activity::Holding(id)
    }

    fn end_loading(&mut self, number: u8, id: EntryId, works: bool) -> Activity {
        self.wake();
        if !works {
            self.pool.load_failed(id);
            self.change(id, None);
            return Activity::Idle;
        }
        self.expected.bytes_loaded += u64::from(number) + 1;
        self.expected.load_seconds += 0.5;
        self.models.get_mut(&id).unwrap().was_loaded = true;
        match self.pool.loaded(id, u64::from(number) + 1, 0.5) {
            LoadedStep::Lease => {
                self.change(id, Some(ModelState::Ready));
                self.hold(number, id)
            }
            LoadedStep::Close => {
                assert!(self.models[&id].is_forced, "{id} was not lent");
                self.close(vec![id], Activity::Idle)
            }
        }
    }

    fn release(&mut self, id: EntryId, retires: bool) -> Activity {
        if retires {
            self.pool.retire(id);
            self.models.get_mut(&id).unwrap().is_retired = true;
        }
        let model = self.models.get_mut(&id).unwrap();
        model.released = Some(self.now);
        let is_eviction = !self.policy.eager_release && !model.is_retired;
        if !self.pool.release(id, self.now) {
            return Activity::Idle;
        }
        self.expected.evictions += u64::from(is_eviction);
        self.close(vec![id], Activity::Idle)
    }

    fn order(&mut self, choice: u8) -> Activity {
        let ids = match choice % 4 {
            0 => {
                let live = |model: &SimulatedModel| model.state.is_some_and(|s| s != ModelState::Failed);
                for model in self.models.values_mut().filter(|model| live(model)) {
                    model.is_forced = true;
                }
                self.pool.force_close()
            }
            1 => {
                let is_due = |id: &EntryId| {
                    let idle = self.now - self.models[id].released.unwrap();
                    self.policy.idle_timeout.is_some_and(|timeout| idle > timeout)
                };
                let due: Vec<EntryId> = self.idle().into_iter().filter(is_due).collect();
                let ids = self.pool.close_idle(self.now);
                assert_eq!(ids, due);
                ids
            }
            2 => {
                let idle = self.idle();
                let ids = self.pool.close_unused();
                assert_eq!(ids, idle);
                ids
            }
            _ => {
                self.now += Duration::from_secs(1);
                return Activity::Idle;
            }
        };
        self.close(ids, Activity::Idle)
    }

    /// Starts a closing thread for each model that has none and waits.
    fn close(&mut self, ids: Vec<EntryId>, then: Activity) -> Activity {
        for &id in &ids {
            if self.pool.state(id) == Some(ModelState::Unloading) && self.models[&id].closings == 0 {
                assert!(
                    self.leases(id) == 0 || self.models[&id].is_forced,
                    "{id} is closed while it is leased"
                );
                self.change(id, Some(ModelState::Unloading));
                self.models.get_mut(&id).unwrap().closings += 1;
                self.closers.push(id);
            }
        }
        Activity::Closing(ids, Box::new(then))
    }

    fn time_out(&mut self, actor: usize) {
        let activity = std::mem::replace(&mut self.actors[actor].activity, Activity::Idle);
        let Activity::Closing(ids, then) = activity else { panic!("{activity:?} has no deadline") };
        for id in ids {
            if self.pool.close_timed_out(id) {
                self.change(id, Some(ModelState::Failed));
                self.expected.close_failures += 1;
            }
        }
        self.actors[actor].activity = *then;
        self.wake();
    }

    fn end_closing(&mut self, closer: usize, choice: u8) {
        // Some hang for as long as anything else can happen.
        if choice % 4 == 1 {
            return;
        }
        let id = self.closers.swap_remove(closer);
        let works = choice % 4 != 2;
        let is_in_time = self.models[&id].state == Some(ModelState::Unloading);
        self.pool.closed(id, works);
        self.change(id, None);
        self.expected.close_failures += u64::from(!works && is_in_time);
        self.wake();
    }

    fn change(&mut self, id: EntryId, state: Option<ModelState>) {
        let model = self.models.get_mut(&id).unwrap();
        assert!(TRANSITIONS.contains(&(model.state, state)), "{id}: {:?} to {state:?}", model.state);
        model.state = state;
    }

    fn wake(&mut self) {
        self.actors.iter_mut().for_each(|actor| actor.is_asleep = false);
    }

    fn leases(&self, id: EntryId) -> usize {
        let holds = |actor: &&Actor| matches!(actor.activity, Activity::Holding(held) if held == id);
        self.actors.iter().filter(holds).count()
    }

    fn count(&self, matches: impl Fn(&SimulatedModel) -> bool) -> usize {
        self.models.values().filter(|model| matches(model)).count()
    }

    fn idle(&self) -> Vec<EntryId> {
        let ready = self.models.iter().filter(|(_, model)| model.state == Some(ModelState::Ready));
        ready.map(|(&id, _)| id).filter(|&id| self.leases(id) == 0).collect()
    }

    fn limit(&self) -> usize {
        self.policy.max_models.map_or(usize::MAX, |max| max.max(1))
    }

    fn is_at_limit(&self) -> bool {
        self.count(|model| model.state.is_some_and(|state| state != ModelState::Failed)) >= self.limit()
    }

    /// Checks the promises of the pool.
    fn check(&self) {
        let is_live = |model: &&SimulatedModel| model.state.is_some_and(|state| state != ModelState::Failed);
        for number in 0..KEYS {
            let rivals = self.models.values().filter(|model| model.key == number && !model.is_retired);
            assert!(rivals.filter(is_live).count() <= 1, "two models of key {number}");
        }
        let used = [Some(ModelState::Loading), Some(ModelState::Ready)];
        let used = self.count(|model| used.contains(&model.state));
        assert!(used <= self.limit() || self.idle().is_empty(), "{used} in use, and idle: {:?}", self.idle());
        for (&id, model) in &self.models {
            assert_eq!(self.pool.state(id), model.state, "state of {id}");
            assert!(model.closings <= 1, "{id} was closed twice");
            let is_idle = model.state == Some(ModelState::Ready) && self.leases(id) == 0;
            let may_stay = !self.policy.eager_release && !model.is_retired && !model.is_forced;
            assert!(!is_idle || may_stay, "{id} stays warm");
        }
        let is_resident =
            |model: &SimulatedModel| matches!(model.state, Some(ModelState::Ready | ModelState::Unloading));
        assert_eq!(self.pool.stats(), PoolStats { resident: self.count(is_resident), ..self.expected });
    }

    /// Lets all actors finish and force-closes the pool, as when it is dropped.
    fn end(mut self, choices: &[u8]) {
        let mut budget = 10_000;
        let mut choices = choices.iter().cycle().map(|&choice| usize::from(choice)).chain(std::iter::once(0));
        let mut drain = |world: &mut World| {
            let is_idle = |actor: &Actor| matches!(actor.activity, Activity::Idle);
            while !world.actors.iter().all(is_idle) || !world.closers.is_empty() {
                let pick = choices.next().unwrap_or_default() + budget;
                assert!(world.step(pick, (pick / 3) as u8, true), "no thread can continue: {world:#?}");
                budget -= 1;
                assert!(budget > 0, "it does not end: {world:#?}");
            }
        };
        drain(&mut self);
        let closing = self.order(0);
        self.actors[OWNER].activity = closing;
        drain(&mut self);
        assert_eq!((self.pool.stats().resident, self.pool.leases()), (0, 0));
        for (id, model) in &self.models {
            assert_eq!(model.closings, usize::from(model.was_loaded), "{id}: {model:?}");
            assert!(self.pool.state(*id).is_none(), "{id} is still there");
        }
    }
}

fn policy() -> impl Strategy<Value = PoolPolicy> {
    let max_models = prop::option::of(0usize..4);
    let idle_timeout = prop::option::of((0u64..4).prop_map(Duration::from_secs));
    (any::<bool>(), max_models, idle_timeout).prop_map(|(eager_release, max_models, idle_timeout)| {
        PoolPolicy { eager_release, max_models, idle_timeout, ..PoolPolicy::default() }
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
