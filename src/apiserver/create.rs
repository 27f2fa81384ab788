//! POST: a new object.
//!
//! Upstream: `k8s.io/apiserver/pkg/endpoints/handlers/create.go` and `registry.Store.Create`.
//!
//! 1. A name is given to one object (A10): the key must not exist.
//! 2. The namespace is, in the transaction itself, the version that admission saw (A18).
//!
//! Book: `book/src/control-plane/apiserver.md`.

use wavetank_api::json::Value;

use wavetank_api::kinds::events;
use wavetank_api::{Guard, KindId, Status, Time};
use wavetank_store::{Compare, Key};

use crate::admit::admit;
use crate::call::{Call, WriteOptions};
use crate::core::{Core, Next};
use crate::managed;
use crate::metadata;
use crate::registry;
use crate::reply::Refusal;
use crate::route::{Route, no_such_path};
use crate::services;
use crate::strategy::Context;
use crate::write::{Current, Decision, Op, Outcome, Reply, SeenView, Write};

/// How often a generated name is drawn anew when it is taken (`maxNameGenerationCreateAttempts`).
const NAME_DRAWS_MAX: u32 = 8;

/// A create on its way.
#[derive(Clone, Debug)]
pub(crate) struct Create {
    /// The body, with the name that was drawn, if any.
    pub object: Value,
    /// Where it goes, name included.
    pub route: Route,
    /// Options of the request.
    pub options: WriteOptions,
    /// Whether the object comes from an apply patch: it knows its owners already.
    pub is_apply: bool,
    /// How many names were drawn.
    draws: u32,
}

/// Begins a POST to a collection.
pub(crate) fn begin(core: &mut Core, call: &mut Call, now: Time) -> Result<Next, Refusal> {
    let options = call.write_options("CreateOptions")?;
    let mut route = call.route.clone().ok_or_else(no_such_path)?;
    let mut object = call.decode_body(route.kind, options.validation)?;
    events::convert(&mut object, route.kind.stored_as());
    metadata::check_namespace(&mut object, &route.namespace)?;
    if !matches!(metadata::text(&object, "resourceVersion"), "" | "0") {
        let message = "resourceVersion should not be set on objects to be created";
        let reason = wavetank_api::status::Reason::Unknown;
        return Err(Status::failure(500, reason, message.to_string()).into());
    }
    let mut draws = 0;
    route.name = metadata::text(&object, "name").to_string();
    if route.name.is_empty() && !metadata::text(&object, "generateName").is_empty() {
        draws = 1;
        draw_name(core, &mut object, &mut route);
    }
    let create = Create {
        object,
        route,
        options,
        is_apply: false,
        draws,
    };
    Ok(create.start(core, call, now))
}

fn draw_name(core: &mut Core, object: &mut Value, route: &mut Route) {
    route.name = core
        .chance
        .generate_name(metadata::text(object, "generateName"));
    metadata::of(object).insert("name", route.name.as_str().into());
}

impl Create {
    /// A create that is no POST: an apply patch to a name that does not exist, or a PUT of a kind
    /// that allows it.
    pub fn of(object: Value, route: Route, options: WriteOptions, is_apply: bool) -> Self {
        Create {
            object,
            route,
            options,
            is_apply,
            draws: 0,
        }
    }

    fn start(self, core: &mut Core, call: &mut Call, now: Time) -> Next {
        let (kind, key) = (self.route.kind, self.route.key());
        let beside = namespace_key(&self.route).into_iter().collect();
        Write::new(Op::Create(self), kind, key, beside).attempt(core, call, now)
    }

    /// Decides on a create: refused when the name is taken.
    pub fn decide(
        mut self,
        write: &mut Write,
        core: &mut Core,
        call: &mut Call,
        current: &Current<'_>,
        now: Time,
    ) -> Result<Decision, Refusal> {
        if current.value.is_none() {
            return self.decide_new(write, core, call, now);
        }
        if self.draws == 0 {
            return Err(Status::already_exists(self.route.resource(), &self.route.name).into());
        }
        if self.draws >= NAME_DRAWS_MAX {
            return Err(Status::no_unique_name(self.route.resource(), &self.route.name, 1).into());
        }
        self.draws += 1;
        draw_name(core, &mut self.object, &mut self.route);
        write.key = self.route.key().into();
        write.op = Op::Create(self);
        Ok(Decision::new(Outcome::Again, Reply::Object(201)))
    }

    /// Decides on a create of a name that is free.
    pub fn decide_new(
        self,
        write: &mut Write,
        core: &mut Core,
        call: &mut Call,
        now: Time,
    ) -> Result<Decision, Refusal> {
        let Create {
            mut object,
            route,
            options,
            is_apply,
            ..
        } = self;
        let kind = route.kind.stored_as();
        let strategy = registry::strategy(kind);
        (strategy.default)(&mut object);
        let namespace_compare = compare_namespace(&route, write, core)?;
        let view = SeenView {
            cache: &core.cache,
            seen: &write.seen,
        };
        let guards = core.config.guards;
        admit(Some(&mut object), None, &route, call, &view, guards, now)?;
        let context = Context {
            now,
            namespace: &route.namespace,
            user: &call.user.name,
            dry_run: call.dry_run,
        };
        (strategy.prepare_create)(&mut object, &context);
        (strategy.default)(&mut object);
        let uid = core.chance.uuid();
        metadata::begin_life(&mut object, kind, uid, now);
        let mut errors = registry::validate_metadata(&object, kind);
        errors.extend((strategy.validate)(&object));
        if !errors.is_empty() {
            return Err(metadata::invalid(&route, &errors));
        }
        if !is_apply {
            managed::created(&mut object, &route, &options, now);
        }
        let allocation = services::allocate(core, write, &mut object, None, &route)?;
        let mut decision = Decision::new(Outcome::Put(object), Reply::Object(201));
        decision.compares.extend(namespace_compare);
        allocation.add_to(&mut decision);
        Ok(decision)
    }
}

/// The key of the namespace that an object is to live in.
pub(crate) fn namespace_key(route: &Route) -> Option<Key> {
    let is_inside = route.info().namespaced && !route.namespace.is_empty();
    is_inside.then(|| KindId::Namespace.key("", &route.namespace).into())
}

// ANCHOR: namespace
/// The namespace must be, at the moment of the commit, the version that admission saw:
/// an object can neither be born into a namespace that is going nor outlive it (A18).
fn compare_namespace(
    route: &Route,
    write: &Write,
    core: &Core,
) -> Result<Option<Compare>, Refusal> {
    let Some(key) = namespace_key(route) else {
        return Ok(None);
    };
    let revision = match write.seen.get(&key) {
        Some(live) => live.map(|kv| kv.mod_revision),
        None => core
            .cache
            .get(KindId::Namespace, "", &route.namespace)
            .map(|o| o.revision()),
    };
    match revision {
        Some(equals) if core.config.guards.on(Guard::M35) => {
            Ok(Some(Compare::ModRevision { key, equals }))
        }
        Some(_) => Ok(None),
        None => Err(metadata::namespace_not_found(&route.namespace)),
    }
}
// ANCHOR_END: namespace
