"""Data sets and collators for PyTorch.

`LabelStream` reads in the order of `saltworks_lm.order`, over any number of ranks and workers, and resumes from one
position. `LabelDataset` is the same by index, for trainers with their own sampler. `hf`, `titan` and `megatron` make
batches with the field names of these trainers, plus teacher fields named as in the label format.
"""

from .collate import Batch, hf, megatron, titan
from .dataset import LabelDataset
from .stream import LabelStream

__all__ = ["Batch", "LabelDataset", "LabelStream", "hf", "megatron", "titan"]
