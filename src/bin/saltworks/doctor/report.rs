//! The report, for people (`Display`) and programs (`Serialize`).

use super::machine::Machine;
use anstyle::{AnsiColor, Style};
use saltworks::teacher::{RuntimeLibrary, Searched};
use saltworks::view::printable;
use std::fmt;

/// Column at which values begin.
const LABEL_WIDTH: usize = 16;

/// Everything that was found.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Doctor {
    pub(crate) saltworks_version: &'static str,
    pub(crate) runtime: Option<RuntimeLibrary>,
    pub(crate) runtime_problem: Option<String>,
    pub(crate) searched: Vec<Searched>,
    pub(crate) providers: Option<Vec<String>>,
    pub(crate) devices: Vec<Device>,
    /// Names of those that the project itself has never run a model on.
    pub(crate) unrun_devices: Vec<String>,
    pub(crate) machine: Machine,
}

/// A device on which a tiny model was tried.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Device {
    pub(crate) device: String,
    pub(crate) works: bool,
    pub(crate) problem: Option<String>,
}

impl Doctor {
    /// What `--device auto` would use.
    fn choice(&self) -> String {
        let works = |name: &str| self.devices.iter().any(|d| d.works && d.device == name);
        let reason = self
            .devices
            .iter()
            .find_map(|d| (d.device == "cuda").then_some(&d.problem));
        match (works("cuda"), works("cpu"), reason) {
            (true, ..) => "cuda: a session on it works".to_owned(),
            (false, true, Some(Some(problem))) => format!("cpu: {}", first_line(problem)),
            (false, true, _) => "cpu".to_owned(),
            (false, false, _) => "nothing: no device works".to_owned(),
        }
    }
}

impl fmt::Display for Doctor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        line(f, "saltworks", self.saltworks_version)?;
        heading(f, "ONNX Runtime")?;
        self.write_runtime(f)?;
        heading(f, "Devices")?;
        for device in &self.devices {
            let problem = device.problem.as_deref().map(first_line);
            mark(f, &device.device, device.works, problem.unwrap_or("works"))?;
        }
        line(f, "--device auto", &self.choice())?;
        let unrun = self.unrun_devices.join(", ");
        line(
            f,
            "untested",
            &format!("{unrun}: never tested by this project"),
        )?;
        heading(f, "Machine")?;
        self.machine.write(f)
    }
}

impl Doctor {
    fn write_runtime(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.runtime {
            Some(library) => {
                mark(f, "version", true, &library.version)?;
                line(f, "library", &library.path.display().to_string())?;
                line(f, "found by", &library.found_by)?;
            }
            None => {
                let problem = self.runtime_problem.as_deref().map(first_line);
                mark(f, "library", false, problem.unwrap_or_default())?;
            }
        }
        if let Some(providers) = &self.providers {
            line(f, "providers", &providers.join(", "))?;
        }
        for (idx, place) in self.searched.iter().enumerate() {
            let label = if idx == 0 { "looked in" } else { "" };
            let text = format!(
                "{}: {} ({})",
                place.place,
                place.path.display(),
                place.outcome
            );
            line(f, label, &text)?;
        }
        Ok(())
    }
}

impl Machine {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        line(f, "cpu", self.cpu.as_deref().unwrap_or(self.architecture))?;
        line(f, "cores", &self.cores.to_string())?;
        let features: Vec<String> = self
            .cpu_features
            .iter()
            .map(|(name, there)| {
                if *there {
                    (*name).to_owned()
                } else {
                    format!("no {name}")
                }
            })
            .collect();
        line(f, "instructions", &features.join(", "))?;
        let total = self.memory_total.map_or("unknown".to_owned(), gib);
        let available = self.memory_available.map_or("unknown".to_owned(), gib);
        let limit = self
            .memory_limit
            .map_or("no cgroup limit".to_owned(), |limit| {
                format!("cgroup limit {}", gib(limit))
            });
        line(
            f,
            "memory",
            &format!("{available} available of {total}, {limit}"),
        )?;
        let free = self.disk_free.map_or("unknown".to_owned(), gib);
        line(f, "disk", &format!("{free} free at {}", self.disk_path))?;
        let free = self.cache_free.map_or("unknown".to_owned(), gib);
        line(
            f,
            "copies of URLs",
            &format!("{free} free at {}", self.cache_path),
        )
    }
}

fn gib(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / (1u64 << 30) as f64)
}

/// ONNX Runtime's messages carry a stack of C++ below their first line.
fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

fn heading(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    let bold = Style::new().bold();
    writeln!(f, "\n{bold}{text}{bold:#}")
}

fn line(f: &mut fmt::Formatter<'_>, label: &str, text: &str) -> fmt::Result {
    writeln!(f, "  {label:LABEL_WIDTH$}{}", printable(text))
}

fn mark(f: &mut fmt::Formatter<'_>, label: &str, good: bool, text: &str) -> fmt::Result {
    let (colour, sign) = if good {
        (AnsiColor::Green, "ok")
    } else {
        (AnsiColor::Red, "no")
    };
    let style = Style::new().fg_color(Some(colour.into()));
    let text = printable(text);
    writeln!(f, "  {label:LABEL_WIDTH$}{style}{sign}{style:#}  {text}")
}
