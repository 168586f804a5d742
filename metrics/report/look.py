"""What all pages share: one style, numbers as text, figures with intervals as cells, pictures inside the file.

Pages are single files: nothing is fetched. `style.css` follows the reader's light or dark setting.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined, Template
from markupsafe import Markup

from morphloop.base import write_atomic
from morphloop.base.names import shown
from morphloop.metrics.registry import METRICS

SMALLEST = 1e-3
MACROS = "macros.html"


@dataclass(frozen=True)
class Cell:
    """A mean with its 95 % interval, as text; `tone` says better or worse where the paired interval leaves out zero."""

    mean: str
    interval: str = ""
    tone: str = ""


def number(value: float | None) -> str:
    """Three significant digits, a dash for null; under a thousandth three digits say nothing."""
    if value is None or value != value:
        return "–"
    if 0.0 < abs(value) < SMALLEST:
        return "≈0"
    text = f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return text.replace("-", "−")


def span(interval: tuple[float, float] | None) -> str:
    """A 95 % interval as text, nothing for none."""
    return "" if interval is None else f"{number(interval[0])} to {number(interval[1])}"


def cell(summary: Mapping[str, Any] | None, tone: str = "") -> Cell:
    """A summary's mean and interval."""
    if summary is None or summary["mean"] is None:
        return Cell("–")
    return Cell(number(summary["mean"]), span(summary["ci95"]), tone)


def tone(name: str, change: Mapping[str, Any] | None) -> str:
    """Whether a change is for better or worse beyond its paired interval."""
    interval = None if change is None else change["ci95"]
    better = METRICS[name].better
    if interval is None or not better or interval[0] <= 0.0 <= interval[1]:
        return ""
    return "better" if (interval[1] < 0.0) == (better == "lower") else "worse"


def data_uri(kind: str, data: bytes) -> str:
    """Bytes as an address that holds them."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def style(*more: str) -> Markup:
    """The style that all pages share, then further sheets."""
    return Markup("\n".join((packaged("style.css"), *more)))


def template(source: str) -> Template:
    """A page's template; `{% import "macros.html" as look %}` gives it the shared pieces."""
    environment = Environment(
        loader=FunctionLoader(lambda name: packaged(MACROS) if name == MACROS else None),
        autoescape=True,
        finalize=_visible,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(number=number, span=span)
    return environment.from_string(source)


def _visible(value: Any) -> Any:
    """A text from outside as a page shows it: control and direction characters as escapes, line breaks as they are."""
    if type(value) is not str or value.isprintable():
        return value
    return "\n".join(map(shown, value.split("\n")))


def write_page(path: Path | str, html: str) -> Path:
    """Write a page, whole or not at all."""
    return write_atomic(path, lambda stream: stream.write(html.encode("utf-8", "replace")))


def packaged(name: str, package: str = "morphloop.metrics.report") -> str:
    """A text file of a package, such as a template."""
    return (resources.files(package) / name).read_text(encoding="utf-8")
