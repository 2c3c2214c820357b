"""Data sets by name or path: `load` returns a `Data`, `names` lists the sets, `splits` and `find` tell about one."""

from boltz.data.loading import load, splits
from boltz.data.sets import find, names
from boltz.data.table import Data

__all__ = ["Data", "find", "load", "names", "splits"]
