//! The loop over the steps.

use super::directory::RunDir;
use super::finish::{final_dir, write_final};
use super::inputs::Inputs;
use super::log::Log;
use super::observer::{Finished, Observer};
use super::origin::Origin;
use super::pace::{Pace, Peak, Snapshot};
use super::profile::{Outside, StepProfile};
use super::state::{Sources, TrainState};
use super::step::{StepBatch, StepReport, check_finite, update};
use super::validation::{Validation, ValidationReport};
use super::{Interrupt, RunError};
use crate::train::TrainError;
use crate::train::checkpoint::{CheckpointError, Contents};
use crate::train::data::{DataError, Loader};
use crate::train::example::Example;
use crate::train::export::read_hf;
use crate::train::metrics::MetricsError;
use crate::train::model::{Network, Params};
use crate::train::ops::AdamW;
use crate::train::schedule::{Stage, StepPlan, learning_rate};

/// Maximum number of sequence numbers that a message lists.
const LISTED_SEQ_IDS: usize = 64;

/// A run in progress.
pub(super) struct Trainer<'a> {
    inputs: &'a Inputs,
    dir: &'a RunDir,
    interrupt: &'a Interrupt,
    observer: &'a Observer<'a>,
    loader: Loader,
    network: Network,
    optimizer: AdamW,
    state: TrainState,
    validation: Option<Validation<'a>>,
    log: Log,
    pace: Pace,
    profile: StepProfile,
    /// Step of the newest complete checkpoint.
    last_saved: Option<u64>,
    last_step: Option<Snapshot>,
    last_validation: Option<ValidationReport>,
}

/// Where a run starts or resumes.
pub(super) struct StartPoint {
    state: TrainState,
    loader: Loader,
    params: Params,
    optimizer: AdamW,
    last_saved: Option<u64>,
}

impl StartPoint {
    /// Hashes of what the run reads.
    pub(super) fn sources(&self) -> &Sources {
        &self.state.sources
    }

    /// Reads weights and moments from `origin`, and moves `loader` to the position in `state`.
    pub(super) fn new(
        inputs: &Inputs,
        origin: &Origin,
        state: TrainState,
        mut loader: Loader,
    ) -> Result<Self, TrainError> {
        loader.resume_after(state.loader)?;
        let (params, optimizer) = match origin.checkpoint() {
            Some(checkpoint) => checkpoint.weights(&inputs.spec)?,
            None => {
                let params = first_params(inputs)?;
                let optimizer = AdamW::new(params.layout.len);
                (params, optimizer)
            }
        };
        Ok(Self {
            state,
            loader,
            params,
            optimizer,
            last_saved: origin.own_step(),
        })
    }
}

/// Weights of the directory to start from, or new ones.
fn first_params(inputs: &Inputs) -> Result<Params, TrainError> {
    match &inputs.init {
        Some(dir) => Ok(read_hf(dir)?.params),
        None => Ok(Params::init(&inputs.spec, inputs.config.train.seed)),
    }
}

impl<'a> Trainer<'a> {
    pub(super) fn new(
        inputs: &'a Inputs,
        dir: &'a RunDir,
        start_point: StartPoint,
        peak: Peak,
        interrupt: &'a Interrupt,
        observer: &'a Observer<'a>,
    ) -> Result<Self, TrainError> {
        let source = inputs.validation.as_ref();
        let state = start_point.state;
        Ok(Self {
            inputs,
            dir,
            interrupt,
            observer,
            loader: start_point.loader,
            log: Log::open(&dir.path, &inputs.config, state.step)?,
            pace: Pace::new(inputs, peak),
            profile: StepProfile::default(),
            network: Network::new(start_point.params, inputs.capacity()),
            optimizer: start_point.optimizer,
            state,
            validation: source.map(|source| Validation::new(source, inputs)),
            last_saved: start_point.last_saved,
            last_step: None,
            last_validation: None,
        })
    }

    /// Steps to the end, with what is due between them. Whatever stops them before (a stop that was
    /// asked for, data that cannot be read, a log that cannot be written, a loss that is not a number),
    /// a checkpoint of the steps done is saved first, if that can be.
    ///
    /// A validation of step s comes after the checkpoint of step s, and a run that is resumed there
    /// begins with it where the log does not have it: so an interruption loses none and repeats none.
    ///
    /// A process that was killed between a checkpoint and the removal of an older one left one too
    /// many: it is removed once this process has got past that checkpoint, as a run that diverges there
    /// may need the older one.
    pub(super) fn train(&mut self) -> Result<(), TrainError> {
        let mut unpruned = self.last_saved;
        loop {
            self.validate_if_due()?;
            if self.interrupt.is_requested() {
                return Err(self.interrupted()?);
            }
            let is_last = self.state.step == self.n_steps();
            if let Some(step) = unpruned.take_if(|step| is_last || self.state.step > *step) {
                self.retain(step)?;
            }
            if is_last {
                return Ok(());
            }
            let is_done = self.step()?;
            if is_done && self.is_checkpoint_due() {
                self.check_tokens()?;
                self.save()?;
            }
        }
    }

