//! What every log promises, asked of the one in memory and the one on a disk.
//!
//! Book: `book/src/control-plane/serving.md`.

use bytes::Bytes;
use wavetank_api::{Method, Time};
use wavetank_serve::{Es256, FileLog, Kubeconfig, Pki, ServeError};
use wavetank_store::{FileKind, Log, MemoryLog, Op, Store, Txn, open, prune, rotate};

use crate::cluster::{CONFIG_MAPS, Dir, call, config_map, start_core, wait_until_ready};

/// As in `housekeeping.rs`.
const SNAPSHOT_AFTER_BYTES: u64 = 64 * 1024 * 1024;

/// Both logs, and what keeps the second one's directory.
fn each_log(check: impl Fn(&mut dyn Log)) {
    check(&mut MemoryLog::new());
    let dir = Dir::new();
    check(&mut FileLog::open(&dir.0).unwrap());
}

const SEGMENT: FileKind = FileKind::Segment { first: 0 };

#[test]
fn what_was_synced_is_read_back() {
    each_log(|log| {
        log.create(SEGMENT, b"head").unwrap();
        log.append(&Bytes::from_static(b"one")).unwrap();
        log.append(&Bytes::from_static(b"two")).unwrap();
        log.sync().unwrap();
        assert_eq!(log.read(SEGMENT).unwrap(), b"headonetwo");
        log.truncate(SEGMENT, 7).unwrap();
        assert_eq!(log.read(SEGMENT).unwrap(), b"headone");
        let files = log.files().unwrap();
        assert_eq!(
            (files.len(), files[0].kind, files[0].bytes),
            (1, SEGMENT, 7)
        );
    });
}

#[test]
fn appends_go_to_the_newest_segment_and_a_missing_file_is_an_error() {
    each_log(|log| {
        assert!(
            log.append(&Bytes::from_static(b"x")).is_err(),
            "no segment has begun"
        );
        log.create(SEGMENT, b"").unwrap();
        let next = FileKind::Segment { first: 9 };
        log.create(next, b"").unwrap();
        log.append(&Bytes::from_static(b"x")).unwrap();
        assert_eq!(log.read(SEGMENT).unwrap(), b"");
        assert_eq!(log.read(next).unwrap(), b"x");
        log.remove(next).unwrap();
        assert!(log.read(next).is_err());
    });
}

#[test]
fn a_store_comes_back_from_either_log() {
    each_log(|log| {
        let mut store = open(log, Time::EPOCH).unwrap();
        for round in 0..3 {
            for n in 0..10 {
                let (key, value) = (format!("k{n}").into(), format!("v{round}").into());
                store.stage(Txn::new(vec![Op::Put {
                    key,
                    value,
                    lease: None,
                }]));
            }
            let (ticket, frame) = store.unsynced().unwrap();
            log.append(&frame).unwrap();
            log.sync().unwrap();
            store.durable(ticket);
            let snapshot = store.snapshot();
            let covers = snapshot.covers();
            rotate(log, covers).unwrap();
            log.publish(FileKind::Snapshot { covers }, &mut snapshot.parts())
                .unwrap();
            prune(log, covers).unwrap();
            assert_eq!(log.files().unwrap().len(), 2);
            let all = |store: &Store| store.range("", None, None, 0).unwrap();
            let back = open(log, Time::EPOCH).unwrap();
            assert_eq!(all(&back), all(&store));
            store = back;
        }
    });
}

#[test]
fn a_second_process_is_told_that_the_directory_is_in_use() {
    let dir = Dir::new();
    let first = FileLog::open(&dir.0).unwrap();
    // Locks belong to open files, so this process is as good as another.
    let second = FileLog::open(&dir.0);
    assert!(matches!(second, Err(ServeError::InUse { .. })));
    assert!(
        second
            .unwrap_err()
            .to_string()
            .ends_with("is in use by another process")
    );
    drop(first);
    FileLog::open(&dir.0).unwrap();
}

