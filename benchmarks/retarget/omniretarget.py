"""OmniRetarget (holosoma-retargeting 0.1.0) on prepared clips, in an environment of its own:
`VENV/bin/python omniretarget.py JOINTS RESULTS`.

JOINTS holds npz files of global_joint_positions (T, 22, 3) and height, its "smplx" layout; RESULTS gets its npz files,
times.json, seconds of processor time a clip, and hinges.json, their names in its qpos. Everything is at the package's
defaults: robot only, ground alone. What it imports and does not call for these clips (torch, smplx) is not installed:
empty modules stand in.
"""

from __future__ import annotations

import json
import os
import sys
import time
import types
from pathlib import Path


def main(joints: Path, results: Path) -> None:
    for name in ("torch", "smplx"):
        sys.modules[name] = types.ModuleType(name)
    sys.modules["torch"].Tensor = type("Tensor", (), {})  # type: ignore[attr-defined]  # SciPy asks for it
    import holosoma_retargeting

    os.chdir(Path(holosoma_retargeting.__file__).parent)  # its models are found from there
    import mujoco
    from holosoma_retargeting.config_types.retargeting import RetargetingConfig
    from holosoma_retargeting.examples.robot_retarget import main as retarget

    model = mujoco.MjModel.from_xml_path("models/g1/g1_29dof.xml")
    hinges = [model.joint(k).name for k in range(model.njnt) if model.jnt_type[k] == mujoco.mjtJoint.mjJNT_HINGE]
    (results / "hinges.json").write_text(json.dumps(hinges))
    times_file = results / "times.json"
    times = json.loads(times_file.read_text()) if times_file.exists() else {}
    for path in sorted(joints.glob("*.npz")):
        if path.stem in times:
            continue
        config = RetargetingConfig(
            robot="g1",
            data_format="smplx",
            task_type="robot_only",
            task_name=path.stem,
            data_path=joints,
            save_dir=results,
        )
        started = time.process_time()
        try:
            retarget(config)
        except Exception as error:
            print(f"{path.stem}: {type(error).__name__}: {error}", file=sys.stderr)
            times[path.stem] = None
        else:
            times[path.stem] = time.process_time() - started
        times_file.write_text(json.dumps(times, indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve())
