//! The contract, and the model that all engines follow.

use super::world::World;
use crate::conformance::{self, Factory};
use crate::engine_tests::{follow, step};
use proptest::test_runner::{Config, TestRunner};

const MIB: u64 = 1024 * 1024;

#[test]
fn postgres_conforms() {
    let world = World::new();
    conformance::run(&Factory {
        plain: &|| Box::new(world.store()),
        forgetful: &|| Box::new(world.store_with(|options| options.kept_commits = 64)),
        small: &|| Box::new(world.store_with(|options| options.max_bytes = Some(10 * MIB))),
    });
}

#[test]
fn postgres_conforms_without_a_cache() {
    let world = World::new();
    let roomy = || -> Box<dyn conformance::Fixture> {
        Box::new(world.store_with(|options| {
            options.cache_bytes = 0;
            options.kept_commits = 64;
        }))
    };
    let make = || -> Box<dyn conformance::Fixture> {
        Box::new(world.store_with(|options| {
            options.cache_bytes = 0;
            options.kept_commits = 64;
            options.max_bytes = Some(42 * MIB);
        }))
    };
    conformance::run(&Factory {
        plain: &roomy,
        forgetful: &make,
        small: &make,
    });
}

#[test]
fn postgres_does_what_the_model_does() {
    let world = World::new();
    let steps = proptest::collection::vec(step(), 1..16);
    let mut runner = TestRunner::new(Config {
        failure_persistence: None,
        ..Config::with_cases(12)
    });
    runner
        .run(&steps, |steps| {
            follow(&world.store(), &steps);
            Ok(())
        })
        .unwrap();
}
