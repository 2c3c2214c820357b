"""Data sets by name or path: `load` returns a `Data`, `names` lists the sets, `splits` and `find` tell about one."""

from boltz.data.dataset import Data
from boltz.data.loading import load, splits
from boltz.data.named_sets import find, names

__all__ = ["Data", "find", "load", "names", "splits"]
