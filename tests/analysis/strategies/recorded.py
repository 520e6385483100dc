"""Improvers of notebooks/runs/larger-model by the beginning of their ids, labelled by reading.

`SHAPES` has what the rules had missed in them in other words and shapes, and what looks alike.
"""

# ruff: noqa: E501

from __future__ import annotations

RECORDED: dict[str, set[str]] = {
    "eb08bc3f0e": {"caching"},  # rewrites, then refines the best one
    "36486e9386": {"other"},  # asks with different hints, keeps the best
    "f6c19a114e": {"beam", "caching"},
    "2ad0fc376c": {"genetic", "caching"},  # the two best are combined, once
    "f0ba4da5ea": {"genetic", "caching"},  # the same, and the best is refined
    "9be751561d": {"genetic", "caching"},
    "9a85b8de50": {"beam", "caching"},  # of one step
    "e4ccecdfc5": {"genetic", "caching"},  # combines, and asks for an idea that neither has
    "027b0265d3": {"genetic", "caching"},
    "83a4d54470": {"genetic", "caching"},
}

_HEAD = """
from helpers import extract_code

def improve_algorithm(initial_solution, utility, language_model):
    def ask(texts):
        return [c for c in extract_code(language_model.batch_prompt("You know combinatorial optimization.", texts)) if c]

    pool = [initial_solution] + ask([initial_solution] * 4)
    order = sorted(pool, key=utility, reverse=True)
"""


SHAPES: dict[str, tuple[set[str], str]] = {
    "messages_are_gathered_first": (
        {"beam"},
        _HEAD
        + """
    front = order[:3]
    for step in range(3):
        texts = []
        for text in front:
            texts.append("Improve:\\n" + text)
        pool += ask(texts)
        front = sorted(pool, key=utility, reverse=True)[:3]
    return front[0]
""",
    ),
    "taken_in_turn_by_a_counter": (
        {"beam"},
        _HEAD
        + """
    for step in range(3):
        front, i, texts = order[:3], 0, []
        front = order[:3] if order else pool
        while i < 6:
            texts += ["Improve:\\n" + front[i % 3]]
            i += 1
        pool += ask(texts)
        order = sorted(pool, key=utility, reverse=True)
    return order[0]
""",
    ),
    "two_steps_without_a_loop": (
        {"beam"},
        _HEAD
        + """
    finalists = [program for program in order][:3]
    polished = ask([f"Polish {finalists[i]}" for i in range(len(finalists))])
    return max(pool + polished, key=utility)
""",
    ),
    "crossed_by_a_function": (
        {"genetic"},
        _HEAD
        + """
    def mix(one, other):
        return ask([f"Merge both:\\n{one}\\n{other}"])
    return max(pool + mix(order[0], order[1]), key=utility)
""",
    ),
    "crossed_by_a_template": (
        {"genetic"},
        _HEAD
        + """
    template = "Take the strengths of each:\\n{}"
    return max(pool + ask([template.format("\\n".join(order[:3]))]), key=utility)
""",
    ),
    "crossed_after_unpacking": (
        {"genetic"},
        _HEAD
        + """
    one, other = order[:2]
    return max(pool + ask(["Blend " + one + " with " + other]), key=utility)
""",
    ),
    "crossed_in_pairs": (
        {"genetic"},
        _HEAD
        + """
    texts = [f"Combine {a} and {b}" for a, b in itertools.combinations(order[:3], 2)]
    return max(pool + ask(texts), key=utility)
""",
    ),
    "several_are_shown_only": (
        {"other"},
        _HEAD
        + """
    for step in range(3):
        top = sorted(pool, key=utility, reverse=True)[:3]
        examples = "\\n".join(f"Good:\\n{text}" for text in top)
        pool += ask(["These use merge sort. Write a better one:\\n" + examples])
    return max(pool, key=utility)
""",
    ),
    "one_is_combined_with_advice": (
        {"other"},
        _HEAD
        + """
    for step in range(3):
        top = sorted(pool, key=utility, reverse=True)[:3]
        pool += ask([f"Combine this with local search:\\n{top[0]}"])
    return max(pool, key=utility)
""",
    ),
    "one_for_each_step": (
        {"other"},
        _HEAD
        + """
    top = order[:3]
    for step in range(3):
        pool += ask(["Improve:\\n" + top[step]])
        top = sorted(pool, key=utility, reverse=True)[:3]
    return max(pool, key=utility)
""",
    ),
}
