"""The training step of `cargo bench --bench train_step` in PyTorch eager, for comparison.

    pip install torch transformers
    python benches/pytorch_step.py

Prints, for both models, milliseconds per step and the fraction of the sgemm peak that PyTorch reaches in the same run.
"""

import statistics
import time

import torch
from transformers import LlamaConfig, LlamaForCausalLM

SEQ_LEN, BATCH, ROUNDS = 256, 8, 9
THREADS = torch.get_num_threads()


def sgemm_peak_flops():
    a, b = torch.full((1024, 1024), 0.5), torch.full((1024, 1024), 0.25)
    best = float("inf")
    for _ in range(16):
        began = time.perf_counter()
        torch.mm(a, b)
        best = min(best, time.perf_counter() - began)
    return 2 * 1024**3 / best


def measure(vocab_size):
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=vocab_size, hidden_size=256, intermediate_size=768, num_hidden_layers=6,
        num_attention_heads=8, num_key_value_heads=8, max_position_embeddings=SEQ_LEN, rms_norm_eps=1e-5,
    )
    model = LlamaForCausalLM(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1)
    ids = torch.randint(vocab_size, (BATCH, SEQ_LEN + 1))
    inputs, targets = ids[:, :-1], ids[:, 1:].reshape(-1)

    def step():
        began = time.perf_counter()
        optimizer.zero_grad()
        logits = model(inputs, use_cache=False).logits.reshape(-1, vocab_size)
        torch.nn.functional.cross_entropy(logits, targets).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return time.perf_counter() - began

    step()
    weights = 6 * (256 * (768 + 256 + 3 * 768)) + 256 * vocab_size
    flops = (6 * weights + 12 * 6 * 256 * SEQ_LEN) * SEQ_LEN * BATCH
    rounds = [(sgemm_peak_flops(), step()) for _ in range(ROUNDS)]
    seconds = statistics.median(seconds for _, seconds in rounds)
    share = statistics.median(flops / seconds / peak for peak, seconds in rounds)
    peak = statistics.median(peak for peak, _ in rounds)
    n_parameters = sum(p.numel() for p in model.parameters())
    print(f"{n_parameters / 1e6:.1f}M parameters, V {vocab_size}: step {1e3 * seconds:.0f} ms, "
          f"{100 * share:.1f}% of its own sgemm peak of {peak / 1e9:.0f} GFLOP/s")


print(f"torch {torch.__version__}, {THREADS} threads, eager, f32")
for vocab_size in (8192, 32_000):
    measure(vocab_size)
