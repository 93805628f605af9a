"""Seconds and peak memory of losses over a large vocabulary: cross-entropy and KD of saltworks_lm, and plain log_softmax KD.

    python benches/torch_kd.py [--positions N] [--vocab V] [--top-k K] [--width D] [--dtype f32] [--device cpu]

Each loss runs in its own process, forward and backward with gradients of hidden states and head, optionally once to
warm up (--warm-up) and once measured. Memory is the peak of the process beyond its inputs. Ratios are of CPU seconds,
which other load on the machine affects less than wall-clock seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

LOSSES = ("ce", "tail-bucket", "sampled", "plain")


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--positions", type=int, default=4096)
    parser.add_argument("--vocab", type=int, default=151_936)
    parser.add_argument("--top-k", type=int, default=64)
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--dtype", choices=("f32", "bf16"), default="f32", help="bf16: under autocast")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=0, help="0: as many as there are cores")
    parser.add_argument("--warm-up", action="store_true", help="a run before the measured one")
    parser.add_argument("--losses", nargs="+", choices=LOSSES, default=LOSSES)
    parser.add_argument("--one", choices=LOSSES, help=argparse.SUPPRESS)
    return parser


def main() -> None:
    given = arguments().parse_args()
    if given.one:
        print(json.dumps(measure(given)))
        return
    source = str(Path(__file__).parents[1] / "python")
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")]))}
    found = {}
    for loss in given.losses:
        line = [sys.executable, __file__, *sys.argv[1:], "--one", loss]
        done = subprocess.run(line, env=env, check=True, stdout=subprocess.PIPE)
        found[loss] = json.loads(done.stdout)
        ratios = " ".join(compared(found, loss))
        print(
            f"{loss:12} {found[loss]['seconds']:8.2f} s  {found[loss]['cpu_seconds']:8.2f} CPU s  {found[loss]['bytes'] / 2**20:9.1f} MiB  {ratios}",
            flush=True,
        )


def compared(found: dict[str, dict[str, float]], loss: str) -> list[str]:
    ratios = []
    if "ce" in found:
        ratios.append(f"{found[loss]['cpu_seconds'] / found['ce']['cpu_seconds']:.3f} of ce's CPU seconds")
    if "plain" in found and loss == "plain":
        shares = (f"{name} {found[name]['bytes'] / found['plain']['bytes']:.3f}" for name in found if name != "plain")
        ratios.append("memory as a fraction of plain's: " + ", ".join(shares))
    return ratios


def measure(given: argparse.Namespace) -> dict[str, float]:
    import torch

    device = torch.device(given.device)
    torch.manual_seed(0)
    torch.set_num_threads(given.threads or torch.get_num_threads())
    n, v, k, d = given.positions, given.vocab, given.top_k, given.width
    hidden = torch.randn(n, d, device=device).requires_grad_()
    weight = (torch.randn(v, d, device=device) * d**-0.5).requires_grad_()
    target = torch.randint(v, (n,), device=device)
    # Distinct inside a row: a start and steps that together stay below V.
    ids = (torch.randint(v, (n, 1), device=device) + torch.arange(k, device=device) * (v // k)) % v
    probs = torch.rand(n, k, device=device).softmax(1) * 0.9
    loss = losses(hidden, weight, target, ids, probs)[given.one]
    if given.warm_up:
        loss().backward()
        hidden.grad = weight.grad = None
    before = settle(device)
    began, cpu_began = time.perf_counter(), time.process_time()
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=given.dtype == "bf16"):
        value = loss()
    value.backward()
    if device.type == "cuda":
        torch.cuda.synchronize()
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu_began
    return {"seconds": seconds, "cpu_seconds": cpu_seconds, "bytes": peak(device) - before, "loss": value.item()}


def losses(hidden, weight, target, ids, probs):  # noqa: ANN001, ANN201
    import torch
    from saltworks_lm.losses import Head, Kd, head_loss

    head, omega = Head.of_weight(weight), torch.full_like(target, 0.9, dtype=torch.float32)
    tail = 1.0 - probs.sum(1)

    def plain():  # noqa: ANN202
        log_q = torch.log_softmax((hidden @ weight.T).float(), dim=-1)
        ce = torch.nn.functional.nll_loss(log_q, target)
        at = log_q.gather(1, ids)
        return 0.1 * ce + 0.9 * (probs * (probs.log() - at)).sum(1).mean()

    tail_bucket = Kd("tail-bucket", ids, probs, tail, omega)
    sampled = Kd("sampled", ids, probs / probs.sum(1, keepdim=True), None, omega)
    return {
        "ce": lambda: head_loss(hidden, head, target, check=False).loss,
        "tail-bucket": lambda: head_loss(hidden, head, target, kd=tail_bucket, check=False).loss,
        "sampled": lambda: head_loss(hidden, head, target, kd=sampled, check=False).loss,
        "plain": plain,
    }


def settle(device) -> int:  # noqa: ANN001
    """Bytes that are in use before the measurement, from which the peak counts."""
    if device.type == "cuda":
        import torch

        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        return int(torch.cuda.memory_allocated())
    # Linux: forget the peak so far, so that it is of what follows alone.
    Path("/proc/self/clear_refs").write_text("5")
    return status("VmRSS")


def peak(device) -> int:  # noqa: ANN001
    if device.type == "cuda":
        import torch

        return int(torch.cuda.max_memory_allocated())
    return status("VmHWM")


def status(name: str) -> int:
    path = Path("/proc/self/status")
    if not path.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return next(int(line.split()[1]) * 1024 for line in path.read_text().splitlines() if line.startswith(name))


if __name__ == "__main__":
    main()
