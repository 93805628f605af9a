"""SALT in PyTorch, from labels of `saltworks label`: a training loop to start from.

    python examples/torch/train.py --labels labels --tokens train --model config.json --steps 1200 --n-kd 480 --output run
    torchrun --nproc-per-node 8 examples/torch/train.py ...       # the same on eight GPUs

`--model` is a Hugging Face directory to start from, or the config.json of a new model. Stage 1 learns from the labels for
`--n-kd` steps, stage 2 from the sequences that are not labelled. The same command resumes a stopped run. Needs torch,
transformers, numpy and pyarrow.
"""

import argparse
import math
import os
from pathlib import Path

import torch
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, IterableDataset, get_worker_info
from transformers import AutoConfig, AutoModelForCausalLM

from data import LabelledBatches, TokenBatches, reader_of, resumed

# Positions whose logits are in memory at once.
CHUNK = 1024


def cross_entropy(log_q, targets):
    """Cross-entropy of the target tokens: [N] nats."""
    return -log_q.gather(-1, targets.unsqueeze(-1)).squeeze(-1)


def tail_bucket(log_q, ids, logprobs, tail):
    """KL(teacher || student) over the K stored ids and one bucket for all others: [N] nats."""
    p = logprobs.exp()
    p = p * ((1.0 - tail) / p.sum(-1)).unsqueeze(-1)  # stored values are rounded, the tail is not
    kept = torch.special.xlogy(p, p) - p * log_q.gather(-1, ids)
    log_q_tail = log_q.scatter(-1, ids, float("-inf")).logsumexp(-1)
    return kept.sum(-1) + torch.special.xlogy(tail, tail) - tail * log_q_tail


class WithLoss(torch.nn.Module):
    """A model and its loss in one forward pass, as data parallelism needs it. The output layer runs on chunks of the positions,
    and again in the backward pass, so that the logits of a whole batch are never in memory."""

    def __init__(self, model, vocab_size):
        super().__init__()
        self.model, self.vocab_size = model, vocab_size

    def forward(self, batch, omega):
        hidden = self.model.base_model(input_ids=batch["input_ids"]).last_hidden_state[batch["mask"]]
        names = ["targets"] + (["topk_ids", "topk_logprobs", "tail_mass"] if omega > 0 else [])
        values = [batch[name][batch["mask"]] for name in names]
        total = hidden.new_zeros((), dtype=torch.float32)
        for start in range(0, len(hidden), CHUNK):
            part = slice(start, start + CHUNK)
            total = total + checkpoint(self.sum_of, hidden[part], omega, *[v[part] for v in values], use_reentrant=False)
        return total / len(hidden)

    def sum_of(self, hidden, omega, targets, *labels):
        # If the output layer is padded beyond the vocabulary, labels do not cover its last logits.
        logits = self.model.get_output_embeddings()(hidden)[:, : self.vocab_size]
        log_q = logits.float().log_softmax(-1)
        loss = (1.0 - omega) * cross_entropy(log_q, targets).sum()
        return loss + omega * tail_bucket(log_q, *labels).sum() if omega > 0 else loss


class Batches(IterableDataset):
    """Whole batches, so that the workers of a DataLoader take turns and the step tells which batches were read."""

    def __init__(self, source, rank, world_size, n_done):
        self.source, self.rank, self.world_size, self.n_done = source, rank, world_size, n_done

    def __iter__(self):
        info = get_worker_info()
        worker, n_workers = (info.id, info.num_workers) if info else (0, 1)
        worker, n_done = resumed(self.n_done, worker, n_workers)
        return self.source.of(*reader_of(self.rank, self.world_size, worker, n_workers), n_done)


def stages(args, rank, world_size, step):
    """Batches from `step` on, each with its omega."""
    labelled = LabelledBatches(args.labels, args.batch_size, args.seed)
    tokens = TokenBatches(args.tokens, labelled.plan, labelled.seq_ids(), args.batch_size, args.seed)
    for source, omega, first, n_steps in [
        (labelled, args.omega, 0, args.n_kd),
        (tokens, 0.0, args.n_kd, args.steps - args.n_kd),
    ]:
        n_done = max(0, step - first)
        if n_done >= n_steps:
            continue
        batches = Batches(source, rank, world_size, n_done)
        given = iter(DataLoader(batches, batch_size=None, num_workers=args.workers))
        for _ in range(n_done, n_steps):
            batch = next(given, None)
            if batch is None:
                raise SystemExit(f"{type(source).__name__} end before {n_steps} steps: label more, or train for fewer")
            yield batch, omega


def learning_rate(args, step):
    """Warm-up, then a constant rate, then a decay over the last tenth."""
    left = (args.steps - step) / max(1, args.steps // 10)
    return args.lr * min(1.0, (step + 1) / args.warmup_steps, left)


def save(path, model, optimizer, step):
    """Writes the file completely or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step}, partial)
    partial.replace(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ["labels", "tokens", "model", "output"]:
        parser.add_argument(f"--{name}", required=True)
    for name, kind, default in [
        ("steps", int, 1200), ("n-kd", int, 480), ("batch-size", int, 8), ("omega", float, 0.9), ("lr", float, 1.5e-3),
        ("warmup-steps", int, 60), ("save-every", int, 200), ("workers", int, 2), ("seed", int, 0),
    ]:
        parser.add_argument(f"--{name}", type=kind, default=default, help=f"default {default}; batch-size is a rank's")
    args = parser.parse_args()
    rank, world_size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0))) if torch.cuda.is_available() else torch.device("cpu")
    if world_size > 1:
        torch.distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    torch.manual_seed(args.seed)
    vocab_size = LabelledBatches(args.labels, args.batch_size).plan["teacher"]["vocab_size"]
    is_fresh = Path(args.model).is_file()
    model = (
        AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(args.model))
        if is_fresh
        else AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32)
    )
    if model.config.vocab_size < vocab_size:
        raise SystemExit(f"the model has {model.config.vocab_size} ids, the labels {vocab_size}: they are of another tokenizer")
    model = model.to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, betas=(0.9, 0.95), weight_decay=0.1)
    step, latest = 0, Path(args.output) / "latest.pt"
    if latest.exists():
        state = torch.load(latest, map_location=device)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        step = state["step"]
    learner = WithLoss(model, vocab_size)
    if world_size > 1:
        learner = DistributedDataParallel(learner)
    for batch, omega in stages(args, rank, world_size, step):
        batch = {name: value.to(device) for name, value in batch.items()}
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(args, step)
        loss = learner(batch, omega)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step += 1
        if not math.isfinite(loss.item()):
            raise SystemExit(f"the loss of step {step} is {loss.item()}")
        if rank == 0 and (step % 10 == 0 or step == args.steps):
            print(f"step {step}  stage {1 if omega > 0 else 2}  loss {loss.item():.4f}", flush=True)
        if rank == 0 and (step % args.save_every == 0 or step == args.steps):
            save(latest, model, optimizer, step)
    if rank == 0:
        model.save_pretrained(Path(args.output) / "final")
    if world_size > 1:
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