    /// Checks that the token files have not been overwritten; if they have, what was learnt is not saved.
    fn check_tokens(&self) -> Result<(), TrainError> {
        let sources = [&self.inputs.tokens, &self.inputs.validation];
        for source in sources.into_iter().flatten() {
            source.check_unchanged()?;
        }
        Ok(())
    }

    fn n_steps(&self) -> u64 {
        self.inputs.config.train.steps
    }

    /// One step. Returns `false` if a stop was requested before its end: weights, moments and state are then
    /// unchanged. The loader has moved past the step's sequences, but the position in the state has not.
    fn step(&mut self) -> Result<bool, TrainError> {
        self.pace.begin_step();
        let plan = self.plan_of(self.state.step);
        self.log_stage_change(plan.stage)?;
        let examples = match self.next_examples(plan) {
            Ok(examples) => examples,
            Err(error) => return Err(self.data_error(error)),
        };
        let least_excess = self.state.least_excess;
        let mut batch = StepBatch::new(examples, self.inputs, plan, least_excess);
        if plan.stage == Stage::One && self.is_log_due(self.state.step + 1) {
            batch = batch.with_variances(self.inputs.config.log.bucket_borders());
        }
        let Some(report) = self.learn(&batch, plan)? else {
            return Ok(false);
        };
        self.count(&batch, &report);
        if self.is_log_due(self.state.step) {
            let (tokens_per_s, mfu) = self.pace.take_recent();
            let logged = self.log.step(&self.state, &report, tokens_per_s, mfu);
            logged.map_err(|error| self.log_error(error))?;
        }
        let snapshot = self
            .pace
            .snapshot(&self.state, &report, self.last_validation.as_ref());
        (self.observer.on_progress)(&snapshot);
        self.last_step = Some(snapshot);
        Ok(true)
    }

    fn plan_of(&self, step: u64) -> StepPlan {
        self.inputs.stages.at(step, self.state.auto.as_ref())
    }

    /// Logs a change of stage, if the step before this one belongs to another stage.
    fn log_stage_change(&mut self, stage: Stage) -> Result<(), TrainError> {
        let step = self.state.step;
        if step == 0 || self.plan_of(step - 1).stage == stage {
            return Ok(());
        }
        (self.observer.on_note)(&format!(
            "step {}: stage 1 is done; stage 2 reads the corpus",
            step + 1
        ));
        let logged = self.log.stage(&self.state, stage);
        logged.map_err(|error| self.log_error(error))
    }

    fn next_examples(&mut self, plan: StepPlan) -> Result<Vec<Example>, DataError> {
        let loader = &mut self.loader;
        self.profile.time(Outside::Data, || match plan.stage {
            Stage::One => loader.next_labelled(),
            Stage::Two => loader.next_tokens(),
        })
    }

    /// Computes the gradients, and updates the weights if the gradients are finite; `None` if a stop was requested
    /// first.
    fn learn(
        &mut self,
        batch: &StepBatch<'_>,
        plan: StepPlan,
    ) -> Result<Option<StepReport>, TrainError> {
        let (profile, network) = (&mut self.profile, &mut self.network);
        let Some(sums) = batch.differentiate(network, profile, self.interrupt) else {
            return Ok(None);
        };
        let grad_factor = sums.grad_factor();
        let grad_norm = profile.time(Outside::GradientNorm, || network.grad_norm()) * grad_factor;
        let schedule = &self.inputs.config.schedule;
        let lr = learning_rate(schedule, self.n_steps(), self.state.step);
        let report = StepReport {
            plan,
            sums: sums.losses,
            teacher_nll: sums.teacher_nll,
            variance: sums.variance,
            least_excess: sums.least_excess,
            has_excess: sums.has_excess,
            grad_norm,
            lr: lr * plan.lr_factor,
        };
        if let Err((what, value)) = check_finite(report.loss(), report.grad_norm) {
            return Err(self.diverged(what, value, batch, plan));
        }
        let (optimizer, step) = (&mut self.optimizer, self.state.step + 1);
        self.profile.time(Outside::Optimizer, || {
            update(
                &mut self.network,
                optimizer,
                self.inputs,
                &report,
                grad_factor,
                step,
            );
        });
        Ok(Some(report))
    }