#[tokio::test]
async fn a_long_log_gives_way_to_a_snapshot_and_comes_back_from_it() {
    let dir = Dir::new();
    let (core, _) = start_core(&dir.0);
    wait_until_ready(&core).await;
    let data = "x".repeat(1000 * 1000);
    assert_eq!(
        call(&core, Method::Post, CONFIG_MAPS, &config_map("big", &data))
            .await
            .status,
        201
    );
    let one = format!("{CONFIG_MAPS}/big");
    for _ in 0..SNAPSHOT_AFTER_BYTES / data.len() as u64 + 3 {
        // Each update differs from the one before, or there would be nothing to write.
        let now = core.clock().now().as_micros();
        let body = config_map("big", &format!("{now}{data}"));
        assert_eq!(call(&core, Method::Put, &one, &body).await.status, 200);
    }
    let store = dir.0.join("store");
    let bytes = || -> u64 {
        let files = std::fs::read_dir(&store).unwrap().flatten();
        files
            .map(|file| file.metadata().map_or(0, |data| data.len()))
            .sum()
    };
    while bytes() > SNAPSHOT_AFTER_BYTES / 4 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    core.stop().await;
    let (core, _) = start_core(&dir.0);
    let got = call(&core, Method::Get, &one, "").await;
    assert!(got.bytes().len() > data.len());
    core.stop().await;
}

#[test]
fn half_a_snapshot_is_nobodys() {
    let dir = Dir::new();
    drop(FileLog::open(&dir.0).unwrap());
    std::fs::write(dir.0.join("partial-snapshot-0000000000000001"), b"half").unwrap();
    let log = FileLog::open(&dir.0).unwrap();
    assert!(log.files().unwrap().is_empty());
    assert!(!dir.0.join("partial-snapshot-0000000000000001").exists());
}

#[cfg(unix)]
#[test]
fn secrets_are_readable_by_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let dir = Dir::new();
    let pki = Pki::open(dir.0.join("pki")).unwrap();
    Es256::open(&pki).unwrap();
    let identity = pki.client("admin", &["system:masters"]).unwrap();
    let path = dir.0.join("kubeconfig");
    // An old file with an open mode is replaced, not reused.
    std::fs::write(&path, "old").unwrap();
    let (server, ca_pem) = ("https://127.0.0.1:6443", pki.ca_pem());
    let config = Kubeconfig {
        name: "wavetank",
        server,
        ca_pem,
        identity: &identity,
        token: "t",
    };
    config.write(&path).unwrap();
    for secret in ["kubeconfig", "pki/ca.key", "pki/sa.key"] {
        let mode = std::fs::metadata(dir.0.join(secret))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{secret}");
    }
    let again = Pki::open(dir.0.join("pki")).unwrap();
    assert_eq!(again.ca_pem(), pki.ca_pem());
}

#[test]
fn a_token_is_good_for_its_own_key_alone_and_as_it_was_signed() {
    use wavetank_apiserver::TokenSigner;
    let dir = Dir::new();
    let pki = Pki::open(dir.0.join("pki")).unwrap();
    let signer = Es256::open(&pki).unwrap();
    let token = signer.sign(r#"{"sub":"system:serviceaccount:default:default"}"#);
    let claims = Es256::open(&pki).unwrap().verify(&token).unwrap();
    assert!(claims.contains("serviceaccount"));
    for n in 0..token.len() {
        let mut changed = token.clone().into_bytes();
        changed[n] = if changed[n] == b'A' { b'B' } else { b'A' };
        assert_eq!(
            signer.verify(std::str::from_utf8(&changed).unwrap()),
            None,
            "byte {n}"
        );
    }
    let other = Pki::open(dir.0.join("other")).unwrap();
    assert_eq!(Es256::open(&other).unwrap().verify(&token), None);
    assert_eq!(signer.verify(""), None);
}
