"""Text without motion: encoders of captions and prompts, pretrained language models, and which of them are built."""

from typing import TYPE_CHECKING

from morphloop.base.on_demand import names_of

if TYPE_CHECKING:
    from .backbones import check_backbone, pretrained_backbone
    from .fetched import find_pretrained
    from .text_encoder import EncodedTexts, TextEncoder, TextStates, load_text_encoder
else:
    __getattr__ = names_of(
        __name__,
        {
            "backbones": ("check_backbone", "pretrained_backbone"),
            "fetched": ("find_pretrained",),
            "text_encoder": ("EncodedTexts", "TextEncoder", "TextStates", "load_text_encoder"),
        },
    )

__all__ = [
    "EncodedTexts",
    "TextEncoder",
    "TextStates",
    "check_backbone",
    "find_pretrained",
    "load_text_encoder",
    "pretrained_backbone",
]
