//! Barrier and expectations tried alike: each guard taken away shows the bug that it is named for.
//!
//! Book: `book/src/control-plane/expectations.md`.

use core::time::Duration;

use serde_json::json;
use wavetank_api::{KindId, Method};
use wavetank_informer::own_writes::ReadYourWrites::{self, Barrier, Expectations};
use wavetank_informer::{Guard, Guards, Key};

use super::{replica_set, scale};
use crate::harness::{Tank, key_of};

/// A replica set whose pods run, and the cluster at rest.
fn running(how: ReadYourWrites, guards: Guards, replicas: i64) -> (Tank, Key) {
    let mut tank = Tank::reading(how, guards);
    let web = tank.create(KindId::ReplicaSet, replica_set("web", replicas));
    tank.converge();
    assert_eq!(tank.active_pods().len() as i64, replicas);
    (tank, web)
}

/// Brings the key back without a change of what is wished.
fn touch(tank: &mut Tank, web: &Key, note: &str) {
    tank.edit(KindId::ReplicaSet, web, |set| {
        set["metadata"]["labels"] = json!({"touched": note})
    });
    tank.settle();
}

/// M01: the pods' watch is late, and something else brings the key back (#41675).
#[test]
fn pods_that_are_not_shown_yet_are_not_made_again() {
    for how in [Barrier, Expectations] {
        for (guards, again) in [
            (Guards::default(), false),
            (Guards::without(&[Guard::M01]), true),
        ] {
            let (mut tank, web) = running(how, guards, 0);
            tank.held.insert(KindId::Pod);
            scale(&mut tank, &web, 1);
            tank.settle();
            touch(&mut tank, &web, "1");
            assert_eq!(tank.active_pods().len() > 1, again, "{how:?}");
        }
    }
}

/// M02: the pods are counted while the last plan's are not shown, and the plan is carried out when
/// they are (kubernetes PR 8138).
#[test]
fn pods_are_counted_after_the_wait_and_not_before_it() {
    for how in [Barrier, Expectations] {
        for (guards, made) in [(Guards::default(), 2), (Guards::without(&[Guard::M02]), 4)] {
            let (mut tank, web) = running(how, guards, 0);
            tank.held.insert(KindId::Pod);
            scale(&mut tank, &web, 2);
            tank.settle();
            touch(&mut tank, &web, "1");
            assert_eq!(tank.active_pods().len(), 2);
            tank.held.clear();
            tank.settle();
            // The two that are too many are found out, and deleted.
            let is_create = |(method, path): &&(Method, String)| {
                *method == Method::Post && path.ends_with("/pods")
            };
            assert_eq!(
                tank.writes.iter().filter(is_create).count(),
                made,
                "{how:?}"
            );
        }
    }
}

/// M03: the watch is stale for longer than anybody waits, again and again (#129795).
#[test]
fn a_watch_that_is_stale_for_long_makes_no_pods_without_end() {
    for how in [Barrier, Expectations] {
        for (guards, pods) in [(Guards::default(), 3), (Guards::without(&[Guard::M03]), 15)] {
            let (mut tank, web) = running(how, guards, 0);
            tank.held.insert(KindId::Pod);
            scale(&mut tank, &web, 3);
            tank.settle();
            for round in 1..5 {
                tank.pass(Duration::from_secs(301));
                touch(&mut tank, &web, &round.to_string());
            }
            assert_eq!(tank.active_pods().len(), pods, "{how:?}");
        }
    }
}

/// M04: of two deletes one is slow. The other's pod is seen terminating and then gone; the slow
/// one's event is held back, and the third pod, which was to stay, has become worth least.
#[test]
fn two_events_of_one_delete_are_not_two_deletes() {
    for (how, guards, left) in [
        (Barrier, Guards::default(), 1),
        (Expectations, Guards::default(), 1),
        (Expectations, Guards::without(&[Guard::M04]), 0),
    ] {
        let (mut tank, web) = running(how, guards, 3);
        tank.late_from = Some(2);
        scale(&mut tank, &web, 1);
        tank.settle();
        let active = tank.active_pods().into_iter().map(key_of);
        let mut kept = active.filter(|pod| !tank.late[0].1.target.ends_with(&*pod.name));
        let third = kept.next().expect("one that nobody deletes");
        assert_eq!(kept.next(), None);
        tank.run_pods();
        tank.edit(KindId::Pod, &third, |pod| {
            pod["status"]["conditions"] = json!([{"type": "Ready", "status": "False"}]);
        });
        tank.settle();
        tank.held.insert(KindId::Pod);
        tank.arrive();
        touch(&mut tank, &web, "1");
        assert_eq!(tank.active_pods().len(), left, "{how:?}");
    }
}

/// M05: a quota is full for a moment.
#[test]
fn creates_that_were_refused_or_skipped_hold_nobody_up() {
    for how in [Barrier, Expectations] {
        for (guards, pods) in [(Guards::default(), 4), (Guards::without(&[Guard::M05]), 0)] {
            let mut tank = Tank::reading(how, guards);
            tank.server.refuse_pods = Some("exceeded quota".to_string());
            let web = tank.create(KindId::ReplicaSet, replica_set("web", 4));
            tank.settle();
            tank.server.refuse_pods = None;
            tank.pass(Duration::from_secs(240));
            touch(&mut tank, &web, "1");
            assert_eq!(tank.active_pods().len(), pods, "{how:?}");
        }
    }
}

/// What expectations do not keep, and the barrier does: a create whose answer is lost counts as one
/// that failed.
#[test]
fn a_lost_answer_makes_a_second_pod_under_expectations_only() {
    for (how, again) in [(Barrier, false), (Expectations, true)] {
        let (mut tank, web) = running(how, Guards::default(), 0);
        tank.held.insert(KindId::Pod);
        tank.lose =
            Some(|request| request.method == Method::Post && request.target.ends_with("/pods"));
        scale(&mut tank, &web, 1);
        tank.settle();
        tank.lose = None;
        tank.pass(Duration::from_secs(30));
        assert_eq!(tank.active_pods().len() > 1, again, "{how:?}");
    }
}

/// An adoption is waited for by neither count nor clock: the watch brings the key back.
#[test]
fn an_adoption_that_is_not_shown_yet_is_not_made_again_and_again() {
    for how in [Barrier, Expectations] {
        let (mut tank, _) = running(how, Guards::default(), 1);
        tank.held.insert(KindId::ReplicaSet);
        let orphan = json!({"metadata": {"name": "o", "namespace": "default",
            "labels": {"app": "web"}}});
        tank.create(KindId::Pod, orphan);
        tank.writes.clear();
        tank.converge();
        let patches = tank
            .writes
            .iter()
            .filter(|(method, path)| *method == Method::Patch && path.contains("/pods/"));
        assert_eq!(patches.count(), 1, "{how:?}");
        assert_eq!(tank.active_pods().len(), 1, "{how:?}");
    }
}
