"""Runs a command as a unit's system call filter lets it run, without systemd: `confined.py CALLS COMMAND...`.

CALLS is the list of system calls that are allowed, with commas between; the others fail with EPERM, as
`SystemCallErrorNumber=EPERM` makes them. Like systemd it loads the filter by libseccomp, and sets no_new_privs.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys

ALLOW, ERRNO = 0x7FFF0000, 0x00050000  # SCMP_ACT_* of seccomp.h
NO_NEW_PRIVS = 38  # PR_SET_NO_NEW_PRIVS of prctl.h


def confine(calls: list[str]) -> None:
    seccomp = ctypes.CDLL("libseccomp.so.2")
    seccomp.seccomp_init.restype = ctypes.c_void_p
    rules = ctypes.c_void_p(seccomp.seccomp_init(ctypes.c_uint32(ERRNO | errno.EPERM)))
    for call in calls:
        number = seccomp.seccomp_syscall_resolve_name(call.encode())
        if number >= 0:  # else a call of another architecture
            _ok(seccomp.seccomp_rule_add(rules, ctypes.c_uint32(ALLOW), number, 0))
    _ok(ctypes.CDLL(None).prctl(NO_NEW_PRIVS, 1, 0, 0, 0))
    _ok(seccomp.seccomp_load(rules))


def _ok(code: int) -> None:
    if code != 0:
        raise OSError(-code, os.strerror(-code))


if __name__ == "__main__":
    confine(sys.argv[1].split(","))
    os.execv(sys.argv[2], sys.argv[2:])
