"""``metrics.jsonl`` and TensorBoard's event files, with the fields that ``saltworks-train`` writes and reads."""

from __future__ import annotations

import json
import math
import os
import struct
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

METRICS_NAME = "metrics.jsonl"
#: Tags of TensorBoard, by kind and field of a line.
_TAGS = {
    ("train", "loss"): "train/loss",
    ("train", "ce"): "train/ce",
    ("train", "kd"): "train/kd",
    ("train", "omega"): "train/omega",
    ("train", "kd_fraction"): "train/kd_fraction",
    ("train", "learnt_fraction"): "train/learnt_fraction",
    ("train", "lr"): "train/lr",
    ("train", "grad_norm"): "train/grad_norm",
    ("train", "tokens_per_s"): "perf/tokens_per_s",
    ("train", "teacher_nll"): "labels/teacher_nll",
    ("train", "student_nll"): "labels/student_nll",
    ("valid", "val_nll"): "valid/nll",
    ("stage", "stage"): "train/stage",
}
_BUCKETS = ("easy", "medium", "hard")


class Spread:
    """Sums over the losses of a step's positions, from which the means and variances of a line are
    computed.

    ``[4, 3, 3]`` f64: by all, easy, medium, hard; by -log q of every position that counts in the loss, the same for
    those that learn from the teacher, and their soft-label loss; by number, sum, sum of squares.
    """

    def __init__(self, borders: list[float], device: torch.device) -> None:
        self._borders = borders
        self.moments = torch.zeros(4, 3, 3, dtype=torch.float64, device=device)

    def add(self, weight: Tensor, ce: Tensor, soft: Tensor, omega: Tensor, teacher_nll: Tensor | None) -> None:
        """Adds ``[N]`` positions; without the teacher's NLL they belong to no bucket."""
        learnt = weight > 0
        masks = [learnt]
        if teacher_nll is not None:
            easy, medium = (teacher_nll <= border for border in self._borders)
            masks += [learnt & easy, learnt & ~easy & medium, learnt & ~easy & ~medium]
        taught = omega > 0
        for of_bucket, mask in zip(self.moments, masks, strict=False):
            for row, (values, among) in zip(
                of_bucket, ((ce, mask), (ce, mask & taught), (soft, mask & taught)), strict=True
            ):
                chosen = torch.where(among, values.double(), 0.0)
                row += torch.stack([among.sum().double(), chosen.sum(), chosen.square().sum()])

    def report(self, has_buckets: bool) -> dict[str, Any] | None:
        """``variance`` of a line; None with fewer than 2 positions."""
        learns = bool(self.moments[0, 2, 0] > 0)
        ce = [_variance(bucket[1 if learns else 0]) for bucket in self.moments]
        soft = [_variance(bucket[2]) for bucket in self.moments]
        if ce[0] is None:
            return None
        return {
            "ce": ce[0],
            "soft": soft[0],
            "ce_by_bucket": ce[1:] if has_buckets else None,
            "soft_by_bucket": soft[1:] if has_buckets and learns else None,
        }


def _variance(moments: Tensor) -> float | None:
    n, total, square = moments.tolist()
    return max((square - total * total / n) / (n - 1), 0.0) if n >= 2 else None


class RunLog:
    """Both logs of a run; existing lines after ``step`` are cut."""

    def __init__(self, directory: Path, step: int, tensorboard: bool) -> None:
        self._path = directory / METRICS_NAME
        lines = [line for line in read_metrics(self._path) if line["step"] <= step] if self._path.exists() else []
        self.validated_at = max((line["step"] for line in lines if line["kind"] == "valid"), default=None)
        temporary = self._path.with_suffix(".tmp")
        temporary.write_text("".join(_json(line) for line in lines))
        os.replace(temporary, self._path)
        self._file = self._path.open("a")
        self._events = Events(directory, step) if tensorboard else None

    def write(self, line: Mapping[str, Any]) -> None:
        """Appends one line to both."""
        if line["kind"] == "valid":
            self.validated_at = line["step"]
        self._file.write(_json(line))
        self._file.flush()
        if self._events is not None:
            self._events.write(line)

    def sync(self) -> None:
        """Makes the lines durable, as is needed before a checkpoint that relies on them."""
        os.fsync(self._file.fileno())


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Every line of the file; an incomplete last one is skipped."""
    whole, _, _ = path.read_text().rpartition("\n")
    return [json.loads(line) for line in whole.splitlines()]


def _json(line: Mapping[str, Any]) -> str:
    return json.dumps(_finite(line), separators=(",", ":")) + "\n"


def _finite(value: Any) -> Any:
    """JSON has no NaN or infinity: both become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list) else value


class Events:
    """One event file of TensorBoard: the few messages of its protobuf that scalars need."""

    def __init__(self, directory: Path, step: int) -> None:
        now = time.time_ns()
        name = f"events.out.tfevents.{now // 10**9:010}.{now % 10**9:09}.{os.getpid()}"
        self._file = (directory / name).open("xb")
        self._write(0, _text(3, b"brain.Event:2"))
        if step > 0:
            # SessionLog.START: TensorBoard drops points of earlier files from this step on.
            self._write(step + 1, _text(7, _number(1, 1)))

    def write(self, line: Mapping[str, Any]) -> None:
        """Writes the scalars of a line, without null values."""
        values = b"".join(_text(1, _text(1, tag.encode()) + _float(2, value)) for tag, value in _scalars(line))
        self._write(line["step"], _text(5, values))

    def _write(self, step: int, what: bytes) -> None:
        event = b"\x09" + struct.pack("<d", time.time()) + _number(2, step) + what
        length = struct.pack("<Q", len(event))
        self._file.write(length + _masked_crc(length) + event + _masked_crc(event))
        self._file.flush()


def _scalars(line: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for (kind, name), tag in _TAGS.items():
        if line["kind"] == kind and line.get(name) is not None:
            yield tag, float(line[name])
    variance = line.get("variance") or {}
    for name in ("ce", "soft"):
        if variance.get(name) is not None:
            yield f"variance/{name}", variance[name]
        for bucket, value in zip(_BUCKETS, variance.get(f"{name}_by_bucket") or [None] * 3, strict=True):
            if value is not None:
                yield f"variance/{name}_{bucket}", value


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _number(tag: int, value: int) -> bytes:
    return _varint(tag << 3) + _varint(value)


def _float(tag: int, value: float) -> bytes:
    return _varint(tag << 3 | 5) + struct.pack("<f", value)


def _text(tag: int, value: bytes) -> bytes:
    return _varint(tag << 3 | 2) + _varint(len(value)) + value


def _table() -> list[int]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


_CRC = _table()


def _masked_crc(content: bytes) -> bytes:
    crc = 0xFFFFFFFF
    for byte in content:
        crc = _CRC[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
