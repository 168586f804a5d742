"""Weights as a package holds them to a folder in the layout of `transformers`: config.json, model.safetensors and
tokenizer.json, which is written with what is whole only."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from morphloop.base import write_atomic, write_json
from morphloop.base.opening import reading

from .gguf import Gguf, read_gguf

FILES = ("config.json", "tokenizer.json", "model.safetensors")
LLAMA_PARTS = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
"""Parts of a layer, as llama.cpp and as `transformers` calls them."""
LLAMA_ENDS = {"token_embd": "embed_tokens", "output_norm": "norm"}
CONTROL = 3
"""Type of a token that is a mark and no text."""


def unzip(archive: Path, folder: Path) -> None:
    """A zip that holds the layout already: its three files."""
    with reading(archive), zipfile.ZipFile(archive) as held:
        for name in FILES:
            with held.open(name) as stream:
                write_atomic(folder / name, lambda out, source=stream: shutil.copyfileobj(source, out))


def convert_llama(file: Path, folder: Path) -> None:
    """A Llama in GGUF whose embedding scores too; weights are kept in float16, 0.004 of a step from the file's own."""
    held = read_gguf(file)
    with reading(file):
        config, tensors, tokenizer = _llama_config(held), _llama_tensors(held), _byte_pairs(held)
    write_json(folder / "config.json", config)
    write_json(folder / "tokenizer_config.json", _tokenizer_config(held))
    write_atomic(folder / "tokenizer.json", lambda stream: stream.write(tokenizer.to_str().encode()))
    from safetensors.numpy import save

    data = save(tensors, metadata={"format": "pt"})
    write_atomic(folder / "model.safetensors", lambda stream: stream.write(data))


def _llama_config(held: Gguf) -> dict[str, Any]:
    said = held.fields
    return {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "vocab_size": said["llama.vocab_size"],
        "hidden_size": said["llama.embedding_length"],
        "intermediate_size": said["llama.feed_forward_length"],
        "num_hidden_layers": said["llama.block_count"],
        "num_attention_heads": said["llama.attention.head_count"],
        "num_key_value_heads": said["llama.attention.head_count_kv"],
        "max_position_embeddings": said["llama.context_length"],
        "rope_theta": said["llama.rope.freq_base"],
        "rms_norm_eps": float(np.format_float_scientific(np.float32(said["llama.attention.layer_norm_rms_epsilon"]))),
        "tie_word_embeddings": "output.weight" not in held.tensors,
        "bos_token_id": said["tokenizer.ggml.bos_token_id"],
        "eos_token_id": said["tokenizer.ggml.eos_token_id"],
        "pad_token_id": said["tokenizer.ggml.padding_token_id"],
        "dtype": "float16",
    }


def _llama_tensors(held: Gguf) -> dict[str, np.ndarray]:
    heads = {part: held.fields[f"llama.attention.{key}"] for part, key in (("q", "head_count"), ("k", "head_count_kv"))}
    made = {}
    for name, tensor in held.tensors.items():
        words = name.split(".")
        if words[0] == "blk":
            place = f"layers.{words[1]}.{LLAMA_PARTS[words[2]]}"
            if words[2] in ("attn_q", "attn_k"):
                tensor = _halves_apart(tensor, heads[words[2][-1]])
        else:
            place = LLAMA_ENDS[words[0]]
        made[f"model.{place}.weight"] = np.ascontiguousarray(tensor, np.float16)
    return made


def _halves_apart(weight: np.ndarray, heads: int) -> np.ndarray:
    """Rows of queries or keys as `transformers` turns them: each head's even rows before its odd ones."""
    return weight.reshape(heads, -1, 2, weight.shape[1]).swapaxes(1, 2).reshape(weight.shape)


def _byte_pairs(held: Gguf) -> Tokenizer:
    """The byte-level tokenizer; digits stand alone, as SmolLM's pre-tokenizer has them."""
    said = held.fields
    vocabulary = {token: place for place, token in enumerate(said["tokenizer.ggml.tokens"])}
    merges = [tuple(pair.split(" ")) for pair in said["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    parts = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(parts)  # type: ignore[assignment]
    tokenizer.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    kinds = zip(said["tokenizer.ggml.tokens"], said["tokenizer.ggml.token_type"], strict=True)
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token, kind in kinds if kind == CONTROL])
    return tokenizer


def _tokenizer_config(held: Gguf) -> dict[str, Any]:
    """What `AutoTokenizer` asks for, the template of a conversation among it."""
    said = held.fields
    tokens = said["tokenizer.ggml.tokens"]
    marks = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}
    named = {f"{short}_token": tokens[said[f"tokenizer.ggml.{long}_token_id"]] for short, long in marks.items()}
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "chat_template": said["tokenizer.chat_template"],
        "model_max_length": said["llama.context_length"],
    } | named
