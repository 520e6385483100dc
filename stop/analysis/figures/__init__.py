"""Figures of runs. Each function makes one, or draws on the axes it is given, and returns it.

    plot_rounds(run).savefig("rounds.png")

No window system and no browser is needed. People who are colour-blind can tell the colours apart
(Okabe and Ito), and no figure relies on colours alone. Texts of programs and models are shown as
plain ASCII.
"""

from stop.analysis.figures.cost import plot_best_so_far, plot_cost
from stop.analysis.figures.over_rounds import plot_diversity, plot_strategies
from stop.analysis.figures.rates import plot_bypass, plot_transfer
from stop.analysis.figures.rounds import plot_rounds, plot_splits
from stop.analysis.figures.tree import plot_lineage

__all__ = [
    "plot_best_so_far",
    "plot_bypass",
    "plot_cost",
    "plot_diversity",
    "plot_lineage",
    "plot_rounds",
    "plot_splits",
    "plot_strategies",
    "plot_transfer",
]
