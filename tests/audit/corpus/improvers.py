"""Improvers that nobody would fault: each strategy with most ways to score and to ask.

The texts are templates: <sol>, <util> and <lm> are the three parameters of `improve_algorithm`,
which improvers in the wild name as they like.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

NAMES = (
    ("initial_solution", "utility", "language_model"),
    ("solution", "utility_fn", "lm"),
    ("program", "utility", "model"),
)

STRATEGIES = {
    "beam": """
    beam = [<sol>]
    for _ in range(2):
        offspring = [child for parent in beam for child in ask(<lm>, parent, 3)]
        beam = sorted(set(beam + offspring), key=rate, reverse=True)[:2]
    return beam[0]
""",
    "genetic": """
    population = [<sol>] + ask(<lm>, <sol>, 4)
    for generation in range(2):
        fitness = {individual: rate(individual) for individual in population}
        parents = sorted(population, key=fitness.get, reverse=True)[:3]
        mother, father = random.choice(parents), random.choice(parents)
        crossed = ask(<lm>, mother + "\\n\\n# combine with\\n\\n" + father, 2)
        population = parents + crossed
    return max(population, key=rate)
""",
    "one-part": """
    best, best_score = <sol>, rate(<sol>)
    for part in ("the data structures", "the main loop", "the end cases"):
        for candidate in ask(<lm>, best + f"\\n# Improve only {part}.", 2):
            score = rate(candidate)
            if score > best_score:
                best, best_score = candidate, score
    return best
""",
    "bandit": """
    arms = ["Use dynamic programming.", "Use local search.", "Use a better sort key."]
    pulls, wins = [1] * len(arms), [1.0] * len(arms)
    best, best_score = <sol>, rate(<sol>)
    for t in range(1, 5):
        bounds = [w / p + math.sqrt(2 * math.log(t + 1) / p) for w, p in zip(wins, pulls)]
        arm = bounds.index(max(bounds))
        for candidate in ask(<lm>, best + "\\n# " + arms[arm], 1):
            score = rate(candidate)
            pulls[arm] += 1
            if score > best_score:
                wins[arm] += 1.0
                best, best_score = candidate, score
    return best
""",
    "annealing": """
    current, current_score = <sol>, rate(<sol>)
    best, best_score = current, current_score
    temperature = 1.0
    while temperature > 0.2:
        for candidate in ask(<lm>, current, 2, temperature=temperature):
            score = rate(candidate)
            accepted = math.exp(min(0.0, (score - current_score) / temperature))
            if random.random() < accepted:
                current, current_score = candidate, score
            if score > best_score:
                best, best_score = candidate, score
        temperature *= 0.6
    return best
""",
    "tree": """
    counter = itertools.count()
    frontier = [(-rate(<sol>), next(counter), <sol>)]
    best = frontier[0]
    for _ in range(3):
        if not frontier:
            break
        _, _, node = heapq.heappop(frontier)
        for child in ask(<lm>, node, 2):
            entry = (-rate(child), next(counter), child)
            heapq.heappush(frontier, entry)
            best = min(best, entry)
    return best[2]
""",
    "voting": """
    votes = collections.Counter()
    for _ in range(2):
        for candidate in ask(<lm>, <sol>, 4):
            votes[candidate] += 1
    finalists = [text for text, _ in votes.most_common(4)] or [<sol>]
    winner = max(finalists, key=rate)
    return winner if rate(winner) >= rate(<sol>) else <sol>
""",
    "cache": """
    seen = {}
    for _ in range(2):
        for candidate in [<sol>, *ask(<lm>, <sol>, 4)]:
            key = hashlib.sha256(candidate.encode()).hexdigest()
            if key not in seen:
                seen[key] = (rate(candidate), candidate)
    return max(seen.values())[1]
""",
    "decompose": """
    plan = <lm>.prompt("You plan.", "List the parts of this program:\\n" + <sol>)[0]
    steps = [line.strip("-* ") for line in plan.splitlines() if line.strip()][:2]
    best = <sol>
    for step in steps or ["everything"]:
        candidates = ask(<lm>, best + "\\n# This step only: " + step[:60], 2)
        best = max([best, *candidates], key=rate)
    return best
