"""How long to wait before the next try: twice as long each time, up to a cap, never two devices in step.

The jitter follows "equal jitter" of M. Brooker, Exponential Backoff And Jitter (AWS Architecture Blog, 2015): a shop
whose forty cameras lost power together must not come back as one wave.
"""

from __future__ import annotations

import random


class Backoff:
    """Waits that grow from `base_s` by `factor` up to `cap_s`; each is shortened by a random part of up to `jitter`.

        backoff = Backoff(base_s=0.2, cap_s=1.5, random=random.Random(7))
        wait_s = backoff.next()     # after a failure
        backoff.reset()             # after a success

    There is no last try: `next` goes on for ever at the cap. `tries` counts the failures since the last reset.
    """

    def __init__(
        self, base_s: float, cap_s: float, random: random.Random, factor: float = 2.0, jitter: float = 0.5
    ) -> None:
        if not 0 < base_s <= cap_s or factor < 1 or not 0 <= jitter < 1:
            raise ValueError(
                f"need 0 < base_s <= cap_s, factor >= 1, 0 <= jitter < 1; got {base_s}, {cap_s}, {factor}, {jitter}"
            )
        self.tries = 0
        self._base_s = base_s
        self._cap_s = cap_s
        self._factor = factor
        self._jitter = jitter
        self._random = random
        self._wait_s = base_s

    def next(self) -> float:
        """Seconds to wait before the next try."""
        whole = self._wait_s
        self.tries += 1
        self._wait_s = min(self._cap_s, whole * self._factor)
        return whole * (1 - self._jitter * self._random.random())

    def reset(self) -> None:
        """It worked: the next failure begins at `base_s` again."""
        self.tries = 0
        self._wait_s = self._base_s
