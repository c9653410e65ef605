"""Writes what was measured: JSON with every point, a markdown page with tables, and a chart."""

import dataclasses
import json
import math
import pathlib
from typing import Any

import engines
import matplotlib as mpl

mpl.use("svg")
# The same result gives the same file.
mpl.rcParams["svg.hashsalt"] = "vizinho"
from matplotlib import colors  # noqa: E402
from matplotlib import pyplot as plt  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402
from summary import OURS, TARGETS, Key, Round, Series, keys, pareto_front, typical_points  # noqa: E402
from task import Point  # noqa: E402

RECALL_TICKS = (0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)
# What is drawn of the axis: less is of no use to anybody, and more is a few queries' luck.
RECALL_MIN, RECALL_MAX = 0.8, 0.9999
# Room above and below the lines, as a factor of the speed.
MARGIN = 1.2
#: The same engine has the same colour in every chart; one that is not here takes grey.
COLOURS = {
    OURS: "#c1121f",
    "hnswlib": "#4d4d4d",
    "faiss_hnsw": "#1f5fa8",
    "faiss_ivf": "#5fb3d4",
    "glass": "#2a8a57",
    "svs": "#8b4fb0",
    "usearch": "#e08a1e",
}
COLOUR_OF_OTHERS = "#999999"
#: Ours in the order of their looks; an engine of the others lists its own.
OUR_STORAGES = ("f32", "f16", "int8", "int4x8", "int4x16")
#: The storages of an engine, in order: a mark, a line, and how far the colour fades into white.
MARKS = "os^Dv*P"
LINES = ("-", "--", "-.", ":")
FADE_STEP, FADE_MAX = 0.18, 0.54


def write(prefix: pathlib.Path, about: dict[str, Any], rounds: list[Round], found: list[Series]) -> None:
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
    task = about["task"]
    return f"""# {name}

{task["rows"]:,} × {task["dimension"]}, {task["queries"]:,} queries, {task["metric"]}, k {task["k"]}, M {task["links"]},
efConstruction {task["build_effort"]}; median of {about["rounds_count"]} rounds in turn.
QPS at equal recall@{task["k"]}, interpolated on the Pareto front; in brackets against {found[0].name}, round by round.

{tables(found)}

![speed against recall]({name}.svg)

{provenance(about)}"""


def provenance(about: dict[str, Any]) -> str:
    """The end of a page: when, where, of what."""
    task, machine = about["task"], about["machine"]
    versions = ", ".join(f"{engine} {version}" for engine, version in about["engines"].items())
    left_out = "".join(f"- left out: {sentence}\n" for sentence in about["left_out"])
    return f"""- measured {about["measured_at"]} on {machine["cpu"]} ({machine["instructions"]})
- {machine["processors"]} processors, {machine["memory_gib"]} GiB
- {versions}
{left_out}- base `{task["base"]}`, SHA-256 `{task["base_sha256"]}`
- queries `{task["query"]}`, SHA-256 `{task["query_sha256"]}`
"""


def tables(found: list[Series]) -> str:
    """The summary in markdown. Also what is printed in the end."""
    counts = sorted({series.threads for series in found})
    parts = []
    for count in counts:
        some = [series for series in found if series.threads == count]
        parts.append(f"## {threads(count).capitalize()}\n\n{table(some)}")
        if any(at.best_peer for series in some for at in series.at):
            parts.append(f"Against the best of the others at that recall:\n\n{best_peer_table(some)}")
    if len(counts) > 1:
        parts.append(f"## Against {threads(counts[0])}\n\n{scaling_table(found)}")
    return "\n\n".join(parts)


def table(some: list[Series]) -> str:
    head = ["index", "build s", "bytes a vector", "at the build's peak", *(f"QPS @{t:.2f}" for t in TARGETS)]
    rows = []
    for series in some:
        cells = [series.name, f"{series.build_seconds:.1f}", f"{series.bytes_per_vector:,.0f}"]
        cells.append("–" if series.peak_bytes_per_vector is None else f"{series.peak_bytes_per_vector:,.0f}")
        for at in series.at:
            ratio = f" ({times(at.ratio)})" if at.ratio is not None else ""
            cells.append("–" if at.qps is None else f"{at.qps:,.0f}{ratio}")
        rows.append(cells)
    return markdown(head, rows)


def best_peer_table(some: list[Series]) -> str:
    """Our storages, each held against whoever else is the fastest at a recall."""
    head = ["index", *(f"× best peer @{target:.2f}" for target in TARGETS)]
    rows = []
    for series in some:
        if series.engine == OURS:
            cells = [f"{times(at.best_peer_ratio)} {at.best_peer}" if at.best_peer else "–" for at in series.at]
            rows.append([series.name, *cells])
    return markdown(head, rows)


