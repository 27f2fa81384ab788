//! CRI calls, one by one, in containerd's words where it refuses.
//!
//! Book: `book/src/simulator/runtime.md`.

use core::time::Duration;
use std::sync::Arc;

use wavetank_api::Time;
use wavetank_cri::call::{ExecResult, RuntimeStatus, Version};
use wavetank_cri::container::ContainerStats;
use wavetank_cri::image::FilesystemUsage;
use wavetank_cri::{
    Call, Code, ContainerConfig, ContainerId, Error, PodSandboxConfig, Reply, SandboxId,
    SandboxState,
};
use wavetank_informer::CallId;

use super::behavior::{Behavior, PREFIX, Script};
use super::exec::{self, Surroundings};
use super::instance::{Condition, End, Instance};
use super::{Due, Sandbox, SimRuntime};

type Answer = Result<Reply, Error>;

impl SimRuntime {
    /// Takes a call; its answer comes out of [`SimRuntime::poll`].
    pub fn call(&mut self, id: CallId, call: Call, now: Time) {
        match call {
            Call::RunPodSandbox(config) => self.run_pod_sandbox(id, &config, now),
            Call::StopPodSandbox(sandbox) => self.stop_pod_sandbox(id, &sandbox, now),
            Call::CreateContainer(sandbox, config) => {
                let answer = self.create_container(&sandbox, config, now);
                let takes = self.between(5, 30);
                self.answer(now + takes, id, answer);
            }
            Call::StartContainer(container) => self.start_container(id, container, now),
            Call::StopContainer(container, timeout) => {
                self.stop_container(id, &container, timeout, now);
            }
            Call::ExecSync(container, argv, timeout) => {
                let (takes, answer) = self.exec_sync(&container, &argv, timeout, now);
                self.answer(now + takes, id, answer);
            }
            Call::PullImage(image, config) => self.pull_image(id, &image, &config, now),
            other => {
                let answer = self.look(other, now);
                self.answer(now, id, answer);
            }
        }
    }

    /// Calls that are answered from what is known, or that only forget.
    fn look(&mut self, call: Call, now: Time) -> Answer {
        Ok(match call {
            Call::Version => Reply::Version(Version {
                runtime_name: SimRuntime::NAME.into(),
                runtime_version: "1.0.0".into(),
            }),
            Call::Status => Reply::Status(RuntimeStatus {
                runtime_ready: Ok(()),
                network_ready: Ok(()),
            }),
            Call::RemovePodSandbox(id) => {
                self.remove_pod_sandbox(&id);
                Reply::Done
            }
            Call::PodSandboxStatus(id) => self.pod_sandbox_status(&id)?,
            Call::ListPodSandbox => self.list_pod_sandbox(),
            Call::RemoveContainer(id) => {
                self.containers.remove(&id);
                Reply::Done
            }
            Call::ContainerStatus(id) => {
                let instance = self.known(&id)?;
                Reply::ContainerStatus(Box::new(instance.status(&id)))
            }
            Call::ListContainers => self.list_containers(),
            Call::ContainerStats(id) => Reply::ContainerStats(stats(&id, self.known(&id)?, now)),
            Call::ListContainerStats => {
                let running = self
                    .containers
                    .iter()
                    .filter(|(_, i)| i.running_since().is_some());
                let stats = running.map(|(id, instance)| stats(id, instance, now));
                Reply::ListContainerStats(stats.collect())
            }
            Call::ImageStatus(name) => Reply::ImageStatus(self.images.status(&name)),
            Call::ListImages => Reply::ListImages(self.images.list()),
            Call::RemoveImage(name) => {
                self.images.remove(&name);
                Reply::Done
            }
            Call::ImageFsInfo => Reply::ImageFsInfo(FilesystemUsage {
                used_bytes: self.images.bytes(),
                inodes_used: 0,
            }),
            other => {
                let text = format!("not a call that only looks: {other:?}");
                return Err(Error::new(Code::InvalidArgument, text));
            }
        })
    }

