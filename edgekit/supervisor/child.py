"""What a child of the supervisor does first: never outlive it, leave Ctrl-C to it, and keep stdout for nobody."""

from __future__ import annotations

import ctypes
import logging
import os
import signal

_PR_SET_PDEATHSIG = 1  # include/uapi/linux/prctl.h


def begin(role: str) -> None:
    """Call it before anything else in a child."""
    # A child that hangs in a driver sees no end of a channel: the kernel kills it when the supervisor is gone.
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.dup2(2, 1)  # engines and decoders print on stdout
    logging.basicConfig(level=logging.WARNING, format=f"%(levelname)s {role} %(name)s: %(message)s")
