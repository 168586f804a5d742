"""`morphloop view PATH...`: motion in a page with a scrubber, on this machine or in one file to pass on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from morphloop.base import MotionError
from morphloop.base.terminal import complain, say
from morphloop.motion.config import ReadingConfig

from .console import BAD_INPUT, DONE, one_line, progress_bars, writable_files

if TYPE_CHECKING:
    from morphloop.metrics.viewer.entries import Bodies, Entry

MOST_SHARED = 200
"""Clips that one file holds: a browser opens some tens of megabytes."""


@dataclass(frozen=True, kw_only=True)
class View(ReadingConfig):
    """Look at motion in a browser: before and after, one scrubber, feet coloured by contact, a key to the worst moment.

    Takes motion files, rollouts, folders of them, what `project` wrote and whole runs of the loop, with verdicts,
    reasons and figures as they have them. The page is served to this machine alone until Ctrl-C; --share-html writes it
    into a file instead, which plays anywhere without a network. Exit code 2 if a file could not be read.
    """

    paths: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Motion files, rollouts, folders, folders of `project`, runs of the loop."""
    share_html: Path | None = None
    """Write the page with all clips into this file, and end."""
    body: str | None = None
    """Body of people's motion; where left out, of a folder that `project` wrote the one that it was made on."""
    port: int = 8890
    """Port of the page; a busy one is passed over for the next that is free, which is said."""
    open: bool = True
    """Open the browser, where there is a display."""

    def run(self) -> int:
        from morphloop.metrics.viewer.entries import Bodies, find_entries

        failed: list[dict[str, str]] = []
        entries = find_entries(self.paths, self.body, failed)
        for row in failed:
            complain(f"{row['path']}: {row['reason']}")
        if not entries:
            if failed:
                return BAD_INPUT
            raise MotionError(f"{', '.join(map(str, self.paths))}: holds no motion")
        bodies = Bodies()
        if self.share_html is None:
            from .view_server import serve

            serve(self._title(), entries, bodies, ReadingConfig.of(self), self.port, self.open)
            return BAD_INPUT if failed else DONE
        return max(self._share(self.share_html, entries, bodies), BAD_INPUT if failed else DONE)

    def _share(self, out: Path, entries: list[Entry], bodies: Bodies) -> int:
        """Write the page; the exit code."""
        from morphloop.base import write_atomic
        from morphloop.metrics.viewer.page import row_of, viewer_html
        from morphloop.metrics.viewer.scene import clip_scene, key_figures

        writable_files(out)
        if len(entries) > MOST_SHARED:
            complain(f"{len(entries)} clips, {out} holds the first {MOST_SHARED}; without --share-html all are listed")
        rows, scenes, code = [], {}, DONE
        shown = entries[:MOST_SHARED]
        with progress_bars() as watch:
            for entry in shown:
                try:
                    scene = clip_scene(entry, bodies, ReadingConfig.of(self))
                    rows.append(row_of(entry, key_figures(entry, bodies, ReadingConfig.of(self))))
                    scenes[len(rows) - 1] = scene
                    count = scene.clip["motions"]
                    if count > 1:
                        complain(f"{entry.path}: holds {count} motions, the first is shown; name one as FILE:NAME")
                except (MotionError, OSError) as error:
                    complain(f"{entry.path}: {one_line(str(error)).removeprefix(f'{entry.path}: ')}")
                    code = BAD_INPUT
                watch("read", len(rows), len(shown))
        if not rows:
            return BAD_INPUT
        page = viewer_html(self._title(), f"{len(rows)} clips", rows, scenes)
        write_atomic(out, lambda stream: stream.write(page.encode("utf-8", "replace")))
        say(f"{out}: {len(rows)} clips, {out.stat().st_size / 1e6:.1f} MB")
        return code

    def _title(self) -> str:
        names = [path.resolve().name for path in self.paths]
        return ", ".join(names) if len(names) < 4 else f"{names[0]} and {len(names) - 1} more"