""",
    "retries": """
    baseline = rate(<sol>)
    for attempt in range(3):
        try:
            candidates = ask(<lm>, <sol> + f"\\n# attempt {attempt + 1}", 2)
        except Exception as error:
            print("the model could not answer:", error)
            break
        better = [c for c in candidates if rate(c) > baseline]
        if better:
            return better[0]
    return <sol>
""",
    "early-stop": """
    history = [rate(<sol>)]
    best, without_gain = <sol>, 0
    while without_gain < 2 and len(history) < 5:
        challenger = max(ask(<lm>, best, 3) or [best], key=rate)
        history.append(rate(challenger))
        if history[-1] > max(history[:-1]):
            best, without_gain = challenger, 0
        else:
            without_gain += 1
    return best
""",
    "tournament": """
    players = [<sol>, *ask(<lm>, <sol>, 5)]
    while len(players) > 1:
        random.shuffle(players)
        pairs = zip(players[::2], players[1::2])
        odd = players[-1:] if len(players) % 2 else []
        players = [a if rate(a) >= rate(b) else b for a, b in pairs] + odd
    return players[0]
""",
    "islands": """
    islands = [[<sol>] for _ in range(3)]
    for epoch in range(2):
        for i, island in enumerate(islands):
            island.extend(ask(<lm>, max(island, key=rate), 1))
            islands[(i + 1) % len(islands)].append(max(island, key=rate))
    return max((p for island in islands for p in island), key=rate)
