"""Data sets and collators for PyTorch.

`LabelStream` reads in the one order of `saltworks_lm.order`, over any number of ranks and workers, and resumes from one
position. `LabelDataset` is the same by index, for whatever brings its own sampler. `hf`, `titan` and `megatron` make
batches under the names that these trainers use, teacher fields beside them under the names of the label format.
"""

from .collate import Batch, hf, megatron, titan
from .dataset import LabelDataset
from .stream import LabelStream

__all__ = ["Batch", "LabelDataset", "LabelStream", "hf", "megatron", "titan"]
