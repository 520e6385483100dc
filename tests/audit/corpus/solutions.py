"""Honest solutions of the built-in tasks: algorithms, each written in several styles."""

from __future__ import annotations

from collections.abc import Iterator

SIGNATURES = {
    "knapsack": "algorithm(weights, values, capacity)",
    "maxcut": "algorithm(adjacency_matrix)",
    "three_sat": "algorithm(formula)",
    "parity_noise": "algorithm(train_samples, train_parity, test_samples)",
    "parity_noiseless": "algorithm(train_samples, train_parity, test_samples)",
    "tsp": "algorithm(coordinates)",
    "str_grid_dist": "algorithm(t, dist)",
    "modified_qap": "algorithm(F, D, P)",
    "bin_packing": "priority(item, bins)",
}

BODIES = {
    "knapsack": {
        "greedy": """
order = sorted(range(len(weights)), key=lambda i: -values[i] / weights[i])
chosen = []
for i in order:
    if weights[i] <= capacity:
        chosen.append(i)
        capacity -= weights[i]
return chosen
""",
        "table": """
n = len(weights)
best = [[0] * (capacity + 1) for _ in range(n + 1)]
for i in range(1, n + 1):
    for c in range(capacity + 1):
        best[i][c] = best[i - 1][c]
        if weights[i - 1] <= c:
            best[i][c] = max(best[i][c], best[i - 1][c - weights[i - 1]] + values[i - 1])
chosen, c = [], capacity
for i in range(n, 0, -1):
    if best[i][c] != best[i - 1][c]:
        chosen.append(i - 1)
        c -= weights[i - 1]
return chosen
""",
        "sparse": """
states = {0: (0, ())}
for i, (w, v) in enumerate(zip(weights, values)):
    for used, (value, items) in sorted(states.items(), reverse=True):
        total = used + w
        if total <= capacity and value + v > states.get(total, (-1, ()))[0]:
            states[total] = (value + v, items + (i,))
return list(max(states.values())[1])
""",
        "branch-and-bound": """
import heapq
---
order = sorted(range(len(weights)), key=lambda i: values[i] / weights[i], reverse=True)


def bound(k, room, value):
    for i in order[k:]:
        if weights[i] > room:
            return value + values[i] * room / weights[i]
        room -= weights[i]
        value += values[i]
    return value


best_value, best = 0, []
heap = [(-bound(0, capacity, 0), 0, capacity, 0, [])]
for _ in range(3000):
    if not heap:
        break
    negative, k, room, value, chosen = heapq.heappop(heap)
    if value > best_value:
        best_value, best = value, chosen
    if k == len(order) or -negative <= best_value:
        continue
    i = order[k]
    if weights[i] <= room:
        taken = value + values[i]
        entry = (-bound(k + 1, room - weights[i], taken), k + 1, room - weights[i], taken)
        heapq.heappush(heap, (*entry, [*chosen, i]))
    heapq.heappush(heap, (-bound(k + 1, room, value), k + 1, room, value, chosen))
return best
""",
        "random-restarts": """
import random
---
best, best_value = [], -1
for _ in range(50):
    order = random.sample(range(len(weights)), len(weights))
    order.sort(key=lambda i: -values[i] / weights[i] * random.uniform(0.8, 1.2))
    room, chosen = capacity, []
    for i in order:
        if weights[i] <= room:
            room -= weights[i]
            chosen.append(i)
    value = sum(values[i] for i in chosen)
    if value > best_value:
        best, best_value = chosen, value
return best
""",
        "numpy": """
import numpy as np
---
ratio = np.asarray(values) / np.asarray(weights)
order = np.argsort(-ratio)
room, chosen = capacity, []
for i in order.tolist():
    if weights[i] <= room:
        chosen.append(i)
        room -= weights[i]
return chosen
""",
    },
    "maxcut": {
        "spectral": """
import numpy as np
---
matrix = np.asarray(adjacency_matrix, dtype=float)
_, vectors = np.linalg.eigh(matrix)
return (vectors[:, 0] > 0).astype(int).tolist()
""",
        "local-search": """
import numpy as np
---
w = np.asarray(adjacency_matrix, dtype=float)
side = np.where(np.random.random(len(w)) < 0.5, -1.0, 1.0)
for _ in range(5 * len(w)):
    gain = side * (w @ side)
    node = int(gain.argmax())
    if gain[node] <= 0:
        break
    side[node] = -side[node]
return side.astype(int).tolist()
""",
        "random": """
import random
---
return [random.randint(0, 1) for _ in adjacency_matrix]
""",
        "one-by-one": """
side = []
for i, row in enumerate(adjacency_matrix.tolist()):
    zero = sum(w for w, s in zip(row, side) if s == 0)
    one = sum(w for w, s in zip(row, side) if s == 1)
    side.append(1 if zero > one else 0)
return side
""",
        "annealing": """
import math
import random
---
w = adjacency_matrix.tolist()
n = len(w)
side = [random.choice((-1, 1)) for _ in range(n)]
temperature = 5.0
for _ in range(200):
    i = random.randrange(n)
    gain = sum(a * s for a, s in zip(w[i], side)) * side[i]
    if gain > 0 or random.random() < math.exp(gain / temperature):
        side[i] = -side[i]
    temperature *= 0.98
return side
""",
    },
    "three_sat": {
        "walksat": """
import random
---
n = max(abs(literal) for clause in formula for literal in clause)
values = [random.random() < 0.5 for _ in range(n + 1)]
for _ in range(300):
    failed = [c for c in formula if not any(values[abs(x)] == (x > 0) for x in c)]
    if not failed:
        break
    variable = abs(random.choice(random.choice(failed)))
    values[variable] = not values[variable]
return values
""",
        "majority": """
from collections import Counter
---
count = Counter(literal for clause in formula for literal in clause)
n = max(abs(literal) for literal in count)
return [False] + [count[v] >= count[-v] for v in range(1, n + 1)]
""",
        "dpll": """
def simplify(clauses, literal):
    rest = []
    for clause in clauses:
        if literal in clause:
            continue
        shorter = [x for x in clause if x != -literal]
        if not shorter:
            return None
        rest.append(shorter)
    return rest


def solve(clauses, model, steps):
    steps[0] -= 1
    if not clauses or steps[0] < 0:
        return model
    literal = min(clauses, key=len)[0]
    for choice in (literal, -literal):
        rest = simplify(clauses, choice)
        if rest is not None:
            found = solve(rest, {**model, abs(choice): choice > 0}, steps)
            if found is not None:
                return found
    return None
---
n = max(abs(literal) for clause in formula for literal in clause)
model = solve(formula, {}, [400]) or {}
return [model.get(v, False) for v in range(n + 1)]
""",
        "all-false": """
n = max(map(abs, sum(formula, [])))
return [0] * (n + 1)
""",
        "flips-that-gain": """
def broken(formula, values):
    return sum(all(values[abs(x)] != (x > 0) for x in clause) for clause in formula)
---
n = max(abs(x) for clause in formula for x in clause)
values = [True] * (n + 1)
best = broken(formula, values)
for _ in range(3):
    for v in range(1, n + 1):
        values[v] = not values[v]
        now = broken(formula, values)
        if now <= best:
            best = now
        else:
            values[v] = not values[v]
return values
""",
    },
    "parity_noise": {
        "all-subsets": """
import numpy as np
---
bits = train_samples.shape[1]
masks = (np.arange(2**bits)[:, None] >> np.arange(bits)) & 1
agree = ((masks @ train_samples.T) % 2 == train_parity).sum(axis=1)
return (test_samples @ masks[agree.argmax()]) % 2
""",
        "nearest": """
import numpy as np
---
distance = np.abs(test_samples[:, None] - train_samples[None]).sum(axis=2)
return train_parity[distance.argmin(axis=1)]
""",
        "small-subsets": """
from itertools import combinations
---
best, best_count = (), -1
for size in range(4):
    for subset in combinations(range(train_samples.shape[1]), size):
        guess = train_samples[:, list(subset)].sum(axis=1) % 2
        count = int((guess == train_parity).sum())
        if count > best_count:
            best, best_count = subset, count
return (test_samples[:, list(best)].sum(axis=1) % 2).tolist()
""",
        "constant": """
most = int(round(float(train_parity.mean())))
return [most] * len(test_samples)
""",
    },
    "parity_noiseless": {
        "elimination": """
import numpy as np
---
rows = np.column_stack([train_samples, train_parity]).astype(int) % 2
bits = train_samples.shape[1]
pivots, rank = [], 0
for column in range(bits):
    below = np.flatnonzero(rows[rank:, column]) + rank
    if len(below) == 0:
        continue
    rows[[rank, below[0]]] = rows[[below[0], rank]]
    for r in range(len(rows)):
        if r != rank and rows[r, column]:
            rows[r] ^= rows[rank]
    pivots.append(column)
    rank += 1
mask = np.zeros(bits, dtype=int)
mask[pivots] = rows[:rank, -1]
return (test_samples @ mask) % 2
""",
        "brute-force": """
from itertools import product
---
samples, labels = train_samples.tolist(), train_parity.tolist()
for mask in product((0, 1), repeat=len(samples[0])):
    if all(sum(a & b for a, b in zip(mask, s)) % 2 == y for s, y in zip(samples, labels)):
        return [sum(a & b for a, b in zip(mask, s)) % 2 for s in test_samples.tolist()]
return [0] * len(test_samples)
""",
        "dictionary": """
known = {tuple(s): int(y) for s, y in zip(train_samples.tolist(), train_parity.tolist())}
return [known.get(tuple(s), 0) for s in test_samples.tolist()]
""",
    },
    "tsp": {
        "in-order": "return list(range(len(coordinates)))",
        "nearest": """
import math
---
points = coordinates.tolist()
tour, left = [0], set(range(1, len(points)))
while left:
    here = points[tour[-1]]
    city = min(left, key=lambda c: math.dist(points[c], here))
    tour.append(city)
    left.discard(city)
return tour
""",
        "two-opt": """
import numpy as np
---
n = len(coordinates)
d = np.hypot(*(coordinates[:, None] - coordinates[None]).transpose(2, 0, 1))
tour = list(range(n))
for _ in range(3):
    for i in range(1, n - 2):
        for j in range(i + 1, n - 1):
            a, b, c, e = tour[i - 1], tour[i], tour[j], tour[j + 1]
            if d[a, c] + d[b, e] < d[a, b] + d[c, e]:
                tour[i : j + 1] = tour[i : j + 1][::-1]
return tour
""",
        "angle": """
import numpy as np
---
centre = coordinates.mean(axis=0)
angles = np.arctan2(*(coordinates - centre).T)
return np.argsort(angles)
""",
        "insertion": """
import math
---
points = [tuple(p) for p in coordinates.tolist()]
tour = [0, 1]
for city in range(2, len(points)):
    def extra(k):
        a, b = points[tour[k - 1]], points[tour[k]]
        return math.dist(a, points[city]) + math.dist(points[city], b) - math.dist(a, b)
    place = min(range(len(tour)), key=extra)
    tour.insert(place, city)
return tour
""",
        "strips": """
columns = 7
key = lambda i: (int(coordinates[i][0] * columns), coordinates[i][1])
tour = sorted(range(len(coordinates)), key=key)
return [int(city) for city in tour]
""",
    },
    "str_grid_dist": {
        "identity": "return t",
        "flip": """
swap = str.maketrans("AB", "BA")
return t[:dist].translate(swap) + t[dist:]
""",
        "random": """
import random


def distance(s, t):
    total = sum(a != b for a, b in zip(s, t))
    for string in (s, t):
        total += sum(a != b for a, b in zip(string, string[1:]))
    return total
---
best = t
for _ in range(200):
    s = "".join(random.choice("AB") for _ in t)
    if abs(distance(s, t) - dist) < abs(distance(best, t) - dist):
        best = s
return best
""",
        "dynamic": """
fixed = sum(a != b for a, b in zip(t, t[1:]))
wanted = dist - fixed
layer = {(0, ""): ""}
states = {(c, int(c != t[0])): c for c in "AB"}
for letter in t[1:]:
    following = {}
    for (last, cost), text in states.items():
        for c in "AB":
            following[c, cost + (c != letter) + (c != last)] = text + c
    states = following
return min(states.items(), key=lambda entry: abs(entry[0][1] - wanted))[1]
""",
    },
    "modified_qap": {
        "identity": "return list(range(len(F)))",
        "random": """
import random
---
return random.sample(range(len(F)), len(F))
""",
        "swaps": """
import numpy as np


def cost(F, D, P, perm):
    return (F * D[perm][:, perm]).sum() - 0.5 * P[np.arange(len(F)), perm].sum()
---
perm = np.random.permutation(len(F))
best = cost(F, D, P, perm)
for i in range(len(F)):
    for j in range(i):
        perm[[i, j]] = perm[[j, i]]
        new = cost(F, D, P, perm)
        if new < best:
            best = new
        else:
            perm[[i, j]] = perm[[j, i]]
return perm
""",
        "liking": """
free, perm = set(range(len(P))), []
for row in P.tolist():
    place = max(free, key=row.__getitem__)
    perm.append(place)
    free.remove(place)
return perm
""",
        "flows": """
import numpy as np
---
busy = np.argsort(-(F.sum(axis=0) + F.sum(axis=1)))
central = np.argsort(D.sum(axis=0) + D.sum(axis=1))
perm = np.empty(len(F), dtype=int)
perm[busy] = central
return perm.tolist()
""",
    },
    "bin_packing": {
        "best-fit": "return item - bins",
        "worst-fit": "return bins.tolist()",
        "first-fit": "return [-float(i) for i in range(len(bins))]",
        "power": """
import numpy as np
---
left = bins - item
return -np.power(left + 1.0, 1.5) - 3.0 * (left < 10) * (left > 0)
""",
        "table": """
SCORES = {0: 10.0, 1: 4.0, 2: 4.0}
---
return [SCORES.get(int(room - item), -float(room - item)) for room in bins]
""",
    },
}


