"""Data sets by name or path: `load` and `load_views` return a `Data`, `names` lists the sets, `splits` and `find` tell
about one.
"""

from boltz.data.dataset import Data
from boltz.data.loading import load, splits
from boltz.data.named_sets import find, names
from boltz.data.views import again, load_views

__all__ = ["Data", "again", "find", "load", "load_views", "names", "splits"]
