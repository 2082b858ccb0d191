"""A subject whose engine costs what it is said to cost, on a real clock or on one that only goes on when it is used."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from edgekit.benchmarks.scenarios.film import Film
from edgekit.benchmarks.scenarios.subject import Subject
from edgekit.contract import InputSpec, Softmax
from edgekit.engines import NullSession
from edgekit.engines.session import TensorInfo
from edgekit.tasks import Classifier

PICTURE = np.zeros((12, 16, 3), np.uint8)
FILM = Film("a black picture", (PICTURE,))
SPEC = InputSpec(16, 12)


def null_subject(spent_ms: float, spend: Callable[[float], None] = time.sleep, name: str = "null") -> Subject:
    session = NullSession(TensorInfo("image", "float32", (1, 3, 12, 16)), [np.ones((1, 2))], spent_ms, spend)
    return Subject(name, Classifier(session, SPEC, Softmax(), ("a", "b")))


def costing(costs_s: Callable[[float], float], time_: object) -> Callable[[float], None]:
    """A way to spend that costs `costs_s` of the seconds since the beginning, whatever it is asked to spend."""
    began = time_.seconds
    return lambda _: time_.sleep(costs_s(time_.seconds - began))
