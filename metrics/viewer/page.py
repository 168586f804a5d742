"""The page of `morphloop view`: one file that plays without a network, or the same served and filled clip by clip."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from morphloop.metrics.registry import METRICS
from morphloop.metrics.report.look import packaged, template
from morphloop.metrics.report.worst import KEY_METRICS
from morphloop.metrics.signals import GRID_HZ

from .entries import Entry
from .scene import Payload, Scene

FIRST = "slide_mean_mm_s"
"""The figure that the list shows where no other is asked for."""
PACKAGE = "morphloop.metrics.viewer"


def viewer_html(
    title: str, told: str, rows: Sequence[Payload], scenes: dict[int, Scene] | None = None, served: bool = False
) -> str:
    """The page. title: what is looked at; told: a line beside it; rows: of the list, as `row_of` makes them; scenes: by
    number of the row what the page holds itself; served: the rest comes from the server that gives the page."""
    scenes = scenes or {}
    bodies: dict[str, Payload] = {}
    for scene in scenes.values():
        bodies |= scene.bodies
    data = {
        "fps": GRID_HZ,
        "rows": rows,
        "bodies": bodies,
        "clips": {number: scene.clip for number, scene in scenes.items()},
        "titles": {metric.name: metric.title for metric in KEY_METRICS},
        "units": {metric.name: METRICS[metric.name].unit for metric in KEY_METRICS},
        "first": FIRST,
        "served": served,
    }
    return template(packaged("viewer.html", PACKAGE)).render(
        title=title,
        told=told,
        data=Markup(as_script(data)),
        css=Markup(packaged("viewer.css", PACKAGE)),
        js=Markup(packaged("viewer.js", PACKAGE)),
    )


def row_of(entry: Entry, metrics: dict[str, float | None] | None = None, error: str | None = None) -> Payload:
    """A clip's row of the list; without `metrics` it is not measured yet."""
    row: Payload = {"name": entry.name, "verdict": entry.verdict, "reason": entry.reason, "metrics": metrics}
    return row if error is None else row | {"error": error}


def as_script(value: Any) -> str:
    """JSON that can stand in a page: no text in it ends the element that it stands in."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
