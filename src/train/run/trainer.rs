//! The loop over the steps.

use super::directory::RunDir;
use super::finish::write_final;
use super::inputs::Inputs;
use super::log::Log;
use super::pace::Pace;
use super::profile::{Outside, StepProfile};
use super::state::TrainState;
use super::step::{StepBatch, StepReport, check_finite, update};
use super::validation::{Validation, ValidationReport};
use super::{Finished, Interrupt, Observer, RunError, Snapshot};
use crate::train::TrainError;
use crate::train::checkpoint::{Checkpoint, Contents};
use crate::train::data::{DataError, Example, Loader};
use crate::train::export::read_hf;
use crate::train::model::{Network, Params};
use crate::train::ops::AdamW;
use crate::train::schedule::{Stage, StepPlan, learning_rate};

/// Most sequence numbers that a message lists.
const LISTED_SEQ_IDS: usize = 64;

/// A run in work.
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
    /// Step of the newest checkpoint that is whole.
    last_saved: Option<u64>,
    last_step: Option<Snapshot>,
    last_validation: Option<ValidationReport>,
}

/// Weights and moments, from a checkpoint or from the beginning.
pub(super) struct Restored {
    params: Params,
    optimizer: AdamW,
    last_saved: Option<u64>,
}

impl Restored {
    /// Reads `checkpoint`, or begins at step 0.
    pub(super) fn new(
        inputs: &Inputs,
        checkpoint: Option<&Checkpoint>,
    ) -> Result<Self, TrainError> {
        let (params, optimizer) = match checkpoint {
            Some(checkpoint) => checkpoint.weights(&inputs.spec)?,
            None => {
                let params = first_params(inputs)?;
                let optimizer = AdamW::new(params.layout.len);
                (params, optimizer)
            }
        };
        Ok(Self {
            params,
            optimizer,
            last_saved: checkpoint.map(|checkpoint| checkpoint.step),
        })
    }
}

