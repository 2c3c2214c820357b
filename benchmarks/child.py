"""The child process of a contender (contenders/child.py): python child.py MODULE THREADS, asked over standard input."""

from __future__ import annotations

import os
import signal
import sys

from contenders.child import serve


def main(module: str, threads: str) -> None:
    """Answer on what standard output was; prints of libraries go to standard error."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it too, and ends this process
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    serve(module, int(threads), sys.stdin, answers)


if __name__ == "__main__":
    main(*sys.argv[1:])