    fn count(&mut self, batch: &StepBatch<'_>, report: &StepReport) {
        self.state.step += 1;
        self.state.n_tokens += report.sums.n as u64;
        self.state.loader = self.loader.position();
        self.state.least_excess = report.least_excess;
        let seconds = self.pace.end_step(batch.n_positions() as u64);
        self.state.seconds += seconds;
        self.profile.add_step(seconds);
        if let (Some(auto), Stage::One) = (&mut self.state.auto, report.plan.stage) {
            auto.observe(report.ce(), report.teacher_nll.unwrap_or(f64::NAN));
        }
    }

    fn validate_if_due(&mut self) -> Result<(), TrainError> {
        let (step, every) = (self.state.step, self.inputs.config.eval.every);
        let is_due =
            step == self.n_steps() || (every > 0 && step > 0 && step.is_multiple_of(every));
        let is_new = self.log.validated_at() != Some(step);
        let Some(validation) = self.validation.as_mut().filter(|_| is_due && is_new) else {
            return Ok(());
        };
        let Some(report) = validation.run(&mut self.network, self.interrupt)? else {
            return Ok(());
        };
        let nll = report.nll;
        if !nll.is_finite() {
            return Err(self.diverged_on_validation(nll));
        }
        let logged = self.log.validation(&self.state, &report);
        logged.map_err(|error| self.log_error(error))?;
        self.last_validation = Some(report);
        (self.observer.on_note)(&format!("step {step}: validation NLL {nll:.4} nats/token"));
        Ok(())
    }

    fn is_checkpoint_due(&self) -> bool {
        let (step, keep) = (self.state.step, &self.inputs.config.checkpoint);
        step == self.n_steps()
            || keep.keep_steps.contains(&step)
            || [keep.every, keep.keep_every]
                .iter()
                .any(|&every| every > 0 && step.is_multiple_of(every))
    }

    fn is_log_due(&self, step: u64) -> bool {
        let every = self.inputs.config.log.every;
        step == 1 || step == self.n_steps() || step.is_multiple_of(every)
    }

    /// Saves a checkpoint of the steps done, unless there is one, and removes the checkpoints that are not to be kept.
    fn save(&mut self) -> Result<(), TrainError> {
        let (step, resume) = (self.state.step, self.same_command());
        if self.last_saved == Some(step) || step == 0 {
            return Ok(());
        }
        let synced = self.save_state().map_err(|source| RunError::Save {
            step,
            kept: self.kept(),
            resume,
            source: Box::new(source.without_remedy()),
        })?;
        synced.map_err(|error| self.log_error(error))?;
        self.dir.mirror_checkpoint(step)?;
        self.retain(step)
    }

    /// Removes the checkpoints up to step `newest` that are not to be kept.
    fn retain(&self, newest: u64) -> Result<(), TrainError> {
        let keep = &self.inputs.config.checkpoint;
        let is_kept = |step: u64| {
            keep.keep_steps.contains(&step)
                || (keep.keep_every > 0 && step.is_multiple_of(keep.keep_every))
        };
        self.dir.retain(newest, keep.keep_last, is_kept)
    }

    /// Saves a checkpoint of the steps done, unless there is one. The log is synced first; but a checkpoint matters
    /// more than the log, so an error of the log is only returned after the checkpoint was saved.
    fn save_state(&mut self) -> Result<Result<(), MetricsError>, CheckpointError> {
        let step = self.state.step;
        if self.last_saved == Some(step) || step == 0 {
            return Ok(Ok(()));
        }
        let synced = self.log.sync();
        let contents = Contents {
            params: &self.network.params,
            special: &self.inputs.special,
            tokenizer_json: self.inputs.tokenizer_json.as_deref(),
            optimizer: &self.optimizer,
            state: &self.state,
        };
        self.dir.checkpoints.save_contents(step, &contents)?;
        self.last_saved = Some(step);
        Ok(synced)
    }

    /// Saves a checkpoint because an error stops the run; returns what was saved, in words. Nothing is removed:
    /// after a divergence an older checkpoint may be the better one.
    fn save_before_stop(&mut self) -> String {
        match self.save_state() {
            Ok(_) => self.mirror_before_stop(),
            Err(error) => format!(
                "{}, as that of step {} could not be saved ({})",
                self.kept(),
                self.state.step,
                with_causes(&error.without_remedy())
            ),
        }
    }

    fn mirror_before_stop(&self) -> String {
        let kept = self.last_saved.map(|step| self.dir.mirror_checkpoint(step));
        match kept.transpose() {
            Ok(_) => self.saved(),
            Err(error) => format!("{}, but {}", self.kept(), with_causes(&error)),
        }
    }

