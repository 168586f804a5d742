"""What an index and a list of installed packages show of README.md; all else stands in pyproject.toml.

There no path of the repository leads anywhere. A picture or link that is one becomes an absolute address below
`Repository` of `[project.urls]`, as soon as the project has one; until then pictures are left out and of links the text
is kept.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

HERE = Path(__file__).parent
LINK = re.compile(r"(!?)\[([^\]]*)\]\((?![a-z]+:)([^)\s]+)\)")
"""A picture or link whose target is no address: what it is, its text, its target."""


def for_an_index(text: str, repository: str | None) -> str:
    """README's text with links that work outside of the repository, whose address, without a slash at its end, is
    given, None where it has none."""

    def written(found: re.Match[str]) -> str:
        mark, label, target = found.groups()
        if repository is None:
            return "" if mark else label
        return f"{mark}[{label}]({repository}/{'raw' if mark else 'blob'}/HEAD/{target})"

    return LINK.sub(written, text)


if __name__ == "__main__":
    from setuptools import setup  # not before: it takes the place of distutils, which fails where that is in use

    urls = tomllib.loads((HERE / "pyproject.toml").read_text())["project"]["urls"]
    readme = (HERE / "README.md").read_text(encoding="utf-8")
    setup(
        long_description=for_an_index(readme, urls.get("Repository")),
        long_description_content_type="text/markdown",
    )