    fn known(&self, id: &ContainerId) -> Result<&Instance, Error> {
        let found = self.containers.get(id).map(|boxed| &**boxed);
        found.ok_or_else(|| Error::not_found("container", &id.0))
    }

    fn run_pod_sandbox(&mut self, call: CallId, config: &PodSandboxConfig, now: Time) {
        let takes = self.between(50, 150);
        let ip = if config.host_network {
            None
        } else {
            self.addresses.take()
        };
        if ip.is_none() && !config.host_network {
            let text =
                "failed to setup network for sandbox: no IP addresses available in range set";
            let error = Error::new(Code::Unknown, text);
            return self.answer(now + takes, call, Err(error));
        }
        let id = SandboxId(self.fresh_id());
        let script = config
            .annotations
            .iter()
            .filter(|(name, _)| name.starts_with(PREFIX));
        let sandbox = Sandbox {
            metadata: config.metadata.clone(),
            state: SandboxState::Ready,
            created_at: now + takes,
            ip,
            hostname: match config.host_network {
                true => self.config.name.clone(),
                false => config.hostname.clone(),
            },
            script: script
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
        };
        self.sandboxes.insert(id.clone(), sandbox);
        self.answer(now + takes, call, Ok(Reply::RunPodSandbox(id)));
    }

    /// What still runs in it is killed at once.
    fn stop_pod_sandbox(&mut self, call: CallId, id: &SandboxId, now: Time) {
        let inside = self
            .containers
            .iter()
            .filter(|(_, instance)| instance.sandbox == *id);
        let inside: Vec<ContainerId> = inside.map(|(id, _)| id.clone()).collect();
        for container in inside {
            self.at(now, Due::Killed(container));
        }
        if let Some(sandbox) = self.sandboxes.get_mut(id) {
            sandbox.state = SandboxState::NotReady;
            if let Some(ip) = sandbox.ip.take() {
                self.addresses.give_back(ip);
            }
        }
        let takes = self.between(10, 50);
        self.answer(now + takes, call, Ok(Reply::Done));
    }

    fn remove_pod_sandbox(&mut self, id: &SandboxId) {
        self.containers
            .retain(|_, instance| instance.sandbox != *id);
        if let Some(ip) = self.sandboxes.remove(id).and_then(|sandbox| sandbox.ip) {
            self.addresses.give_back(ip);
        }
    }

    fn pod_sandbox_status(&self, id: &SandboxId) -> Answer {
        let found = self
            .sandboxes
            .get(id)
            .ok_or_else(|| Error::not_found("sandbox", &id.0))?;
        Ok(Reply::PodSandboxStatus(Box::new(
            wavetank_cri::PodSandboxStatus {
                id: id.clone(),
                metadata: found.metadata.clone(),
                state: found.state,
                created_at: found.created_at,
                ip: found.ip.map(Into::into),
            },
        )))
    }

    fn list_pod_sandbox(&self) -> Reply {
        let all = self
            .sandboxes
            .iter()
            .map(|(id, s)| wavetank_cri::sandbox::PodSandbox {
                id: id.clone(),
                metadata: s.metadata.clone(),
                state: s.state,
                created_at: s.created_at,
            });
        Reply::ListPodSandbox(all.collect())
    }

    fn list_containers(&self) -> Reply {
        let all = self
            .containers
            .iter()
            .map(|(id, i)| wavetank_cri::container::Container {
                id: id.clone(),
                sandbox: i.sandbox.clone(),
                metadata: i.config.metadata.clone(),
                state: i.status(id).state,
            });
        Reply::ListContainers(all.collect())
    }