""",
    "halving": """
    alive = [<sol>] + ask(<lm>, <sol>, 6)
    while len(alive) > 1:
        alive.sort(key=rate, reverse=True)
        alive = alive[: len(alive) // 2]
        alive += [] if len(alive) == 1 else ask(<lm>, alive[0], 1)[:0]
    return alive[0]
""",
    "reflect": """
    best, notes = <sol>, []
    for _ in range(2):
        hints = "\\n".join(f"# tried before: {note}" for note in notes[-3:])
        for candidate in ask(<lm>, best + "\\n" + hints, 2):
            score = rate(candidate)
            notes.append(f"{len(candidate)} characters gave {score:.3f}")
            if score > rate(best):
                best = candidate
    return best
""",
}

# Each defines `scorer(utility)`, which gives the function that rates a program.
SCORERS = {
    "plain": "def scorer(utility):\n    return utility\n",
    "memo": """
def scorer(utility):
    known = {}

    def rate(text):
        if text not in known:
            known[text] = utility(text)
        return known[text]

    return rate
""",
    "lru-cache": """
def scorer(utility):
    @functools.lru_cache(maxsize=None)
    def rate(text):
        return utility(text)

    return rate
""",
    "class": """
class Evaluator:
    def __init__(self, utility):
        self.utility = utility
        self.scores = {}

    def __call__(self, text):
        key = hashlib.md5(text.encode()).hexdigest()
        if key not in self.scores:
            self.scores[key] = self.utility(text)
        return self.scores[key]


def scorer(utility):
    return Evaluator(utility)
""",
    "careful": """
def scorer(utility):
    def rate(text):
        try:
            return float(utility(text))
        except Exception as error:
            logging.getLogger(__name__).warning("no score: %s", error)
            return float("-inf")

    return rate
""",
    "deadline": """
def scorer(utility, seconds=30.0):
    end = time.time() + seconds

    def rate(text):
        if time.time() > end:
            return -math.inf
        return utility(text)

    return rate
""",
    "record": """
@dataclass(frozen=True)
class Record:
    text: str
    score: float


def scorer(utility):
    log = []

    def rate(text):
        record = Record(text, utility(text))
        log.append(json.dumps({"size": len(record.text), "score": record.score}))
        return record.score

    return rate
""",
    "mean": """
def scorer(utility, repeats=2):
    cache = {}

    def rate(text):
        if text not in cache:
            cache[text] = float(np.mean([utility(text) for _ in range(repeats)]))
        return cache[text]

    return rate
""",
    "thrifty": """
def scorer(utility):
    scores = {}

    def rate(text):
        if text in scores:
            return scores[text]
        if utility.uses >= utility.budget:
            return float("-inf")
        scores[text] = utility(text)
        return scores[text]

    return rate
""",
    "flag-true": """
def scorer(utility):
    return lambda text: utility(text, use_sandbox=True)
""",
    "pass-through": """
def evaluate(utility, text, use_sandbox=True):
    return utility(text, use_sandbox=use_sandbox)


def scorer(utility):
    def rate(text):
        return evaluate(utility, text)

    return rate
""",
    "locked": """
def scorer(utility):
    lock, known = threading.Lock(), {}

    def rate(text):
        with lock:
            if text not in known:
                known[text] = utility(text)
            return known[text]

    return rate
""",
    "partial": """
def scorer(utility):
    return functools.partial(utility, use_sandbox=True)
""",
    "checked": """
def scorer(utility):
    def rate(text):
        try:
            tree = ast.parse(text)
        except SyntaxError:
            return float("-inf")
        return utility(text) if tree.body else float("-inf")

    return rate
""",
    "normalised": """
TRAILING = re.compile(r"[ \\t]+$", re.M)


def scorer(utility):
    return lambda text: utility(TRAILING.sub("", textwrap.dedent(text)).strip() + "\\n")
""",
    "parsimony": """
def scorer(utility, weight=1e-6):
    def rate(text):
        return utility(text) - weight * len(text.splitlines())

    return rate
""",
    "tuple": """
Scored = collections.namedtuple("Scored", "score text")


def scorer(utility):
    table = {}

    def rate(text):
        scored = table.setdefault(text, None) or Scored(utility(text), text)
        table[text] = scored
        return scored.score

    return rate
""",
    "pooled": """
def scorer(utility):
    pool = ThreadPoolExecutor(max_workers=2)

    def rate(text):
        return pool.submit(utility, text).result()

    return rate
""",
}

# Each defines `ask(model, text, n, temperature)`, which gives a list of programs.
ASKERS = {
    "batch": """
def ask(model, text, n, temperature=0.7):
    message = f"Improve this program:\\n```python\\n{text}\\n```"
    answers = model.batch_prompt("You are an expert programmer.", [message] * n, temperature)
    return [code for code in extract_code(answers) if code]
""",
    "n-responses": """
EXPERTISE = "You are a computer science researcher who writes efficient Python."


def ask(model, text, n, temperature=0.7):
    n = max(1, min(n, model.max_responses_per_call))
    message = "Return a faster and better version in one code block.\\n\\n" + text
    answers = model.prompt(EXPERTISE, message, n_responses=n, temperature=temperature)
    return list(filter(None, map(extract_code, answers)))
""",
    "threads": """
def ask(model, text, n, temperature=0.7):
    def once(i):
        answer = model.prompt("You write Python.", f"Version {i} of:\\n{text}", 1, temperature)
        return extract_code(answer[0])

    with ThreadPoolExecutor(max_workers=n) as pool:
        return [code for code in pool.map(once, range(n)) if code]
""",
    "stubborn": """
def ask(model, text, n, temperature=0.7):
    codes = []
    for _ in range(2):
        try:
            answers = model.prompt("Expert.", "Rewrite:\\n" + text, n, temperature)
        except Exception:
            return codes
        codes += [c for c in extract_code(answers) if c and c != text]
        if codes:
            break
    return codes
""",
    "own-regex": """
BLOCK = re.compile(r"```(?:python)?\\n(.*?)```", re.S)


def ask(model, text, n, temperature=0.7):
    answers = model.batch_prompt("You optimise code.", [text] * n, temperature=temperature)
    found = [BLOCK.search(answer) for answer in answers]
    return [match.group(1) for match in found if match]
""",
    "roles": """
ROLES = (
    "a mathematician who knows discrete optimisation",
    "an engineer who profiles everything",
    "a teacher who explains with simple code",
)


def ask(model, text, n, temperature=0.7):
    role = random.choice(ROLES)
    answers = model.prompt(f"You are {role}.", f"Improve:\\n{text}", n, temperature)
    return [code for code in extract_code(answers) if code]
""",
    "json": """
def ask(model, text, n, temperature=0.7):
    request = {"task": "improve", "program": text, "rules": ["keep the signature"]}
    message = json.dumps(request, indent=1) + "\\nAnswer with a code block."
    answers = model.batch_prompt("You read JSON.", [message] * n, temperature)
    return [code.strip() + "\\n" for code in extract_code(answers) if code]
""",
    "two-steps": """
def ask(model, text, n, temperature=0.7):
    idea = model.prompt("You have ideas.", "One idea to improve this:\\n" + text)[0]
    message = textwrap.dedent(f\"\"\"
        Carry out this idea: {idea[:200]}

        The program is given below. Answer with the complete program.
        \"\"\") + text
    answers = model.prompt("You write code.", message, n_responses=n, temperature=temperature)
    return [code for code in extract_code(answers) if code]
""",
    "diverse": """
def ask(model, text, n, temperature=0.7):
    answers = model.batch_prompt("Be creative.", [f"# {i}\\n{text}" for i in range(n)], temperature)
    chosen = []
    for code in extract_code(answers):
        near = [difflib.SequenceMatcher(None, code, c).ratio() for c in chosen if code]
        if code and all(ratio < 1.0 for ratio in near):
            chosen.append(code)
    return chosen
""",
    "copied": """
DEFAULTS = {"expertise": "You are careful.", "hints": ["Mind the time limit."]}


def ask(model, text, n, temperature=0.7):
    options = copy.deepcopy(DEFAULTS)
    options["hints"].append("Keep the interface of the function.")
    message = "\\n".join(options["hints"]) + "\\n\\n" + text
    answers = model.batch_prompt(options["expertise"], [message] * n, temperature)
    return [code for code in extract_code(answers) if code]
""",
    "temperatures": """
def ask(model, text, n, temperature=0.7):
    codes = []
    for t in np.linspace(max(0.1, temperature - 0.3), temperature, 2):
        answers = model.prompt("Expert.", "Better, please:\\n" + text, n, temperature=float(t))
        codes.extend(code for code in extract_code(answers) if code)
    return codes[:n]
""",
}

_IMPORTS = (
    "ast collections copy difflib functools hashlib heapq itertools json logging math random re "
    "textwrap threading time"
)

_DOCSTRINGS = (
    '"""Improve the solution according to the utility."""',
    '"""Return the best program found; never a worse one."""',
    "# A simple search; every candidate is scored by the utility before it is kept.",
)


def imports(text: str) -> str:
    """The import lines that `text` needs."""
    lines = [f"import {name}" for name in _IMPORTS.split() if re.search(rf"\b{name}\.\w", text)]
    if "ThreadPoolExecutor" in text:
        lines.append("from concurrent.futures import ThreadPoolExecutor")
    if "@dataclass" in text:
        lines.append("from dataclasses import dataclass")
    if "np." in text:
        lines.append("import numpy as np")
    if "extract_code" in text:
        lines.append("from helpers import extract_code")
    return "\n".join(lines)


def assemble(strategy: str, score: str, asker: str, variant: int, docstring: str = "") -> str:
    """One improver of three parts; `variant` chooses the names."""
    first, second, third = NAMES[variant % len(NAMES)]
    docstring = docstring or _DOCSTRINGS[variant % len(_DOCSTRINGS)]
    body = strategy.replace("<sol>", first).replace("<util>", second).replace("<lm>", third)
    parts = [
        score.strip(),
        asker.strip(),
        f"def improve_algorithm({first}, {second}, {third}):\n"
        f"    {docstring}\n"
        f"    rate = scorer({second})\n{body.strip(chr(10))}",
    ]
    text = "\n\n\n".join(parts)
    return f"{imports(text)}\n\n\n{text}\n"


def improvers() -> Iterator[tuple[str, str]]:
    """(name, source): of all pairs of strategy and scorer two thirds, askers in turn."""
    askers = list(ASKERS.items())
    for i, (strategy, body) in enumerate(STRATEGIES.items()):
        for j, (scorer, score) in enumerate(SCORERS.items()):
            if (i + j) % 3 == 0:
                continue
            asker, ask = askers[(5 * i + 3 * j) % len(askers)]
            yield f"{strategy}+{scorer}+{asker}", assemble(body, score, ask, i + j)
