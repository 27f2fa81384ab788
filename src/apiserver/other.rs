//! Everything that is no resource: health, version, metrics, discovery, OpenAPI.
//!
//! Upstream: `k8s.io/apiserver/pkg/server/{healthz,routes}`.
//!
//! Book: `book/src/control-plane/apiserver.md`.

use bytes::Bytes;
use wavetank_api::json::{Value, json};

use wavetank_api::discovery::{self, Aggregated};
use wavetank_api::openapi::Document;
use wavetank_api::{Method, Request, Response, openapi};

use crate::call::Call;
use crate::core::Core;
use crate::negotiate::JSON;
use crate::reply::Answer;
use crate::route::{method_not_allowed, no_such_path};

/// What `/readyz` and `/livez` check, by name.
const CHECKS: [&str; 4] = [
    "ping",
    "etcd",
    "informer-sync",
    "poststarthook/start-system-namespaces",
];

/// Answers a path that is no resource.
pub(crate) fn answer(
    core: &mut Core,
    call: &Call,
    request: &Request,
    segments: &[String],
) -> Answer {
    let path: Vec<&str> = segments.iter().map(String::as_str).collect();
    let is_api = matches!(path.first(), Some(&("api" | "apis")));
    if request.method == Method::Post && is_api {
        return no_such_path().into();
    }
    if !matches!(request.method, Method::Get | Method::Head) {
        return method_not_allowed().into();
    }
    let found = match path.as_slice() {
        [] => Some(paths()),
        ["healthz" | "livez" | "readyz", check @ ..] => Some(health(core, call, &path, check)),
        ["version"] => Some(json_answer(version().to_string())),
        ["metrics"] => {
            let text = core.metrics.render(&core.cache, core.streams.count());
            Some(Response::new(200, "text/plain; version=0.0.4", text))
        }
        ["api" | "apis", ..] => discover(core, request, &path),
        ["openapi", "v2"] => Some(describe_at_once(request)),
        ["openapi", "v3", rest @ ..] => describe(request, rest),
        _ => None,
    };
    found.map_or_else(|| no_such_path().into(), Answer::Plain)
}

fn json_answer(body: impl Into<Bytes>) -> Response {
    Response::new(200, JSON, body)
}

fn paths() -> Response {
    let paths = [
        "/api",
        "/apis",
        "/healthz",
        "/livez",
        "/metrics",
        "/openapi/v2",
        "/openapi/v3",
        "/readyz",
        "/version",
    ];
    json_answer(json!({"paths": paths}).to_string())
}

fn version() -> Value {
    json!({"major": "1", "minor": "33", "emulationMajor": "1", "emulationMinor": "33",
           "minCompatibilityMajor": "1", "minCompatibilityMinor": "32",
           "gitVersion": concat!("v1.33.0+wavetank.", env!("CARGO_PKG_VERSION")),
           "gitCommit": "", "gitTreeState": "clean", "buildDate": "1970-01-01T00:00:00Z",
           "goVersion": "none (rust)", "compiler": "rustc", "platform": "linux/amd64"})
}

/// `/readyz`, `/readyz/ping`, `?verbose`, `?exclude=etcd`.
fn health(core: &Core, call: &Call, path: &[&str], check: &[&str]) -> Response {
    let name = path.first().copied().unwrap_or_default();
    let is_ready = core.cache.is_ready();
    let passes = |check: &str| is_ready || name == "livez" || check == "ping";
    let asked = check.join("/");
    if !asked.is_empty() {
        return match CHECKS.contains(&asked.as_str()) {
            true if passes(&asked) => Response::new(200, "text/plain; charset=utf-8", "ok"),
            true => Response::new(
                500,
                "text/plain; charset=utf-8",
                "internal server error: not ready\n",
            ),
            false => Response::new(404, "text/plain; charset=utf-8", "404 page not found\n"),
        };
    }
    let mut lines = String::new();
    let mut is_good = true;
    for check in CHECKS {
        if call.query.all("exclude").any(|excluded| excluded == check) {
            lines.push_str(&format!("[+]{check} excluded: ok\n"));
        } else if passes(check) {
            lines.push_str(&format!("[+]{check} ok\n"));
        } else {
            is_good = false;
            lines.push_str(&format!("[-]{check} failed: reason withheld\n"));
        }
    }
    let (code, body) = match (is_good, call.query.has("verbose")) {
        (true, false) => (200, "ok".to_string()),
        (true, true) => (200, format!("{lines}{name} check passed\n")),
        (false, _) => (500, format!("{lines}{name} check failed\n")),
    };
    Response::new(code, "text/plain; charset=utf-8", body)
}

fn discover(core: &Core, request: &Request, path: &[&str]) -> Option<Response> {
    let aggregated = aggregated(request);
    let whole = |aggregated: Aggregated, body: Bytes| {
        let mut response = Response::new(200, aggregated.content_type(), body);
        response.headers.push("vary", "Accept");
        response
    };
    Some(match (path, aggregated) {
        (["api"], Some(version)) => whole(version, version.core()),
        (["apis"], Some(version)) => whole(version, version.groups()),
        (["api"], None) => {
            let at = core.config.advertise;
            json_answer(discovery::api_versions(&format!("{}:{}", at.ip, at.port)))
        }
        (["apis"], None) => json_answer(discovery::group_list()),
        (["api", version], _) => json_answer(discovery::resource_list("", version)?),
        (["apis", group], _) => json_answer(discovery::group(group)?),
        (["apis", group, version], _) => json_answer(discovery::resource_list(group, version)?),
        _ => return None,
    })
}

/// Which aggregated form the client prefers over the plain one, if any.
fn aggregated(request: &Request) -> Option<Aggregated> {
    let accept = request.headers.value("accept")?;
    for range in accept.split(',') {
        if !range.contains("as=APIGroupDiscoveryList") {
            continue;
        }
        let has = |parameter: &str| range.split(';').any(|p| p.trim() == parameter);
        if has("v=v2") {
            return Some(Aggregated::V2);
        }
        if has("v=v2beta1") {
            return Some(Aggregated::V2Beta1);
        }
    }
    None
}

/// OpenAPI v3, with entity tags so that clients ask once.
fn describe(request: &Request, rest: &[&str]) -> Option<Response> {
    if rest.is_empty() {
        return Some(json_answer(openapi::index()));
    }
    let document = openapi::document(&rest.join("/"))?;
    Some(tagged(request, document, JSON))
}

/// OpenAPI v2, in the form that the client takes.
fn describe_at_once(request: &Request) -> Response {
    let accept = request.headers.value("accept").unwrap_or_default();
    let [name, deprecated] = openapi::V2_PROTOBUF;
    let protobuf = accept.contains(name) || accept.contains(deprecated);
    let form = if protobuf { name } else { JSON };
    tagged(request, openapi::v2(protobuf), form)
}

fn tagged(request: &Request, document: &Document, form: &'static str) -> Response {
    let tag = format!("\"{}\"", document.hash);
    let is_known = request
        .headers
        .value("if-none-match")
        .is_some_and(|known| known.contains(&tag));
    let mut response = match is_known {
        true => Response::new(304, form, Bytes::new()),
        false => Response::new(200, form, document.body.clone()),
    };
    response.headers.push("etag", tag);
    response
}
