"""Writes what was measured: JSON with every point, a markdown page with a table, and a chart."""

import dataclasses
import json
import math
import pathlib
from typing import Any

import matplotlib as mpl

mpl.use("svg")
# The same result gives the same file.
mpl.rcParams["svg.hashsalt"] = "vizinho"
from matplotlib import pyplot as plt  # noqa: E402
from summary import TARGETS, Series, storages, typical_points  # noqa: E402
from task import Point  # noqa: E402

RECALL_TICKS = (0.5, 0.8, 0.9, 0.95, 0.99, 0.999)
RECALL_MAX = 0.9999
COLOURS = ("#7f7f7f", "#d1495b", "#00798c", "#edae49", "#30638e", "#66a182")


def write(
    prefix: pathlib.Path, about: dict[str, Any], rounds: list[dict[str, list[Point]]], found: list[Series]
) -> None:
    """Writes PREFIX.json, PREFIX.md and PREFIX.svg."""
    prefix.parent.mkdir(parents=True, exist_ok=True)
    everything = {
        **about,
        "summary": [dataclasses.asdict(series) for series in found],
        "rounds": [
            {engine: [dataclasses.asdict(point) for point in points] for engine, points in one.items()}
            for one in rounds
        ],
    }
    pathlib.Path(f"{prefix}.json").write_text(json.dumps(everything, indent=1) + "\n")
    pathlib.Path(f"{prefix}.md").write_text(page(prefix.name, about, found))
    chart(pathlib.Path(f"{prefix}.svg"), about, rounds)


def page(name: str, about: dict[str, Any], found: list[Series]) -> str:
    task, machine = about["task"], about["machine"]
    versions = ", ".join(f"{engine} {version}" for engine, version in about["engines"].items())
    return f"""# {name}

{task["rows"]:,} × {task["dimension"]}, {task["queries"]:,} queries, {task["metric"]}, k {task["k"]}, M {task["links"]},
efConstruction {task["build_effort"]}, {threads(task["threads"])}; median of {about["rounds_count"]} rounds in turn.
QPS at equal recall@{task["k"]}, interpolated on the Pareto front; in brackets against {found[0].name}, round by round.

{table(found)}

![speed against recall]({name}.svg)

- measured {about["measured_at"]} on {machine["cpu"]} ({machine["instructions"]})
- {machine["processors"]} processors, {machine["memory_gib"]} GiB
- {versions}
- base `{task["base"]}`, SHA-256 `{task["base_sha256"]}`
- queries `{task["query"]}`, SHA-256 `{task["query_sha256"]}`
"""


def table(found: list[Series]) -> str:
    """The summary in markdown. Also what is printed in the end."""
    head = ["index", "build s", "bytes a vector", *(f"QPS @{target:.2f}" for target in TARGETS)]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for series in found:
        cells = [series.name, f"{series.build_seconds:.1f}", f"{series.bytes_per_vector:,.0f}"]
        for at in series.at:
            ratio = f" (× {at.ratio:.2f})" if at.ratio is not None else ""
            cells.append("–" if at.qps is None else f"{at.qps:,.0f}{ratio}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def threads(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"


def chart(path: pathlib.Path, about: dict[str, Any], rounds: list[dict[str, list[Point]]]) -> None:
    """Speed against recall, both so that equal ratios are equal steps: the last percent of recall is the dear one."""
    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    names = [(engine, storage) for engine in rounds[0] for storage in storages(rounds[0][engine])]
    least = 1.0
    for i, (engine, storage) in enumerate(names):
        points = typical_points(rounds, engine, storage)
        least = min(least, *(point.recall for point in points))
        colour = COLOURS[i % len(COLOURS)]
        places = [place(point.recall) for point in points]
        axes.plot(
            places, [point.qps for point in points], "o-", color=colour, markersize=4, label=f"{engine} {storage}"
        )
        # Every round, faint: how much the machine wavers.
        for one in rounds:
            every = [point for point in one[engine] if point.storage == storage]
            axes.plot(
                [place(p.recall) for p in every], [p.qps for p in every], ".", color=colour, alpha=0.25, markersize=3
            )
    task = about["task"]
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(mpl.ticker.FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.yaxis.set_minor_formatter(mpl.ticker.FuncFormatter(lambda v, _: f"{v:,.0f}" if f"{v:e}"[0] in "25" else ""))
    ticks = [tick for tick in RECALL_TICKS if place(tick) >= place(least) - 0.3]
    axes.set_xticks([place(tick) for tick in ticks], [f"{tick:g}" for tick in ticks])
    axes.set_xlabel(f"recall@{task['k']}")
    axes.set_ylabel(f"queries a second, {threads(task['threads'])}")
    axes.set_title(f"{task['rows']:,} × {task['dimension']}, {task['metric']}: {task['base']}", fontsize=10)
    axes.grid(alpha=0.3, which="both")
    axes.legend(frameon=False)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def place(recall: float) -> float:
    """Where a recall stands on the axis: one step for each tenth part of the misses."""
    return -math.log10(1 - min(recall, RECALL_MAX))
