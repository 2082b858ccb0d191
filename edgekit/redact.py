"""Addresses as logs, errors and pages may show them: without what only their owner should know."""

from __future__ import annotations

import re


def redact(address: str) -> str:
    """The address without user, password and query, fit for logs: `rtsp://***@10.0.0.7/stream?***`."""
    if "://" not in address:
        return address
    # Greedy up to the last '@': a password with an unescaped '/', '?' or '@' in it is taken out too.
    without_user = re.sub(r"://.*@", "://***@", address, flags=re.DOTALL)
    return re.sub(r"\?.*", "?***", without_user, flags=re.DOTALL)
