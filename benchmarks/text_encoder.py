"""The text encoder that ships: all-MiniLM-L6-v2 with its matrices in int8, and how near it is to the one in float32.

    python benchmarks/text_encoder.py FOLDER [--out assets/text] [--json FILE]

FOLDER holds the model in float32 in the layout of `transformers`. With --out the int8 files are written there first.
Sentences are the built-in corpus's captions, each once, and what the pages of this repository say.
"""

from __future__ import annotations

import argparse
import re
import time
from pathlib import Path

import torch

from morphloop.base import write_atomic, write_json
from morphloop.base.opening import read_json
from morphloop.base.tensors import MAX_MODEL, read_tensors
from morphloop.base.threads import fixed_threads
from morphloop.base.weights import save_tensors
from morphloop.language.quantized import quantize
from morphloop.language.text_encoder import CONFIG, TOKENIZER, WEIGHTS, TextStates, load_int8_encoder, load_text_encoder
from morphloop.motion import make_corpus

ROOT = Path(__file__).resolve().parent.parent
CLIPS, EACH = 1000, 250
"""Clips whose captions are read; most sentences of each kind."""
BATCH = 64
KEPT = (
    *("model_type", "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"),
    *("hidden_act", "max_position_embeddings", "type_vocab_size", "layer_norm_eps", "pad_token_id"),
)
"""Fields that decide what the model computes."""
NOT_READ = ("embeddings.position_ids", "pooler.")
"""Tensors of the published file that states do not pass."""


def write_int8(folder: Path, out: Path) -> None:
    """Write the int8 files of a float32 model."""
    tensors, _ = read_tensors(folder / "model.safetensors", MAX_MODEL)
    used = {name: tensor for name, tensor in tensors.items() if not name.startswith(NOT_READ)}
    out.mkdir(parents=True, exist_ok=True)
    save_tensors(out / WEIGHTS, quantize(used), {"format": "pt", "of": "sentence-transformers/all-MiniLM-L6-v2"})
    config = read_json(folder / CONFIG)
    write_json(out / CONFIG, {name: config[name] for name in KEPT})
    write_atomic(out / TOKENIZER, lambda stream: stream.write((folder / TOKENIZER).read_bytes()))


def sentences() -> dict[str, list[str]]:
    """Sentences by kind: motion captions, and plain prose about anything else."""
    captions = {caption for clip in make_corpus(CLIPS, 0, "train") for caption in clip.texts}
    pages = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").glob("*.md"))]
    prose = [part.strip() for page in pages for part in re.split(r"(?<=[.;:])\s+|\n\n", page) if "|" not in part]
    plain = {" ".join(part.split()) for part in prose if 30 < len(part) < 300}
    return {"captions": sorted(captions)[:EACH], "prose": sorted(plain)[:EACH]}


def agreement(made: TextStates, full: TextStates) -> dict[str, float]:
    """Cosine similarities to the states in float32: pooled and a token, mean and lowest."""
    pooled = (made.pooled() * full.pooled()).sum(-1)
    tokens = torch.nn.functional.cosine_similarity(made.states, full.states, dim=-1)[full.mask]
    return {
        "pooled_mean": float(pooled.mean()),
        "pooled_lowest": float(pooled.min()),
        "token_mean": float(tokens.mean()),
        "token_lowest": float(tokens.min()),
        "token_share_over_0.99": float((tokens > 0.99).float().mean()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if args.out is not None:
        write_int8(args.folder, args.out)
    place = args.out or ROOT / "assets" / "text"
    begun = time.perf_counter()
    small = load_int8_encoder(place, "int8")
    report: dict[str, object] = {"load_s": time.perf_counter() - begun, "hash": small.hash}
    report["bytes"] = sum(path.stat().st_size for path in place.iterdir())
    full = load_text_encoder(args.folder)
    for kind, texts in sentences().items():
        report[kind] = {"sentences": len(texts)} | agreement(small.encode(texts), full.encode(texts))
        with fixed_threads(1):
            begun = time.process_time()
            small.encode(texts[:BATCH])
        report[f"{kind}_{BATCH}_processor_s"] = time.process_time() - begun
    for name, value in report.items():
        print(f"{name}: {value}")
    if args.json is not None:
        write_json(args.json, report)


if __name__ == "__main__":
    main()
