//! This machine against a board's profile.

use serde::Serialize;

use crate::config::service::{Needs, Profile};
use crate::error::Result;
use crate::health::Machine;

/// How this machine meets a profile.
#[derive(Debug, Serialize)]
pub(super) struct Fit {
    /// The profile.
    pub profile: &'static str,
    /// What it is for.
    pub title: String,
    /// What was looked at.
    pub checks: Vec<Check>,
}

/// One expectation.
#[derive(Debug, Serialize)]
pub(super) struct Check {
    /// What is expected.
    pub what: &'static str,
    /// Whether it is met.
    pub met: bool,
    /// In words, with the remedy where it is not met.
    pub told: String,
}

impl Fit {
    /// # Errors
    /// A profile that there is not.
    pub fn new(profile: &str, machine: &Machine) -> Result<Self> {
        let Profile { name, needs, settings } = Profile::find(profile, machine.board.as_deref())?;
        let number = |section: &str, key: &str| settings.get(section)?.get(key).cloned();
        let threads =
            number("model", "threads").and_then(|value| value.as_integer()).and_then(|n| usize::try_from(n).ok());
        let hot_c = number("governor", "hot_c").and_then(|value| value.as_float());
        Ok(Self { profile: name, checks: checks(&needs, threads, hot_c, machine), title: needs.title })
    }

    /// Whether all is as expected.
    pub fn is_met(&self) -> bool {
        self.checks.iter().all(|check| check.met)
    }
}

fn checks(needs: &Needs, threads: Option<usize>, hot_c: Option<f64>, machine: &Machine) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut check = |what, met, told: String| checks.push(Check { what, met, told });
    if !needs.device_tree.is_empty() {
        let board = machine.board.as_deref().unwrap_or("a machine without a device tree");
        let met = needs.device_tree.iter().any(|part| board.contains(part.as_str()));
        check("board", met, if met { board.into() } else { format!("this is {board}; use --profile auto") });
    }
    let wanted = threads.unwrap_or(1).max(needs.cores.min(threads.unwrap_or(needs.cores)));
    let cores = machine.threads;
    let few = format!("{cores}, and the profile takes {wanted} threads; set model.threads = {cores}");
    check("cores", cores >= wanted, if cores >= wanted { format!("{cores}, {wanted} needed") } else { few });
    if let Some(total) = machine.memory_total {
        let mib = total >> 20;
        let met = mib >= needs.memory_mib;
        let least = needs.memory_mib;
        let few = format!("{mib} MiB, and the profile expects {least}; use a smaller bundle");
        check("memory", met, if met { format!("{mib} MiB, {least} needed") } else { few });
    }
    let missing: Vec<&str> =
        needs.features.iter().map(String::as_str).filter(|f| !machine.cpu_features.contains(f)).collect();
    if !needs.features.is_empty() {
        let told = if missing.is_empty() {
            needs.features.join(" ")
        } else {
            format!("{} missing; kernels will be slower", missing.join(" "))
        };
        check("features", missing.is_empty(), told);
    }
    match machine.temperature_c {
        None => {
            check("heat", needs.throttles_c.is_none(), "no thermal zone tells; the governor sees the load alone".into())
        }
        Some(now) => {
            let limit = hot_c.unwrap_or(crate::health::GovernorSpec::default().hot_c);
            let hot = format!("{now:.0} °C, and the governor slows down at {limit:.0} °C; give it a cooler");
            check(
                "heat",
                now < limit,
                if now < limit { format!("{now:.0} °C, slowed from {limit:.0} °C on") } else { hot },
            );
        }
    }
    if needs.gpu {
        let met = !machine.gpus.is_empty();
        check("gpu", met, if met { machine.gpus.join(", ") } else { "none found; the CPU is used".into() });
    }
    checks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Machine {
        let mut machine = Machine::look();
        machine.board = Some("Raspberry Pi 5 Model B Rev 1.0".into());
        (machine.threads, machine.memory_total, machine.temperature_c) = (4, Some(4 << 30), Some(50.0));
        machine.cpu_features = vec!["neon", "fp16", "dotprod"];
        machine
    }

    #[test]
    fn a_board_meets_its_own_profile() {
        let fit = Fit::new("auto", &machine()).unwrap();
        assert!(fit.profile == "rpi5" && fit.is_met(), "{fit:?}");
    }

    #[test]
    fn what_is_missing_is_named_with_its_remedy() {
        let unmet = |change: &dyn Fn(&mut Machine)| {
            let mut machine = machine();
            change(&mut machine);
            let fit = Fit::new("rpi5", &machine).unwrap();
            fit.checks.into_iter().filter(|check| !check.met).map(|check| check.what).collect::<Vec<_>>()
        };
        assert_eq!(unmet(&|m| m.threads = 2), ["cores"]);
        assert_eq!(unmet(&|m| m.memory_total = Some(1 << 30)), ["memory"]);
        assert_eq!(unmet(&|m| m.cpu_features = vec!["neon"]), ["features"]);
        assert_eq!(unmet(&|m| m.temperature_c = Some(79.0)), ["heat"]);
        assert_eq!(unmet(&|m| m.temperature_c = None), ["heat"]);
        assert_eq!(unmet(&|m| m.board = None), ["board"]);
        assert!(Fit::new("rpi9", &machine()).is_err());
    }
}
