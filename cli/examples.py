"""Examples at the end of every help, by the words of the command: lines that run as they stand where the files are."""

EXAMPLES: dict[str, tuple[str, ...]] = {
    "demo": ("morphloop demo --out demo_run",),
    "doctor": ("morphloop doctor", "morphloop doctor --json -"),
    "convert": (
        "morphloop convert clips/ --out amass/ --to amass",
        "morphloop convert walk.bvh --out refs/ --to mjlab --out-fps 50",
    ),
    "validate": (
        "morphloop validate clips/ --json problems.json",
        "morphloop validate clips/ --fix --out mended/ --fps 30",
    ),
    "retarget": ("morphloop retarget clips/ --body g1 --out g1/",),
    "evaluate": (
        "morphloop evaluate clips/ --html report.html",
        "morphloop evaluate old/ --compare new/ --html change.html",
        "morphloop evaluate clips/ --rank --drop drop.txt",
        "morphloop evaluate clips/ --json report.json --engine ray",
    ),
    "render": (
        "morphloop render walk.npz --out walk.mp4",
        "morphloop render physical/ --before --out strip.png",
    ),
    "view": ("morphloop view physical/", "morphloop view my_run/ --share-html run.html"),
    "project": (
        "morphloop project clips/ --out physical/ --json out.json",
        "morphloop project clips/ --body g1 --out g1_refs/ --to mjlab",
    ),
    "generate": ('morphloop generate "a person walks forward" "a person bows" --out generated/',),
    "train tokenizer": ("morphloop train tokenizer --out weights/tokenizer",),
    "train generator": ("morphloop train generator --tokenizer weights/tokenizer --out weights/generator",),
    "train imitator": ("morphloop train imitator --out weights/imitator --demonstrations 208 --steps 0",),
    "train evaluator": ("morphloop train evaluator --out weights/evaluator",),
    "loop run": (
        "morphloop loop run --out my_run --prompts prompts.txt",
        "morphloop loop run --out theirs --clips clips/",
    ),
    "loop resume": ("morphloop loop resume my_run",),
    "loop status": ("morphloop loop status my_run",),
    "loop report": ("morphloop loop report my_run",),
    "models fetch": ("morphloop models fetch smollm2",),
    "models list": ("morphloop models list",),
    "export": ("morphloop export shipped --onnx policy.onnx",),
    "body check": ("morphloop body check robot.xml",),
    "lineage": ("morphloop lineage my_run/round_00/project/clips/000_a_person_walks_forward.npz",),
    "verify": ("morphloop verify physical/", "morphloop verify my_run/ --json -"),
    "bench metrics": ("morphloop bench metrics --json bench.json",),
    "bench imitator": ("morphloop bench imitator --out work/ --clips clips/",),
    "bench generator": ("morphloop bench generator --json bench.json",),
    "completion": (
        'eval "$(morphloop completion bash)"',
        "morphloop completion fish > ~/.config/fish/completions/morphloop.fish",
    ),
}
