//! What the benches share: the scenarios that the figures in the book are about.
//!
//! Speed and memory are measured here and never in a test: machines are noisy.

use wavetank_sim::Scenario;

pub mod objects;

/// As in the binary: what is measured allocates as what is shipped.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `pods` replicas in Deployments of 500 on `nodes` nodes in three zones, for `until`.
/// With `eventful`, a rolling update of the first Deployment and the death of a node as well.
pub fn deployments(nodes: u32, pods: u32, until: &str, eventful: bool) -> Scenario {
    let mut text = format!(
        "cluster: {{ nodes: {nodes}, zones: [a, b, c], cpu: '64', memory: 256Gi, pods: 250 }}\n\
         until: {until}\nsteps:\n"
    );
    let each = 500.min(pods.max(1));
    for number in 0..pods.div_ceil(each) {
        let replicas = each.min(pods - number * each);
        text.push_str(&deployment(number, replicas));
    }
    if eventful {
        text.push_str(
            "  - at: 10m\n    patch:\n      object: deployments.apps/default/web-0\n      \
             merge: { spec: { template: { metadata: { annotations: { release: '2' } } } } }\n  \
             - { at: 20m, fail: node-1 }\n",
        );
    }
    match Scenario::parse(&text) {
        Ok(scenario) => scenario,
        Err(error) => panic!("the bench's own scenario is malformed: {error}"),
    }
}

fn deployment(number: u32, replicas: u32) -> String {
    format!(
        r#"  - at: 10s
    create:
      - apiVersion: apps/v1
        kind: Deployment
        metadata: {{ name: web-{number}, namespace: default }}
        spec:
          replicas: {replicas}
          selector: {{ matchLabels: {{ app: web-{number} }} }}
          template:
            metadata: {{ labels: {{ app: web-{number} }} }}
            spec:
              containers:
                - name: web
                  image: nginx:1.27
                  resources: {{ requests: {{ cpu: 100m, memory: 64Mi }} }}
                  readinessProbe: {{ httpGet: {{ path: /, port: 80 }} }}
                  livenessProbe: {{ httpGet: {{ path: /, port: 80 }} }}
"#
    )
}
