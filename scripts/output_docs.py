"""Writes docs/output.md from the schemas of the `--json` documents.

python scripts/output_docs.py
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stop._util import documents
from stop.cli.documents.registry import DOCUMENTS
from stop.store.tables import TABLES

PAGE = Path(__file__).parent.parent / "docs" / "output.md"

HEAD = """# Machine-readable output

<!-- Made by scripts/output_docs.py from the classes of the documents; do not edit. -->

With `--json` a command writes one JSON document to stdout and nothing else there; progress and
errors go to stderr. A command that cannot do what it was asked (exit codes 2, 4, 5) writes nothing
to stdout, except that `stop run`, `bypass`, `transfer` and `resume` show what they have. A program
that fails is an answer; a tool that fails is an exit code.

`rounds[].status` is the `status` of each object in the list `rounds`. Intervals are 95 %, a list of
the lower and the upper end. Ids of programs are SHA-256 of their bytes, 64 hex digits. Times are
seconds since 1970 unless a field says otherwise. `stop resume RUN` prints what the command that
began the run prints.
"""

EXPORT = """## `stop export RUN --format json -o FILE`

`{"run", "tables"}`: the name of the run's folder, and for each table its rows, objects with the
columns below. `--format csv` and `--format parquet` (which needs
`pip install 'stop-optimizer[analysis]'`) write the same rows into a folder, a file for each table.
Files in the way are replaced, each when its successor is whole. No file holds the run's secret, or
anything that derives from it.

| table | columns |
| --- | --- |
"""

EXPORT_NOTES = """
`parent_id` to `repetition` of `programs` are of the improver run that made it, `score` and `status`
of its first utility call ([lineage.md](lineage.md)). `round` is set on the meta level, `task` and
`repetition` on the task level. `samples` are those of a bypass measurement.

In CSV, text that begins with `=`, `+`, `-`, `@`, a tab or a line break gets an apostrophe before
it: a spreadsheet would take it for a formula, and programs are written by models. JSON and Parquet
have the text as it is. Nothing is `""`, truth is `true` and `false`.
"""

MORE = {
    "stop bypass": "[bypass.md](bypass.md)",
    "stop transfer": "[transfer.md](transfer.md)",
    "stop replay": "[replay.md](replay.md)",
    "stop lineage": "[lineage.md](lineage.md)",
    "stop compare": "[analysis.md](analysis.md)",
    "stop costs": "[budgets.md](budgets.md), [models.md](models.md)",
    "stop report": "[report.md](report.md)",
    "stop audit": "[detection.md](detection.md), [security.md](security.md)",
}
"""Pages that say more, by the beginning of a command."""


def page() -> str:
    """Returns the text of docs/output.md."""
    schemas = [(commands, documents.schema(kind)) for commands, kind in DOCUMENTS.items()]
    parts = _shared([schema for _, schema in schemas])
    definitions: dict[str, Any] = {}
    sections = [HEAD]
    for commands, schema in schemas:
        definitions |= schema.get("$defs", {})
        sections.append(_section(commands, schema, _Fields(schema.get("$defs", {}), set(parts))))
    rows = [f"| `{t.name}` | {', '.join(f'`{c}`' for c in t.columns)} |" for t in TABLES.values()]
    sections.append(EXPORT + "\n".join(rows) + "\n" + EXPORT_NOTES)
    sections.append("## Parts of several documents\n")
    for name in sorted(parts):
        text = parts[name].get("description", "")
        table = _Fields(definitions, set(parts)).table(parts[name])
        sections.append(f"### {name}\n\n{text}\n\n{table}")
    return "\n".join(sections)


def _shared(schemas: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns the objects that are referred to more than once, which get tables of their own."""
    referred = Counter(re.findall(r'"#/\$defs/(\w+)"', json.dumps(schemas)))
    found: dict[str, list[Any]] = {}
    for schema in schemas:
        for name, definition in schema.get("$defs", {}).items():
            found.setdefault(name, []).append(definition)
    return {
        name: versions[0]
        for name, versions in found.items()
        if referred[name] > 1 and versions[0].get("type") == "object"
        and all(version == versions[0] for version in versions)  # else two classes of one name
    }  # fmt: skip


