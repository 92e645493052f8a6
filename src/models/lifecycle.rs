//! The life of one loaded thing, as a table: `Unloaded → Loading → Ready → Unloading → Unloaded`, or `Failed`.
//!
//! Pure: no lock, no clock, no thread. Who waits for whom is the [cache](super::cache)'s, which asks here for
//! every step that it takes.

use std::sync::Arc;

use crate::error::Error;

#[derive(Debug, Clone, Default)]
pub enum State {
    #[default]
    Unloaded,
    Loading,
    Ready,
    Unloading,
    /// The last attempt to load or to unload it failed, for this reason. It may be loaded again.
    Failed(Arc<Error>),
}

#[derive(Debug, Clone)]
pub enum Event {
    /// Somebody wants to use it.
    Load,
    Loaded,
    /// Somebody wants it gone.
    Unload,
    Unloaded,
    /// The loading or unloading under way failed, or took longer than it may.
    Failed(Arc<Error>),
}

/// What the one who brought the event has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It is there.
    Use,
    /// Load it now, and tell how that went.
    Load,
    /// Somebody loads it: wait for that, and share it.
    Join,
    /// Unload it now, and tell how that went.
    Unload,
    /// What is under way must end first: wait, then ask again.
    Wait,
    /// Nothing: things are as the event wants them.
    Rest,
    /// The event cannot happen in this state; nothing has changed. Comes of an end told twice, or too late.
    Refuse,
}

impl State {
    pub fn step(self, event: Event) -> (State, Action) {
        use {Event as E, State as S};
        match (self, event) {
            (S::Unloaded | S::Failed(_), E::Load) => (S::Loading, Action::Load),
            (S::Loading, E::Load) => (S::Loading, Action::Join),
            (S::Ready, E::Load) => (S::Ready, Action::Use),
            (S::Unloading, E::Load) => (S::Unloading, Action::Wait),

            (S::Ready, E::Unload) => (S::Unloading, Action::Unload),
            (busy @ (S::Loading | S::Unloading), E::Unload) => (busy, Action::Wait),
            (gone @ (S::Unloaded | S::Failed(_)), E::Unload) => (gone, Action::Rest),

            (S::Loading, E::Loaded) => (S::Ready, Action::Rest),
            (S::Unloading, E::Unloaded) => (S::Unloaded, Action::Rest),
            (S::Loading | S::Unloading, E::Failed(why)) => (S::Failed(why), Action::Rest),

            (state, E::Loaded | E::Unloaded | E::Failed(_)) => (state, Action::Refuse),
        }
    }

    /// Whether it holds memory, or is about to.
    pub fn is_live(&self) -> bool {
        matches!(self, State::Loading | State::Ready | State::Unloading)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn event() -> impl Strategy<Value = Event> {
        let why = Arc::new(Error::BackendClosed { what: "x".into() });
        prop_oneof![
            Just(Event::Load),
            Just(Event::Loaded),
            Just(Event::Unload),
            Just(Event::Unloaded),
            Just(Event::Failed(why)),
        ]
    }

    fn name(state: &State) -> &'static str {
        match state {
            State::Unloaded => "unloaded",
            State::Loading => "loading",
            State::Ready => "ready",
            State::Unloading => "unloading",
            State::Failed(_) => "failed",
        }
    }

    const MOVES: [(&str, &str); 7] = [
        ("unloaded", "loading"),
        ("failed", "loading"),
        ("loading", "ready"),
        ("loading", "failed"),
        ("ready", "unloading"),
        ("unloading", "unloaded"),
        ("unloading", "failed"),
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]

        /// Whatever comes in whatever order: only the moves of the drawing, work is handed out once and only when
        /// a move starts it, and each end is taken once.
        #[test]
        fn only_the_moves_of_the_drawing(events in prop::collection::vec(event(), 1..40)) {
            let mut state = State::default();
            let (mut loads, mut unloads, mut ready) = (0, 0, 0);
            for event in events {
                let from = name(&state);
                let (next, action) = state.step(event);
                let to = name(&next);
                if from != to {
                    prop_assert!(MOVES.contains(&(from, to)), "{} to {}", from, to);
                }
                prop_assert_eq!(action == Action::Load, from != to && to == "loading");
                prop_assert_eq!(action == Action::Unload, from != to && to == "unloading");
                prop_assert_eq!(action == Action::Use, from == "ready" && to == "ready" && action != Action::Refuse);
                loads += usize::from(action == Action::Load);
                unloads += usize::from(action == Action::Unload);
                ready += usize::from(from == "loading" && to == "ready");
                prop_assert!(unloads <= ready && ready <= loads);
                prop_assert_eq!(next.is_live(), ["loading", "ready", "unloading"].contains(&to));
                state = next;
            }
        }
    }

    #[test]
    fn a_failure_keeps_its_cause_until_the_next_load() {
        let why = Arc::new(Error::BackendClosed { what: "tiny".into() });
        for start in [State::Loading, State::Unloading] {
            let (failed, _) = start.step(Event::Failed(Arc::clone(&why)));
            let (failed, action) = failed.step(Event::Unload);
            assert!(matches!(&failed, State::Failed(kept) if Arc::ptr_eq(kept, &why)));
            assert_eq!(action, Action::Rest);
            assert!(matches!(failed.step(Event::Load), (State::Loading, Action::Load)));
        }
    }

    #[test]
    fn an_end_told_too_late_changes_nothing() {
        let (state, action) =
            State::Failed(Arc::new(Error::BackendClosed { what: "x".into() })).step(Event::Unloaded);
        assert!(matches!(state, State::Failed(_)));
        assert_eq!(action, Action::Refuse);
    }
}
