//! How fast the store takes writes and shows them, with no disk below it.
//!
//! The log's bytes are made and dropped: what is measured is staging, checksums, release and a
//! watcher that follows. `cargo bench --bench store`.
//!
//! Book: `book/src/control-plane/store.md`.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use wavetank_api::Revision;
use wavetank_store::{Compare, Key, Op, Store, Txn};

/// Keys as the API server writes them.
fn keys(count: usize) -> Vec<Key> {
    (0..count)
        .map(|n| Key::from(format!("/registry/pods/default/web-{n:07}")))
        .collect()
}

/// Makes everything staged visible.
fn release(store: &mut Store) {
    if let Some((ticket, bytes)) = store.unsynced() {
        black_box(bytes);
        black_box(store.durable(ticket));
    }
}

/// Puts each key, in groups as a group commit makes them.
fn put_all(store: &mut Store, keys: &[Key], value: &Bytes) {
    for group in keys.chunks(64) {
        for key in group {
            let op = Op::Put {
                key: key.clone(),
                value: value.clone(),
                lease: None,
            };
            store.stage(Txn::new(vec![op]));
        }
        release(store);
    }
}

fn filled(keys: &[Key], value: &Bytes) -> Store {
    let mut store = Store::new();
    put_all(&mut store, keys, value);
    store
}

fn writes(c: &mut Criterion) {
    let (keys, value) = (keys(100_000), Bytes::from(vec![b'x'; 1024]));
    let mut group = c.benchmark_group("store");
    group
        .sample_size(10)
        .throughput(Throughput::Elements(keys.len() as u64));
    group.bench_function("put 100k new keys of 1 KiB", |b| {
        b.iter_batched_ref(
            Store::new,
            |store| put_all(store, &keys, &value),
            BatchSize::PerIteration,
        );
    });
    group.bench_function("compare and put 100k keys", |b| {
        b.iter_batched_ref(
            || filled(&keys, &value),
            |store| {
                for (n, key) in keys.iter().enumerate() {
                    let equals = Revision(n as u64 + 2);
                    let op = Op::Put {
                        key: key.clone(),
                        value: value.clone(),
                        lease: None,
                    };
                    let compares = vec![Compare::ModRevision {
                        key: key.clone(),
                        equals,
                    }];
                    let otherwise = vec![Op::Get { key: key.clone() }];
                    store.stage(Txn {
                        compares,
                        then: vec![op],
                        otherwise,
                    });
                    if n % 64 == 63 {
                        release(store);
                    }
                }
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

fn reads(c: &mut Criterion) {
    let (keys, value) = (keys(100_000), Bytes::from(vec![b'x'; 1024]));
    let mut store = filled(&keys, &value);
    let mut group = c.benchmark_group("store");
    group
        .sample_size(10)
        .throughput(Throughput::Elements(keys.len() as u64));
    group.bench_function("range over 100k keys", |b| {
        b.iter(|| black_box(store.range("", None, None, 0)));
    });
    group.bench_function("watch 100k events", |b| {
        b.iter(|| {
            let Ok(watch) = store.watch(Revision(1)) else {
                return;
            };
            while let Ok(batch) = store.drain(&watch, 1000) {
                if batch.events.is_empty() {
                    break;
                }
                black_box(batch);
            }
            store.cancel(watch);
        });
    });
    group.finish();
}

criterion_group!(benches, writes, reads);
criterion_main!(benches);