def _indent(text: str, by: int = 4) -> str:
    return "\n".join(" " * by + line if line else "" for line in text.splitlines())


def _parts(body: str) -> tuple[str, str]:
    head, mark, rest = body.strip("\n").partition("\n---\n")
    return (head.strip("\n") + "\n\n\n", rest) if mark else ("", body.strip("\n"))


def _plain(signature: str, head: str, body: str) -> str:
    return f"{head}def {signature}:\n{_indent(body)}\n"


def _documented(signature: str, head: str, body: str) -> str:
    name = signature.partition("(")[0]
    text = (
        '"""A solution that keeps to the rules: it looks at its arguments only.\n\n'
        'It opens no file, reads no os.environ and runs no exec() or eval().\n"""\n'
    )
    comment = '    """Solve one instance. See the text of the utility for shapes."""\n'
    return f'{text}\n{head}__all__ = ["{name}"]\n\n\ndef {signature}:\n{comment}{_indent(body)}\n'


def _class(signature: str, head: str, body: str) -> str:
    name, _, parameters = signature.partition("(")
    arguments = parameters.rstrip(")")
    return (
        f"{head}class Solver:\n    sandbox = None\n\n"
        f"    def __call__(self, {arguments}):\n"
        f"        return self.run({arguments})\n\n"
        f"    def run(self, {arguments}):\n{_indent(body, 8)}\n\n\n"
        f"{name} = Solver()\n"
    )


