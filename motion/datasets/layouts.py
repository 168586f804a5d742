"""How data sets lie on a disk: which motion files a split has, and what is said of each motion.

Splits are lists of names at the top (`train.txt`, `val.txt`, `test.txt`, as HumanML3D has them) or a column of a table
of captions. A set that is not split at all is for training.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from morphloop.base.errors import MotionError
from morphloop.base.opening import read_utf8

from ..config import ReadingConfig
from ..humanml3d import HUMANML3D_FPS
from ..readers import find_motions
from ..reading_limits import MAX_TEXT_BYTES
from .captions import Report, Said, read_caption_lines, read_caption_table

TABLES = ("captions.jsonl", "manifest.jsonl")
"""Tables of captions by name, the first that a folder has."""
TRAIN, TEST = "train", "test"
SPLIT_LISTS = (TRAIN, "val", TEST)
MIRRORED = re.compile(r"M(?=\d)")
"""Begins the name of a motion whose left and right are exchanged: M000012 of 000012."""


class Layout(Protocol):
    """What is known of a data set before its motions are read. reading: how its files are read."""

    reading: ReadingConfig

    def files(self, splits: Sequence[str], report: Report) -> Iterator[Path]:
        """Files that hold motions of these splits, or may: what splits the motions of one file are in, `said_of` tells.

        MotionError for a split that the set has not."""
        ...

    def check_captions(self) -> None:
        """MotionError if there can be no captions."""
        ...

    def said_of(self, path: Path, key: str, report: Report) -> Said:
        """Captions and split of a motion; key: which of its file, empty where that holds one."""
        ...

    def report_missing(self, splits: Sequence[str], report: Report) -> None:
        """Report what the set says of motions of these splits that nobody asked for: they are not there."""
        ...


def layout_of(root: Path, reading: ReadingConfig, captions: Path | None, report: Report) -> Layout:
    """The layout that a folder has. MotionError for captions beside a set that has its own place for them."""
    if not HumanML3DFolder.is_one(root):
        return ClipFolder(root, reading, captions, report)
    if captions is not None:
        raise MotionError(f"{captions}: {root} is HumanML3D, whose captions lie in its texts/")
    return HumanML3DFolder(root, reading, report)


def read_split_lists(root: Path, report: Report) -> dict[str, list[str]]:
    """Names in each list of a split that lies in a folder, in their order, none twice.

    A name whose motion, or mirror image, is in test.txt stands in no other list; that is reported.
    """
    lists: dict[str, list[str]] = {}
    for split in SPLIT_LISTS:
        path = root / f"{split}.txt"
        if path.is_file():
            lines = read_utf8(path, MAX_TEXT_BYTES, "names of motions, a line each").split("\n")
            lists[split] = list(dict.fromkeys(line.strip() for line in lines if line.strip()))
    test = {unmirrored(name) for name in lists.get(TEST, ())}
    for split in lists.keys() - {TEST}:
        for name in [name for name in lists[split] if unmirrored(name) in test]:
            report(root / f"{split}.txt", f"'{name}' or its mirror image is in test.txt, test motions never train")
            lists[split].remove(name)
    return lists


def unmirrored(name: str) -> str:
    """The name of the motion that a mirrored one was made of."""
    return MIRRORED.sub("", name, count=1)


def check_splits(wanted: Sequence[str], known: Collection[str], root: Path) -> None:
    """MotionError for a split that the set has not; one that is not split has `train` alone."""
    for split in wanted:
        if split not in (known or (TRAIN,)):
            has = f"expected one of {', '.join(sorted(known))}" if known else "it is not split, all of it is 'train'"
            raise MotionError(f"{root}: has no split '{split}', {has}")


class HumanML3DFolder:
    """HumanML3D as its scripts leave it: new_joint_vecs/ (or new_joints/), texts/, train.txt, val.txt, test.txt.

    Of the features only the rotation-invariant coordinates are used, which its joints are made of.
    """

    def __init__(self, root: Path, reading: ReadingConfig, report: Report) -> None:
        self.root = root
        self.motions = root / ("new_joint_vecs" if (root / "new_joint_vecs").is_dir() else "new_joints")
        self.reading = reading if reading.fps is not None else replace(reading, fps=HUMANML3D_FPS)
        self.lists = read_split_lists(root, report)
        if not self.lists:
            raise MotionError(f"{root}: has no list of a split, expected {' '.join(f'{s}.txt' for s in SPLIT_LISTS)}")
        self._split: dict[str, str] = {name: split for split in self.lists for name in self.lists[split]}

    @staticmethod
    def is_one(root: Path) -> bool:
        """Whether a folder has this layout."""
        return (root / "new_joint_vecs").is_dir() or (root / "new_joints").is_dir()

    def files(self, splits: Sequence[str], report: Report) -> Iterator[Path]:
        check_splits(splits, self.lists, self.root)
        for split in splits:
            for name in self.lists[split]:
                path = self.motions / f"{name}.npy"
                if os.path.basename(name) != name:
                    report(self.root / f"{split}.txt", f"'{name}' names no motion, expected one such as 000001")
                elif not path.is_file():
                    report(path, "no such file")
                else:
                    yield path

    def check_captions(self) -> None:
        if not (self.root / "texts").is_dir():
            raise MotionError(f"{self.root}: has no texts/, expected the captions of its motions there")

    def said_of(self, path: Path, key: str, report: Report) -> Said:
        texts = self.root / "texts" / f"{path.stem}.txt"
        captions = read_caption_lines(texts, report) if texts.is_file() else None
        return Said(captions, self._split.get(path.stem))

    def report_missing(self, splits: Sequence[str], report: Report) -> None:
        """Nothing: a list's motion is a file, and `files` has said which there are not."""


