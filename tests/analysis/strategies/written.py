"""Improvers written by hand: what the rules recognise, what they miss, and what looks alike.

Each is (labels that the rules give, text). A program that has a strategy without a rule, or one in a
shape that the rules do not know, is "unclear". The texts are read, never run.
"""

# ruff: noqa: E501

from __future__ import annotations

WRITTEN: dict[str, tuple[set[str], str]] = {
    "beam_plain": (
        {"beam"},
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
        {"beam"},
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
        {"beam"},
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
    "beam_heapq_nlargest": (
        {"beam"},
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
    "beam_with_a_cache_in_a_try": (
        {"beam"},
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
    "best_shot_once": (
        {"best_shot"},
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
    "caching_dict": (
        {"caching"},
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
    "caching_hash": (
        {"caching"},
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
    "caching_lru": (
        {"caching"},
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
    "beam_dict_levels": (
        {"unclear"},
        """
from helpers import extract_code

WIDTH = 4

def improve_algorithm(initial_solution, utility, language_model):
    # Keep the WIDTH best programs of each level and expand all of them.
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
""",
    ),
    "caching_seen_set": (
        {"unclear"},
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
    "genetic_crossover_prompt": (
        {"unclear"},
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
    "annealing_lm_schedule": (
        {"unclear"},
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
    "bandit_epsilon_greedy": (
        {"unclear"},
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
    "tree_heap": (
        {"unclear"},
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
    "decomposition_plan": (
        {"unclear"},
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
    "voting_majority_dict": (
        {"unclear"},
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
    "other_hill_climb": (
        {"unclear"},
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
}

_HEAD = """
from helpers import extract_code

def improve_algorithm(initial_solution, utility, language_model):
    def ask(texts):
        return [c for c in extract_code(language_model.batch_prompt("You are an expert.", texts)) if c]

    pool = [initial_solution] + ask([initial_solution] * 4)
    order = sorted(pool, key=utility, reverse=True)
    top = order[:3]
"""
_BODIES = {
    "messages_are_gathered_first": (
        {"beam"},
        """
    texts = []
    for i, text in enumerate(top):
        texts.append(f"Improve number {i}:\\n" + text)
    return max(pool + ask(texts), key=utility)
""",
    ),
    "taken_in_turn_by_a_counter": (
        {"beam"},
        """
    return max(pool + ask([f"Polish {top[k % len(top)]}" for k in range(6)]), key=utility)
""",
    ),
    "one_for_each_step": (
        {"unclear"},
        """
    for step in range(3):
        pool += ask(["Improve:\\n" + top[step]])
        top = sorted(pool, key=utility, reverse=True)[:3]
    return top[0]
""",
    ),
    "only_the_number_of_them_counts": (
        {"unclear"},
        """
    for _ in range(len(top)):
        pool += ask(["Improve:\\n" + pool[-1]])
    return max(pool, key=utility)
""",
    ),
    "they_are_scored_and_not_asked_about": (
        {"unclear"},
        """
    mean = sum([utility(text) for text in top]) / len(top)
    for text in top:
        print(utility(text), mean)
    pool += ask([f"The mean is {mean}. Improve:\\n{top[0]}"])
    return max(pool, key=utility)
""",
    ),
    "only_the_best_is_kept": (
        {"unclear"},
        """
    texts = ["Improve:\\n" + text for text in order[:1]]
    return max(pool + ask(texts), key=utility)
""",
    ),
    "shown_together_in_a_formatted_string": (
        {"unclear"},
        """
    pool += ask([f"These are good: {[text for text in top]}"])
    return max(pool, key=utility)
""",
    ),
    "shown_together_by_a_template": (
        {"best_shot"},
        """
    template = "Take the strengths of each:\\n{}"
    message = template.format("\\n".join(top))
    return max(pool + ask([message]), key=utility)
""",
    ),
    "joined_and_printed_only": (
        {"unclear"},
        """
    listing = "\\n".join(f"{utility(text)} {text[:30]}" for text in top)
    print(listing)
    return order[0]
""",
    ),
    "counted_and_not_kept_by_program": (
        {"unclear"},
        """
    counts = {}
    for text in pool:
        if len(text) not in counts:
            counts[len(text)] = list()
        counts[len(text)].append(utility(text))
    return order[0]
""",
    ),
}
WRITTEN |= {name: (labels, _HEAD + body) for name, (labels, body) in _BODIES.items()}
