"""`morphloop verify PATH...`: do physics again and walk the chain of hashes from prompt to figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from morphloop.base.terminal import complain, say

from .console import BAD_INPUT, DONE, FAILED, progress_bars, told

if TYPE_CHECKING:
    from morphloop.refinement_loop import Checked
    from morphloop.sim import Certificate


@dataclass(frozen=True)
class Verify:
    """Replay rollouts, look for a helping hand, and walk the chain of hashes from prompt to figure.

    A rollout file is replayed. A folder that `project` wrote is walked clip by clip: source, reference, rollout, clip,
    figures and verdict are each made again from the one before. A run of the loop is walked from its prompts to its
    summaries. Exit code 0 if everything holds, 1 with what is wrong, file by file, 2 for a path that is none of these.
    """

    paths: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Rollout files, folders and tables (`--json`) that `project` wrote, runs of the loop."""
    body: str | None = None
    """The body that clips were projected on, a built-in one's name or a SMPL or SMPL-X model file; if left out the
    built-in one that they name by its hash."""
    json: Path | None = None
    """Write what was found here, certificates included."""

    def run(self) -> int:
        from morphloop.base import MotionError, write_json
        from morphloop.refinement_loop import verify
        from morphloop.sim import driven_body

        from .console import writable_files

        if not self.paths:
            raise MotionError("nothing to verify, expected rollout files, folders of `project`, or runs")
        writable_files(self.json)
        body = None if self.body is None else driven_body(self.body)
        checked: list[Checked] = []
        failed: list[dict[str, str]] = []
        with progress_bars() as watch:
            for path in self.paths:
                try:
                    checked.append(verify(path, body, lambda done, total, path=path: watch(path.name, done, total)))
                except MotionError as error:
                    failed.append(told(path, error))
        for found in checked:
            for line in _lines(found):
                say(line)
        if self.json is not None:
            write_json(self.json, {"schema": 1, "checked": [_row(found) for found in checked], "failed": failed})
        if failed:
            return BAD_INPUT
        wrong = sum(len(found.faults) for found in checked)
        if wrong:
            complain(f"{wrong} {'thing is' if wrong == 1 else 'things are'} wrong")
        return FAILED if wrong else DONE


def _lines(found: Checked) -> list[str]:
    """A heading, then what is wrong, or for a single rollout what its certificate says."""
    passed = [certificate for certificate in found.certificates.values() if certificate.passed]
    exact = sum(certificate.bit_equal for certificate in passed)
    replays = f"; {len(passed)} of {len(found.certificates)} rollouts certified, {exact} bit-equal"
    heading = f"{found.path}: {found.kind}, {'holds' if not found.faults else 'does not hold'}"
    lines = [heading + (replays if found.certificates else "")]
    inside = found.path.parent if found.kind in ("rollout", "table") else found.path
    lines += [f"  {inside / fault}" for fault in found.faults]
    if found.kind == "rollout":
        lines += [f"  {line}" for certificate in found.certificates.values() for line in _figures(certificate)]
    return lines


def _figures(certificate: Certificate) -> Sequence[str]:
    """What a certificate found, in words."""
    around, forces = certificate.surroundings, certificate.root_forces
    acting = [f"{name} {force:.2g} N {torque:.2g} N m" for name, (force, torque) in forces.items() if force or torque]
    kinds = ", ".join(acting) or "none of " + ", ".join(forces)
    ground = ", ".join(f"{name} (friction {friction:g})" for name, friction in around.ground.items())
    return (
        f"steps {certificate.steps}, state error {certificate.max_error:.2g} (bound {certificate.bound:g}), "
        f"foot force error {certificate.force_error:.2g} N",
        f"unexplained on the root: {certificate.hand_force:.2g} N, {certificate.hand_torque:.2g} N m",
        f"by kind: {kinds if forces else 'not replayed'}",
        f"gravity {_vector(around.gravity)} m/s2, medium {around.density:g} kg/m3 {around.viscosity:g} Pa s, "
        f"wind {_vector(around.wind)} m/s, ground: {ground or 'none'}, others: {', '.join(around.others) or 'none'}",
    )


def _vector(values: Sequence[float]) -> str:
    return "(" + ", ".join(f"{value:g}" for value in values) + ")"


def _row(found: Checked) -> dict[str, Any]:
    from morphloop.refinement_loop.records import finite

    certificates = {name: finite(asdict(certificate)) for name, certificate in found.certificates.items()}
    head = {"path": str(found.path), "kind": found.kind, "ok": not found.faults, "clips": found.clips}
    return head | {"faults": found.faults, "certificates": certificates}