    fn same_command(&self) -> &'static str {
        self.dir.start.same_command()
    }

    fn interrupted(&mut self) -> Result<TrainError, TrainError> {
        self.save()?;
        Ok(RunError::Interrupted {
            step: self.state.step,
            n_steps: self.n_steps(),
            saved: self.saved(),
            resume: self.same_command(),
        }
        .into())
    }

    fn data_error(&mut self, source: DataError) -> TrainError {
        RunError::Data {
            step: self.state.step + 1,
            saved: self.save_before_stop(),
            resume: self.same_command(),
            source: Box::new(source),
        }
        .into()
    }

    fn log_error(&mut self, source: MetricsError) -> TrainError {
        RunError::Log {
            step: self.state.step,
            saved: self.save_before_stop(),
            resume: self.same_command(),
            source: source.without_remedy(),
        }
        .into()
    }

    fn diverged(
        &mut self,
        what: &'static str,
        value: f64,
        batch: &StepBatch<'_>,
        plan: StepPlan,
    ) -> TrainError {
        let saved = self.save_before_stop();
        RunError::NonFinite {
            step: self.state.step + 1,
            what,
            value,
            seq_ids: list_seq_ids(batch.seq_ids(), plan.stage),
            saved,
            remedy: self.remedy_of_divergence(self.last_saved, plan),
        }
        .into()
    }

    fn diverged_on_validation(&mut self, value: f64) -> TrainError {
        let step = self.state.step;
        let plan = self.plan_of(step.saturating_sub(1));
        let saved = self.save_before_stop();
        let steps = self.dir.checkpoints.steps().unwrap_or_default();
        let earlier = steps.into_iter().rfind(|&earlier| earlier < step);
        RunError::NonFiniteValidation {
            step,
            value,
            saved,
            remedy: self.remedy_of_divergence(earlier, plan),
        }
        .into()
    }

    /// A run resumes only with the settings that it started with, so other settings need a new run.
    fn remedy_of_divergence(&self, from: Option<u64>, plan: StepPlan) -> String {
        let rate = match plan.lr_factor > 1.0 {
            true => "a lower kd.lr_factor or schedule.lr",
            false => "a lower schedule.lr",
        };
        let settings =
            format!("{rate}, a longer schedule.warmup_steps or a lower optimizer.grad_clip");
        match from {
            Some(step) => format!(
                "start a new run, with another --output, from that checkpoint or an earlier one (init = {:?} instead of [model]) and with {settings}",
                self.dir.place_of(step)
            ),
            None => format!("start a new run, with another --output, and with {settings}"),
        }
    }

    fn kept(&self) -> String {
        match self.last_saved {
            Some(step) => format!("the checkpoint of step {step} is good"),
            None => "there is no checkpoint yet".to_owned(),
        }
    }

    fn saved(&self) -> String {
        match self.last_saved {
            Some(step) => format!("{} is saved", self.dir.place_of(step).display()),
            None => "nothing was trained yet, so no checkpoint was saved".to_owned(),
        }
    }

    /// Writes the trained model. Buffers that only training needs are freed first.
    pub(super) fn finish(mut self) -> Result<Finished, TrainError> {
        let ended = self.log.end();
        ended.map_err(|error| self.log_error(error))?;
        let (saved, resume) = (self.saved(), self.same_command());
        drop((self.optimizer, self.loader, self.validation));
        let params = self.network.into_params();
        let written = write_final(&self.dir.path, self.inputs, &params);
        written.map_err(|source| RunError::Final {
            n_steps: self.state.step,
            saved,
            resume,
            source: Box::new(source.without_remedy()),
        })?;
        self.dir.mirror_final()?;
        if let Some(snapshot) = self.last_step {
            (self.observer.on_progress)(&snapshot.as_last(self.last_validation.as_ref()));
        }
        Ok(Finished {
            model: final_dir(self.dir.place()),
            n_steps: self.state.step,
            n_tokens: self.state.n_tokens,
            seconds: self.state.seconds,
            last_step: self.last_step,
            profile: self.profile,
            validation: self.last_validation,
        })
    }
}

/// An error with its causes, in one line.
fn with_causes(error: &dyn std::error::Error) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    let texts: Vec<String> = chain.map(ToString::to_string).collect();
    texts.join(": ")
}

fn list_seq_ids(mut seq_ids: impl Iterator<Item = u64>, stage: Stage) -> String {
    let source = match stage {
        Stage::One => "of data.labels",
        Stage::Two => "of data.tokens",
    };
    let listed = seq_ids.by_ref().take(LISTED_SEQ_IDS);
    let listed: Vec<String> = listed.map(|seq_id| seq_id.to_string()).collect();
    let more = match seq_ids.count() {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    format!("{}{more} {source}", listed.join(", "))
}
