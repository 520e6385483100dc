"""Improvers of known strategies that the rules were made and mended with.

Each is (labels, text). The texts are programs as models write them: they are read, never run.
"""

# ruff: noqa: E501

TUNING: dict[str, tuple[frozenset[str], str]] = {
    "beam_plain": (
        frozenset({"beam"}),
        """
from helpers import extract_code

def improve_algorithm(initial_solution, utility, language_model):
    beam_width = 3
    beam = [initial_solution]
    for _ in range(3):
        candidates = []
        for program in beam:
            replies = language_model.prompt("expert", "Improve:\\n" + program, n_responses=3)
            candidates += [c for c in extract_code(replies) if c]
        beam = sorted(beam + candidates, key=utility, reverse=True)[:beam_width]
    return beam[0]
""",
    ),
    "beam_scored_tuples": (
        frozenset({"beam"}),
        """
from helpers import extract_code

def improve_algorithm(solution, u, lm):
    kept = [(u(solution), solution)]
    for iteration in range(2):
        everything = list(kept)
        answers = lm.batch_prompt("You write code.", [text for _, text in kept for _ in range(2)], temperature=0.7)
        everything.extend((u(c), c) for c in extract_code(answers) if c)
        everything.sort(key=lambda pair: pair[0], reverse=True)
        kept = everything[:2]
    return kept[0][1]
""",
    ),
    "beam_numpy_argsort": (
        frozenset({"beam"}),
        """
import numpy as np
from helpers import extract_code

def improve_algorithm(initial_solution, utility, language_model):
    best_solutions = [initial_solution]
    for step in range(3):
        new_solutions = []
        for s in best_solutions:
            new_solutions.extend(filter(None, extract_code(language_model.prompt("coder", s, 2))))
        new_solutions.extend(best_solutions)
        scores = [utility(s) for s in new_solutions]
        top = np.argsort(scores)[::-1][:3]
        best_solutions = [new_solutions[i] for i in top]
    return best_solutions[0]
""",
    ),
    "beam_while_delete": (
        frozenset({"beam"}),
        """
from helpers import extract_code

def improve_algorithm(initial_solution, utility, language_model):
    survivors = [initial_solution]
    steps = 0
    while steps < 2:
        steps += 1
        for parent in tuple(survivors):
            for child in extract_code(language_model.prompt("expert", parent, 3)):
                if child:
                    survivors.append(child)
        survivors.sort(key=utility, reverse=True)
        del survivors[4:]
    return survivors[0]
""",
    ),
    "genetic_plain": (
        frozenset({"genetic"}),
        """
import random
from helpers import extract_code

def crossover(a, b, language_model):
    message = "Merge these two programs into a better one:\\n" + a + "\\n\\n" + b
    return extract_code(language_model.prompt("You are an expert.", message)[0]) or a

def improve_algorithm(initial_solution, utility, language_model):
    population_size = 4
    population = [initial_solution] * population_size
    for generation in range(3):
        population.sort(key=utility, reverse=True)
        parents = population[:2]
        children = [crossover(parents[0], parents[1], language_model) for _ in range(2)]
        population = parents + children
    return max(population, key=utility)
""",
    ),
    "genetic_roulette": (
        frozenset({"genetic"}),
        """
import numpy as np
from helpers import extract_code

def improve_algorithm(initial_solution, utility, language_model):
    programs = [c for c in extract_code(language_model.prompt("expert", initial_solution, 5)) if c]
    programs.append(initial_solution)
    for epoch in range(2):
        fitness = np.array([utility(p) for p in programs]) + 1e-9
        chances = fitness / fitness.sum()
        next_generation = [programs[int(fitness.argmax())]]
        for _ in range(len(programs) - 1):
            i, j = np.random.choice(len(programs), size=2, p=chances)
            text = f"Recombine and mutate:\\n{programs[i]}\\n\\n{programs[j]}"
            code = extract_code(language_model.prompt("expert", text)[0])
            next_generation.append(code or programs[i])
        programs = next_generation
    return max(programs, key=utility)
""",
    ),
    "genetic_text_crossover": (
        frozenset({"genetic"}),
        """
import random
from helpers import extract_code

class Evolution:
    def __init__(self, utility, model):
        self.utility = utility
        self.model = model
        self.population = []

    def cross(self, one, other):
        one, other = one.splitlines(), other.splitlines()
        cut = random.randint(0, min(len(one), len(other)))
        return "\\n".join(one[:cut] + other[cut:])

    def mutate(self, text):
        return extract_code(self.model.prompt("expert", "Repair and improve:\\n" + text)[0]) or text

    def evolve(self, start, generations=2):
        self.population = [start] + [self.mutate(start) for _ in range(3)]
        for _ in range(generations):
            ranked = sorted(self.population, key=self.utility, reverse=True)
            parents = ranked[:2]
            self.population = parents + [self.mutate(self.cross(*parents)) for _ in range(2)]
        return max(self.population, key=self.utility)

def improve_algorithm(initial_solution, utility, language_model):
    return Evolution(utility, language_model).evolve(initial_solution)
""",
    ),
    "genetic_mutation_only": (
        frozenset({"genetic"}),
        """
import random
from helpers import extract_code

def improve_algorithm(initial_solution, utility, language_model):
    parents = [initial_solution]
    for g in range(3):
        offspring = []
        for _ in range(4):
            parent = random.choice(parents)
            mutated = extract_code(language_model.prompt("expert", "Mutate this program a little:\\n" + parent)[0])
            if mutated:
                offspring.append(mutated)
        parents = sorted(parents + offspring, key=utility, reverse=True)[:3]
    return parents[0]
""",
    ),
    "annealing_plain": (
        frozenset({"annealing"}),
        """
import math
import random
from helpers import extract_code

def improve_algorithm(initial_solution, utility, language_model):
    current = best = initial_solution
    current_utility = best_utility = utility(current)
    temperature = 1.0
    for _ in range(8):
        candidate = extract_code(language_model.prompt("expert", "Change:\\n" + current)[0])
        if not candidate:
            continue
        candidate_utility = utility(candidate)
        probability = math.exp(min(0, candidate_utility - current_utility) / temperature)
        if random.random() < probability:
            current, current_utility = candidate, candidate_utility
        if candidate_utility > best_utility:
            best, best_utility = candidate, candidate_utility
        temperature *= 0.9
    return best
""",
    ),
    "annealing_linear": (
        frozenset({"annealing"}),
        """
from math import exp
from random import random
from helpers import extract_code

def accept(new, old, heat):
    return new >= old or random() < exp((new - old) / max(heat, 1e-6))

def improve_algorithm(initial_solution, utility, language_model):
    steps = 6
    x, fx = initial_solution, utility(initial_solution)
    best = (fx, x)
    for k in range(steps):
        heat = 1 - k / steps
        y = extract_code(language_model.prompt("expert", x)[0]) or x
        fy = utility(y)
        if accept(fy, fx, heat):
            x, fx = y, fy
        best = max(best, (fx, x))
    return best[1]
""",
    ),
    "annealing_lm_schedule": (
        frozenset({"annealing"}),
        """
from helpers import extract_code

def improve_algorithm(initial_solution, utility, language_model):
    best = initial_solution
    for i in range(4):
        temperature = max(0.1, 1.0 - 0.25 * i)
        answers = language_model.batch_prompt("expert", ["Improve:\\n" + best] * 3, temperature=temperature)
        best = max([best] + [c for c in extract_code(answers) if c], key=utility)
    return best
""",
    ),
    "annealing_temperature_list": (
        frozenset({"annealing"}),
        """
from helpers import extract_code

def improve_algorithm(initial_solution, utility, language_model):
    best, best_score = initial_solution, utility(initial_solution)
    for temp in [1.0, 0.7, 0.4, 0.1]:
        for text in language_model.prompt("expert", "Improve " + best, 2, temp):
            code = extract_code(text)
            if code:
                score = utility(code)
                if score > best_score:
                    best, best_score = code, score
    return best
""",
    ),
    "bandit_ucb": (
        frozenset({"bandit"}),
        """
import math
from helpers import extract_code

def improve_algorithm(initial_solution, utility, language_model):
    prompts = ["Be creative.", "Optimise the inner loop.", "Use a known algorithm."]
    counts = [0] * len(prompts)
    sums = [0.0] * len(prompts)
    best, best_score = initial_solution, utility(initial_solution)
    for t in range(1, 9):
        ucb = [
            sums[i] / counts[i] + math.sqrt(2 * math.log(t) / counts[i]) if counts[i] else float("inf")
            for i in range(len(prompts))
        ]
        arm = ucb.index(max(ucb))
        code = extract_code(language_model.prompt("expert", prompts[arm] + best)[0])
        reward = utility(code) if code else 0
        counts[arm] += 1
        sums[arm] += reward
        if reward > best_score:
            best, best_score = code, reward
    return best
""",
    ),
    "bandit_running_mean": (
        frozenset({"bandit"}),
        """
import random
from helpers import extract_code

def improve_algorithm(initial_solution, utility, language_model):
    epsilon = 0.3
    expertises = {"algorithm designer": 0.0, "numpy wizard": 0.0, "puzzle solver": 0.0}
    n = dict.fromkeys(expertises, 0)
    best, best_u = initial_solution, utility(initial_solution)
    for _ in range(6):
        explore = random.random() < epsilon
        who = random.choice(list(expertises)) if explore else max(expertises, key=expertises.get)
        code = extract_code(language_model.prompt("You are a " + who, best)[0])
        u = utility(code) if code else 0.0
        n[who] += 1
        expertises[who] += (u - expertises[who]) / n[who]
        if u > best_u:
            best, best_u = code, u
    return best
""",
    ),
    "bandit_thompson_betavariate": (
        frozenset({"bandit"}),
        """
import random
from helpers import extract_code

def improve_algorithm(initial_solution, utility, language_model):
    temperatures = [0.2, 0.6, 1.0]
    successes, failures = [1, 1, 1], [1, 1, 1]
    best, best_score = initial_solution, utility(initial_solution)
    for _ in range(6):
        draws = [random.betavariate(s, f) for s, f in zip(successes, failures)]
        choice = draws.index(max(draws))
        texts = language_model.prompt("expert", "Improve " + best, 1, temperature=temperatures[choice])
        code = extract_code(texts[0])
        if code and utility(code) > best_score:
            best, best_score = code, utility(code)
            successes[choice] += 1
        else:
            failures[choice] += 1
    return best
""",
    ),
    "bandit_softmax_weights": (
        frozenset({"bandit"}),
        """
import math
import random
from helpers import extract_code

def improve_algorithm(initial_solution, utility, language_model):
    styles = ["short", "fast", "clever"]
    weights = [1.0, 1.0, 1.0]
    best, value = initial_solution, utility(initial_solution)
    for _ in range(6):
        i = random.choices(range(3), weights=weights)[0]
        code = extract_code(language_model.prompt("expert", f"Write a {styles[i]} version of\\n{best}")[0])
        reward = utility(code) if code else 0.0
        weights[i] *= math.exp(0.5 * reward)
        if reward > value:
            best, value = code, reward
    return best
""",
    ),
    "tree_nodes": (
        frozenset({"tree_search"}),
        """
from helpers import extract_code

class TreeNode:
    def __init__(self, code, score, parent=None):
        self.code, self.score, self.parent, self.children = code, score, parent, []

def improve_algorithm(initial_solution, utility, language_model):
    root = TreeNode(initial_solution, utility(initial_solution))
    leaves = [root]
    for _ in range(4):
        node = max(leaves, key=lambda n: n.score)
        leaves.remove(node)
        for code in extract_code(language_model.prompt("expert", node.code, 2)):
            if code:
                child = TreeNode(code, utility(code), node)
                node.children.append(child)
                leaves.append(child)
    best, stack = root, [root]
    while stack:
        node = stack.pop()
        stack.extend(node.children)
        if node.score > best.score:
            best = node
    return best.code
""",
    ),
    "tree_heap": (
        frozenset({"tree_search"}),
        """
import heapq
import itertools
from helpers import extract_code

def improve_algorithm(initial_solution, utility, language_model):
    tie = itertools.count()
    heap = [(-utility(initial_solution), next(tie), initial_solution)]
    best = heap[0]
    while heap and utility.uses < utility.budget - 3:
        entry = heapq.heappop(heap)
        best = min(best, entry)
        for code in extract_code(language_model.prompt("expert", entry[2], 2)):
            if code:
                heapq.heappush(heap, (-utility(code), next(tie), code))
    return min([best] + heap)[2]
""",
    ),
    "tree_recursion": (
        frozenset({"tree_search"}),
        """
from helpers import extract_code

def improve_algorithm(initial_solution, utility, language_model):
    def search(node, depth):
        if depth >= 3:
            return node, utility(node)
        best = (node, utility(node))
        branches = extract_code(language_model.prompt("expert", "Branch out from:\\n" + node, 2))
        for branch in branches:
            if branch:
                found = search(branch, depth + 1)
                if found[1] > best[1]:
                    best = found
        return best

    return search(initial_solution, 0)[0]
""",
    ),
    "tree_stack_dfs": (
        frozenset({"tree_search"}),
        """
from helpers import extract_code

def improve_algorithm(initial_solution, utility, language_model):
    best, best_score = initial_solution, utility(initial_solution)
    stack = [(initial_solution, 0)]
    while stack:
        program, depth = stack.pop()
        if depth == 2:
            continue
        for code in extract_code(language_model.prompt("expert", program, 2)):
            if not code:
                continue
            score = utility(code)
            if score > best_score:
                best, best_score = code, score
            stack.append((code, depth + 1))
    return best
""",
    ),
    "decomposition_parts": (
        frozenset({"decomposition"}),
        """
from helpers import extract_code

def improve_algorithm(initial_solution, utility, language_model):
    best, score = initial_solution, utility(initial_solution)
    for part in ["the data structures", "the main loop", "the way ties are broken"]:
        message = f"Improve only {part} of this program and leave the rest as it is:\\n{best}"
        for code in extract_code(language_model.prompt("expert", message, 2)):
            if code and utility(code) > score:
                best, score = code, utility(code)
    return best
""",
    ),
    "decomposition_split_functions": (
        frozenset({"decomposition"}),
        """
import re
from helpers import extract_code

def improve_algorithm(initial_solution, utility, language_model):
    functions = re.split(r"(?m)^(?=def )", initial_solution)
    for i, function in enumerate(functions):
        if not function.startswith("def "):
            continue
        new = extract_code(language_model.prompt("expert", "Improve this function:\\n" + function)[0])
        if new:
            trial = functions[:i] + [new] + functions[i + 1 :]
            if utility("".join(trial)) > utility("".join(functions)):
                functions = trial
    return "".join(functions)
""",
    ),
    "decomposition_plan": (
        frozenset({"decomposition"}),
        """
from helpers import extract_code

def improve_algorithm(initial_solution, utility, language_model):
    plan = language_model.prompt("You plan.", "List the steps to improve this program, one in a line:\\n" + initial_solution)[0]
    steps = [line.strip() for line in plan.splitlines() if line.strip()]
    program = initial_solution
    for step in steps[:3]:
        codes = extract_code(language_model.prompt("You program.", f"Do this step: {step}\\n{program}", 2))
        program = max([program] + [c for c in codes if c], key=utility)
    return program
""",
    ),
    "decomposition_modules": (
        frozenset({"decomposition"}),
        """
import ast
from helpers import extract_code

def split(source):
    tree = ast.parse(source)
    return [ast.unparse(node) for node in tree.body]

def improve_algorithm(initial_solution, utility, language_model):
    try:
        chunks = split(initial_solution)
    except SyntaxError:
        return initial_solution
    for i in range(len(chunks)):
        replies = language_model.prompt("expert", "Improve this piece of a program:\\n" + chunks[i], 2)
        for piece in extract_code(replies):
            if piece:
                whole = "\\n\\n".join(chunks[:i] + [piece] + chunks[i + 1 :])
                if utility(whole) > utility("\\n\\n".join(chunks)):
                    chunks[i] = piece
    return "\\n\\n".join(chunks)
""",
    ),
    "voting_most_common": (
        frozenset({"voting"}),
        """
import collections
from helpers import extract_code

def improve_algorithm(initial_solution, utility, language_model):
    tally = collections.Counter()
    for code in extract_code(language_model.prompt("expert", initial_solution, 8)):
        if code:
            tally[code] += 1
    finalists = [code for code, _ in tally.most_common(3)]
    return max([initial_solution] + finalists, key=utility)
""",
    ),
    "voting_model_chooses": (
        frozenset({"voting"}),
        """
from helpers import extract_code

def improve_algorithm(initial_solution, utility, language_model):
    candidates = [initial_solution] + [c for c in extract_code(language_model.prompt("coder", initial_solution, 3)) if c]
    votes = {i: 0 for i in range(len(candidates))}
    question = "Vote for the best program by its number.\\n" + "\\n".join(f"{i}: {c}" for i, c in enumerate(candidates))
    for reply in language_model.prompt("critic", question, 5):
        for i in votes:
            if str(i) in reply:
                votes[i] += 1
                break
    return candidates[max(votes, key=votes.get)]
""",
    ),
    "voting_statistics_mode": (
        frozenset({"voting"}),
        """
import statistics
from helpers import extract_code

def improve_algorithm(initial_solution, utility, language_model):
    codes = [c for c in extract_code(language_model.prompt("expert", initial_solution, 6)) if c]
    if codes:
        consensus = statistics.mode(codes)
        if utility(consensus) >= utility(initial_solution):
            return consensus
    return initial_solution
""",
    ),
    "voting_set_count": (
        frozenset({"voting"}),
        """
from helpers import extract_code

def improve_algorithm(initial_solution, utility, language_model):
    answers = [c for c in extract_code(language_model.prompt("expert", initial_solution, 6)) if c]
    majority = max(set(answers), key=answers.count) if answers else initial_solution
    return majority
""",
    ),
    "caching_dict": (
        frozenset({"caching"}),
        """
from helpers import extract_code

def improve_algorithm(initial_solution, utility, language_model):
    cache = {}
    def cached_utility(program):
        if program not in cache:
            cache[program] = utility(program)
        return cache[program]
    answers = language_model.batch_prompt("expert", [initial_solution] * 5, temperature=0.7)
    return max([initial_solution] + [c for c in extract_code(answers) if c], key=cached_utility)
""",
    ),
    "caching_decorator": (
        frozenset({"caching"}),
        """
import functools
from helpers import extract_code

def improve_algorithm(initial_solution, utility, language_model):
    rate = functools.cache(utility)
    best = initial_solution
    for code in extract_code(language_model.prompt("expert", best, 6)):
        if code and rate(code) > rate(best):
            best = code
    return best
""",
    ),
    "caching_hash": (
        frozenset({"caching"}),
        """
import hashlib
from helpers import extract_code

class Scores:
    def __init__(self, utility):
        self.utility = utility
        self.known = {}

    def __call__(self, text):
        key = hashlib.md5(text.encode()).hexdigest()
        score = self.known.get(key)
        if score is None:
            score = self.known[key] = self.utility(text)
        return score

def improve_algorithm(initial_solution, utility, language_model):
    scores = Scores(utility)
    programs = [initial_solution] + [c for c in extract_code(language_model.prompt("x", initial_solution, 4)) if c]
    return max(programs, key=scores)
""",
    ),
    "caching_dedupe": (
        frozenset({"caching"}),
        """
from helpers import extract_code

def improve_algorithm(initial_solution, utility, language_model):
    tried = set()
    best, best_score = initial_solution, utility(initial_solution)
    for _ in range(3):
        for code in extract_code(language_model.prompt("expert", best, 2)):
            if code and code not in tried:
                tried.add(code)
                score = utility(code)
                if score > best_score:
                    best, best_score = code, score
    return best
""",
    ),
    "two_beam_annealed": (
        frozenset({"beam", "annealing"}),
        """
from helpers import extract_code

def improve_algorithm(initial_solution, utility, language_model):
    beam, temperature = [initial_solution], 1.0
    for _ in range(3):
        found = []
        for program in beam:
            found += language_model.prompt("expert", program, 3, temperature=temperature)
        beam = sorted(beam + [c for c in extract_code(found) if c], key=utility, reverse=True)[:3]
        temperature *= 0.8
    return beam[0]
""",
    ),
    "two_bandit_cached": (
        frozenset({"bandit", "caching"}),
        """
import math
from functools import lru_cache
from helpers import extract_code

def improve_algorithm(initial_solution, utility, language_model):
    score = lru_cache(None)(utility)
    arms = {"dp": [0, 0.0], "greedy": [0, 0.0]}
    best = initial_solution
    for t in range(1, 6):
        name = max(arms, key=lambda a: math.inf if not arms[a][0] else arms[a][1] / arms[a][0] + math.sqrt(math.log(t) / arms[a][0]))
        code = extract_code(language_model.prompt("expert", f"Use {name}:\\n{best}")[0]) or best
        arms[name][0] += 1
        arms[name][1] += score(code)
        best = max(best, code, key=score)
    return best
""",
    ),
    "other_seed": (
        frozenset({"other"}),
        '''
from helpers import extract_code

def improve_algorithm(initial_solution, utility, language_model):
    """Ask once, keep the best."""
    message = f"Improve\\n{initial_solution}\\nscored by\\n{utility.str}"
    n = min(language_model.max_responses_per_call, utility.budget)
    answers = language_model.batch_prompt("You are an expert.", [message] * n, temperature=0.7)
    programs = [c for c in extract_code(answers) if c] + [initial_solution]
    return max(programs, key=utility)
''',
    ),
    "other_top_three_once": (
        frozenset({"other"}),
        """
from helpers import extract_code

def improve_algorithm(initial_solution, utility, language_model):
    codes = [c for c in extract_code(language_model.prompt("expert", initial_solution, 6)) if c]
    top = sorted(codes, key=utility, reverse=True)[:3]
    message = "Here are good programs, write a better one:\\n" + "\\n\\n".join(top)
    last = [c for c in extract_code(language_model.prompt("expert", message, 2)) if c]
    return max([initial_solution] + top + last, key=utility)
""",
    ),
    "other_counts_tokens": (
        frozenset({"other"}),
        """
from collections import Counter
from helpers import extract_code

def improve_algorithm(initial_solution, utility, language_model):
    words = Counter(initial_solution.split())
    tree = "decision tree" if words["if"] > 5 else "table"
    message = f"Replace the logic by a {tree}:\\n{initial_solution}"
    programs = [c for c in extract_code(language_model.prompt("expert", message, 4)) if c]
    return max([initial_solution] + programs, key=utility)
""",
    ),
    "other_until_budget": (
        frozenset({"other"}),
        """
from helpers import extract_code

def improve_algorithm(initial_solution, utility, language_model):
    best, best_score = initial_solution, utility(initial_solution)
    results = {}
    while language_model.times_used < language_model.budget:
        code = extract_code(language_model.prompt("expert", best)[0])
        if not code:
            continue
        results[code] = utility(code)
        if results[code] > best_score:
            best, best_score = code, results[code]
    return best
""",
    ),
    "other_hot_when_stuck": (
        frozenset({"other"}),
        """
from helpers import extract_code

def improve_algorithm(initial_solution, utility, language_model):
    best, best_score = initial_solution, utility(initial_solution)
    temperature = 0.5
    for _ in range(4):
        code = extract_code(language_model.prompt("expert", best, 1, temperature=temperature)[0])
        score = utility(code) if code else 0
        if score > best_score:
            best, best_score = code, score
        else:
            temperature = min(1.2, temperature + 0.2)
    return best
""",
    ),
}
