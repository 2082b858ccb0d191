"""Whether the box does its work, for whoever asks by HTTP: an orchestrator, a load balancer, a person with curl."""

from __future__ import annotations

from edgekit.web.board import Board


def not_ready(board: Board) -> list[str]:
    """Every reason why nothing is recognised now; empty where the loop is ready.

    Ready is: the supervisor speaks, calls itself ok or degraded, the engine runs, and a camera is LIVE at the least.
    """
    silence, status = board.silence(), board.status
    if silence is not None or status is None:
        return [silence or "no status yet"]
    reasons = []
    if status["state"] not in ("ok", "degraded"):
        reasons.append("; ".join([f"the loop is {status['state']}", *status["reasons"]]))
    if status["engine"]["state"] not in ("ok", "degraded"):
        reasons.append(_because(f"the engine is {status['engine']['state']}", status["engine"]["reason"]))
    if all(camera["state"] != "LIVE" for camera in status["cameras"].values()):
        reasons.append("no camera is LIVE")
        reasons += [
            _because(f"camera '{name}' is {camera['state']}", camera["reason"])
            for name, camera in status["cameras"].items()
        ]
    return reasons


def _because(what: str, reason: str) -> str:
    return f"{what}: {reason}" if reason else what
