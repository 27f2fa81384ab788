//! The simulator: a virtual hour of a hundred nodes, single-threaded, trace hash on.

use criterion::{Criterion, criterion_group, criterion_main};
use wavetank_benches::deployments;
use wavetank_sim::{Seed, World};

fn virtual_hour(criterion: &mut Criterion) {
    let scenario = deployments(100, 1000, "1h", true);
    let mut group = criterion.benchmark_group("simulator");
    group.sample_size(10);
    group.bench_function("100 nodes, 1000 pods, 1 virtual hour", |bencher| {
        bencher.iter(|| {
            let mut world = World::new(&scenario, Seed(1), false);
            world.finish(&scenario);
            world.trace().hash()
        });
    });
    group.finish();
}

criterion_group!(benches, virtual_hour);
criterion_main!(benches);