    fn create_container(
        &mut self,
        sandbox_id: &SandboxId,
        config: Arc<ContainerConfig>,
        now: Time,
    ) -> Answer {
        let sandbox = self.sandboxes.get(sandbox_id);
        let sandbox = sandbox.filter(|s| s.state == SandboxState::Ready);
        let sandbox = sandbox.ok_or_else(|| Error::not_found("sandbox", &sandbox_id.0))?;
        let image = self.images.status(&config.image);
        let image = image.ok_or_else(|| Error::not_found("image", &config.image))?;
        let mut others = self
            .containers
            .values()
            .filter(|i| i.sandbox == *sandbox_id);
        if others.any(|other| other.config.metadata == config.metadata) {
            let name = &config.metadata.name;
            let text = format!("failed to reserve container name \"{name}\": name is reserved");
            return Err(Error::new(Code::AlreadyExists, text));
        }
        let around = Surroundings {
            config: &config,
            sandbox: sandbox.view(),
            volumes: &self.volumes,
            now,
        };
        let behavior = Behavior::of(&config, &sandbox.script, &around, &mut self.chance);
        let instance = Instance::new(sandbox_id.clone(), config.clone(), image.id, behavior, now);
        let id = ContainerId(self.fresh_id());
        self.containers.insert(id.clone(), Box::new(instance));
        Ok(Reply::CreateContainer(id))
    }

    fn start_container(&mut self, call: CallId, id: ContainerId, now: Time) {
        let usual = self.between(20, 120);
        let takes = self.containers.get(&id).and_then(|instance| {
            let sandbox = self.sandboxes.get(&instance.sandbox)?;
            let container = &instance.config.metadata.name;
            Script {
                annotations: &sandbox.script,
                container,
            }
            .duration("start-time")
        });
        let instance = self.containers.get_mut(&id);
        let fresh = instance.filter(|i| !i.is_starting && i.ended.is_none());
        match fresh {
            Some(instance) => {
                instance.is_starting = true;
                self.at(now + takes.unwrap_or(usual), Due::Started(call, id));
            }
            None => {
                let text = format!("container {id} is not in created state");
                let error = Error::new(Code::FailedPrecondition, text);
                self.answer(now, call, Err(error));
            }
        }
    }

    fn stop_container(&mut self, call: CallId, id: &ContainerId, timeout: Duration, now: Time) {
        let Some(instance) = self.containers.get_mut(id) else {
            return self.answer(now, call, Err(Error::not_found("container", &id.0)));
        };
        if instance.ended.is_some() || instance.started_at.is_none() {
            return self.answer(now, call, Ok(Reply::Done));
        }
        let (at, end) = instance.stop(call, timeout, now);
        self.at(at, Due::Ended(id.clone(), end));
    }

    /// A probe or hook. A command that is not built in asks how the program is.
    fn exec_sync(
        &self,
        id: &ContainerId,
        argv: &[Arc<str>],
        timeout: Duration,
        now: Time,
    ) -> (Duration, Answer) {
        let quick = Duration::from_millis(5);
        let instance = match self.known(id) {
            Ok(instance) => instance,
            Err(error) => return (quick, Err(error)),
        };
        let question = argv.join(" ");
        let condition = instance.condition(&question, now);
        let deadline = || {
            Err(Error::new(
                Code::DeadlineExceeded,
                "context deadline exceeded",
            ))
        };
        let result = match condition {
            Condition::Gone => {
                let text = "failed to exec in container: container is not running";
                return (quick, Err(Error::new(Code::Unknown, text)));
            }
            Condition::Hung if !timeout.is_zero() => return (timeout, deadline()),
            _ => self.exec(id, argv, now),
        };
        let unready = condition != Condition::Well;
        let (stdout, code, takes) = match result {
            Ok(answer) if answer.is_known => (answer.stdout, answer.exit_code, answer.takes),
            _ => (String::new(), i32::from(unready), Some(Duration::ZERO)),
        };
        let takes = takes.unwrap_or(Duration::MAX).max(quick);
        if !timeout.is_zero() && takes > timeout {
            return (timeout, deadline());
        }
        let exit_code = if unready && code == 0 { 1 } else { code };
        let reply = ExecResult {
            stdout: stdout.into_bytes(),
            stderr: Vec::new(),
            exit_code,
        };
        (takes, Ok(Reply::ExecSync(reply)))
    }