def _section(commands: str, schema: dict[str, Any], fields: _Fields) -> str:
    title = ", ".join(f"`{command} --json`" for command in commands.split(", "))
    more = [pages for command, pages in MORE.items() if commands.startswith(command)]
    listed = schema.get("type") == "array"
    shapes = [schema["items"]] if listed else schema.get("anyOf", [schema])
    found = [fields.resolved(shape) for shape in shapes]
    texts = [("A list. " if listed else "") + shape.get("description", "") for shape in found]
    blocks = [f"{text}\n\n{fields.table(shape)}" for text, shape in zip(texts, found, strict=True)]
    return f"## {title}\n\n" + "\n".join([*blocks, *(f"See {pages}.\n" for pages in more)])


class _Fields:
    """Rows of the tables of fields.

    Args:
        definitions: of a schema.
        shared: names of those that have a table of their own.
    """

    def __init__(self, definitions: dict[str, Any], shared: set[str]) -> None:
        self._definitions = definitions
        self._shared = shared

    def table(self, schema: dict[str, Any]) -> str:
        found: dict[str, tuple[dict[str, None], dict[str, None]]] = {}
        for name, kind, text in self._rows(schema):  # of a union, some fields come twice
            kinds, texts = found.setdefault(name, ({}, {}))
            kinds[kind], texts[text] = None, None
        rows = [f"| `{n}` | {' or '.join(k)} | {' '.join(t)} |" for n, (k, t) in found.items()]
        return "\n".join(["| field | type | |", "| --- | --- | --- |", *rows]) + "\n"

    def _rows(self, schema: dict[str, Any], lead: str = "") -> Iterator[tuple[str, str, str]]:
        for name, found in schema.get("properties", {}).items():
            kind, within, mark = self._type(found)
            text = re.sub(r"\bNone\b", "null", found.get("description", "").replace("|", "\\|"))
            yield lead + name, kind, text[:1].upper() + text[1:]
            for each in within:
                yield from self._rows(each, f"{lead}{name}{mark}.")

    def _type(self, found: dict[str, Any]) -> tuple[str, list[dict[str, Any]], str]:
        """Returns the type in words, the objects whose fields follow, and how they are reached."""
        if "$ref" in found:
            name = found["$ref"].rpartition("/")[2]
            if name in self._shared:
                return f"[{name}](#{name.lower()})", [], ""
            target = self._definitions[name]
            if target.get("type") != "object":
                return self._type(target)
            return "object", [target], ""
        if "anyOf" in found:
            return self._union([self._type(arm) for arm in found["anyOf"]])
        if found.get("type") == "array":
            if "prefixItems" in found:
                return "[low, high]", [], ""
            kind, within, mark = self._type(found.get("items", {}))
            return f"list of {kind}", within, "[]" + mark
        if found.get("type") == "object":
            values = found.get("additionalProperties", True)
            if values is True:
                return "object", [], ""
            kind, within, mark = self._type(values)
            return f"object of {kind} by name", within, "{}" + mark
        if "enum" in found:
            return " or ".join(f"`{value}`" for value in found["enum"]), [], ""
        names = {"string": "text", "null": "null", "boolean": "true or false"}
        return names.get(found.get("type", ""), found.get("type", "anything")), [], ""

    def _union(
        self, arms: list[tuple[str, list[dict[str, Any]], str]]
    ) -> tuple[str, list[dict[str, Any]], str]:
        names = [kind for kind, _, _ in arms]
        if "number" in names:
            names = [name for name in names if name != "integer"]
        within = [each for _, found, _ in arms for each in found]
        return " or ".join(dict.fromkeys(names)), within, next((m for _, _, m in arms if m), "")

    def resolved(self, schema: dict[str, Any]) -> dict[str, Any]:
        name = schema.get("$ref", "").rpartition("/")[2]
        found: dict[str, Any] = self._definitions[name] if name else schema
        return found


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
