"""Who belongs to whom: the exact cheapest assignment of rows to columns, so that no board needs scipy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Costs = npt.NDArray[np.float64]
Pairs = tuple[npt.NDArray[np.intp], ...]


def assign_below(costs: Costs, limit: float) -> Pairs:
    """Rows and columns that are paired, such that the sum of (limit - cost) is largest; no pair costs `limit` or more.

    costs: (n, m), infinite where a pair is impossible. The pairs come in the order of their rows. The optimum is the
    one that `lap.lapjv(cost_limit=...)` finds for ByteTrack.
    """
    possible = costs < limit
    of_row, of_column = possible.sum(1), possible.sum(0)
    # Objects that stand apart have one candidate each, and most frames hold nothing else: those need no search.
    if of_row.max(initial=0) <= 1 and of_column.max(initial=0) <= 1:
        return np.nonzero(possible)
    alone = possible & (of_row == 1)[:, None] & (of_column == 1)
    rest = possible & ~alone
    rows, columns = rest.any(1).nonzero()[0], rest.any(0).nonzero()[0]
    i, j = assign(np.minimum(costs[rows[:, None], columns] - limit, 0.0))
    chosen = alone
    chosen[rows[i], columns[j]] = rest[rows[i], columns[j]]
    return np.nonzero(chosen)


def assign(costs: Costs) -> Pairs:
    """Pairs of rows and columns with the smallest sum of costs, min(n, m) of them, in the order of their rows.

    costs: (n, m), finite. The Hungarian method by shortest augmenting paths, O(n^2 m): Jonker and Volgenant, A shortest
    augmenting path algorithm for dense and sparse linear assignment problems, Computing 38, 1987.
    """
    if costs.shape[0] > costs.shape[1]:
        columns, rows = assign(costs.T)
        order = np.argsort(rows)
        return rows[order], columns[order]
    n, m = costs.shape
    if not n:
        return np.empty(0, np.intp), np.empty(0, np.intp)
    row_price, column_price = costs.min(axis=1), np.zeros(m)
    row_of = np.full(m, -1, np.intp)
    # Each row gets its cheapest column, if no row before wants the same: few are left to search for.
    columns, first = np.unique(costs.argmin(axis=1), return_index=True)
    row_of[columns] = first
    for row in set(range(n)).difference(first.tolist()):
        _augment(costs, row, row_price, column_price, row_of)
    columns = np.flatnonzero(row_of >= 0)
    order = np.argsort(row_of[columns])
    return row_of[columns][order], columns[order]


def _augment(costs: Costs, start: int, row_price: Costs, column_price: Costs, row_of: npt.NDArray[np.intp]) -> None:
    """Give row `start` a column, along the cheapest path of rows that move over to another; prices stay feasible."""
    distance = np.full(len(row_of), np.inf)
    came_from = np.full(len(row_of), -1, np.intp)  # the column whose row reaches this one
    done = np.zeros(len(row_of), np.bool_)
    row, column, reached = start, -1, 0.0
    while True:
        through = reached + costs[row] - row_price[row] - column_price
        better = ~done & (through < distance)
        distance[better], came_from[better] = through[better], column
        column = int(np.where(done, np.inf, distance).argmin())
        reached = float(distance[column])
        if row_of[column] < 0:
            break
        done[column] = True
        row = int(row_of[column])
    row_price[start] += reached
    row_price[row_of[done]] += reached - distance[done]
    column_price[done] -= reached - distance[done]
    while column >= 0:
        before = int(came_from[column])
        row_of[column] = start if before < 0 else row_of[before]
        column = before
