//! How many pods a second the scheduler decides on, without an API server: 10,000 pods on 5,000
//! nodes through [`Engine`], each binding answered at once.
//!
//! Book: `book/src/scheduler/binding.md`.

use std::collections::BTreeMap;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

use wavetank_api::{Revision, Time, Uid};
use wavetank_informer::Guards;
use wavetank_scheduler::engine::{BindOutcome, Engine, Event, Step};
use wavetank_scheduler::node::Node;
use wavetank_scheduler::pod::{Pod, PodSpec};
use wavetank_scheduler::resource::{Bytes, MilliCpu, Resources};
use wavetank_scheduler::{DEFAULT_SCHEDULER_NAME, default_profile};

const NOW: Time = Time::from_secs(1_000_000);

/// Nodes as in scheduler_perf: 4 cores, 32 GiB, 110 pods; three zones.
fn nodes(count: usize) -> Vec<Arc<Node>> {
    let node = |i: usize| {
        let zone: Arc<str> = format!("zone-{}", i % 3).into();
        Arc::new(Node {
            name: format!("node-{i}").into(),
            labels: [("topology.kubernetes.io/zone".into(), zone)]
                .into_iter()
                .collect(),
            allocatable: Resources::of(MilliCpu(4000), Bytes(32 << 30)),
            allowed_pods: 110,
            ..Node::default()
        })
    };
    (0..count).map(node).collect()
}

/// Pods as in scheduler_perf: 100 millicores and 500 MiB, of one template.
fn pods(count: usize) -> Vec<Arc<Pod>> {
    let request = (MilliCpu(100), Bytes(500 << 20));
    let spec = Arc::new(PodSpec {
        scheduler_name: DEFAULT_SCHEDULER_NAME.into(),
        requests: Resources::of(request.0, request.1),
        scoring_requests: request,
        images: vec!["registry.k8s.io/pause:3.10".into()],
        ..PodSpec::default()
    });
    let pod = |i: usize| {
        Arc::new(Pod {
            namespace: "default".into(),
            name: format!("pod-{i}").into(),
            uid: Uid(format!("00000000-0000-4000-8000-{i:012}").into()),
            revision: Revision(i as u64),
            spec: Arc::clone(&spec),
            ..Pod::default()
        })
    };
    (0..count).map(pod).collect()
}

fn engine(nodes: &[Arc<Node>]) -> Engine {
    let profiles = vec![default_profile(DEFAULT_SCHEDULER_NAME)];
    let mut engine = Engine::new(profiles, 1, Guards::default());
    for node in nodes {
        engine.observe(Event::Node(Arc::clone(node)), NOW);
    }
    engine
}

/// Schedules every pod and confirms each binding as the watch would.
fn schedule(mut engine: Engine, pods: &[Arc<Pod>]) -> usize {
    for pod in pods {
        engine.observe(Event::Pod(Arc::clone(pod)), NOW);
    }
    let mut bound = 0;
    let by_uid: BTreeMap<&Uid, &Arc<Pod>> = pods.iter().map(|pod| (&pod.uid, pod)).collect();
    while let Some(step) = engine.cycle(NOW) {
        if let Step::Bind(binding) = step {
            engine.bind_done(&binding.uid, BindOutcome::Bound, NOW);
            let pod = by_uid[&binding.uid].on(&binding.node);
            engine.observe(Event::Pod(Arc::new(pod)), NOW);
            bound += 1;
        }
    }
    bound
}

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("scheduler");
    group.sample_size(10);
    for (node_count, pod_count) in [(100, 1_000), (5_000, 10_000)] {
        let (nodes, pods) = (nodes(node_count), pods(pod_count));
        group.throughput(Throughput::Elements(pod_count as u64));
        group.bench_function(format!("{node_count} nodes, {pod_count} pods"), |bencher| {
            let check = |engine| assert_eq!(schedule(engine, &pods), pod_count);
            bencher.iter_batched(|| engine(&nodes), check, BatchSize::PerIteration);
        });
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
