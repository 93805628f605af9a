//! Configurations of the demo's models and runs.

use crate::common::exit::Result;
use saltworks::storage;
use std::path::Path;

/// T.
pub(super) const SEQ_LEN: u64 = 256;
/// Sequences per step.
const BATCH_SIZE: u64 = 8;

/// The size of the demo, chosen so that it takes less than a quarter of an hour on two cores.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    pub(super) vocab_size: u32,
    pub(super) top_k: u32,
    /// Steps of the small model.
    pub(super) slm_steps: u64,
    /// Steps of each large model.
    pub(super) llm_steps: u64,
    /// Minimum fraction of a sequence's targets that the teacher must rank among its best for the
    /// sequence to be selected; `None` if the teacher has learnt next to nothing.
    pub(super) min_learnable: Option<&'static str>,
    slm: &'static str,
    llm: &'static str,
}

const SLM: &str = "d_model = 128\nn_layers = 4\nn_heads = 4\nd_ff = 352\ntie_embeddings = true";
const LLM: &str = "d_model = 160\nn_layers = 6\nn_heads = 5\nd_ff = 432";
const TINY: &str = "d_model = 16\nn_layers = 1\nn_heads = 2\nd_ff = 32";

impl Scale {
    pub(super) const WHOLE: Self = Self {
        vocab_size: 4096,
        top_k: 32,
        slm_steps: 1000,
        llm_steps: 500,
        min_learnable: Some("0.25"),
        slm: SLM,
        llm: LLM,
    };
    pub(super) const QUICK: Self = Self {
        vocab_size: 512,
        top_k: 8,
        slm_steps: 20,
        llm_steps: 20,
        min_learnable: None,
        slm: TINY,
        llm: TINY,
    };

    /// Steps of the first stage.
    pub(super) fn n_kd(&self) -> u64 {
        self.llm_steps * 2 / 5
    }

    /// Sequences to label for the first stage, of a text of `n_tokens`: as many as it reads, but no
    /// more than a quarter of a short text, which leaves the second stage enough others.
    pub(super) fn n_selected(&self, n_tokens: u64) -> u64 {
        self.n_read().min(n_tokens / SEQ_LEN / 4).max(1)
    }

    /// Sequences that the first stage reads.
    fn n_read(&self) -> u64 {
        self.n_kd() * BATCH_SIZE
    }

    /// How often the first stage may see a sequence: a selection keeps fewer than requested if
    /// little is learnable.
    fn label_epochs(&self, n_tokens: u64) -> u64 {
        4 * self.n_read().div_ceil(self.n_selected(n_tokens))
    }
}

/// Maximum number of times that `n_steps` go through `n_tokens`.
fn epochs(n_steps: u64, n_tokens: u64) -> u64 {
    let per_epoch = (n_tokens / SEQ_LEN / BATCH_SIZE).max(1);
    n_steps.div_ceil(per_epoch) + 1
}

/// Writes `slm.toml`, `llm.toml` and `experiment.toml`, all of which can be run again by hand. Their paths
/// are relative to them.
pub(super) fn write(
    dir: &Path,
    scale: &Scale,
    n_tokens: u64,
    seed: u64,
    prompt: &str,
) -> Result<()> {
    for (name, text) in [
        ("slm.toml", slm(scale, n_tokens, seed)),
        ("llm.toml", llm(scale, n_tokens)),
        ("experiment.toml", experiment(seed, prompt)),
    ] {
        storage::replace(&dir.join(name), text.as_bytes())?;
    }
    Ok(())
}

fn slm(scale: &Scale, n_tokens: u64, seed: u64) -> String {
    let (steps, model) = (scale.slm_steps, scale.slm);
    let epochs = epochs(steps, n_tokens);
    format!(
        "# The small language model: the teacher.\noutput = \"slm\"\n\n[model]\n{model}\n\n[data]\n\
         tokens = \"tokens\"\nvalidation = \"held-out\"\ntokenizer = \"tokenizer.json\"\nseq_len = {SEQ_LEN}\n\
         token_epochs = {epochs}\n\n[train]\nsteps = {steps}\nbatch_size = {BATCH_SIZE}\nseed = {seed}\n\n\
         [schedule]\nlr = 3e-3\nshape = \"cosine\"\n\n[eval]\nevery = 0\n",
    )
}

fn llm(scale: &Scale, n_tokens: u64) -> String {
    let (steps, model, n_kd) = (scale.llm_steps, scale.llm, scale.n_kd());
    let epochs = epochs(steps, n_tokens);
    let label_epochs = scale.label_epochs(n_tokens);
    let every = (steps / 20).max(1);
    let log_every = every.min(10);
    format!(
        "# The large model. experiment.toml lists what each arm changes.\noutput = \"llm\"\n\n[model]\n{model}\n\n[data]\ntokens = \"tokens\"\nlabels = \"labels\"\nvalidation = \"held-out\"\ntokenizer = \"tokenizer.json\"\nlabel_epochs = {label_epochs}\ntoken_epochs = {epochs}\n\n[train]\nsteps = {steps}\nbatch_size = {BATCH_SIZE}\n\n[schedule]\nlr = 2e-3\nshape = \"wsd\"\nwarmup_steps = {warmup}\n\n[kd]\nmode = \"salt\"\nn_kd = {n_kd}\nomega = 0.9\n\n[eval]\nevery = {every}\nsequences = 64\n\n[log]\nevery = {log_every}\n",
        warmup = (steps / 20).max(1),
    )
}

fn experiment(seed: u64, prompt: &str) -> String {
    format!(
        "# With and without labels: `baseline` and `salt` read the same sequences in the same order.\n\
         name = \"A small model's help\"\noutput = \"experiment\"\nbase = \"llm.toml\"\nseeds = [{seed}]\nbaseline = \"baseline\"\n\n\
         [branches]\nshares = [0.6, 0.8, 1.0]\ndecay = 0.1\n\n\
         [arms.baseline]\nset = {{ \"kd.mode\" = \"baseline\" }}\n\n\
         [arms.salt]\nset = {{ \"kd.mode\" = \"salt\" }}\n\n\
         [arms.salt-ds]\nset = {{ \"kd.mode\" = \"salt-ds\", \"data.labels\" = \"labels-selected\", \"data.selection\" = \"selection.parquet\" }}\n\
         scored = [\"scores\"]\n\n\
         [[sets]]\nname = \"held-out\"\nlabels = \"labels-held-out\"\n\n\
         [teacher]\nrun = \"slm\"\n\n\
         [report]\nlabels = \"labels\"\nscores = \"scores\"\nselection = \"selection.parquet\"\n\
         tokenizer = \"tokenizer.json\"\nheld_out = \"labels-held-out\"\nprompt = {prompt}\n",
        prompt = toml::Value::String(prompt.to_owned()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_stages_have_enough_sequences_for_any_length_of_text() {
        for scale in [Scale::WHOLE, Scale::QUICK] {
            for n_tokens in [20_000, 60_000, 400_000, 1_700_000, 50_000_000] {
                let n_selected = scale.n_selected(n_tokens);
                assert!(n_selected * scale.label_epochs(n_tokens) >= scale.n_read());
                let n_left = n_tokens / SEQ_LEN - n_selected;
                let n_seen = n_left * epochs(scale.llm_steps, n_tokens);
                let n_needed = scale.llm_steps * BATCH_SIZE - scale.n_read();
                assert!(n_seen >= n_needed, "{n_tokens}: {n_seen} of {n_needed}");
            }
        }
    }
}
