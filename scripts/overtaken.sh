#!/bin/sh
# Does it pay to learn from a small model that ends up worse than its student? The experiment of docs/experiments.md,
# from text to tables. If stopped, the same command resumes it.
#
#     scripts/overtaken.sh OUTPUT TRAIN VALID OTHER [--only ARM,...] [--seeds SEED,...]
#
# TRAIN, VALID and OTHER are as for scripts/experiment.sh, and are shuffled and split in the same way (with seed 0).
# TEACHERS="half fifth tenth" (the default) says which models of examples/overtaken/ are trained and used as
# teachers, and EXPERIMENT=experiment (the default) or small which of its grids is run. small needs
# TEACHERS=tenth-cosine. The grid's `output` has the tables, in results.md.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
. "$root/scripts/experiment-inputs.sh"

# labels TEACHER OUTPUT OPTION...: labels for every step of a student.
labels() {
    teacher=$1 labels=$2
    shift 2
    saltworks label --teacher "$teacher/final/model.onnx" --tokens train --seq-len 256 --max-sequences 19200 --output "$labels" "$@"
}

for teacher in ${TEACHERS:-half fifth tenth}; do
    made "$teacher.toml" cp "$root/examples/overtaken/$teacher.toml" .
    saltworks-train run --config "$teacher.toml" --resume
    labels "$teacher" "labels-$teacher" --top-k 64 --samples 50
    for set in reported other; do
        saltworks label --teacher "$teacher/final/model.onnx" --tokens $set --seq-len 256 --top-k 64 --output "$set-$teacher"
    done
done

grid=${EXPERIMENT:-experiment}.toml
only=$(printf '%s\n' "$@" | sed -n -e '/^--only$/{n;p;}' -e 's/^--only=//p')
# arm_labels ARM OUTPUT OPTION...: labels that only one arm of the small grid learns from, if it is to run.
arm_labels() {
    arm=$1
    shift
    case $grid,${only:-$arm}, in small.toml*,"$arm",*) labels tenth-cosine "$@" ;; esac
}
arm_labels draws-12 labels-tenth-cosine-12 --groups stats,samples --samples 12
arm_labels draws-180 labels-tenth-cosine-180 --groups stats,samples --samples 180
arm_labels topk-f32 labels-tenth-cosine-f32 --top-k 64 --round f32
made "$grid" cp "$root/examples/overtaken/$grid" .
saltworks-train compare --config "$grid" "$@"
