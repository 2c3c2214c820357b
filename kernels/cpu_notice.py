"""A word to the user while Numba compiles, which it does once for a processor and then keeps."""

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
            text = "Compiling kernels for this processor, a matter of seconds; the next run finds them on disk."
            logging.getLogger("boltz.kernels").warning(text)

    def on_end(self, event: Any) -> None:
        """Nothing to say."""


def announce() -> None:
    """Say so from now on when a kernel has to be compiled."""
    event.register("numba:compile", _Notice())