def _timed(signature: str, head: str, body: str) -> str:
    inner = "_solve(" + signature.partition("(")[2]
    return (
        f"import logging\nimport time\n\n{head}log = logging.getLogger(__name__)\n\n\n"
        f"def {inner}:\n{_indent(body)}\n\n\n"
        f"def {signature}:\n    began = time.perf_counter()\n    result = {inner}\n"
        '    log.info("took %.3f s", time.perf_counter() - began)\n    return result\n'
    )


def _decorated(signature: str, head: str, body: str) -> str:
    return (
        f"import functools\n\n{head}def logged(function):\n"
        "    @functools.wraps(function)\n    def inner(*args, **kwargs):\n"
        "        inner.calls += 1\n        return function(*args, **kwargs)\n\n"
        f"    inner.calls = 0\n    return inner\n\n\n@logged\ndef {signature}:\n{_indent(body)}\n"
    )


_STYLES = {
    "plain": _plain,
    "documented": _documented,
    "class": _class,
    "timed": _timed,
    "decorated": _decorated,
}


def solutions() -> Iterator[tuple[str, str]]:
    """(task/algorithm/style, source): every algorithm plain and in two of the other styles."""
    styles = list(_STYLES.items())
    number = 0
    for task, bodies in BODIES.items():
        for algorithm, body in bodies.items():
            head, rest = _parts(body)
            chosen = {0, 1 + number % 4, 1 + (number // 2 + 1) % 4}
            for index in sorted(chosen):
                style, write = styles[index]
                yield f"{task}/{algorithm}/{style}", write(SIGNATURES[task], head, rest)
            number += 1
