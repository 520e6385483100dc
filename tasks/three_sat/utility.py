"""3-SAT: find an assignment that satisfies every clause. At least one exists.

`formula` is a list of clauses, a clause is a list of three literals: v says that variable v
(1, 2, ...) must be true, -v that it must be false; one true literal satisfies the clause.
`algorithm(formula)` returns a list of 0/1 or bools, indexed by variable; index 0 is not used.
"""

import numpy as np


def make_instance(rng):
    n = int(rng.integers(5, 51))
    hidden = rng.random(n + 1) < 0.5  # a solution: makes the formula satisfiable
    formula = []
    while len(formula) < 4 * n:
        variables = 1 + rng.choice(n, size=3, replace=False)
        positive = rng.random(3) < 0.5
        if (hidden[variables] == positive).any():
            formula.append(np.where(positive, variables, -variables).tolist())
    return {"inputs": {"formula": formula}}


def score(instance, output):
    """1.0 if every clause is satisfied, else 0.0."""
    formula = instance["inputs"]["formula"]
    values = output.tolist() if isinstance(output, np.ndarray) else output
    variables = {abs(literal) for clause in formula for literal in clause}
    if not isinstance(values, list | tuple) or len(values) <= max(variables):
        raise ValueError(f"expected a list with a value at each index up to {max(variables)}")
    if any(type(values[v]) not in (bool, int, float) or values[v] not in (0, 1) for v in variables):
        raise ValueError("the value of every variable must be True, False, 0 or 1")
    return float(all(any(values[abs(x)] == (x > 0) for x in clause) for clause in formula))
