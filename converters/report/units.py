"""How figures are written on the page; one that is None was not measured, and is told so."""

from __future__ import annotations

from edgekit.converters.report.report import Latency

UNMEASURED = "not measured"


def told_share(figure: float | None) -> str:
    """A top-1, a recall, an AP: four digits."""
    return UNMEASURED if figure is None else f"{figure:.4f}"


def told_size(size: int | None) -> str:
    """Bytes in decimal MB or kB, as shops and download pages count them."""
    if size is None:
        return UNMEASURED
    return f"{size / 1e6:.2f} MB" if size >= 1e6 else f"{size / 1e3:.1f} kB"


def told_median(latency: Latency | None) -> str:
    return UNMEASURED if latency is None else f"{latency.median_ms:.2f} ms"


def told_range(latency: Latency | None) -> str:
    return UNMEASURED if latency is None else f"{latency.low_ms:.2f} to {latency.high_ms:.2f}"


def told_latency(latency: Latency | None) -> str:
    """Both of them in one."""
    return UNMEASURED if latency is None else f"{told_median(latency)} ({told_range(latency)})"


def told_count(count: int | None, before: int | None) -> str:
    """A number of operations or parameters, and its change in percent."""
    if count is None:
        return UNMEASURED
    told = f"{count / 1e6:.2f} M" if count >= 1e6 else f"{count / 1e3:.1f} k"
    return f"{told} ({count / before - 1:+.1%})" if before else told
