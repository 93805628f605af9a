"""Configurations of the trainer's runs that benchmarks make."""

import json
from pathlib import Path

#: 9.3M parameters at V = 8,192.
STUDENT = {"d_model": 256, "n_layers": 6, "n_heads": 8, "d_ff": 768}


def run_toml(output: Path, model: dict[str, object], steps: int, data: dict[str, object], **tables: object) -> str:
    """A run of `steps` steps of 8 sequences into `output`, with more tables by name."""
    tables = {
        "model": model,
        "data": data,
        "train": {"steps": steps, "batch_size": 8},
        "schedule": {"lr": 1e-3, "warmup_steps": 1},
        **tables,
    }
    lines = [f'output = "{output}"']
    for table, keys in tables.items():
        lines += [f"[{table}]", *(f"{key} = {json.dumps(value)}" for key, value in keys.items())]
    return "\n".join(lines)
