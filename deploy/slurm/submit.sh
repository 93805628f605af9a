#!/bin/bash
# Plans, starts the array of label.sbatch, and finalizes after it:
#
#   LABELS=labels bash submit.sh --config label.toml
#
# Arguments are those of `saltworks label`; --output, or its key in the file, has to be $LABELS. SBATCH_OPTIONS goes to sbatch, for
# example "--array=0-15 --gpus=1 --partition=gpu --time=02:00:00".
set -euo pipefail

: "${LABELS:?set it to the directory of the labels}"
SALTWORKS=${SALTWORKS:-saltworks}
here=$(cd "$(dirname "$0")" && pwd)

"$SALTWORKS" plan --no-probe "$@"
# shellcheck disable=SC2086  # several options
job=$(sbatch --parsable ${SBATCH_OPTIONS:-} "$here/label.sbatch" "$@")
# A requeued task has not ended, so this waits for it too. A task that failed for good leaves it in the queue: it is removed then.
finalize=$(sbatch --parsable --dependency="afterok:$job" --kill-on-invalid-dep=yes --job-name=saltworks-finalize \
    --output=finalize-%j.log --wrap "'$SALTWORKS' finalize '$LABELS'")
echo "array $job, then finalize $finalize; progress: $SALTWORKS status $LABELS"
