"""`plan.json` and `manifest.json`: what is labelled, how, and which rows are in which row group."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import DamagedError, NotFinishedError, UnknownFormatError
from .remote import AnyPath, RemotePath

FORMAT_VERSION = 1
#: Required features that this version supports.
KNOWN_FEATURES = frozenset({"samples", "selection", "impossible-targets", "engine"})
#: Groups of columns, in the order of the plan.
GROUPS = ("scores", "stats", "topk", "samples")


@dataclass(frozen=True)
class Samples:
    """How ids were drawn: `n_draws` per position with replacement, from p^(1/tau), with `seed`."""

    n_draws: int
    tau: float
    seed: int


@dataclass(frozen=True)
class Sequences:
    """The view of the corpus as sequences, and its labelled range.

    `seq_len` is T, predicted positions of a full sequence; `n_total` counts the sequences of the whole view,
    `start` to `end` is the labelled range, of which a selection may keep only `n_rows`.
    """

    seq_len: int
    packing: str
    attention: str
    positions: str
    sequence_bos: int | None
    n_total: int
    start: int
    end: int
    n_targets: int
    n_rows: int


@dataclass(frozen=True)
class Signals:
    """What is stored for each position. `top_k` is 0 without the group `topk`."""

    groups: tuple[str, ...]
    top_k: int
    temperatures: tuple[float, ...]
    rounding: str
    score_k: int
    mask_vocab_padding: bool
    impossible_targets: bool
    samples: Samples | None


@dataclass(frozen=True)
class Layout:
    """Placement of rows: rows per shard except the last, and per row group except the last of a shard."""

    first_shard: int
    n_shards: int
    rows_per_shard: int
    rows_per_row_group: int
    order_seed: int | None


@dataclass(frozen=True)
class Plan:
    """One plan: a contiguous range of sequences of one corpus, labelled by one teacher.

    `raw` is the whole JSON, for anything without a field here. `vocab_size` is V: every stored id is
    below it.
    """

    path: AnyPath
    raw: Mapping[str, Any]
    required_features: tuple[str, ...]
    vocab_size: int
    teacher_fingerprint: str
    corpus_fingerprint: str
    tokenizer_fingerprint: str | None
    sequences: Sequences
    signals: Signals
    layout: Layout

    @staticmethod
    def read(path: AnyPath) -> Plan:
        """Reads a plan.

        Raises
        ------
        UnknownFormatError
            A later format version, or a required feature that this version does not know.
        DamagedError
            JSON that is not a plan.
        """
        raw = read_json(path)
        check_version(path, raw)
        try:
            return _plan(path, raw)
        except (KeyError, TypeError, ValueError) as error:
            raise DamagedError(f"{path} is not a plan of labels: {type(error).__name__} {error}") from error

    def row_groups(self) -> Iterator[tuple[int, int, int]]:
        """(shard, row group in it, rows) of each row group, in order."""
        left = self.sequences.n_rows
        for shard in range(self.layout.first_shard, self.layout.first_shard + self.layout.n_shards):
            in_shard = min(left, self.layout.rows_per_shard)
            left -= in_shard
            for group, start in enumerate(range(0, in_shard, self.layout.rows_per_row_group)):
                yield shard, group, min(self.layout.rows_per_row_group, in_shard - start)


def read_json(path: AnyPath) -> dict[str, Any]:
    """An object from a JSON file; anything else counts as damage."""
    try:
        value = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"{path} is not JSON ({error}): fetch it again, or make the labels again") from error
    if not isinstance(value, dict):
        raise DamagedError(f"{path}: expected a JSON object, found {type(value).__name__}")
    return value


def check_version(path: AnyPath, raw: Mapping[str, Any]) -> None:
    """Checks whether this version can read the rest."""
    version = raw.get("format_version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise DamagedError(f"{path}: format_version is {version!r}, expected a number: is this the plan of labels?")
    if version > FORMAT_VERSION:
        raise UnknownFormatError(
            f"{path} is of format version {version}, this package reads up to {FORMAT_VERSION}: "
            "pip install --upgrade saltworks-lm"
        )
    features = raw.get("required_features")
    if not isinstance(features, list):
        raise DamagedError(f"{path}: required_features is {features!r}, expected a list")
    unknown = sorted({str(feature) for feature in features} - KNOWN_FEATURES)
    if unknown:
        raise UnknownFormatError(
            f"{path} needs the features {', '.join(unknown)}, which this package does not know: "
            "pip install --upgrade saltworks-lm"
        )


def _plan(path: AnyPath, raw: Mapping[str, Any]) -> Plan:
    return Plan(
        path=path,
        raw=raw,
        required_features=tuple(raw["required_features"]),
        vocab_size=_count(raw["teacher"]["vocab_size"]),
        teacher_fingerprint=raw["teacher"]["fingerprint"],
        corpus_fingerprint=raw["corpus"]["fingerprint"],
        tokenizer_fingerprint=raw["tokenizer"]["fingerprint"] if raw["tokenizer"] else None,
        sequences=_sequences(raw["sequences"]),
        signals=_signals(raw["signals"]),
        layout=_layout(raw["layout"]),
    )


def _sequences(raw: Mapping[str, Any]) -> Sequences:
    selection = raw.get("selection")
    start, end = _count(raw["start"], least=0), _count(raw["end"], least=0)
    return Sequences(
        seq_len=_count(raw["seq_len"]),
        packing=raw["packing"],
        attention=raw["attention"],
        positions=raw["positions"],
        sequence_bos=raw["sequence_bos"],
        n_total=_count(raw["n_total"], least=0),
        start=start,
        end=end,
        n_targets=_count(raw["n_targets"], least=0),
        n_rows=_count(selection["n_rows"], least=0) if selection else end - start,
    )


def _signals(raw: Mapping[str, Any]) -> Signals:
    groups = tuple(raw["groups"])
    if not groups or set(groups) - set(GROUPS):
        raise ValueError(f"signals.groups is {groups}, expected some of {GROUPS}")
    samples = raw.get("samples")
    return Signals(
        groups=groups,
        top_k=_count(raw["top_k"], least=int("topk" in groups)),
        temperatures=tuple(float(tau) for tau in raw["temperatures"]),
        rounding=raw["rounding"],
        score_k=_count(raw["score_k"]),
        mask_vocab_padding=bool(raw["mask_vocab_padding"]),
        impossible_targets=bool(raw.get("impossible_targets", False)),
        samples=Samples(_count(samples["n_draws"]), float(samples["tau"]), samples["seed"]) if samples else None,
    )


def _layout(raw: Mapping[str, Any]) -> Layout:
    return Layout(
        first_shard=_count(raw["first_shard"], least=0),
        n_shards=_count(raw["n_shards"], least=0),
        rows_per_shard=_count(raw["rows_per_shard"]),
        rows_per_row_group=_count(raw["rows_per_row_group"]),
        order_seed=raw["order_seed"],
    )


def _count(value: Any, least: int = 1) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{value!r} where a whole number of at least {least} was expected")
    return value


def log_partition_name(tau: float) -> str:
    """Name of the column that holds the log-partition of the temperature `tau`: 2.0 gives `log_partition_tau_2`."""
    return f"log_partition_tau_{int(tau) if tau == int(tau) else tau}"


@dataclass(frozen=True)
class File:
    """A published file in the manifest."""

    name: str
    n_bytes: int
    blake3: str


@dataclass(frozen=True)
class Manifest:
    """Contents of a finished set: a fingerprint for each plan, and the files of each shard by its number."""

    n_rows: int
    n_targets: int
    plan_fingerprints: tuple[str, ...]
    files: Mapping[int, tuple[File, ...]]
    raw: Mapping[str, Any]


def read_set(root: AnyPath) -> tuple[tuple[Plan, ...], Manifest]:
    """All plans of a finished set and its manifest, checked against each other and the sizes of the files.

    Contents are not hashed: `saltworks verify` does that.
    """
    plans = _read_plans(root)
    manifest = _read_manifest(root)
    _check_segments(root, plans, manifest.raw)
    expected = list(range(sum(plan.layout.n_shards for plan in plans)))
    if sorted(manifest.files) != expected:
        raise DamagedError(
            f"{root / 'manifest.json'} lists {len(manifest.files)} shards, but the plans have {len(expected)}: "
            f"saltworks verify {root}"
        )
    sizes = _sizes(root) if isinstance(root, RemotePath) else None
    for files in manifest.files.values():
        for file in files:
            _check_size(root, file, sizes)
    return plans, manifest


def _sizes(root: RemotePath) -> dict[str, int]:
    """Bytes of all files by name: two requests instead of one for every file."""
    return {
        f"{kind}/{name}": n_bytes
        for kind in ("scores", "positions")
        if (root / kind).is_dir()
        for name, n_bytes in (root / kind).sizes().items()
    }


def _read_plans(root: AnyPath) -> tuple[Plan, ...]:
    if not root.is_dir():
        found = "is a file: give the directory that plan.json is in" if root.exists() else "does not exist"
        raise FileNotFoundError(f"{root} {found}")
    if not (root / "plan.json").is_file():
        there = ", ".join(sorted(path.name for path in root.iterdir())[:3]) or "nothing"
        raise FileNotFoundError(f"{root} contains {there}, but no plan.json: give a directory of labels")
    plans = [Plan.read(root / "plan.json")]
    while (path := root / f"plan-{len(plans):05}.json").is_file():
        plans.append(Plan.read(path))
    return tuple(plans)


def _read_manifest(root: AnyPath) -> Manifest:
    path = root / "manifest.json"
    if not path.is_file():
        raise NotFinishedError(f"{root} is not finished: it has no manifest.json (saltworks finalize {root})")
    raw = read_json(path)
    check_version(path, raw)
    try:
        return Manifest(
            n_rows=_count(raw["n_rows"], least=0),
            n_targets=_count(raw["n_targets"], least=0),
            plan_fingerprints=tuple(segment["plan_fingerprint"] for segment in raw["segments"]),
            files={shard["shard"]: tuple(map(_file, shard["files"])) for shard in raw["shards"]},
            raw=raw,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedError(f"{path} is not a manifest of labels: {type(error).__name__} {error}") from error


def _file(raw: Mapping[str, Any]) -> File:
    parts = Path(raw["name"]).parts
    if len(parts) != 2 or parts[0] not in ("scores", "positions"):
        raise ValueError(f"{raw['name']!r} is not a name for a file of labels")
    return File(raw["name"], _count(raw["bytes"]), raw["blake3"])


def _check_segments(root: AnyPath, plans: tuple[Plan, ...], manifest: Mapping[str, Any]) -> None:
    segments = manifest["segments"]
    if len(segments) != len(plans):
        raise NotFinishedError(
            f"{root} was extended since it was finalized: {len(plans)} plans, {len(segments)} in manifest.json "
            f"(saltworks finalize {root})"
        )
    for plan, segment in zip(plans, segments, strict=True):
        sequences, layout = plan.sequences, plan.layout
        for field, ours in [
            ("start", sequences.start),
            ("end", sequences.end),
            ("first_shard", layout.first_shard),
            ("n_shards", layout.n_shards),
        ]:
            if segment.get(field) != ours:
                raise DamagedError(f"{plan.path} says {field} {ours}, but manifest.json {segment.get(field)}")
    n_rows = sum(plan.sequences.n_rows for plan in plans)
    if manifest["n_rows"] != n_rows:
        raise DamagedError(f"{root}: the plans have {n_rows} rows, but manifest.json {manifest['n_rows']}")


def _check_size(root: AnyPath, file: File, sizes: Mapping[str, int] | None) -> None:
    path = root / file.name
    got: int | None
    try:
        got = path.stat().st_size if sizes is None else sizes.get(file.name)
    except FileNotFoundError:
        got = None
    if got is None:
        raise DamagedError(f"{path} is missing: fetch it again, or label its shard again (saltworks label)")
    if got != file.n_bytes:
        raise DamagedError(f"{path} has {got} bytes, but manifest.json says {file.n_bytes}: fetch it again")


#: Settings that each Parquet file repeats in its metadata, as `saltworks.<name>`, and their place in the plan.
_METADATA = {
    "vocab_size": ("teacher", "vocab_size"),
    "teacher_fingerprint": ("teacher", "fingerprint"),
    "corpus_fingerprint": ("corpus", "fingerprint"),
    "seq_len": ("sequences", "seq_len"),
    "packing": ("sequences", "packing"),
    "sequence_bos": ("sequences", "sequence_bos"),
    "groups": ("signals", "groups"),
    "top_k": ("signals", "top_k"),
    "temperatures": ("signals", "temperatures"),
    "rounding": ("signals", "rounding"),
    "order_seed": ("layout", "order_seed"),
}


def check_footer(path: AnyPath, footer: Mapping[bytes, bytes] | None, plan: Plan, fingerprint: str, shard: int) -> None:
    """Checks that a Parquet file's metadata matches plan and manifest."""
    expected: dict[str, Any] = {name: plan.raw[section][field] for name, (section, field) in _METADATA.items()}
    expected |= {"plan_fingerprint": fingerprint, "shard": shard, "tokenizer_fingerprint": plan.tokenizer_fingerprint}
    for name, ours in expected.items():
        got = (footer or {}).get(f"saltworks.{name}".encode())
        text = ours if isinstance(ours, str) else json.dumps(ours, separators=(",", ":"))
        if got is None or (got.decode(errors="replace") != text and not _same(got, ours)):
            found = "nothing" if got is None else got.decode(errors="replace")
            raise DamagedError(
                f"{path}: its footer says {name} {found}, but the plan says {text}; is it of other labels?"
            )


def _same(text: bytes, value: Any) -> bool:
    """Equal as JSON, whatever the spacing or notation of numbers."""
    try:
        return bool(json.loads(text) == value)
    except ValueError:
        return False
