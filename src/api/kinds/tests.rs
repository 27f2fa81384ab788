//! Claims about the table of kinds.
//!
//! Book: `book/src/ground/wire.md`.

use super::*;

#[test]
fn each_id_is_the_index_of_its_row() {
    for (index, kind) in KINDS.iter().enumerate() {
        assert_eq!(kind.id as usize, index, "{}", kind.kind);
        assert_eq!(
            KindId::by_resource(kind.group, kind.version, kind.plural),
            Some(kind.id)
        );
        assert_eq!(KindId::by_kind(kind.api_version, kind.kind), Some(kind.id));
        let joined = match kind.group {
            "" => kind.version.to_string(),
            group => format!("{group}/{}", kind.version),
        };
        assert_eq!(kind.api_version, joined);
        assert!(kind.verbs.is_sorted() && kind.subresources.is_sorted_by_key(|s| s.name));
    }
    for (index, row) in VIRTUALS.iter().enumerate() {
        assert_eq!(row.id as usize, index, "{}", row.kind);
    }
}

#[test]
fn storage_keys_come_apart_as_they_were_put_together() {
    for kind in &KINDS {
        let namespace = if kind.namespaced { "default" } else { "" };
        let key = kind.id.key(namespace, "web-0");
        assert!(key.starts_with(kind.storage_prefix));
        assert_eq!(
            KindId::of_key(&key),
            Some((kind.id.stored_as(), namespace, "web-0")),
            "{key}"
        );
    }
    assert_eq!(
        KindId::Pod.key("default", "web-0"),
        "/registry/pods/default/web-0"
    );
    assert_eq!(
        KindId::Deployment.namespace_prefix(""),
        "/registry/deployments.apps/"
    );
    for foreign in [
        "",
        "/registry/",
        "/registry/pods",
        "/registry/pods/x",
        "/registry/pods//x",
        "/registry/pods/default/",
        "/registry/nodes/",
        "/other/pods/default/x",
    ] {
        assert_eq!(KindId::of_key(foreign), None, "{foreign}");
    }
}

#[test]
fn events_of_both_groups_share_their_storage() {
    assert_eq!(
        KindId::Event.storage_prefix(),
        KindId::EventsEvent.storage_prefix()
    );
    assert_eq!(KindId::EventsEvent.stored_as(), KindId::Event);
    for id in KindId::all().filter(|id| *id != KindId::EventsEvent) {
        let sharing = KINDS
            .iter()
            .filter(|k| k.storage_prefix == id.storage_prefix());
        assert!(sharing.count() == 1 || id == KindId::Event);
    }
}

#[test]
fn delete_options_are_part_of_every_group() {
    assert_eq!(
        VirtualId::by_kind("apps/v1", "DeleteOptions"),
        Some(VirtualId::DeleteOptions)
    );
    assert_eq!(
        VirtualId::by_kind("policy/v1", "Eviction"),
        Some(VirtualId::Eviction)
    );
    assert_eq!(VirtualId::by_kind("apps/v1", "Eviction"), None);
}
