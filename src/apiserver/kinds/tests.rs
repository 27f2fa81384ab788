//! What holds for all kinds: the invariants of `kinds.rs`, on good objects and on broken ones.
//!
//! Book: `book/src/control-plane/kinds.md`.

use proptest::prelude::*;
use wavetank_api::json::{Map, Value, json};
use wavetank_api::schema::{Field, Schema, Shape, TypeId};
use wavetank_api::{Guards, KindId, Time, strict};

use super::object_meta;
use crate::object::{Paths, sparse};
use crate::strategies;
use crate::strategy::{Context, DeleteOptions};

const NOW: Time = Time::from_secs(1_000_000);

/// One good object of each kind, with as much in it as the rules look at.
fn good(kind: KindId) -> Value {
    let mut object = match kind {
        KindId::ConfigMap => json!({"data": {"a": "1"}, "binaryData": {"b": "MQ=="}}),
        KindId::Secret => json!({"stringData": {"tls.crt": "c", "tls.key": "k"},
            "type": "kubernetes.io/tls"}),
        KindId::Endpoints => json!({"subsets": [{"addresses": [{"ip": "10.0.0.1"}],
            "ports": [{"port": 80}]}]}),
        KindId::EndpointSlice => json!({"addressType": "IPv4", "ports": [{"port": 80}],
            "endpoints": [{"addresses": ["10.0.0.1"], "nodeName": "n1"}]}),
        KindId::Event | KindId::EventsEvent => json!({"type": "Normal", "reason": "Pulled",
            "eventTime": "2026-01-02T03:04:05.000006Z", "action": "Pulling", "message": "done",
            "reportingComponent": "kubelet", "reportingInstance": "n1",
            "involvedObject": {"kind": "Pod", "name": "web-0", "namespace": "default"}}),
        KindId::Lease => json!({"spec": {"holderIdentity": "a", "leaseDurationSeconds": 15}}),
        KindId::Node => json!({"spec": {"podCIDRs": ["10.0.0.0/24"],
            "taints": [{"key": "a", "effect": "NoSchedule"}]},
            "status": {"capacity": {"cpu": "4", "memory": "8192Mi"}}}),
        KindId::Pod => json!({"spec": pod_spec()}),
        KindId::Deployment | KindId::ReplicaSet => json!({"spec": {"replicas": 3,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": pod_spec()}}}),
        KindId::Service => json!({"spec": {"type": "NodePort", "selector": {"app": "web"},
            "ports": [{"port": 80, "targetPort": "http", "nodePort": 30080}]}}),
        KindId::PriorityClass => json!({"value": 7}),
        KindId::Namespace | KindId::ServiceAccount => json!({}),
    };
    let info = kind.info();
    object["apiVersion"] = json!(info.api_version);
    object["kind"] = json!(info.kind);
    object["metadata"] = json!({"name": "web", "labels": {"app": "web"}});
    if info.namespaced {
        object["metadata"]["namespace"] = json!("default");
    }
    object
}

fn pod_spec() -> Value {
    json!({
        "containers": [{"name": "web", "image": "nginx", "ports": [{"containerPort": 80}],
            "env": [{"name": "N", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
                {"name": "L", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}}],
            "envFrom": [{"configMapRef": {"name": "web"}}],
            "resources": {"limits": {"cpu": 0.5, "memory": "64Mi"}},
            "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
            "livenessProbe": {"httpGet": {"port": 80}}, "readinessProbe": {"grpc": {"port": 81}},
            "lifecycle": {"preStop": {"sleep": {"seconds": 3}}},
            "securityContext": {"runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}}}],
        "initContainers": [{"name": "first", "image": "busybox:1"},
            {"name": "side", "image": "busybox:1", "restartPolicy": "Always",
                "startupProbe": {"exec": {"command": ["true"]}}}],
        "volumes": [{"name": "tmp"}, {"name": "conf", "configMap": {"name": "web"}},
            {"name": "all", "projected": {"sources": [{"secret": {"name": "s"}},
                {"downwardAPI": {"items": [{"path": "l",
                    "fieldRef": {"fieldPath": "metadata.labels"}}]}}]}},
            {"name": "host", "hostPath": {"path": "/var"}}],
        "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
            {"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "web"}}}]}},
        "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone",
            "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {}}],
        "tolerations": [{"operator": "Exists"}], "hostAliases": [{"ip": "10.0.0.9",
            "hostnames": ["db"]}], "readinessGates": [{"conditionType": "example.com/up"}]})
}

/// Runs every function of a kind's strategy, as a create, an update and a read would.
fn run_all(kind: KindId, object: &Value, old: &Value) {
    let strategy = strategies::of(kind);
    let context = Context {
        now: NOW,
        namespace: "default",
        user: "admin",
        dry_run: false,
    };
    let mut created = object.clone();
    (strategy.default)(&mut created);
    (strategy.prepare_create)(&mut created, &context);
    let _ = (strategy.validate)(&created).to_string();
    let _ = object_meta::validate(&created, kind.info().namespaced, strategy.name_rule);
    let _ = object_meta::validate_update(object, old, Guards::default());
    let mut updated = object.clone();
    (strategy.prepare_update)(&mut updated, old);
    let _ = (strategy.validate_update)(&updated, old).to_string();
    let mut status = object.clone();
    (strategy.prepare_status)(&mut status, old);
    let _ = (strategy.validate_status)(&status, old).to_string();
    let _ = strategies::validate_ephemeral_containers(object, old);
    let _ = (strategy.fields)(object);
    assert_eq!((strategy.row)(object, NOW).len(), strategy.columns.len());
    let _ = (strategy.graceful)(object, &DeleteOptions::default());
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z0-9./:%-]{0,6}".prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map("[a-z]{1,4}", inner, 0..3)
                .prop_map(|map| Value::from(map.into_iter().collect::<Map>())),
        ]
    })
}

/// A value of the schema's type: most fields are there, and words are those that rows look for.
fn any_of_type(schema: &'static Schema, of: TypeId, depth: u32) -> BoxedStrategy<Value> {
    let word = prop::sample::select(vec![
        "",
        "a",
        "b",
        "True",
        "Ready",
        "Initialized",
        "PodScheduled",
        "Always",
        "Failed",
        "NodeLost",
        "ClusterIP",
        "LoadBalancer",
        "ExternalName",
        "InternalIP",
        "Exists",
        "SchedulingGated",
        "1970-01-02T03:04:05Z",
    ]);
    let word = word.prop_map(Value::from);
    let label = prop::sample::select(vec![
        "app",
        "kubernetes.io/role",
        "node-role.kubernetes.io/a",
    ]);
    match schema.shape(of) {
        _ if depth == 0 => Just(Value::Null).boxed(),
        Shape::Bool => any::<bool>().prop_map(Value::from).boxed(),
        Shape::Int32 | Shape::Int64 => (0..4_i64).prop_map(Value::from).boxed(),
        Shape::Float => Just(json!(0.5)).boxed(),
        Shape::IntOrString => prop_oneof![(0..4_i64).prop_map(Value::from), word].boxed(),
        Shape::Any
        | Shape::String
        | Shape::Bytes
        | Shape::Time
        | Shape::MicroTime
        | Shape::Quantity => word.boxed(),
        Shape::List(item) => prop::collection::vec(any_of_type(schema, item, depth - 1), 0..3)
            .prop_map(Value::from)
            .boxed(),
        Shape::Map(item) => {
            prop::collection::btree_map(label, any_of_type(schema, item, depth - 1), 0..3)
                .prop_map(|map| map.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())
                .boxed()
        }
        Shape::Struct => {
            let field = |field: &'static Field| {
                let value = any_of_type(schema, field.ty, depth - 1);
                (
                    Just(field.name.to_string()),
                    prop::option::weighted(0.8, value),
                )
            };
            let fields: Vec<_> = schema.fields(of).iter().map(field).collect();
            fields
                .prop_map(|fields| {
                    let there = |(name, value): (String, Option<Value>)| Some((name, value?));
                    Value::Object(fields.into_iter().filter_map(there).collect())
                })
                .boxed()
        }
    }
}

fn any_kind() -> impl Strategy<Value = KindId> {
    (0..KindId::all().len()).prop_map(|at| KindId::all().nth(at).unwrap())
}

/// Puts `graft` in place of the `at`-th value of an object, counted in depth.
fn graft(object: &mut Value, at: &mut usize, graft: &Value) {
    if *at == 0 {
        *object = graft.clone();
    }
    *at = at.wrapping_sub(1);
    match object {
        Value::Array(items) => items
            .make_mut()
            .iter_mut()
            .for_each(|item| self::graft(item, at, graft)),
        Value::Object(map) => map
            .values_mut()
            .for_each(|value| self::graft(value, at, graft)),
        _ => {}
    }
}

#[test]
fn defaults_are_set_only_where_they_are_said_to_be() {
    for kind in KindId::all() {
        let strategy = strategies::of(kind);
        let sent = good(kind);
        let only = |object: &Value| -> Value {
            let fields = object.as_object().into_iter().flatten();
            let said = fields.filter(|(name, _)| strategy.defaulted.contains(&name.as_str()));
            said.map(|(name, value)| (name.clone(), value.clone()))
                .collect()
        };
        let (mut whole, mut part) = (sent.clone(), only(&sent));
        (strategy.default)(&mut whole);
        (strategy.default)(&mut part);
        assert_eq!(only(&whole), part, "{kind:?} reads other fields");
        for (name, value) in whole.as_object().into_iter().flatten() {
            let is_said = strategy.defaulted.contains(&name.as_str());
            assert!(is_said || sent.get(name) == Some(value), "{kind:?}: {name}");
        }
    }
}

#[test]
fn good_objects_stay_good() {
    for kind in KindId::all() {
        let strategy = strategies::of(kind);
        let mut object = good(kind);
        (strategy.default)(&mut object);
        let context = Context {
            now: NOW,
            namespace: "default",
            user: "admin",
            dry_run: false,
        };
        (strategy.prepare_create)(&mut object, &context);
        for _ in 0..2 {
            assert_eq!((strategy.validate)(&object).to_string(), "[]", "{kind:?}");
            let update = (strategy.validate_update)(&object, &object);
            assert_eq!(update.to_string(), "[]", "{kind:?}");
            (strategy.default)(&mut object);
        }
        let namespaced = kind.info().namespaced;
        let meta = object_meta::validate(&object, namespaced, strategy.name_rule);
        assert_eq!(meta.to_string(), "[]", "{kind:?}");
        let mut again = object.clone();
        (strategy.prepare_update)(&mut again, &object);
        assert_eq!(again, object, "{kind:?}: an update that changes nothing");
    }
}

#[test]
fn a_row_has_a_cell_for_each_column() {
    for kind in KindId::all() {
        run_all(kind, &good(kind), &good(kind));
        assert!(
            strategies::of(kind)
                .columns
                .iter()
                .any(|column| column.format == "name")
        );
    }
}

#[test]
fn every_column_has_a_description() {
    for kind in KindId::all() {
        for column in strategies::of(kind).columns {
            let text = strategies::description(kind, column);
            assert!(text.len() > 10, "{kind:?}: {}", column.name);
        }
    }
}

/// What defaulting and preparing write has the type and the name that the schema says.
#[test]
fn good_objects_fit_their_schema() {
    for kind in KindId::all().filter(|kind| *kind == kind.stored_as()) {
        let strategy = strategies::of(kind);
        let mut object = good(kind);
        let context = Context {
            now: NOW,
            namespace: "default",
            user: "admin",
            dry_run: false,
        };
        (strategy.default)(&mut object);
        (strategy.prepare_create)(&mut object, &context);
        let complaints = strict::check(&mut object, Schema::builtin().kind(kind));
        assert_eq!(
            complaints.map_err(|error| error.to_string()),
            Ok(Vec::new()),
            "{kind:?}"
        );
    }
}

proptest! {
    #[test]
    fn no_function_panics_on_arbitrary_json(
        kind in any_kind(), object in any_json(), old in any_json(),
    ) {
        run_all(kind, &object, &old);
    }

    #[test]
    fn no_function_panics_on_a_good_object_with_something_strange_in_it(
        kind in any_kind(), strange in any_json(), mut at in 0..120_usize,
    ) {
        let mut object = good(kind);
        graft(&mut object, &mut at, &strange);
        run_all(kind, &object, &good(kind));
        run_all(kind, &good(kind), &object);
    }

    #[test]
    fn fields_and_rows_look_only_where_their_paths_lead(
        (kind, object) in any_kind().prop_flat_map(|kind| {
            let schema = Schema::builtin();
            (Just(kind), any_of_type(schema, schema.kind(kind.stored_as()), 7))
        }),
    ) {
        let strategy = strategies::of(kind);
        let text = object.to_string();
        let seen = |paths: &[&'static str]| {
            sparse::decode(text.as_bytes(), &Paths::new(paths.iter().copied())).unwrap()
        };
        let headers = seen(&[strategy.field_paths, &["metadata.labels"]].concat());
        prop_assert_eq!((strategy.fields)(&headers), (strategy.fields)(&object));
        let names = |object| (strategy.fields)(object).into_iter().map(|(name, _)| name);
        prop_assert!(names(&object).eq(names(&Value::Null)));
        let common = &["metadata.name", "metadata.creationTimestamp"];
        let row = seen(&[strategy.row_paths, common].concat());
        prop_assert_eq!((strategy.row)(&row, NOW), (strategy.row)(&object, NOW));
    }

    #[test]
    fn defaulting_twice_is_defaulting_once(
        kind in any_kind(), strange in any_json(), mut at in 0..120_usize,
    ) {
        let strategy = strategies::of(kind);
        let mut once = good(kind);
        graft(&mut once, &mut at, &strange);
        (strategy.default)(&mut once);
        let mut twice = once.clone();
        (strategy.default)(&mut twice);
        prop_assert_eq!(once, twice);
    }
}
