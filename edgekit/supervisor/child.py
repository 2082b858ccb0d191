"""What a child of the supervisor does first: never outlive it, and leave Ctrl-C to it."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys

PARENT = "EDGEKIT_SUPERVISOR"  # in the environment: the process that must live for this one to live
_PR_SET_PDEATHSIG = 1  # include/uapi/linux/prctl.h


def begin(role: str) -> None:
    """Call it before anything else in a child."""
    # A child that hangs in a driver sees no end of a channel: the kernel kills it when the supervisor is gone.
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != int(os.environ.get(PARENT, os.getppid())):
        sys.exit("the supervisor was gone before this process had begun")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.basicConfig(level=logging.WARNING, format=f"%(levelname)s {role} %(name)s: %(message)s")
