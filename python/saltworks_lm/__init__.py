"""Labels of a small language model in every PyTorch trainer.

`Labels` reads the output of `saltworks label`, `TokenCorpus` the tokens that were labelled, and `LabelWriter`
writes the predictions of any other engine in the same format. `saltworks_lm.torch` has data sets and collators
for PyTorch; nothing else here imports torch.
"""

from importlib.metadata import PackageNotFoundError as _NotFound
from importlib.metadata import version as _version

from .errors import (
    DamagedError,
    MismatchError,
    MissingGroupError,
    NotFinishedError,
    ProgramError,
    SaltworksError,
    UnknownFormatError,
)
from .labels import JoinedLabels, Labels, verify
from .plan import Plan, Samples
from .row import Row
from .selection import read_selection
from .signals import signals_of_logits
from .tokens import SequenceView, TokenCorpus
from .writer import Engine, LabelWriter

try:
    __version__ = _version("saltworks-lm")
except _NotFound:  # a checkout that is not installed
    __version__ = "0+unknown"

__all__ = [
    "DamagedError",
    "Engine",
    "JoinedLabels",
    "LabelWriter",
    "Labels",
    "MismatchError",
    "MissingGroupError",
    "NotFinishedError",
    "Plan",
    "ProgramError",
    "Row",
    "SaltworksError",
    "Samples",
    "SequenceView",
    "TokenCorpus",
    "UnknownFormatError",
    "__version__",
    "read_selection",
    "signals_of_logits",
    "verify",
]
