"""A run's inputs, identified by contents: `sources.json`, the same hashes that `saltworks-train` records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ..hashes import checked_json, fingerprint_of, hash_file, sampled_blake3
from ..labels import Labels
from ..tokens import TokenCorpus
from .config import RunConfig

SOURCES_NAME = "sources.json"
#: Keys of the configuration, by field.
_KEYS = {
    "labels": "data.labels",
    "selection": "data.selection",
    "tokens": "data.tokens",
    "validation": "data.validation",
    "tokenizer": "data.tokenizer",
    "init": "init",
}


@dataclass(frozen=True)
class Sources:
    """Hashes of a run's inputs, since their paths may name other files when the run resumes.

    labels: over the fingerprints of the first teacher's plans; other_labels: the same for the other teachers;
    selection, tokenizer: BLAKE3 of the file; tokens, validation, init: over sampled blocks of their files;
    labelled_tokens: the same for the token files from which the labels were made.
    """

    labels: str | None = None
    selection: str | None = None
    tokens: str | None = None
    validation: str | None = None
    tokenizer: str | None = None
    init: str | None = None
    labelled_tokens: str | None = None
    other_labels: tuple[str, ...] = ()

    def by_key(self) -> dict[str, str]:
        """The existing hashes, by the configuration key of the input."""
        found = asdict(self)
        by_key = {key: found[name] for name, key in _KEYS.items() if found[name] is not None}
        others = {f"data.labels[{number}]": labels for number, labels in enumerate(self.other_labels, start=1)}
        return by_key | others

    def write(self, run: Path) -> None:
        """Writes them to the directory of the run."""
        temporary = run / f".{SOURCES_NAME}.tmp"
        found = asdict(self) | {"other_labels": list(self.other_labels)}
        if not self.other_labels:
            del found["other_labels"]
        temporary.write_bytes(checked_json(found))
        temporary.replace(run / SOURCES_NAME)


def sources_of(
    config: RunConfig,
    teachers: Sequence[Labels],
    tokens: TokenCorpus | None,
    validation: TokenCorpus | None,
    tokenizer: Path | None,
) -> Sources:
    """Hashes of the inputs that a run has opened."""
    selection = config.data.selection
    fingerprints = [labels.fingerprint for labels in teachers]
    return Sources(
        labels=fingerprints[0] if fingerprints else None,
        selection=None if selection is None else hash_file(Path(selection)),
        tokens=corpus_identity(tokens),
        validation=corpus_identity(validation),
        tokenizer=None if tokenizer is None else hash_file(tokenizer),
        init=None if config.init is None else model_identity(Path(config.init)),
        labelled_tokens=_labelled_identity(teachers[0]) if teachers else None,
        other_labels=tuple(fingerprints[1:]),
    )


def corpus_identity(corpus: TokenCorpus | None) -> str | None:
    """An identity for the token files, from sampled blocks of them, independent of their names."""
    return None if corpus is None else fingerprint_of(map(sampled_blake3, corpus.files))


def model_identity(directory: Path) -> str | None:
    """The same for the weights in a directory; None without safetensors."""
    weights = sorted(path for path in directory.glob("*.safetensors") if path.stem != "optimizer")
    return fingerprint_of(map(sampled_blake3, weights)) if weights else None


def _labelled_identity(labels: Labels) -> str:
    return fingerprint_of(file["sampled_blake3"] for file in labels.plan.raw["corpus"]["files"])