class ClipFolder:
    """A folder of motion files, or one file. Captions of a motion are, first found: those of a table (captions.jsonl,
    else manifest.jsonl) in its folder or one above it, a text file of its name beside it or in texts/, or those in its
    own file.

    captions: a table that lies elsewhere, in place of those in the folder.
    """

    def __init__(self, root: Path, reading: ReadingConfig, captions: Path | None, report: Report) -> None:
        self.root, self.reading = root, reading
        self.top = root if root.is_dir() else root.parent
        self.found = list(find_motions(root))
        self._stems = Counter(path.stem for path in self.found)
        self._tables = {self.top: captions} if captions is not None else self._tables_in_folders()
        self._rows = {folder: read_caption_table(table, report) for folder, table in self._tables.items()}
        self._used: set[tuple[Path, str]] = set()
        lists = {} if self._stems.keys() & set(SPLIT_LISTS) else read_split_lists(self.top, report)
        self._listed = {name: split for split in lists for name in lists[split]}
        self._lists = tuple(lists)
        in_tables = {said.split for rows in self._rows.values() for said in rows.values() if said.split is not None}
        self.splits = {*lists, *in_tables}

    def _tables_in_folders(self) -> dict[Path, Path]:
        folders = {folder for path in self.found for folder in (path.parent, *path.parents) if self._inside(folder)}
        tables = ((folder, folder / name) for folder in sorted(folders) for name in reversed(TABLES))
        return {folder: table for folder, table in tables if table.is_file()}

    def _inside(self, folder: Path) -> bool:
        return folder == self.top or self.top in folder.parents

    def files(self, splits: Sequence[str], report: Report) -> Iterator[Path]:
        check_splits(splits, self.splits, self.root)
        for path in self.found:
            split = self._split_of(path, "")
            if split is None or split in splits:
                yield path

    def check_captions(self) -> None:
        """Nothing: every file may have its own."""

    def said_of(self, path: Path, key: str, report: Report) -> Said:
        row = self._row_of(path, key)
        if row is not None and row.captions is not None:
            captions = row.captions
        else:
            text = None if key else self._text_beside(path)
            captions = None if text is None else read_caption_lines(text, report)
        split = self._split_of(path, key)
        if split is None and not self._lists:
            report(path, f"{key}: is in no split" if key else "is in no split, expected a row in its table of captions")
        return Said(captions, split)

    def report_missing(self, splits: Sequence[str], report: Report) -> None:
        for folder, rows in self._rows.items():
            wanted = [name for name, said in rows.items() if said.split in splits or not (said.split or self._lists)]
            missing = [name for name in wanted if (folder, name) not in self._used]
            more = f" (and {len(missing) - 1} others)" if len(missing) > 1 else ""
            if missing:
                report(self._tables[folder], f"'{missing[0]}'{more} is no motion of {folder}")

    def _split_of(self, path: Path, key: str) -> str | None:
        """The split of a motion; `train` in a set that is not split."""
        if not self.splits:
            return TRAIN
        row = self._row_of(path, key)
        if row is not None and row.split is not None:
            return row.split
        return next((self._listed[name] for name in self._names(path, key, self.top) if name in self._listed), None)

    def _row_of(self, path: Path, key: str) -> Said | None:
        """The row of a motion in the table that is nearest to its file."""
        for folder in (path.parent, *path.parents):
            rows = self._rows.get(folder, {})
            for name in self._names(path, key, folder) if rows else ():
                if name in rows:
                    self._used.add((folder, name))
                    return rows[name]
            if folder == self.top:
                break
        return None

    def _names(self, path: Path, key: str, folder: Path) -> Iterator[str]:
        """What a motion may be called in a folder: by its path there, or by its file's name where that is the only."""
        inside = path.relative_to(folder)
        names = [inside.as_posix(), inside.with_suffix("").as_posix()]
        names += [path.name, path.stem] if self._stems[path.stem] == 1 else []
        for suffix in dict.fromkeys((f":{key}" if key else "", "")):
            yield from (f"{name}{suffix}" for name in names)

    def _text_beside(self, path: Path) -> Path | None:
        beside = path.with_suffix(".txt")
        apart = self.top / "texts" / f"{path.stem}.txt"
        places = [beside] if beside != path else []
        places += [apart] if self._stems[path.stem] == 1 else []
        return next((place for place in places if place.is_file()), None)
