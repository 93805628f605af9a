"""What the tests share: token files, a teacher of a few lines, and labels made by the program itself.

The programs are found as a user's are: in `$SALTWORKS_BIN`, this environment, or on the PATH. `make test` builds
them and sets it. ONNX Runtime is the environment's.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from saltworks_lm.programs import run_saltworks

ROOT = Path(__file__).parents[2]
FIXTURES = ROOT / "fixtures" / "shard-v1"
V = 300
EOD = 299
T = 32
K = 8


def documents(n_documents: int, seed: int = 0, longest: int = 120) -> list[np.ndarray]:
    """Documents of random ids, each with the id that ends it."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, longest, n_documents)
    return [np.append(rng.integers(0, EOD, n), EOD) for n in lengths]


def write_megatron(prefix: Path, docs: list[np.ndarray], dtype: type = np.uint16) -> None:
    """`prefix.bin` and `prefix.idx`, as Megatron's own tools lay them out."""
    codes = {np.uint8: 1, np.int16: 3, np.int32: 4, np.int64: 5, np.uint16: 8}
    lengths = np.array([len(doc) for doc in docs], np.int32)
    pointers = (lengths.cumsum(dtype=np.int64) - lengths) * np.dtype(dtype).itemsize
    with open(f"{prefix}.idx", "wb") as idx:
        idx.write(b"MMIDIDX\0\0" + np.array([1], "<u8").tobytes() + bytes([codes[dtype]]))
        idx.write(np.array([len(docs), len(docs) + 1], "<u8").tobytes())
        idx.write(lengths.astype("<i4").tobytes() + pointers.astype("<i8").tobytes())
        idx.write(np.arange(len(docs) + 1, dtype="<i8").tobytes())
    Path(f"{prefix}.bin").write_bytes(np.concatenate([*docs, np.empty(0)]).astype(dtype).tobytes())


def write_teacher(path: Path, seed: int = 5) -> np.ndarray:
    """A bigram model as ONNX: logits = table[input_ids]. Returns the table [V, V] float32."""
    table = np.random.default_rng(seed).normal(0, 2, (V, V)).astype(np.float32)
    node = helper.make_node("Gather", ["table", "input_ids"], ["logits"], axis=0)
    graph = helper.make_graph(
        [node],
        "bigram",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "sequence"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", "sequence", V])],
        [numpy_helper.from_array(table, "table")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return table


def label(
    folder: Path, output: str, *arguments: str, tokens: str = "tokens", teacher: str = "teacher.onnx", top_k: int = K
) -> Path:
    """Labels the tokens in `folder` into `folder/output`."""
    run_saltworks(
        *("label", "--teacher", str(folder / teacher), "--tokens", str(folder / tokens)),
        *("--output", str(folder / output), "--seq-len", str(T), "--top-k", str(top_k), "--device", "cpu", "--quiet"),
        *arguments,
    )
    return folder / output


def written(labels: Path) -> dict[str, bytes]:
    """Every file of a label set but the record of its options, which names paths."""
    files = (path for path in labels.rglob("*") if path.is_file() and path.name != "label.toml")
    return {str(path.relative_to(labels)): path.read_bytes() for path in files}


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `teacher.onnx` (a bigram model), Megatron files `tokens`, and `labels` of every group in many
    row groups."""
    if "ORT_DYLIB_PATH" not in os.environ:
        import onnxruntime

        (library,) = Path(onnxruntime.__file__).parent.glob("capi/libonnxruntime.so.*")
        os.environ["ORT_DYLIB_PATH"] = str(library)
    folder = tmp_path_factory.mktemp("made")
    np.save(folder / "table.npy", write_teacher(folder / "teacher.onnx"))
    write_megatron(folder / "tokens", documents(160))
    label(folder, "labels", "--samples", "12", "--temperatures", "2,0.5", "--shard-bytes", "16000")
    return folder


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    """A copy of the golden label set, to be damaged."""
    return Path(shutil.copytree(FIXTURES / "labels-with-samples", tmp_path / "labels"))
