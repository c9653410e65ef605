"""Writes what was measured: JSON, a markdown page with a table for each kind of filter, and a chart."""

import collections
import dataclasses
import json
import pathlib
from typing import Any

import matplotlib as mpl

mpl.use("svg")
# The same result gives the same file.
mpl.rcParams["svg.hashsalt"] = "vizinho"
from matplotlib import pyplot as plt  # noqa: E402

COLOURS = ("#c1121f", "#e5737c", "#1f5fa8", "#5fb3d4", "#2a8a57", "#8fc9a8")


@dataclasses.dataclass(frozen=True)
class Series:
    """One engine at one size of a filter."""

    recall: float
    short: int
    """Answers with fewer rows than k and than match."""
    outside: int
    """Rows of which the filter is not TRUE."""
    qps: float
    """Queries a second on one connection, one after the other."""


@dataclasses.dataclass(frozen=True)
class Measured:
    kind: str
    share: float
    matching: float
    series: dict[str, Series]


def write(prefix: pathlib.Path, about: dict[str, Any], measured: list[Measured]) -> None:
    """Writes PREFIX.json, PREFIX.md and PREFIX.svg."""
    prefix.parent.mkdir(parents=True, exist_ok=True)
    everything = {**about, "points": [dataclasses.asdict(one) for one in measured]}
    pathlib.Path(f"{prefix}.json").write_text(json.dumps(everything, indent=1) + "\n")
    pathlib.Path(f"{prefix}.md").write_text(page(prefix.name, about, measured))
    chart(pathlib.Path(f"{prefix}.svg"), measured)


def page(title: str, about: dict[str, Any], measured: list[Measured]) -> str:
    machine = about["machine"]
    lines = [
        f"# {title}",
        "",
        f"{about['rows']:,} × {about['dimension']}, cosine, k {about['k']}, {about['queries']} queries,",
        f"one connection, one query at a time; median of {about['rounds']} rounds in turn.",
        f"Vizinho {about['storage']}; pgvector's index M 16, ef_construction 200,",
        "and a B-tree on each column: the plan is Postgres's own.",
        "",
        "Recall@10 and queries a second. **Short**: answers with fewer rows than there are to find.",
    ]
    for kind in dict.fromkeys(one.kind for one in measured):
        of_kind = [one for one in measured if one.kind == kind]
        names = list(of_kind[0].series)
        lines += ["", f"## Rows that match lie {kind}", ""]
        lines.append("| share | rows | " + " | ".join(names) + " |")
        lines.append("|---|---|" + "---|" * len(names))
        for one in of_kind:
            cells = [cell(one.series[name]) for name in names]
            share = 100 * one.matching / about["rows"]
            lines.append(f"| {share:.2g} % | {one.matching:,.0f} | " + " | ".join(cells) + " |")
    outside = sum(series.outside for one in measured for series in one.series.values())
    lines += [
        "",
        f"Rows outside their filter, in all answers together: {outside}.",
        "",
        f"![speed and recall against the share of rows that match]({title}.svg)",
        "",
        f"- measured {about['measured']} on {machine['cpu']} ({machine['instructions']})",
        f"- {machine['processors']} processors, {machine['memory_gib']} GiB",
        f"- base `{about['base']}`, seed {about['seed']}",
        "",
    ]
    return "\n".join(lines)


def cell(series: Series) -> str:
    short = f", **{series.short} short**" if series.short else ""
    return f"{series.recall:.3f}, {series.qps:,.0f}{short}"


def chart(path: pathlib.Path, measured: list[Measured]) -> None:
    # A curve has several points.
    counts = collections.Counter(one.kind for one in measured)
    kinds = [kind for kind, count in counts.items() if count > 3]
    figure, axes = plt.subplots(2, len(kinds), figsize=(5 * len(kinds), 7), sharex="col", sharey="row", squeeze=False)
    for column, kind in enumerate(kinds):
        of_kind = [one for one in measured if one.kind == kind]
        shares = [one.share for one in of_kind]
        for name, colour in zip(of_kind[0].series, COLOURS, strict=False):
            looks = {"label": name, "color": colour, "marker": "o", "markersize": 4}
            axes[0][column].plot(shares, [one.series[name].qps for one in of_kind], **looks)
            axes[1][column].plot(shares, [one.series[name].recall for one in of_kind], **looks)
        axes[0][column].set(title=f"matching rows lie {kind}", xscale="log", yscale="log")
        axes[1][column].set(xlabel="share of rows that match", xscale="log")
        for row in range(2):
            axes[row][column].grid(visible=True, which="major", alpha=0.3)
    axes[0][0].set(ylabel="queries a second")
    axes[1][0].set(ylabel="recall@10")
    axes[1][0].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
