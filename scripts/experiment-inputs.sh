# Prepares the inputs of an experiment: programs on PATH, a tokenizer, and three texts as tokens. Sourced by
# experiment.sh and overtaken.sh with root set and the arguments OUTPUT TRAIN VALID OTHER; leaves further arguments in
# "$@", and ends in the directory OUTPUT.

if [ $# -lt 4 ]; then
    # What the script says of itself at its top.
    sed -n '2,/^set /s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
for file in "$2" "$3" "$4" ${TOKENIZER:+"$TOKENIZER"}; do
    if [ ! -f "$file" ]; then
        echo "error: $file is not a file: check its spelling" >&2
        exit 2
    fi
done
output=$1 train=$(realpath "$2") valid=$(realpath "$3") other=$(realpath "$4")
shift 4
tokenizer=${TOKENIZER:+$(realpath "$TOKENIZER")}

PATH=$root/target/release:$PATH
if [ ! -x "$root/target/release/saltworks-train" ]; then
    (cd "$root" && cargo build --locked --release --bins)
fi
[ -d "$root/.venv" ] || sh "$root/scripts/setup.sh"
. "$root/.venv/bin/activate"

# made NAME COMMAND...: runs the command unless NAME is there.
made() {
    name=$1
    shift
    [ -e "$name" ] || "$@"
}
tokens() { made "$2/corpus.json" saltworks tokenize --input "$1" --tokenizer tokenizer.json --output "$2"; }
documents() {
    python - "$train" "$valid" <<'PYTHON'
import random
import sys
import pyarrow

def read(path):
    with pyarrow.input_stream(path) as file:
        return [line + b"\n" for line in file.read().split(b"\n") if line]

train, valid = map(read, sys.argv[1:])
random.Random(0).shuffle(train)
for name, part in [("valid", valid[::2]), ("reported", valid[1::2]), ("train", train)]:
    with open(f"{name}.jsonl", "wb") as file:
        file.writelines(part)
PYTHON
}

mkdir -p "$output"
cd "$output"

if [ -n "$tokenizer" ]; then
    made tokenizer.json cp "$tokenizer" tokenizer.json
else
    made tokenizer.json saltworks tokenizer train --input "$train" --vocab-size 8192 --output tokenizer.json
fi
made train.jsonl documents
tokens train.jsonl train
tokens valid.jsonl valid
tokens reported.jsonl reported
tokens "$other" other
