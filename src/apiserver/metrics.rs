//! Numbers about requests, in the text format of Prometheus and under upstream's names.
//!
//! A server that renews its own key writes to the store without a request, as upstream's lease
//! reconciler does, and is not counted; the Endpoints that it then applies are, like upstream's.
//!
//! Book: `book/src/control-plane/apiserver.md`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use wavetank_api::kinds::KINDS;
use wavetank_api::{KindId, Time};

use crate::cache::{Cache, Scope};
use crate::call::Call;
use crate::route::Verb;

/// Upper ends of the duration buckets, in milliseconds.
const BUCKETS_MS: [u64; 12] = [
    5, 25, 50, 100, 200, 400, 600, 1000, 2000, 5000, 15_000, 60_000,
];

/// What is counted.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    /// Answers by what was asked and by code.
    requests: BTreeMap<(Labels, u16), u64>,
    durations: BTreeMap<Labels, Durations>,
    /// Changes handed to watches, per kind.
    watch_events: BTreeMap<KindId, u64>,
    /// Requests that wait, by whether they write.
    waiting: [i64; 2],
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Labels {
    verb: &'static str,
    group: &'static str,
    version: &'static str,
    resource: &'static str,
    subresource: &'static str,
    scope: &'static str,
    dry_run: bool,
}

#[derive(Clone, Debug, Default)]
struct Durations {
    buckets: [u64; BUCKETS_MS.len()],
    count: u64,
    sum_micros: u64,
}

impl Labels {
    fn of(call: &Call) -> Self {
        let Some(route) = &call.route else {
            return Labels {
                verb: call.verb.as_metric(),
                group: "",
                version: "",
                resource: "",
                subresource: "",
                scope: "",
                dry_run: false,
            };
        };
        let info = route.info();
        let scope = match (route.name.is_empty(), route.namespace.is_empty()) {
            (false, _) => "resource",
            (true, false) => "namespace",
            (true, true) => "cluster",
        };
        Labels {
            verb: call.verb.as_metric(),
            group: info.group,
            version: info.version,
            resource: info.plural,
            subresource: route.subresource,
            scope,
            dry_run: call.dry_run,
        }
    }
}

impl Metrics {
    /// A request has begun.
    pub fn begun(&mut self, call: &Call) {
        self.wait(call, 1);
    }

    /// A request that begun is over, whether it was answered or not.
    pub fn ended(&mut self, call: &Call) {
        self.wait(call, -1);
    }

    fn wait(&mut self, call: &Call, change: i64) {
        if let Some(count) = self.waiting.get_mut(usize::from(call.verb.writes()))
            && call.is_request
        {
            *count += change;
        }
    }

    /// A request was answered with this code.
    pub fn answered(&mut self, call: &Call, code: u16, now: Time) {
        if !call.is_request {
            return;
        }
        let labels = Labels::of(call);
        *self.requests.entry((labels.clone(), code)).or_default() += 1;
        if matches!(call.verb, Verb::Watch | Verb::Connect) {
            return;
        }
        let took = now.since(call.began);
        let durations = self.durations.entry(labels).or_default();
        durations.count += 1;
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        durations.sum_micros = durations.sum_micros.saturating_add(micros);
        for (bucket, upto) in durations.buckets.iter_mut().zip(BUCKETS_MS) {
            *bucket += u64::from(took.as_millis() <= u128::from(upto));
        }
    }

    /// A change was told to the watches of its kind.
    pub fn told(&mut self, kind: KindId) {
        *self.watch_events.entry(kind).or_default() += 1;
    }

    /// The whole exposition.
    pub fn render(&self, cache: &Cache, streams: usize) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = self.render_requests(&mut out);
        let _ = self.render_state(&mut out, cache, streams);
        out
    }

    fn render_requests(&self, out: &mut String) -> core::fmt::Result {
        header(
            out,
            "apiserver_request_total",
            "counter",
            "Counter of apiserver requests.",
        )?;
        for ((labels, code), count) in &self.requests {
            writeln!(
                out,
                "apiserver_request_total{{code=\"{code}\",{}}} {count}",
                labels.text()
            )?;
        }
        let name = "apiserver_request_duration_seconds";
        header(
            out,
            name,
            "histogram",
            "Response latency distribution in seconds.",
        )?;
        for (labels, durations) in &self.durations {
            let labels = labels.text();
            for (count, upto) in durations.buckets.iter().zip(BUCKETS_MS) {
                let (whole, rest) = (upto / 1000, upto % 1000);
                writeln!(
                    out,
                    "{name}_bucket{{{labels},le=\"{whole}.{rest:03}\"}} {count}"
                )?;
            }
            let Durations {
                count, sum_micros, ..
            } = durations;
            let (whole, rest) = (sum_micros / 1_000_000, sum_micros % 1_000_000);
            writeln!(out, "{name}_bucket{{{labels},le=\"+Inf\"}} {count}")?;
            writeln!(out, "{name}_sum{{{labels}}} {whole}.{rest:06}")?;
            writeln!(out, "{name}_count{{{labels}}} {count}")?;
        }
        Ok(())
    }

    fn render_state(&self, out: &mut String, cache: &Cache, streams: usize) -> core::fmt::Result {
        let name = "apiserver_current_inflight_requests";
        header(
            out,
            name,
            "gauge",
            "Requests that are being worked on, by kind of request.",
        )?;
        for (kind, count) in ["readOnly", "mutating"].iter().zip(self.waiting) {
            writeln!(out, "{name}{{request_kind=\"{kind}\"}} {count}")?;
        }
        let name = "apiserver_watch_events_total";
        header(
            out,
            name,
            "counter",
            "Number of events sent in watch clients.",
        )?;
        for (kind, count) in &self.watch_events {
            let info = kind.info();
            writeln!(
                out,
                "{name}{{group=\"{}\",kind=\"{}\",version=\"{}\"}} {count}",
                info.group, info.kind, info.version
            )?;
        }
        let name = "apiserver_longrunning_requests";
        header(out, name, "gauge", "Watches that are open.")?;
        writeln!(out, "{name}{{verb=\"WATCH\"}} {streams}")?;
        let name = "apiserver_storage_objects";
        header(out, name, "gauge", "Number of stored objects, by kind.")?;
        for info in KINDS.iter().filter(|info| info.id.stored_as() == info.id) {
            let scope = Scope {
                kind: info.id,
                namespace: String::new(),
            };
            let count = cache.count(&scope);
            writeln!(
                out,
                "{name}{{resource=\"{}\"}} {count}",
                info.group_resource()
            )?;
        }
        Ok(())
    }
}

fn header(out: &mut String, name: &str, of_type: &str, help: &str) -> core::fmt::Result {
    writeln!(out, "# HELP {name} {help}\n# TYPE {name} {of_type}")
}

impl Labels {
    fn text(&self) -> String {
        let Labels {
            verb,
            group,
            version,
            resource,
            subresource,
            scope,
            dry_run,
        } = self;
        let dry_run = if *dry_run { "All" } else { "" };
        format!(
            "component=\"apiserver\",dry_run=\"{dry_run}\",group=\"{group}\",\
             resource=\"{resource}\",scope=\"{scope}\",subresource=\"{subresource}\",\
             verb=\"{verb}\",version=\"{version}\""
        )
    }
}
