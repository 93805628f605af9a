"""Bits per byte of the same documents under two models, which may have different tokenizers: correlation, and a figure.

    pip install matplotlib
    python benches/documents.py LABELS OTHER [--picture FILE] [--ends N]

LABELS and OTHER are finished label sets of the same documents (`documents/` is read and joined by id). `--ends` lists
the N documents with the fewest and the most bits per byte under the first model.
"""

import argparse
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq


def documents(labels: Path) -> dict[str, dict[str, object]]:
    """The documents that are labelled whole, by id."""
    parts = sorted((labels / "documents").glob("part-*.parquet"))
    rows = [row for part in parts for row in pq.read_table(part).to_pylist()]
    return {row["id"]: row for row in rows if row["bits_per_byte"] is not None}


def ranks(values: np.ndarray) -> np.ndarray:
    """Place of each value in rising order."""
    return values.argsort().argsort()


def draw(x: np.ndarray, y: np.ndarray, names: tuple[str, str], path: Path) -> None:
    """A point a document, with the line where both models agree."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(5, 5), layout="constrained")
    ends = [min(x.min(), y.min()), max(x.max(), y.max())]
    axes.plot(ends, ends, color="0.6", linewidth=1)
    axes.scatter(x, y, s=5, alpha=0.4, linewidths=0)
    axes.set_xlabel(f"bits per byte, {names[0]}")
    axes.set_ylabel(f"bits per byte, {names[1]}")
    axes.set_aspect("equal")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=144)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labels", type=Path)
    parser.add_argument("other", type=Path)
    parser.add_argument("--names", nargs=2, default=("first model", "second model"), help="of the models, for the axes")
    parser.add_argument("--picture", type=Path, help="PNG or SVG")
    parser.add_argument("--ends", type=int, default=0)
    given = parser.parse_args()
    ours, theirs = documents(given.labels), documents(given.other)
    ids = [id_ for id_ in ours if id_ in theirs]
    print(f"{len(ours)} and {len(theirs)} documents have bits per byte, {len(ids)} in both")
    for column in ("bits_per_byte", "mean_nll"):
        x, y = (np.array([side[id_][column] for id_ in ids]) for side in (ours, theirs))
        pearson, spearman = np.corrcoef(x, y)[0, 1], np.corrcoef(ranks(x), ranks(y))[0, 1]
        print(f"{column}: mean {x.mean():.4f} and {y.mean():.4f}, Pearson {pearson:.4f}, Spearman {spearman:.4f}")
    by_bits = sorted(ids, key=lambda id_: ours[id_]["bits_per_byte"])
    for title, some in (("fewest", by_bits[: given.ends]), ("most", by_bits[::-1][: given.ends])):
        for id_ in some:
            row = ours[id_]
            print(f"{title}: {row['bits_per_byte']:.3f} bits per byte, {row['n_bytes']:>7,} bytes, {id_}")
    if given.picture:
        x, y = (np.array([side[id_]["bits_per_byte"] for id_ in ids]) for side in (ours, theirs))
        draw(x, y, tuple(given.names), given.picture)


if __name__ == "__main__":
    main()
