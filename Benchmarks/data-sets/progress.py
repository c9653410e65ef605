"""A line on standard error that shows how far a long job is, how fast, and how long it will still take."""

import sys
import time
from collections.abc import Callable
from typing import TextIO

BAR_CELLS = 24
# A terminal's line is redrawn; a log gets a new line, seldom.
TERMINAL_SECONDS = 0.2
LOG_SECONDS = 30.0


def clock(seconds: float) -> str:
    """Seconds as 0:07, 3:07, 1:02:07."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class Progress:
    """Counts rows. `done` is where the job begins, which is past 0 when an earlier run is taken up again."""

    def __init__(
        self,
        what: str,
        total: int,
        done: int = 0,
        stream: TextIO = sys.stderr,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._what = what
        self._total = total
        self._first = self._done = done
        self._stream = stream
        self._now = now
        self._begun = self._shown = now()
        self._terminal = stream.isatty()

    def add(self, rows: int) -> None:
        self._done += rows
        pause = TERMINAL_SECONDS if self._terminal else LOG_SECONDS
        if self._now() - self._shown >= pause:
            self._show()

    def finish(self) -> None:
        """Shows the last state."""
        self._show()
        if self._terminal:
            self._stream.write("\n")
            self._stream.flush()

    def line(self) -> str:
        seconds = self._now() - self._begun
        rate = (self._done - self._first) / seconds if seconds > 0 else 0.0
        share = self._done / self._total if self._total else 1.0
        bar = "█" * int(share * BAR_CELLS)
        left = clock((self._total - self._done) / rate) if rate > 0 else "?"
        return (
            f"{self._what} {bar:░<{BAR_CELLS}} {share:4.0%}  {self._done:,} of {self._total:,}"
            f"  {rate:,.0f} rows/s  {clock(seconds)} gone, {left} left"
        )

    def _show(self) -> None:
        self._shown = self._now()
        self._stream.write(f"\r{self.line()}\x1b[K" if self._terminal else f"{self.line()}\n")
        self._stream.flush()
