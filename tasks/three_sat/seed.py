import random


def algorithm(formula):
    """Random walk: satisfy a random unsatisfied clause, again and again."""
    n = max(abs(literal) for clause in formula for literal in clause)
    assignment = [random.random() < 0.5 for _ in range(n + 1)]
    for _ in range(300):
        unsatisfied = [
            clause
            for clause in formula
            if not any(assignment[abs(literal)] == (literal > 0) for literal in clause)
        ]
        if not unsatisfied:
            break
        literal = random.choice(random.choice(unsatisfied))
        assignment[abs(literal)] = literal > 0
    return assignment
