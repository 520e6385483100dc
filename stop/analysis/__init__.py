"""Data frames, figures and statistics of recorded runs. Frames and figures need an extra.

    pip install 'stop-optimizer[analysis]'

    from stop import analysis
    analysis.plot_rounds("runs/20260101-120000-run-1a2b")
    analysis.programs_df(["runs/a", "runs/b"]).groupby("run").score.max()

Every function takes a run as `stop.run` returned it, or its folder; most take several. Nothing is
written, and no program is executed, except by functions with an argument `evaluate` or `test`:
they score programs in the sandbox. docs/analysis.md has examples of all.

Every function raises RunError where a folder does not hold a run or cannot be read, and StopError
where the extra is not installed; further errors stand with the functions.
"""

from stop.analysis.accounts import attempts_df, logs_df, models_df
from stop.analysis.comparing import Compared, compare_programs, compare_runs
from stop.analysis.diversity import Diversity, distance, diversity
from stop.analysis.figures.cost import plot_best_so_far, plot_cost
from stop.analysis.figures.rates import plot_bypass, plot_transfer
from stop.analysis.figures.rounds import (
    plot_diversity,
    plot_rounds,
    plot_splits,
    plot_strategies,
)
from stop.analysis.figures.tree import plot_lineage
from stop.analysis.frames import (
    evaluations_df,
    improver_runs_df,
    instances_df,
    lm_calls_df,
    programs_df,
    responses_df,
    rounds_df,
    samples_df,
    security_events_df,
    utility_calls_df,
)
from stop.analysis.saturation import Saturation, saturation
from stop.analysis.scores import Scores, splits_df
from stop.analysis.strategy import STRATEGIES, Strategy, strategies
from stop.analysis.structure import diversity_df, strategies_df

__all__ = [
    "STRATEGIES",
    "Compared",
    "Diversity",
    "Saturation",
    "Scores",
    "Strategy",
    "attempts_df",
    "compare_programs",
    "compare_runs",
    "distance",
    "diversity",
    "diversity_df",
    "evaluations_df",
    "improver_runs_df",
    "instances_df",
    "lm_calls_df",
    "logs_df",
    "models_df",
    "plot_best_so_far",
    "plot_bypass",
    "plot_cost",
    "plot_diversity",
    "plot_lineage",
    "plot_rounds",
    "plot_splits",
    "plot_strategies",
    "plot_transfer",
    "programs_df",
    "responses_df",
    "rounds_df",
    "samples_df",
    "saturation",
    "security_events_df",
    "splits_df",
    "strategies",
    "strategies_df",
    "utility_calls_df",
]
