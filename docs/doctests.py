"""For mkdocstrings: examples in docstrings, lines that begin with `>>>`, are blocks of code to Markdown too."""

from __future__ import annotations

from typing import Any

from griffe import Extension, Object


class Doctests(Extension):
    """Fences every example of a docstring."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        if obj.docstring is None or ">>>" not in obj.docstring.value:
            return
        paragraphs = obj.docstring.value.split("\n\n")
        obj.docstring.value = "\n\n".join(
            f"```pycon\n{paragraph}\n```" if paragraph.startswith(">>>") else paragraph for paragraph in paragraphs
        )
