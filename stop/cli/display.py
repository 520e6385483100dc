"""Live progress on stderr; plain lines where no terminal watches."""

from __future__ import annotations

from typing import Any

from stop._util.progress import Watched
from stop._util.sheet import clean
from stop.cli.output import is_terminal, note
from stop.events import Progress


class RunProgress:
    """Shows what happens in a run. A context manager; call it with events."""

    def __init__(self) -> None:
        self._watched = Watched()
        self._live: Any = None

    def __enter__(self) -> RunProgress:
        if is_terminal():
            from rich.console import Console
            from rich.live import Live

            self._live = Live(
                get_renderable=self._panel, console=Console(stderr=True), refresh_per_second=4,
                transient=True,
            )  # fmt: skip
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def __call__(self, event: Progress) -> None:
        line = self._watched.see(event)
        if line is None:
            return
        if self._live is None:
            note(f"[{self._watched.age()}] {clean(line.text)}")
        elif not line.detail:
            self._live.console.print(clean(line.text), markup=False, highlight=False)

    def _panel(self) -> Any:
        from rich.text import Text

        head, *more = filter(None, self._watched.standing())
        text = Text(clean(head), style="bold", no_wrap=True, overflow="ellipsis")
        return text.append("\n" + "\n".join(more), style="default")
