"""Time and memory of commands that read a whole label set, with 100,000 shards.

    python benches/many_shards.py target/release LABELS FOLDER [N_SHARDS]

LABELS is a small finished set whose plan is stretched to that many shards: the same rows per shard, more sequences.
Sidecars follow that plan; the Parquet files are sparse files of the sizes in the sidecars, since nothing measured here
opens one. Prints a table of wall-clock time, CPU time and memory; each command runs three times, and the minimum
counts. FOLDER is removed at the end.
"""

from __future__ import annotations

import copy
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from blake3 import blake3

PROGRAM_RUNS = 3
OPENED = """
import sys
from saltworks_lm import Labels
print(len(Labels(sys.argv[1])))
"""


def fingerprint(plan: dict[str, Any]) -> str:
    text = json.dumps({**plan, "created_by": ""}, separators=(",", ":"), ensure_ascii=False)
    return f"blake3:{blake3(text.encode()).hexdigest()}"


def stretched(plan: dict[str, Any], n_shards: int) -> dict[str, Any]:
    plan = copy.deepcopy(plan)
    sequences, layout = plan["sequences"], plan["layout"]
    n = n_shards * layout["rows_per_shard"]
    layout["n_shards"] = n_shards
    sequences.update(n_total=n, start=0, end=n, n_targets=n * sequences["seq_len"])
    plan["corpus"]["n_tokens"] = n * sequences["seq_len"] + 1
    return plan


def make(labels: Path, folder: Path, n_shards: int) -> None:
    known = json.loads((labels / "plan.json").read_text())
    sidecar = json.loads((labels / "part-00000.json").read_text())
    assert sidecar["plan_fingerprint"] == fingerprint(known), "the plan is not written as this script writes it"
    plan = stretched(known, n_shards)
    sidecar["plan_fingerprint"] = fingerprint(plan)
    sidecar["n_targets"] = sidecar["rows"] * plan["sequences"]["seq_len"]
    folder.mkdir(parents=True)
    (folder / "plan.json").write_text(json.dumps(plan, indent=2) + "\n")
    for kind in ("scores", "positions"):
        (folder / kind).mkdir()
    for shard in range(n_shards):
        sidecar["shard"] = shard
        for file in sidecar["files"]:
            file["name"] = f"{file['name'].split('/')[0]}/part-{shard:05}.parquet"
            with open(folder / file["name"], "wb") as made:
                made.truncate(file["bytes"])
        (folder / f"part-{shard:05}.json").write_text(json.dumps(sidecar, indent=2) + "\n")


def measured(command: list[str]) -> tuple[float, float, float, int]:
    """Least seconds by the clock and of the processor, most MiB, and the exit code."""
    clock, processor, code = [], [], 0
    for _ in range(PROGRAM_RUNS):
        began, used = time.monotonic(), processor_seconds()
        code = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode
        clock.append(time.monotonic() - began)
        processor.append(processor_seconds() - used)
    return min(clock), min(processor), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024, code


def processor_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    programs, labels, folder = map(Path, sys.argv[1:4])
    n_shards = int(sys.argv[4]) if len(sys.argv) > 4 else 100_000
    began = time.monotonic()
    make(labels, folder, n_shards)
    print(f"{n_shards} shards made in {time.monotonic() - began:.0f} s")
    program = str(programs / "saltworks")
    half = [folder / f"part-{shard:05}.json" for shard in range(0, n_shards, 2)]
    try:
        commands = {
            "finalize": [program, "finalize", str(folder)],
            "status, finished": [program, "status", str(folder), "--json"],
            "Labels(...) in Python": [sys.executable, "-c", OPENED, str(folder)],
        }
        for name, command in commands.items():
            report(name, command)
        print(f"manifest.json: {(folder / 'manifest.json').stat().st_size / 2**20:.0f} MiB")
        for path in half:
            os.remove(path)
        report("status, every second shard missing", [program, "status", str(folder), "--json"])
    finally:
        shutil.rmtree(folder)


def report(name: str, command: list[str]) -> None:
    # Each in a process of its own, whose children's memory is this command's alone.
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, json.dumps(measured(command)).encode())
        os._exit(0)
    os.waitpid(child, 0)
    clock, processor, mib, code = json.loads(os.read(reader, 1000))
    print(f"| {name} | {clock:.2f} s | {processor:.2f} s | {mib:.0f} MiB | exit code {code} |", flush=True)


if __name__ == "__main__":
    main()
