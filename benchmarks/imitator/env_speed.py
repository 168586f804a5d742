"""How much of raw stepping of a physics backend is left as environment steps a second, and where the rest goes.

    python benchmarks/imitator/env_speed.py [--envs 256] [--steps 40] [--backend cpu|warp] [--device cuda:0]
        [--json FILE]

`python benchmarks/imitator/run.py --speed` has the same figures beside those of PPO and of the trajectory optimiser.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from speed import env_over_raw

from morphloop.base import write_json


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--envs", type=int, default=256)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--backend", choices=("cpu", "warp"), default="cpu")
    parser.add_argument("--device", help="for --backend warp: cuda:0 if not given, cpu to see that it runs")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    result = env_over_raw(args.envs, args.steps, args.backend, args.device)
    print(
        f"{result['envs']} environments, {result['simulator']} on {result['device']}, {result['cores']} cores, "
        f"load {result['load']}, {result['diverged']} diverged, {result['overflow']} buffers overflowed"
    )
    print(f"environment {result['env_steps_per_s']:8.0f} steps/s")
    print(f"raw         {result['raw_steps_per_s']:8.0f} steps/s")
    print(f"ratio       {result['ratio']:8.2f}")
    for name, ms in result["ms_per_step"].items():
        print(f"  {name:14s} {ms:7.2f} ms a step  {100 * result['share'][name]:5.1f} %")
    if args.json:
        write_json(args.json, result)


if __name__ == "__main__":
    main()
