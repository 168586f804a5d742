"""Which backbones are built from a configuration that came from outside: known architectures, known fields, sizes.

`transformers` takes any field of a configuration: code by an auto map, kernels from a hub, quantisers that import other
packages, a million layers. Here a field must be one that the architecture's own configuration has and a plain value;
what names code or another package is refused by name.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from transformers import CONFIG_MAPPING

from morphloop.base import MotionError

ARCHITECTURES = (
    *("llama", "mistral", "qwen2", "qwen3", "gpt2", "gpt_neo", "gpt_neox", "gptj", "opt", "phi", "phi3", "gemma"),
    *("gemma2", "olmo", "olmo2", "stablelm", "starcoder2", "smollm3", "granite", "bloom", "falcon"),
)
"""Decoders that take embeddings and keep a cache."""
CODE = ("auto_map", "quantization_config", "compression_config", "custom_pipelines", "trust_remote_code")
"""Fields that name code, or packages that are asked to load."""
ATTENTION = ("eager", "sdpa")
"""Ways to compute attention; others are kernels from elsewhere."""
MOST = {
    **dict.fromkeys(("num_hidden_layers", "n_layer", "num_layers"), 256),
    **dict.fromkeys(("num_attention_heads", "num_key_value_heads", "n_head", "num_heads", "head_dim"), 1024),
    **dict.fromkeys(("hidden_size", "n_embd", "word_embed_proj_dim"), 16_384),
    **dict.fromkeys(("intermediate_size", "n_inner", "ffn_dim"), 65_536),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "vocab_size"), 1 << 20),
}
"""Largest value of a size; all are 1 or more."""
LONGEST = 1_000
"""Items of a list, or of a mapping, and letters of a text."""


def check_backbone(config: Any, where: Path | str) -> None:
    """MotionError, one line, for a configuration that is not one of plain sizes of a known architecture."""
    if not isinstance(config, dict):
        raise MotionError(f"{where}: a backbone's configuration is a {type(config).__name__}, expected its fields")
    kind = config.get("model_type")
    if kind not in ARCHITECTURES:
        raise MotionError(f"{where}: model_type '{str(kind)[:40]}', expected one of {', '.join(ARCHITECTURES)}")
    for name, value in config.items():
        if name in CODE:
            raise MotionError(f"{where}: {name} asks for code or packages from elsewhere, which is never loaded")
        if name.endswith("attn_implementation") and value not in (None, *ATTENTION):
            raise MotionError(f"{where}: {name} '{str(value)[:40]}', expected {' or '.join(ATTENTION)}")
        if name not in _fields(kind):
            raise MotionError(f"{where}: '{str(name)[:40]}' is no field of a {kind} configuration")
        if name in MOST and value is not None and (type(value) is not int or not 1 <= value <= MOST[name]):
            raise MotionError(f"{where}: {name} is {str(value)[:40]}, expected 1 to {MOST[name]}")
        if not _plain(value):
            raise MotionError(f"{where}: {name} is not a plain value")


@lru_cache
def _fields(kind: str) -> frozenset[str]:
    """Fields of an architecture's configuration, and what every file of `transformers` has beside."""
    own = CONFIG_MAPPING[kind]()
    beside = ("model_type", "dtype", "torch_dtype", "attn_implementation", "_attn_implementation", "rope_theta")
    return frozenset({*own.to_dict(), *own.attribute_map, *beside, "rope_scaling", "rope_parameters"})


def _plain(value: Any, depth: int = 0) -> bool:
    if isinstance(value, dict) and depth < 3:
        return len(value) <= LONGEST and all(_plain(item, depth + 1) for item in value.values())
    if isinstance(value, list | tuple) and depth < 3:
        return len(value) <= LONGEST and all(_plain(item, depth + 1) for item in value)
    return value is None or isinstance(value, bool | int | float) or (isinstance(value, str) and len(value) <= LONGEST)
