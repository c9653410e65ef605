"""Rows inserted one after the other into an index that is there: what is measured, its medians, its report."""

import dataclasses
import json
import pathlib
import statistics
from collections.abc import Sequence
from typing import Any

import report
from summary import median_ratio


@dataclasses.dataclass(frozen=True)
class Insertion:
    """What one round of an engine gave, with one storage and count of threads."""

    storage: str
    threads: int
    rows_before: int
    #: That were inserted.
    rows: int
    rows_per_second: float
    #: Of all threads together.
    processor_us_per_row: float
    #: With which recall was measured, over all rows, after the last one.
    effort: int
    recall: float

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Insertion":
        """Takes the fields it knows; an engine may report more."""
        return cls(**{field.name: value[field.name] for field in dataclasses.fields(cls)})


#: What every engine gave, in the same order in every round.
InsertionRound = dict[str, list[Insertion]]


def rows_before(rows: int, percent: int) -> int:
    """How many rows are there when the last `percent` percent are inserted: as `bench insert` has it."""
    return rows - rows * percent // 100


@dataclasses.dataclass(frozen=True)
class InsertionSeries:
    """An engine with one storage and one count of threads: medians of the rounds."""

    engine: str
    storage: str
    threads: int
    rows_per_second: float
    processor_us_per_row: float
    recall: float
    #: Against the first series with as many threads, and against its own with the fewest: taken round by round.
    ratio: float | None
    scaling: float | None

    @property
    def name(self) -> str:
        return f"{self.engine} {self.storage}"


def summarize_insertions(rounds: Sequence[InsertionRound]) -> list[InsertionSeries]:
    """One series for each engine, storage and count of threads; those of few threads first."""
    every: dict[tuple[int, str, str], list[Insertion]] = {}
    for one in rounds:
        for engine, insertions in one.items():
            for insertion in insertions:
                every.setdefault((insertion.threads, engine, insertion.storage), []).append(insertion)
    found = []
    for (threads, engine, storage), insertions in sorted(every.items(), key=lambda item: item[0][0]):
        speeds = [insertion.rows_per_second for insertion in insertions]
        first = next(some for key, some in every.items() if key[0] == threads)
        fewest_threads = min(key[0] for key in every if key[1:] == (engine, storage))
        fewest = every[fewest_threads, engine, storage]
        found.append(
            InsertionSeries(
                engine=engine,
                storage=storage,
                threads=threads,
                rows_per_second=statistics.median(speeds),
                processor_us_per_row=statistics.median(insertion.processor_us_per_row for insertion in insertions),
                recall=statistics.median(insertion.recall for insertion in insertions),
                ratio=median_ratio(speeds, [insertion.rows_per_second for insertion in first]),
                scaling=None
                if threads == fewest_threads
                else median_ratio(speeds, [insertion.rows_per_second for insertion in fewest]),
            )
        )
    return found


def insertion_table(found: list[InsertionSeries], k: int, effort: int) -> str:
    """The summary in markdown. Also what is printed in the end."""
    first = found[0].name
    head = ["index", "threads", "rows/s", f"against {first}", "against fewest threads", "processor µs a row"]
    head.append(f"recall@{k} at ef {effort} after it")
    rows = [
        [
            series.name,
            str(series.threads),
            f"{series.rows_per_second:,.0f}",
            report.times(series.ratio),
            report.times(series.scaling),
            f"{series.processor_us_per_row:,.0f}",
            f"{series.recall:.4f}",
        ]
        for series in found
    ]
    return report.markdown(head, rows)


def write_insertions(prefix: pathlib.Path, about: dict[str, Any], rounds: list[InsertionRound]) -> str:
    """Writes PREFIX.json and PREFIX.md. Returns the table."""
    found = summarize_insertions(rounds)
    task = about["task"]
    (effort,) = task["efforts"]
    table = insertion_table(found, task["k"], effort)
    some = next(iter(rounds[0].values()))[0]
    prefix.parent.mkdir(parents=True, exist_ok=True)
    everything = {
        **about,
        "summary": [dataclasses.asdict(series) for series in found],
        "rounds": [
            {engine: [dataclasses.asdict(insertion) for insertion in insertions] for engine, insertions in one.items()}
            for one in rounds
        ],
    }
    pathlib.Path(f"{prefix}.json").write_text(json.dumps(everything, indent=1) + "\n")
    pathlib.Path(f"{prefix}.md").write_text(
        f"""# {prefix.name}

{some.rows:,} rows inserted and linked after {some.rows_before:,} that were there; {task["dimension"]} dimensions,
{task["metric"]}, M {task["links"]}, efConstruction {task["build_effort"]}; {task["queries"]:,} queries.
Medians of {about["rounds_count"]} rounds in turn, ratios round by round. hnswlib gets its rows in one call.
Vizinho gets one a call, and where there are several threads, one of them inserts and the maintenance links on all.

{table}

{report.provenance(about)}"""
    )
    return table
