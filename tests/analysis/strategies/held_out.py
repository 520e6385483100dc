"""Improvers of known strategies, written before the rules and not looked at while they were made.

Each is (labels, text). The texts are programs as models write them: they are read, never run.
"""

# ruff: noqa: E501

HELD_OUT: dict[str, tuple[frozenset[str], str]] = {
    "beam_dict_levels": (
        frozenset({"beam"}),
        '''
from helpers import extract_code

WIDTH = 4

def improve_algorithm(initial_solution, utility, language_model):
    """Keep the WIDTH best programs of each level and expand all of them."""
    level = {initial_solution: utility(initial_solution)}
    for depth in range(3):
        prompts = ["Improve this program:\\n" + text for text in level]
        replies = language_model.batch_prompt("You are an expert.", prompts, temperature=0.8)
        for code in extract_code(replies):
            if code:
                level[code] = utility(code)
        ranked = sorted(level.items(), key=lambda item: item[1], reverse=True)
        level = dict(ranked[:WIDTH])
    return max(level, key=level.get)
''',
    ),
    "beam_heapq_nlargest": (
        frozenset({"beam"}),
        """
import heapq
from helpers import extract_code

def improve_algorithm(initial_solution, utility, language_model):
    k = 3
    hypotheses = [(utility(initial_solution), initial_solution)]
    rounds_left = 2
    while rounds_left > 0:
        candidates = list(hypotheses)
        for _, code in hypotheses:
            texts = language_model.prompt("Expert", "Make it score higher:\\n" + code, n_responses=2)
            for new in extract_code(texts):
                if new is not None:
                    candidates.append((utility(new), new))
        hypotheses = heapq.nlargest(k, candidates)
        rounds_left -= 1
    return hypotheses[0][1]
""",
    ),
    "beam_class": (
        frozenset({"beam"}),
        """
from helpers import extract_code

class BeamSearch:
    def __init__(self, utility, lm, width=2, steps=3):
        self.utility, self.lm, self.width, self.steps = utility, lm, width, steps

    def expand(self, text):
        return [c for c in extract_code(self.lm.prompt("Optimizer", text, 2)) if c]

    def prune(self, texts):
        texts.sort(key=self.utility, reverse=True)
        return texts[: self.width]

    def run(self, start):
        current = [start]
        for _ in range(self.steps):
            grown = current[:]
            for text in current:
                grown.extend(self.expand(text))
            current = self.prune(grown)
        return current[0]

def improve_algorithm(initial_solution, utility, language_model):
    return BeamSearch(utility, language_model).run(initial_solution)
""",
    ),
    "genetic_crossover_prompt": (
        frozenset({"genetic"}),
        """
import random
from helpers import extract_code

def improve_algorithm(initial_solution, utility, language_model):
    expertise = "You combine programs."
    population = [initial_solution]
    replies = language_model.prompt(expertise, "Write a variant of\\n" + initial_solution, 4)
    population += [c for c in extract_code(replies) if c]
    for generation in range(2):
        scored = sorted(population, key=utility, reverse=True)
        survivors = scored[: max(2, len(scored) // 2)]
        offspring = []
        for _ in range(3):
            a, b = random.sample(survivors, 2) if len(survivors) > 1 else survivors * 2
            text = f"Combine the best parts of both programs.\\nFirst:\\n{a}\\nSecond:\\n{b}"
            offspring += [c for c in extract_code(language_model.prompt(expertise, text)) if c]
        population = survivors + offspring
    return max(population, key=utility)
""",
    ),
    "genetic_evolve_mutate": (
        frozenset({"genetic"}),
        """
import random
from helpers import extract_code

def mutate(program, lm):
    found = extract_code(lm.prompt("mutator", "Change one thing in this program:\\n" + program, 1)[0])
    return found or program

def tournament(pool, fitness, size=3):
    return max(random.choices(pool, k=size), key=lambda p: fitness[p])

def improve_algorithm(initial_solution, utility, language_model):
    pool = [initial_solution] + [mutate(initial_solution, language_model) for _ in range(3)]
    for _ in range(3):
        fitness = {p: utility(p) for p in pool}
        elite = max(pool, key=fitness.get)
        pool = [elite] + [mutate(tournament(pool, fitness), language_model) for _ in range(3)]
    return max(pool, key=utility)
""",
    ),
    "genetic_steady_state": (
        frozenset({"genetic"}),
        """
import random
from helpers import extract_code

class Individual:
    def __init__(self, genome, fitness):
        self.genome = genome
        self.fitness = fitness

def improve_algorithm(initial_solution, utility, language_model):
    answers = language_model.batch_prompt("expert", [initial_solution] * 5, temperature=1.0)
    individuals = [Individual(initial_solution, utility(initial_solution))]
    individuals += [Individual(code, utility(code)) for code in extract_code(answers) if code]
    for step in range(4):
        weights = [max(1e-6, one.fitness) for one in individuals]
        mother, father = random.choices(individuals, weights=weights, k=2)
        message = "Breed these two:\\n" + mother.genome + "\\n---\\n" + father.genome
        child = extract_code(language_model.prompt("expert", message)[0])
        if child:
            weakest = min(individuals, key=lambda one: one.fitness)
            individuals.remove(weakest)
            individuals.append(Individual(child, utility(child)))
    return max(individuals, key=lambda one: one.fitness).genome
""",
    ),
    "annealing_boltzmann": (
        frozenset({"annealing"}),
        """
import math
import random
from helpers import extract_code

def improve_algorithm(initial_solution, utility, language_model):
    state, energy = initial_solution, -utility(initial_solution)
    best, lowest = state, energy
    t = 1.0
    for i in range(6):
        neighbour = extract_code(language_model.prompt("expert", "Vary:\\n" + state)[0])
        if not neighbour:
            continue
        e = -utility(neighbour)
        if e < energy or random.random() < math.exp((energy - e) / t):
            state, energy = neighbour, e
        if e < lowest:
            best, lowest = neighbour, e
        t = t * 0.8
    return best
""",
    ),
    "annealing_numpy_schedule": (
        frozenset({"annealing"}),
        """
import numpy as np
from helpers import extract_code

def improve_algorithm(solution, utility, lm):
    rng = np.random.default_rng(0)
    current = best = solution
    current_score = best_score = utility(solution)
    for temp in np.geomspace(1.0, 0.01, 5):
        for proposal in extract_code(lm.prompt("Improve code", current, 2)):
            if proposal is None:
                continue
            score = utility(proposal)
            delta = score - current_score
            if delta > 0 or rng.uniform() < np.exp(delta / temp):
                current, current_score = proposal, score
            if score > best_score:
                best, best_score = proposal, score
    return best
""",
    ),
    "annealing_lm_temperature": (
        frozenset({"annealing"}),
        '''
from helpers import extract_code

def improve_algorithm(initial_solution, utility, language_model):
    """Explore with a hot model first, then cool it down."""
    best_solution, best_utility = initial_solution, utility(initial_solution)
    temperature, cooling_rate = 1.2, 0.7
    while temperature > 0.2:
        message = "Improve the following solution:\\n" + best_solution
        replies = language_model.prompt("You are an expert", message, n_responses=3, temperature=temperature)
        for solution in extract_code(replies):
            if solution and utility(solution) > best_utility:
                best_solution, best_utility = solution, utility(solution)
        temperature *= cooling_rate
    return best_solution
''',
    ),
    "bandit_epsilon_greedy": (
        frozenset({"bandit"}),
        """
import random
from helpers import extract_code

PROMPTS = ["Use a better algorithm.", "Vectorise it.", "Think of edge cases.", "Use randomness."]

def improve_algorithm(initial_solution, utility, language_model):
    rewards = {p: [] for p in PROMPTS}
    best, score = initial_solution, utility(initial_solution)
    for _ in range(8):
        if random.random() < 0.2:
            prompt = random.choice(PROMPTS)
        else:
            prompt = max(PROMPTS, key=lambda p: sum(rewards[p]) / len(rewards[p]) if rewards[p] else 1.0)
        code = extract_code(language_model.prompt("expert", prompt + "\\n" + best)[0])
        value = utility(code) if code else 0.0
        rewards[prompt].append(value)
        if value > score:
            best, score = code, value
    return best
""",
    ),
    "bandit_thompson": (
        frozenset({"bandit"}),
        """
import numpy as np
from helpers import extract_code

def improve_algorithm(initial_solution, utility, language_model):
    strategies = ["greedy", "dynamic programming", "local search"]
    alpha = np.ones(len(strategies))
    beta = np.ones(len(strategies))
    best, best_value = initial_solution, utility(initial_solution)
    for t in range(6):
        i = int(np.argmax(np.random.beta(alpha, beta)))
        text = f"Rewrite with {strategies[i]}:\\n{best}"
        new = extract_code(language_model.prompt("programmer", text)[0])
        if new and utility(new) > best_value:
            best, best_value = new, utility(new)
            alpha[i] += 1
        else:
            beta[i] += 1
    return best
""",
    ),
    "bandit_class_ucb": (
        frozenset({"bandit"}),
        """
import math
from helpers import extract_code

class Arm:
    def __init__(self, instruction):
        self.instruction = instruction
        self.pulls = 0
        self.total = 0.0

    def ucb(self, t):
        if self.pulls == 0:
            return float("inf")
        return self.total / self.pulls + math.sqrt(2 * math.log(t) / self.pulls)

def improve_algorithm(initial_solution, utility, language_model):
    arms = [Arm("Be bold."), Arm("Be careful."), Arm("Be brief.")]
    champion = initial_solution
    top = utility(champion)
    for t in range(1, 7):
        arm = max(arms, key=lambda a: a.ucb(t))
        code = extract_code(language_model.prompt(arm.instruction, champion)[0]) or champion
        reward = utility(code)
        arm.pulls += 1
        arm.total += reward
        if reward > top:
            champion, top = code, reward
    return champion
""",
    ),
    "tree_mcts": (
        frozenset({"tree_search"}),
        """
import math
from helpers import extract_code

class Node:
    def __init__(self, program, parent=None):
        self.program = program
        self.parent = parent
        self.children = []
        self.visits = 0
        self.value = 0.0

    def uct(self):
        if self.visits == 0:
            return float("inf")
        return self.value / self.visits + math.sqrt(2 * math.log(self.parent.visits) / self.visits)

def improve_algorithm(initial_solution, utility, language_model):
    root = Node(initial_solution)
    best, best_score = initial_solution, utility(initial_solution)
    for _ in range(5):
        node = root
        while node.children:
            node = max(node.children, key=Node.uct)
        for code in extract_code(language_model.prompt("expert", node.program, 2)):
            if code:
                node.children.append(Node(code, node))
        leaf = node.children[0] if node.children else node
        score = utility(leaf.program)
        if score > best_score:
            best, best_score = leaf.program, score
        while leaf is not None:
            leaf.visits += 1
            leaf.value += score
            leaf = leaf.parent
    return best
""",
    ),
    "tree_recursive_dfs": (
        frozenset({"tree_search"}),
        """
from helpers import extract_code

def explore(program, depth, utility, lm):
    here = (utility(program), program)
    if depth == 0:
        return here
    answers = [here]
    for child in extract_code(lm.prompt("expert", "Improve\\n" + program, 2)):
        if child:
            answers.append(explore(child, depth - 1, utility, lm))
    return max(answers)

def improve_algorithm(initial_solution, utility, language_model):
    return explore(initial_solution, 2, utility, language_model)[1]
""",
    ),
    "tree_priority_queue": (
        frozenset({"tree_search"}),
        """
from queue import PriorityQueue
from helpers import extract_code

def improve_algorithm(initial_solution, utility, language_model):
    queue = PriorityQueue()
    start = utility(initial_solution)
    queue.put((-start, 0, initial_solution))
    best, count = (start, initial_solution), 0
    while not queue.empty() and count < 12:
        _, _, program = queue.get()
        for code in extract_code(language_model.prompt("expert", program, 3)):
            if code is None:
                continue
            count += 1
            value = utility(code)
            best = max(best, (value, code))
            queue.put((-value, count, code))
    return best[1]
""",
    ),
    "decomposition_ast_functions": (
        frozenset({"decomposition"}),
        """
import ast
from helpers import extract_code

def improve_algorithm(initial_solution, utility, language_model):
    best, best_score = initial_solution, utility(initial_solution)
    for part in ast.parse(initial_solution).body:
        if not isinstance(part, ast.FunctionDef):
            continue
        text = ast.get_source_segment(initial_solution, part)
        new = extract_code(language_model.prompt("expert", "Rewrite this function only:\\n" + text)[0])
        if new:
            whole = best.replace(text, new)
            score = utility(whole)
            if score > best_score:
                best, best_score = whole, score
    return best
""",
    ),
    "decomposition_subproblems": (
        frozenset({"decomposition"}),
        """
from helpers import extract_code

def improve_algorithm(initial_solution, utility, language_model):
    outline = language_model.prompt("You are a planner.", "Break the task into subproblems, one a line:\\n" + utility.str)[0]
    solution = initial_solution
    for subproblem in outline.splitlines()[:4]:
        message = f"Solve only this subproblem: {subproblem}\\nin this program:\\n{solution}"
        answers = [a for a in extract_code(language_model.prompt("You are a programmer.", message, 2)) if a]
        solution = max([solution] + answers, key=utility)
    return solution
""",
    ),
    "decomposition_aspects": (
        frozenset({"decomposition"}),
        """
from helpers import extract_code

COMPONENTS = ("initialisation", "inner loop", "stopping rule", "result")

def improve_algorithm(initial_solution, utility, language_model):
    expertise = "You improve one component of a program at a time."
    current, value = initial_solution, utility(initial_solution)
    for component in COMPONENTS:
        reply = language_model.prompt(expertise, f"Improve the {component} of\\n{current}")[0]
        candidate = extract_code(reply)
        if candidate and utility(candidate) > value:
            current, value = candidate, utility(candidate)
    return current
""",
    ),
    "voting_counter": (
        frozenset({"voting"}),
        """
from collections import Counter
from helpers import extract_code

def improve_algorithm(initial_solution, utility, language_model):
    answers = language_model.batch_prompt("expert", [initial_solution] * 6, temperature=0.7)
    programs = [code.strip() for code in extract_code(answers) if code]
    if not programs:
        return initial_solution
    winner, count = Counter(programs).most_common(1)[0]
    return winner if utility(winner) > utility(initial_solution) else initial_solution
""",
    ),
    "voting_judges": (
        frozenset({"voting"}),
        """
import re
from helpers import extract_code

def improve_algorithm(initial_solution, utility, language_model):
    programs = [initial_solution] + [c for c in extract_code(language_model.prompt("coder", initial_solution, 4)) if c]
    listing = "\\n\\n".join(f"Program {i}:\\n{p}" for i, p in enumerate(programs))
    ballots = language_model.prompt("You are a judge.", "Which program is the best? Answer with its number.\\n" + listing, 5)
    tally = [0] * len(programs)
    for ballot in ballots:
        number = re.search(r"\\d+", ballot)
        if number and int(number.group()) < len(programs):
            tally[int(number.group())] += 1
    return programs[tally.index(max(tally))]
""",
    ),
    "voting_majority_dict": (
        frozenset({"voting"}),
        """
from helpers import extract_code

def normalise(code):
    return "\\n".join(line.rstrip() for line in code.splitlines() if line.strip())

def improve_algorithm(initial_solution, utility, language_model):
    votes = {}
    for reply in language_model.prompt("expert", "Improve:\\n" + initial_solution, 8):
        code = extract_code(reply)
        if code:
            key = normalise(code)
            votes[key] = votes.get(key, 0) + 1
    majority = max(votes, key=votes.get, default=initial_solution)
    return majority
""",
    ),
    "caching_lru": (
        frozenset({"caching"}),
        """
from functools import lru_cache
from helpers import extract_code

def improve_algorithm(initial_solution, utility, language_model):
    @lru_cache(maxsize=None)
    def score(text):
        return utility(text)

    programs = [initial_solution]
    programs += [c for c in extract_code(language_model.prompt("expert", initial_solution, 6)) if c]
    return max(programs, key=score)
""",
    ),
    "caching_memo_dict": (
        frozenset({"caching"}),
        """
from helpers import extract_code

def improve_algorithm(initial_solution, utility, language_model):
    memo = {}

    def evaluate(program):
        if program not in memo:
            memo[program] = utility(program)
        return memo[program]

    best = initial_solution
    for _ in range(3):
        for code in extract_code(language_model.prompt("expert", best, 2)):
            if code and evaluate(code) > evaluate(best):
                best = code
    return best
""",
    ),
    "caching_seen_set": (
        frozenset({"caching"}),
        """
from helpers import extract_code

def improve_algorithm(initial_solution, utility, language_model):
    seen = {initial_solution}
    best, top = initial_solution, utility(initial_solution)
    for reply in language_model.batch_prompt("expert", [initial_solution] * 6, temperature=0.9):
        code = extract_code(reply)
        if not code or code in seen:
            continue
        seen.add(code)
        value = utility(code)
        if value > top:
            best, top = code, value
    return best
""",
    ),
    "two_beam_cached": (
        frozenset({"beam", "caching"}),
        """
from helpers import extract_code

def improve_algorithm(initial_solution, utility, language_model):
    cache = {}
    def u(p):
        try:
            return cache[p]
        except KeyError:
            cache[p] = utility(p)
            return cache[p]

    frontier = [initial_solution]
    for _ in range(2):
        pool = set(frontier)
        for p in frontier:
            pool |= {c for c in extract_code(language_model.prompt("expert", p, 3)) if c}
        frontier = sorted(pool, key=u)[-3:]
    return frontier[-1]
""",
    ),
    "two_genetic_annealed": (
        frozenset({"genetic", "annealing"}),
        """
import math
import random
from helpers import extract_code

def improve_algorithm(initial_solution, utility, language_model):
    population = [(initial_solution, utility(initial_solution))] * 3
    temperature = 1.0
    for generation in range(4):
        (p1, _), (p2, _) = random.sample(population, 2)
        child = extract_code(language_model.prompt("expert", "Crossover of\\n" + p1 + "\\nand\\n" + p2)[0])
        if not child:
            continue
        score = utility(child)
        slot = random.randrange(len(population))
        delta = score - population[slot][1]
        if delta >= 0 or random.random() < math.exp(delta / temperature):
            population[slot] = (child, score)
        temperature *= 0.9
    return max(population, key=lambda pair: pair[1])[0]
""",
    ),
    "other_hill_climb": (
        frozenset({"other"}),
        """
from helpers import extract_code

def improve_algorithm(initial_solution, utility, language_model):
    current, value = initial_solution, utility(initial_solution)
    for _ in range(5):
        code = extract_code(language_model.prompt("expert", "Improve this:\\n" + current)[0])
        if code and utility(code) >= value:
            current, value = code, utility(code)
    return current
""",
    ),
    "other_threads": (
        frozenset({"other"}),
        """
from concurrent.futures import ThreadPoolExecutor
from helpers import extract_code

def improve_algorithm(initial_solution, utility, language_model):
    answers = language_model.batch_prompt("expert", [initial_solution + "\\n" + utility.str] * 6, temperature=0.7)
    programs = [c for c in extract_code(answers) if c]
    with ThreadPoolExecutor(4) as executor:
        scores = list(executor.map(utility, programs))
    return programs[scores.index(max(scores))] if programs else initial_solution
""",
    ),
    "other_two_temperatures": (
        frozenset({"other"}),
        """
from helpers import extract_code

def improve_algorithm(initial_solution, utility, language_model):
    cold = language_model.prompt("expert", initial_solution, 2, temperature=0.1)
    hot = language_model.prompt("expert", initial_solution, 2, temperature=1.0)
    candidates = [initial_solution, *filter(None, extract_code(cold + hot))]
    ranking = sorted(candidates, key=utility, reverse=True)
    return ranking[0]
""",
    ),
    "other_error_feedback": (
        frozenset({"other"}),
        """
from helpers import extract_code

def improve_algorithm(initial_solution, utility, language_model):
    history = []
    best = initial_solution
    best_score = utility(best)
    for attempt in range(4):
        tried = "\\n".join(f"score {s:.3f}: {t[:80]}" for s, t in history[-3:])
        reply = language_model.prompt("expert", f"Scores so far:\\n{tried}\\nImprove\\n{best}")[0]
        code = extract_code(reply)
        if code is None:
            continue
        score = utility(code)
        history.append((score, code))
        if score > best_score:
            best, best_score = code, score
    return best
""",
    ),
    "other_random_restart": (
        frozenset({"other"}),
        """
import random
from helpers import extract_code

def improve_algorithm(initial_solution, utility, language_model):
    best = initial_solution
    hints = ["Use a heap.", "Use numpy.", "Use recursion.", "Sort first."]
    random.shuffle(hints)
    for hint in hints:
        for code in extract_code(language_model.prompt("expert", hint + "\\n" + initial_solution, 2)):
            if code:
                best = max(best, code, key=utility)
    return best
""",
    ),
}
