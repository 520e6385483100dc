"""What improvers import inside the sandbox: `from helpers import extract_code`."""

import ast
import re
import warnings

_FENCE = re.compile(r"^(?P<indent>[ \t]*)(?P<ticks>`{3,}|~{3,})(?P<info>[^`\n]*)$", re.M)


def extract_code(text, entry_points=("improve_algorithm", "algorithm", "priority")):
    """The fenced code block of a model's answer; None when there is none. Lists map to lists.

    Programs that talk about programs hold fences inside their own strings, so the first closing
    fence is not always the end. Every pairing of an opening fence with a later closing one is a
    reading; among the readings that parse as Python the largest that defines an entry point is
    taken, then the largest that parses, then the largest block read the plain way (first fence
    to next). An answer cut off before its closing fence ends at the end of the text.
    """
    if isinstance(text, list | tuple):
        return [extract_code(item, entry_points) for item in text]
    if not isinstance(text, str):
        return None
    fences = list(_FENCE.finditer(text))
    if not fences:
        return None
    best, best_rank = None, (-1, -1)
    for block in _readings(text, fences):
        rank = (_quality(block, entry_points), len(block))
        if rank > best_rank:
            best, best_rank = block, rank
    if best_rank[0] > 0:
        return best
    plain = _plain_blocks(text, fences)
    return max(plain, key=len) if plain else None


def _readings(text, fences, limit=200, characters=1 << 18):
    """Candidate blocks: each opening fence with each later fence that could close it."""
    count = 0
    for i, opening in enumerate(fences[:40]):
        ends = [f.start() for f in fences[i + 1 : i + 41] if _closes(opening, f)]
        for end in [*ends, len(text)]:
            block = _clean(text[opening.end() : end], opening["indent"])
            yield block
            count, characters = count + 1, characters - len(block)
            if count >= limit or characters <= 0:  # to parse long ones again and again takes long
                return


def _closes(opening, fence):
    return not fence["info"].strip() and fence["ticks"].startswith(opening["ticks"])


def _plain_blocks(text, fences):
    blocks, opening = [], None
    for fence in fences:
        if opening is None:
            opening = fence
        elif _closes(opening, fence):
            blocks.append(_clean(text[opening.end() : fence.start()], opening["indent"]))
            opening = None
    if opening is not None:
        blocks.append(_clean(text[opening.end() :], opening["indent"]))
    return [block for block in blocks if block]


def _clean(block, indent):
    lines = block.strip("\n").split("\n")
    if indent:
        lines = [line.removeprefix(indent) for line in lines]
    return "\n".join(lines)


def _quality(block, entry_points):
    """0: does not parse or holds nothing; 1: parses; 2: defines an entry point."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(block)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return 0
    if not tree.body:
        return 0
    names = {n.name for n in tree.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)}
    return 2 if names & set(entry_points) else 1
