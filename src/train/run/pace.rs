//! Speed of a run: tokens per second, fraction of the machine's peak, time left.

use super::inputs::Inputs;
use super::state::TrainState;
use super::step::StepReport;
use super::validation::ValidationReport;
use serde::Serialize;
use std::time::{Duration, Instant};

/// Name of the event of every step but the last.
const EVENT: &str = "progress";
/// Name of the event at the end.
const LAST_EVENT: &str = "trained";

/// What is known after a step. Tokens are predicted positions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Snapshot {
    /// `progress`, and `trained` for the last one.
    pub event: &'static str,
    /// Steps done.
    pub step: u64,
    /// Steps of the run.
    pub n_steps: u64,
    /// 1 or 2.
    pub stage: u8,
    /// Mean loss of the step, nats.
    pub loss: f64,
    /// Mean NLL of the latest validation of this process, nats.
    pub validation_nll: Option<f64>,
    /// Tokens per second over the steps of this process.
    pub tokens_per_s: f64,
    /// Model FLOPs per second as a fraction of what matrix products reach on this machine, at most 1. That peak is
    /// measured at the start, every ten minutes, and when a step is faster, under whatever load the machine has.
    pub mfu: f64,
    /// Seconds left at that speed, without validations and checkpoints.
    pub eta_s: Option<f64>,
}

impl Snapshot {
    /// Whether this is the last one.
    pub fn is_last(&self) -> bool {
        self.event == LAST_EVENT
    }

    /// The same at the end of the run, after `validation`.
    pub(super) fn as_last(self, validation: Option<&ValidationReport>) -> Self {
        Self {
            event: LAST_EVENT,
            validation_nll: validation.map(rounded_nll),
            ..self
        }
    }
}

/// Interval at which the peak is measured again: other load on the machine may have ended.
const PROBE_INTERVAL: Duration = Duration::from_secs(600);
/// Minimum interval between two measurements, each of which takes about a tenth of a second.
const MIN_PROBE_INTERVAL: Duration = Duration::from_secs(20);

/// The highest number of floating-point operations per second that the machine has reached.
pub(super) struct Peak {
    flops: f64,
    probe: Box<dyn Fn() -> f64>,
    probed: Instant,
}

impl Peak {
    /// Measures it with `probe`, now and again during training.
    pub(super) fn new(probe: impl Fn() -> f64 + 'static) -> Self {
        Self {
            flops: probe(),
            probe: Box::new(probe),
            probed: Instant::now(),
        }
    }

    /// Takes a step at `flops` per second into account.
    fn observe(&mut self, flops: f64) {
        let since = self.probed.elapsed();
        self.observe_after(since, flops);
    }

    fn observe_after(&mut self, since: Duration, flops: f64) {
        let is_faster = flops > self.flops && since >= MIN_PROBE_INTERVAL;
        if is_faster || since >= PROBE_INTERVAL {
            self.flops = self.flops.max((self.probe)());
            self.probed = Instant::now();
        }
        // A step is also a measurement, and the probe may have competed with other processes.
        self.flops = self.flops.max(flops);
    }

    /// `flops` per second as a fraction of the peak, from 0 to 1.
    fn share(&self, flops: f64) -> f64 {
        (flops / self.flops).min(1.0)
    }
}

/// Speed over all steps of this process, and since the last log line.
pub(super) struct Pace {
    n_steps: u64,
    flops_per_token: f64,
    peak: Peak,
    step_began: Instant,
    n_steps_here: u64,
    whole: Throughput,
    recent: Throughput,
}

/// Positions, and the seconds that they took.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Throughput {
    n_tokens: u64,
    seconds: f64,
}

impl Throughput {
    fn tokens_per_s(self) -> f64 {
        self.n_tokens as f64 / self.seconds.max(1e-9)
    }
}

impl Pace {
    /// To be created before the first step of this process.
    pub(super) fn new(inputs: &Inputs, peak: Peak) -> Self {
        Self {
            n_steps: inputs.config.train.steps,
            flops_per_token: inputs.spec.flops_per_token(inputs.seq_len()),
            peak,
            step_began: Instant::now(),
            n_steps_here: 0,
            whole: Throughput::default(),
            recent: Throughput::default(),
        }
    }

    pub(super) fn begin_step(&mut self) {
        self.step_began = Instant::now();
    }

    /// Ends a step of `n_tokens` positions; returns the seconds that it took.
    pub(super) fn end_step(&mut self, n_tokens: u64) -> f64 {
        let seconds = self.step_began.elapsed().as_secs_f64();
        self.n_steps_here += 1;
        for throughput in [&mut self.whole, &mut self.recent] {
            throughput.n_tokens += n_tokens;
            throughput.seconds += seconds;
        }
        let step = Throughput { n_tokens, seconds };
        self.peak
            .observe(step.tokens_per_s() * self.flops_per_token);
        seconds
    }

    /// Tokens per second and MFU since the last call.
    pub(super) fn take_recent(&mut self) -> (f64, f64) {
        let tokens_per_s = std::mem::take(&mut self.recent).tokens_per_s();
        (tokens_per_s, self.mfu(tokens_per_s))
    }

    fn mfu(&self, tokens_per_s: f64) -> f64 {
        self.peak.share(tokens_per_s * self.flops_per_token)
    }

    pub(super) fn snapshot(
        &self,
        state: &TrainState,
        report: &StepReport,
        validation: Option<&ValidationReport>,
    ) -> Snapshot {
        let tokens_per_s = self.whole.tokens_per_s();
        let n_left = self.n_steps - state.step;
        let eta_s = self.whole.seconds / self.n_steps_here.max(1) as f64 * n_left as f64;
        Snapshot {
            event: EVENT,
            step: state.step,
            n_steps: self.n_steps,
            stage: report.plan.stage.into(),
            loss: rounded(report.loss(), 1e5),
            validation_nll: validation.map(rounded_nll),
            tokens_per_s: rounded(tokens_per_s, 10.0),
            mfu: rounded(self.mfu(tokens_per_s), 1e4),
            eta_s: (self.n_steps_here > 0).then(|| rounded(eta_s, 10.0)),
        }
    }
}

fn rounded_nll(validation: &ValidationReport) -> f64 {
    rounded(validation.nll, 1e5)
}

/// `value` rounded to a multiple of 1 / `parts`.
fn rounded(value: f64, parts: f64) -> f64 {
    (value * parts).round() / parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::rc::Rc;

    #[test]
    fn the_peak_is_measured_again_and_mfu_is_at_most_one() {
        let (n_probes, peak_flops) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(4e9)));
        let (count, now) = (Rc::clone(&n_probes), Rc::clone(&peak_flops));
        let mut peak = Peak::new(move || {
            count.set(count.get() + 1);
            now.get()
        });
        let moment = Duration::from_secs(1);
        peak.observe_after(moment, 2e9);
        assert_eq!((n_probes.get(), peak.share(2e9)), (1, 0.5));
        // Faster than the peak, right after it was measured: the step is the better measure.
        peak.observe_after(moment, 5e9);
        assert_eq!((n_probes.get(), peak.share(5e9)), (1, 1.0));
        // The neighbour is gone.
        peak_flops.set(10e9);
        peak.observe_after(MIN_PROBE_INTERVAL, 6e9);
        assert_eq!((n_probes.get(), peak.share(6e9)), (2, 0.6));
        peak_flops.set(20e9);
        peak.observe_after(PROBE_INTERVAL, 6e9);
        assert_eq!((n_probes.get(), peak.share(6e9)), (3, 0.3));
        assert_eq!(peak.share(30e9), 1.0);
    }
}
