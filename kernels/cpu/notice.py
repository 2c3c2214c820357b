"""A word to the user while Numba compiles, which it does once for a processor where it can keep them."""

from __future__ import annotations

import logging
from typing import Any

from numba.core import event


class _Notice(event.Listener):  # type: ignore[misc]
    """Logs one warning a process, which Python prints unless told otherwise, when a kernel is not in the cache."""

    said = False

    def on_start(self, event: Any) -> None:
        module = event.data["dispatcher"].py_func.__module__ or ""  # functions of other packages may have none
        ours = module.startswith("boltz.kernels")
        if ours and not self.said:
            self.said = True
            kept = event.data["dispatcher"].stats.cache_path
            later = "the next run finds them on disk" if kept else "NUMBA_CACHE_DIR may name a folder to keep them in"
            text = f"Compiling kernels for this processor, which takes up to a minute; {later}."
            logging.getLogger("boltz.kernels").warning(text)

    def on_end(self, event: Any) -> None:
        """Nothing to say."""


def announce() -> None:
    """Say so from now on when a kernel has to be compiled."""
    event.register("numba:compile", _Notice())
