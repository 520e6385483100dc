"""Two marks that the cost of an assignment is measured against. Not shown to the model."""

# ruff: noqa: N803 - the names of the problem

import numpy as np

_STARTS = 100


def mean_cost(F, D, P):
    """The exact mean of the cost over all permutations."""
    n = len(F)
    diagonal = np.trace(F) * np.trace(D) / n
    others = (F.sum() - np.trace(F)) * (D.sum() - np.trace(D)) / (n * (n - 1))
    return float(diagonal + others - 0.5 * P.sum() / n)


def strong_cost(F, D, P):
    """The best local optimum under swaps of pairs, of many starts side by side.

    A better one may exist; the score allows for that.
    """
    n = len(F)
    rows, runs = np.arange(n), np.arange(_STARTS)
    # The search is part of the instance's definition, so its randomness is fixed.
    perms = np.random.default_rng(15).permuted(np.tile(rows, (_STARTS, 1)), axis=1)
    for _ in range(1000):
        liked = P[rows[:, None], perms[:, None, :]]
        change = _swap_changes(F, D[perms[:, :, None], perms[:, None, :]], liked)
        flat = change.reshape(_STARTS, -1)
        best = flat.argmin(axis=1)
        better = flat[runs, best] < -1e-12
        if not better.any():
            break
        run, (i, j) = runs[better], np.unravel_index(best[better], (n, n))
        perms[run, i], perms[run, j] = perms[run, j], perms[run, i]
    moved = D[perms[:, :, None], perms[:, None, :]]
    return float(((F * moved).sum(axis=(1, 2)) - 0.5 * P[rows, perms].sum(axis=1)).min())


def _swap_changes(F, E, liked):
    """Change of the cost when facilities r and s swap places, at [run, r, s].

    E[run] are the distances between the facilities as placed; liked[run, i, j] is how much
    facility i likes the place of facility j.
    """
    by_row, by_column = F @ E.transpose(0, 2, 1), F.T @ E
    both = _swapped(by_row) + _swapped(by_column)
    # The four entries where rows and columns of r and s cross were counted as if only one of the
    # two indices had moved; take that out and put in what they really become.
    e, e_sr = E, E.transpose(0, 2, 1)
    e_rr, e_ss = _diagonal(E)[:, :, None], _diagonal(E)[:, None, :]
    f, f_rr, f_ss, f_sr = F, np.diag(F)[:, None], np.diag(F)[None, :], F.T
    rows = (f_rr - f_sr) * (e_sr - e_rr) + (f - f_ss) * (e_ss - e)
    columns = (f_rr - f) * (e - e_rr) + (f_sr - f_ss) * (e_ss - e_sr)
    block = (f_rr - f_ss) * (e_ss - e_rr) + (f - f_sr) * (e_sr - e)
    return both - rows - columns + block - 0.5 * _swapped(liked)


def _swapped(gain):
    own = _diagonal(gain)
    return gain + gain.transpose(0, 2, 1) - own[:, :, None] - own[:, None, :]


def _diagonal(stack):
    return np.diagonal(stack, axis1=1, axis2=2)