def scaling_table(found: list[Series]) -> str:
    """The speed of more threads against that of the fewest."""
    head = ["index", "threads", *(f"@{target:.2f}" for target in TARGETS)]
    fewest = min(series.threads for series in found)
    rows = [
        [series.name, str(series.threads), *(times(at.scaling) for at in series.at)]
        for series in found
        if series.threads > fewest
    ]
    return markdown(head, rows)


def markdown(head: list[str], rows: list[list[str]]) -> str:
    lines = [f"| {' | '.join(cells)} |" for cells in (head, *rows)]
    return "\n".join([lines[0], "|---" * len(head) + "|", *lines[1:]])


def times(ratio: float | None) -> str:
    return "–" if ratio is None else f"× {ratio:.2f}"


def threads(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"


@dataclasses.dataclass(frozen=True)
class Look:
    """How a series is drawn. It follows from the engine and its storage alone, so it is the same in every chart."""

    colour: str
    mark: str
    line: str
    width: float

    @classmethod
    def of(cls, engine: str, storage: str) -> "Look":
        order = OUR_STORAGES if engine == OURS else engines.engine(engine).storages
        i = order.index(storage) if storage in order else len(order)
        base = colors.to_rgb(COLOURS.get(engine, COLOUR_OF_OTHERS))
        fade = min(i * FADE_STEP, FADE_MAX)
        red, green, blue = (part + (1 - part) * fade for part in base)
        colour = colors.to_hex((red, green, blue))
        return cls(colour, MARKS[i % len(MARKS)], LINES[i % len(LINES)], 2.2 if engine == OURS else 1.3)


def chart(path: pathlib.Path, about: dict[str, Any], rounds: list[Round]) -> None:
    """Speed against recall, both so that equal ratios are equal steps: the last percent of recall is the dear one.

    One panel for each count of threads, and the legend beside them.
    """
    every = keys(rounds[0])
    counts = sorted({key.threads for key in every})
    figure, panels = plt.subplots(
        1,
        len(counts),
        figsize=(2.6 + 6.4 * len(counts), 5.2),
        layout="constrained",
        sharex=True,
        sharey=True,
        squeeze=False,
    )
    task = about["task"]
    shown = []
    for count, axes in zip(counts, panels[0], strict=True):
        shown.extend(draw(axes, [key for key in every if key.threads == count], rounds))
        axes.set_xlabel(f"recall@{task['k']}")
        axes.set_ylabel(f"queries a second, {threads(count)}")
    if shown:
        # Of the lines alone: the dots of a bad minute must not flatten them.
        recalls, speeds = [point.recall for point in shown], [point.qps for point in shown]
        axes.set_xlim(place(min(recalls)) - 0.05, place(max(recalls)) + 0.05)
        axes.set_ylim(min(speeds) / MARGIN, max(speeds) * MARGIN)
    figure.suptitle(f"{task['rows']:,} × {task['dimension']}, {task['metric']}: {task['base']}", fontsize=10)
    figure.legend(*panels[0][0].get_legend_handles_labels(), loc="outside right upper", frameon=False, fontsize=8)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def draw(axes: Axes, some: list[Key], rounds: list[Round]) -> list[Point]:
    """Draws the series; returns the points of their lines that are to be seen."""
    shown = []
    for key in some:
        look = Look.of(key.engine, key.storage)
        # A sweep over more than the effort is a cloud: its best points are the line.
        front = [point for point in pareto_front(typical_points(rounds, key)) if point.recall >= RECALL_MIN]
        shown.extend(front)
        axes.plot(
            [place(point.recall) for point in front],
            [point.qps for point in front],
            marker=look.mark,
            linestyle=look.line,
            linewidth=look.width,
            color=look.colour,
            markersize=4,
            label=f"{key.engine} {key.storage}",
            zorder=3 if key.engine == OURS else 2,
        )
        # Every round, faint: how much the machine wavers.
        for one in rounds:
            dots = key.points(one)
            axes.plot([place(p.recall) for p in dots], [p.qps for p in dots], ".", color=look.colour, alpha=0.2, ms=2)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(mpl.ticker.FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.yaxis.set_minor_formatter(mpl.ticker.FuncFormatter(lambda v, _: f"{v:,.0f}" if f"{v:e}"[0] in "25" else ""))
    axes.set_xticks([place(tick) for tick in RECALL_TICKS], [f"{tick:g}" for tick in RECALL_TICKS])
    axes.grid(alpha=0.3, which="both")
    return shown


def place(recall: float) -> float:
    """Where a recall stands on the axis: one step for each tenth part of the misses."""
    return -math.log10(1 - min(recall, RECALL_MAX))