/// Those of the directory to start from, or fresh ones.
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
        state: TrainState,
        restored: Restored,
        peak_flops: f64,
        interrupt: &'a Interrupt,
        observer: &'a Observer<'a>,
    ) -> Result<Self, TrainError> {
        let capacity = inputs.capacity();
        let eval = &inputs.config.eval;
        let micro_batch_size = inputs.config.train.micro_batch_size();
        let validation = inputs.validation.as_ref().map(|source| {
            Validation::new(
                source,
                eval.sequences,
                micro_batch_size,
                capacity.n_positions,
            )
        });
        Ok(Self {
            inputs,
            dir,
            interrupt,
            observer,
            loader: inputs.loader(state.loader)?,
            log: Log::open(&dir.path, inputs.config.log.tensorboard, state.step)?,
            pace: Pace::new(inputs, peak_flops),
            profile: StepProfile::default(),
            network: Network::new(restored.params, capacity),
            optimizer: restored.optimizer,
            state,
            validation,
            last_saved: restored.last_saved,
            last_step: None,
            last_validation: None,
        })
    }

    /// Steps to the end, with what is due between them. A stop that was asked for, or data that
    /// cannot be read, first saves a checkpoint of the steps done.
    ///
    /// A validation of step s comes after the checkpoint of step s, and a run that is resumed there
    /// begins with it where the log does not have it: so an interruption loses none and repeats none.
    pub(super) fn train(&mut self) -> Result<(), TrainError> {
        loop {
            self.validate_if_due()?;
            if self.interrupt.is_requested() {
                return Err(self.interrupted()?);
            }
            if self.state.step == self.n_steps() {
                return Ok(());
            }
            self.step()?;
            if self.is_checkpoint_due() {
                self.save()?;
            }
        }
    }

    fn n_steps(&self) -> u64 {
        self.inputs.config.train.steps
    }

    fn step(&mut self) -> Result<(), TrainError> {
        self.pace.begin_step();
        let plan = self.plan_of(self.state.step);
        self.log_change_of_stage(plan.stage)?;
        let examples = match self.next_examples(plan) {
            Ok(examples) => examples,
            Err(error) => return Err(self.out_of_data(error)?),
        };
        let batch = self.profile.time(Outside::Targets, || {
            StepBatch::new(examples, self.inputs, plan.omega)
        });
        let report = self.learn(&batch, plan)?;
        self.count(&batch, &report);
        if self.is_log_due() {
            let (tokens_per_s, mfu) = self.pace.take_recent();
            self.log.step(&self.state, &report, tokens_per_s, mfu)?;
        }
        let snapshot = self
            .pace
            .snapshot(&self.state, &report, self.last_validation.as_ref());
        (self.observer.on_progress)(&snapshot);
        self.last_step = Some(snapshot);
        Ok(())
    }

    fn plan_of(&self, step: u64) -> StepPlan {
        self.inputs.stages.at(step, self.state.auto.as_ref())
    }

    /// Notes the first step of a stage, as the step before it was of another.
    fn log_change_of_stage(&mut self, stage: Stage) -> Result<(), TrainError> {
        let step = self.state.step;
        if step == 0 || self.plan_of(step - 1).stage == stage {
            return Ok(());
        }
        (self.observer.on_note)(&format!(
            "step {}: the labels are done, now the corpus",
            step + 1
        ));
        Ok(self.log.stage(&self.state, stage)?)
    }

    fn next_examples(&mut self, plan: StepPlan) -> Result<Vec<Example>, DataError> {
        let loader = &mut self.loader;
        self.profile.time(Outside::Data, || match plan.stage {
            Stage::One => loader.next_labelled(),
            Stage::Two => loader.next_tokens(),
        })
    }

    /// Gradients, and the update if they are numbers.
    fn learn(&mut self, batch: &StepBatch, plan: StepPlan) -> Result<StepReport, TrainError> {
        let (profile, network) = (&mut self.profile, &mut self.network);
        let sums = profile.time_network(network, |network| batch.differentiate(network));
        let grad_norm = profile.time(Outside::GradientNorm, || network.grad_norm());
        let report = StepReport {
            plan,
            sums,
            teacher_nll: batch.teacher_nll,
            grad_norm,
            lr: learning_rate(
                &self.inputs.config.schedule,
                self.n_steps(),
                self.state.step,
            ),
        };
        if let Err((what, value)) = check_finite(report.loss(), report.grad_norm) {
            return Err(self.diverged(what, value, batch, plan));
        }
        let (optimizer, step) = (&mut self.optimizer, self.state.step + 1);
        self.profile.time(Outside::Optimizer, || {
            update(&mut self.network, optimizer, self.inputs, &report, step);
        });
        Ok(report)
    }

    fn count(&mut self, batch: &StepBatch, report: &StepReport) {
        let n_positions: usize = batch.micro_batches.iter().map(|b| b.n_positions()).sum();
        self.state.step += 1;
        self.state.n_tokens += report.sums.n as u64;
        self.state.loader = self.loader.position();
        let seconds = self.pace.end_step(n_positions as u64);
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
        if let Some(report) = validation.run(&mut self.network, self.interrupt) {
            self.log.validation(&self.state, &report)?;
            self.last_validation = Some(report);
            let nll = report.nll;
            (self.observer.on_note)(&format!(
                "step {step}: validation NLL {nll:.4} nats a token"
            ));
        }
        Ok(())
    }

    fn is_checkpoint_due(&self) -> bool {
        let (step, every) = (self.state.step, self.inputs.config.checkpoint.every);
        step == self.n_steps() || (every > 0 && step.is_multiple_of(every))
    }

    fn is_log_due(&self) -> bool {
        let (step, every) = (self.state.step, self.inputs.config.log.every);
        step == 1 || step == self.n_steps() || step.is_multiple_of(every)
    }

    /// Saves the steps done, unless that was done already, and removes what is not to be kept.
    fn save(&mut self) -> Result<(), TrainError> {
        let (step, keep) = (self.state.step, &self.inputs.config.checkpoint);
        if self.last_saved == Some(step) || step == 0 {
            return Ok(());
        }
        self.write_checkpoint().map_err(|source| RunError::Save {
            step,
            kept: self.kept(),
            source: Box::new(source),
        })?;
        self.last_saved = Some(step);
        let checkpoints = &self.dir.checkpoints;
        checkpoints.retain(step, keep.keep_last, keep.keep_every)?;
        Ok(())
    }

    fn write_checkpoint(&mut self) -> Result<(), TrainError> {
        self.log.sync()?;
        let contents = Contents {
            params: &self.network.params,
            special: &self.inputs.special,
            tokenizer_json: self.inputs.tokenizer_json.as_deref(),
            optimizer: &self.optimizer,
            state: &self.state,
        };
        let store = &self.dir.checkpoints;
        store.save_contents(self.state.step, &contents).map(drop)
    }

    fn interrupted(&mut self) -> Result<TrainError, TrainError> {
        self.save()?;
        Ok(RunError::Interrupted {
            step: self.state.step,
            n_steps: self.n_steps(),
            saved: self.saved(),
        }
        .into())
    }

    fn out_of_data(&mut self, source: DataError) -> Result<TrainError, TrainError> {
        self.save()?;
        Ok(RunError::Data {
            step: self.state.step + 1,
            saved: self.saved(),
            source: Box::new(source),
        }
        .into())
    }

    fn diverged(
        &self,
        what: &'static str,
        value: f64,
        batch: &StepBatch,
        plan: StepPlan,
    ) -> TrainError {
        RunError::NonFinite {
            step: self.state.step + 1,
            what,
            value,
            seq_ids: list_seq_ids(&batch.seq_ids, plan.stage),
            kept: self.kept(),
        }
        .into()
    }

    fn kept(&self) -> String {
        match self.last_saved {
            Some(step) => format!("the checkpoint of step {step} is good"),
            None => "there is no checkpoint yet".to_owned(),
        }
    }

    fn saved(&self) -> String {
        match self.last_saved {
            Some(step) => format!("{} is saved", self.dir.checkpoints.path(step).display()),
            None => "nothing was trained yet, so no checkpoint was saved".to_owned(),
        }
    }

    /// Writes the trained model; what only training needs is freed first.
    pub(super) fn finish(self) -> Result<Finished, TrainError> {
        drop((self.optimizer, self.loader));
        let params = into_params(self.network);
        let model = write_final(&self.dir.path, self.inputs, &params)?;
        if let Some(snapshot) = self.last_step {
            (self.observer.on_progress)(&snapshot.as_last(self.last_validation.as_ref()));
        }
        Ok(Finished {
            model,
            n_steps: self.state.step,
            n_tokens: self.state.n_tokens,
            seconds: self.state.seconds,
            last_step: self.last_step,
            profile: self.profile,
            validation: self.last_validation,
        })
    }
}

/// The parameters; gradients and activations go when this returns.
fn into_params(network: Network) -> Params {
    network.params
}

fn list_seq_ids(seq_ids: &[u64], stage: Stage) -> String {
    let source = match stage {
        Stage::One => "of data.labels",
        Stage::Two => "of data.tokens",
    };
    let listed: Vec<String> = seq_ids
        .iter()
        .take(LISTED_SEQ_IDS)
        .map(u64::to_string)
        .collect();
    let more = match seq_ids.len().saturating_sub(LISTED_SEQ_IDS) {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    format!("{}{more} {source}", listed.join(", "))
}
