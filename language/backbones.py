"""Which pretrained models are built from a configuration that came from outside: known architectures, fields, sizes.

`transformers` takes any field of a configuration: code by an auto map, kernels from a hub, quantisers that import other
packages, a million layers. Here what names code or another package is refused by name, a size must be one, and a field
must be one that the architecture's own configuration has: in files of our own another one is refused, in a folder from
elsewhere, where others leave notes, it is not looked at.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from transformers import CONFIG_MAPPING, AutoConfig, AutoModel, PretrainedConfig, PreTrainedModel
from transformers.utils import logging

from morphloop.base import MotionError
from morphloop.base.opening import in_one_line, read_json
from morphloop.base.random_streams import own_streams

DECODERS = (
    *("llama", "mistral", "qwen2", "qwen3", "gpt2", "gpt_neo", "gpt_neox", "gptj", "opt", "phi", "phi3", "gemma"),
    *("gemma2", "olmo", "olmo2", "stablelm", "starcoder2", "smollm3", "granite", "bloom", "falcon"),
)
"""Decoders that take embeddings and keep a cache."""
ENCODERS = ("bert", "distilbert", "mpnet", "roberta")
"""Encoders that read a whole text at once."""
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
    """MotionError, one line, for a configuration that is not one of plain sizes of a known decoder."""
    for name in checked_fields(config, where, DECODERS)[1]:
        raise MotionError(f"{where}: '{name[:40]}' is no field of a {config['model_type']} configuration")


def checked_fields(config: Any, where: Path | str, kinds: tuple[str, ...]) -> tuple[dict[str, Any], list[str]]:
    """The fields of a configuration that its architecture has, and the names of the others.

    MotionError, one line, for an architecture that is none of `kinds`, code from elsewhere, and sizes out of reason.
    """
    if not isinstance(config, dict):
        raise MotionError(f"{where}: a backbone's configuration is a {type(config).__name__}, expected its fields")
    kind = config.get("model_type")
    if kind not in kinds:
        raise MotionError(f"{where}: model_type '{str(kind)[:40]}', expected one of {', '.join(kinds)}")
    fields, others = {}, []
    for name, value in config.items():
        if name in CODE:
            raise MotionError(f"{where}: {name} asks for code or packages from elsewhere, which is never loaded")
        if name.endswith("attn_implementation") and value not in (None, *ATTENTION):
            raise MotionError(f"{where}: {name} '{str(value)[:40]}', expected {' or '.join(ATTENTION)}")
        if name not in _fields(kind):
            others.append(name)
            continue
        if name in MOST and value is not None and (type(value) is not int or not 1 <= value <= MOST[name]):
            raise MotionError(f"{where}: {name} is {str(value)[:40]}, expected 1 to {MOST[name]}")
        if not _plain(value):
            raise MotionError(f"{where}: {name} is not a plain value")
        fields[name] = value
    return fields, others


def pretrained_backbone(folder: Path | str) -> PreTrainedModel:
    """Decoder from a local folder in the layout of `transformers` (config.json, *.safetensors), in float32.

    Raises MotionError if the folder holds none. Code in the folder is never run and pickled weights are not read.
    """
    return load_pretrained(folder, DECODERS)


def read_pretrained_config(folder: Path | str, kinds: tuple[str, ...]) -> PretrainedConfig:
    """Configuration of a model in a local folder; MotionError, one line, if it is not one of `kinds` and sound."""
    path = Path(folder) / "config.json"
    if not path.is_file():
        raise MotionError(f"{folder}: has no config.json, expected a local folder of a `transformers` model")
    fields, _ = checked_fields(read_json(path), path, kinds)
    kept = {name: value for name, value in fields.items() if name != "model_type"}
    try:
        return AutoConfig.for_model(fields["model_type"], **kept)
    except Exception as error:  # what a configuration makes an architecture raise has no common base
        raise MotionError(f"{path}: {in_one_line(error)}") from None


@own_streams()
def load_pretrained(folder: Path | str, kinds: tuple[str, ...]) -> PreTrainedModel:
    """Model without its head from a local folder, in float32 and evaluation mode; errors as `pretrained_backbone`."""
    config = read_pretrained_config(folder, kinds)
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        model, found = AutoModel.from_pretrained(
            folder,
            config=config,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
        )
    except Exception as error:  # what a folder makes an architecture raise has no common base
        raise MotionError(f"{folder}: not a usable backbone ({in_one_line(error)})") from None
    finally:
        if shown:
            logging.enable_progress_bar()
    lacking = sorted(name for name in found["missing_keys"] if not name.startswith("pooler."))
    if lacking:
        raise MotionError(f"{folder}: not a usable backbone (its weights lack '{lacking[0]}')")
    return model.eval()


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