    fn pull_image(&mut self, call: CallId, image: &str, config: &PodSandboxConfig, now: Time) {
        let script = Script {
            annotations: &config.annotations,
            container: "",
        };
        let host = image.split('/').next().unwrap_or_default();
        let refused = script.text("pull-error").map(str::to_string).or_else(|| {
            // RFC 2606: names under `invalid` never resolve.
            host.ends_with(".invalid").then(|| {
                format!(
                    "failed to pull and unpack image \"{image}\": failed to resolve reference \
                     \"{image}\": dial tcp: lookup {host}: no such host"
                )
            })
        });
        if let Some(text) = refused {
            let takes = self.between(200, 800);
            return self.answer(now + takes, call, Err(Error::new(Code::Unknown, text)));
        }
        let (name, takes) = self.images.pull(image, call);
        if let Some(takes) = takes {
            let takes = script.duration("pull-time").unwrap_or(takes);
            self.at(now + takes, Due::Pulled(name));
        }
    }

    /// Carries out a command in a running container, as `kubectl exec` does.
    pub fn exec(
        &self,
        id: &ContainerId,
        argv: &[Arc<str>],
        now: Time,
    ) -> Result<exec::ExecAnswer, Error> {
        let instance = self.known(id)?;
        let sandbox = self.sandboxes.get(&instance.sandbox);
        let Some(sandbox) = sandbox.filter(|_| instance.running_since().is_some()) else {
            let text = format!("container {id} is not running");
            return Err(Error::new(Code::FailedPrecondition, text));
        };
        let around = Surroundings {
            config: &instance.config,
            sandbox: sandbox.view(),
            volumes: &self.volumes,
            now,
        };
        Ok(exec::run(argv, &around))
    }
}

impl Sandbox {
    /// What a program sees of its sandbox.
    fn view(&self) -> exec::SandboxView<'_> {
        exec::SandboxView {
            hostname: &self.hostname,
            ip: self.ip,
            script: &self.script,
        }
    }
}

/// A program that uses a hundredth of a core and 20 MB; more it does not do.
fn stats(id: &ContainerId, instance: &Instance, now: Time) -> ContainerStats {
    let age = instance
        .running_since()
        .map_or(Duration::ZERO, |since| now.since(since));
    ContainerStats {
        id: id.clone(),
        timestamp: now,
        cpu_nanoseconds: u64::try_from(age.as_nanos() / 100).unwrap_or(u64::MAX),
        memory_bytes: if age.is_zero() { 0 } else { 20_000_000 },
    }
}

impl SimRuntime {
    /// Puts an image on the node without a pull.
    pub fn preload(&mut self, image: &str) {
        self.images.preload(image);
    }

    /// Ends a running container from outside, as a fault: by SIGKILL or for its memory.
    pub fn kill(&mut self, id: &ContainerId, end: End, now: Time) {
        self.at(now, Due::Ended(id.clone(), end));
    }

    /// Stops a pod's sandbox as a fault; whether there was one that was ready.
    pub fn break_sandbox(&mut self, pod: &wavetank_api::Uid, now: Time) -> bool {
        let found = self.sandboxes.iter_mut().find(|(_, sandbox)| {
            sandbox.metadata.uid == *pod && sandbox.state == SandboxState::Ready
        });
        let Some((id, sandbox)) = found else {
            return false;
        };
        sandbox.state = SandboxState::NotReady;
        if let Some(ip) = sandbox.ip.take() {
            self.addresses.give_back(ip);
        }
        let id = id.clone();
        let inside = self
            .containers
            .iter()
            .filter(|(_, instance)| instance.sandbox == id);
        let inside: Vec<ContainerId> = inside.map(|(id, _)| id.clone()).collect();
        for container in inside {
            self.at(now, Due::Killed(container));
        }
        self.at(now, Due::Broken(pod.clone(), id));
        true
    }
}
