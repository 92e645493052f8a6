//! What the cache promises, checked after every step against what truly is.

use super::{CacheStats, Doing, Id, KEYS, Phase, Resource, World};

impl World {
    pub(super) fn leases(&self, id: Id) -> usize {
        let counts = |(doing, _): &&(Doing, bool)| match doing {
            Doing::Holding { id: held } | Doing::Asking { joined: Some(held), .. } => *held == id,
            _ => false,
        };
        self.actors.iter().filter(counts).count()
    }

    pub(super) fn count(&self, matches: impl Fn(&Resource) -> bool) -> usize {
        self.resources.values().filter(|resource| matches(resource)).count()
    }

    pub(super) fn idle(&self) -> Vec<Id> {
        let live = self.resources.iter().filter(|(_, resource)| resource.phase == Phase::Live);
        live.map(|(&id, _)| id).filter(|&id| self.leases(id) == 0).collect()
    }

    pub(super) fn room(&self) -> usize {
        self.policy.max_models.map_or(usize::MAX, |max| max.max(1))
    }

    pub(super) fn is_crowded(&self) -> bool {
        self.count(|resource| resource.phase != Phase::Gone) >= self.room()
    }

    pub(super) fn check(&self) {
        for key in 0..KEYS {
            let rivals = self.resources.iter().filter(|(_, resource)| {
                resource.key == key && resource.phase != Phase::Gone && !resource.outdated
            });
            let rivals: Vec<_> = rivals.collect();
            assert!(rivals.len() <= 1, "two at once: {rivals:?}");
        }
        let there = self.count(|resource| matches!(resource.phase, Phase::Loading | Phase::Live));
        assert!(there <= self.room() || self.idle().is_empty(), "{there} there, and idle: {:?}", self.idle());
        for (id, resource) in &self.resources {
            assert!(resource.closings <= 1, "{id} closed again");
            assert!(resource.phase == Phase::Live || !self.shelf.is_ready(*id));
            let warm = resource.phase == Phase::Live && self.leases(*id) == 0;
            assert!(!warm || (!self.policy.eager_release && !resource.stale), "{id} stays: {resource:?}");
        }
        let resident = self.count(|resource| matches!(resource.phase, Phase::Live | Phase::Closing));
        let (stats, expected) = (self.shelf.stats(), CacheStats { resident, ..self.expected });
        assert_eq!(stats, expected);
        assert_eq!(stats.hits + stats.misses, self.granted + self.vain + self.count_loading());
    }

    pub(super) fn count_loading(&self) -> u64 {
        self.actors.iter().filter(|(doing, _)| matches!(doing, Doing::Loading { .. })).count() as u64
    }
}
