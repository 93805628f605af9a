#!/bin/sh
# The experiment of docs/experiments.md, from text to its report. If stopped, the same command resumes it.
#
#     scripts/experiment.sh OUTPUT TRAIN VALID OTHER [--only ARM,...] [--seeds SEED,...]
#
# TRAIN, VALID and OTHER are documents for `saltworks tokenize`, in JSON lines (plain, .gz or .zst): training text;
# held-out text of the same kind; and text of another kind. Further arguments are passed to `saltworks-train compare`.
# TOKENIZER=FILE replaces the tokenizer that is otherwise trained on TRAIN, MIN_LEARNABLE=SHARE (0.4) is the floor of
# the selection, and SLM_STEPS=N overrides the small model's steps in examples/slm.toml.
#
# TRAIN is shuffled by document, since labels are of its first sequences: with a corpus ordered by book, the first
# stage would read different text than the second.
#
# VALID is split by document: the odd ones (valid) are for monitoring training and choosing settings, and
# results are reported on the even ones (reported).
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
examples=$root/examples
. "$root/scripts/experiment-inputs.sh"

# What a line KEY = NUMBER of an example says.
number() { sed -n "s/^$2 = \([0-9]*\).*/\1/p" "$examples/$1"; }
slm_steps=${SLM_STEPS:-$(number slm.toml steps)}
batch_size=$(number experiment.toml batch_size)
n_all=$(($(number experiment.toml steps) * batch_size))
n_stage_1=$(($(sed -n 's/^n_kd = \([0-9]*\).*/\1/p' "$examples/experiment.toml") * batch_size))
early=$((slm_steps / 4))

# example NAME: a copy of an example beside the inputs, which paths in it are relative to.
example() { made "$1" sh -c "sed 's,\"\.\./,\",g' '$examples/$1' > '$1'"; }
teach() { saltworks label --teacher slm/final/model.onnx --seq-len 256 --top-k 64 "$@"; }

# The small model, and what it says of the first sequences and of text held out
example slm.toml
saltworks-train run --config slm.toml --resume \
    --set "train.steps=$slm_steps" --set "checkpoint.keep_steps=[$early]"
teach --tokens train --samples 180 --max-sequences "$n_all" --output labels
teach --tokens reported --output reported-labels
teach --tokens other --output other-labels

# Two passes for salt-ds and ds-ce: scores by the small model after a quarter of its steps, labels by the final one
made slm-early.onnx saltworks-train export --model "slm/checkpoints/step-$early" --onnx slm-early.onnx --tokenizer tokenizer.json
saltworks label --teacher slm-early.onnx --tokens train --seq-len 256 --groups scores --output scores
made selection.parquet saltworks select scores --policy top --rows "$n_stage_1" \
    --min-learnable "${MIN_LEARNABLE:-0.4}" --output selection.parquet
teach --tokens train --selection selection.parquet --output labels-selected

example experiment.toml
saltworks-train compare --config experiment.toml "$@"
