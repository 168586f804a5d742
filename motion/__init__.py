"""Motion: skeletons, clips, files, features, fitting and the built-in corpus."""

from typing import TYPE_CHECKING

from morphloop.base.on_demand import names_of

if TYPE_CHECKING:
    from .clip import Clip, JointTrack, Provenance, Rollout
    from .corpus.described import described_captions, make_described, paraphrases
    from .corpus.grammar import Prompt
    from .corpus.make import action_names, corpus_captions, make_corpus
    from .files import load_clip, load_rollout, read_manifest, save_clip, save_rollout, write_manifest
    from .fitting.fit import TOE_HEIGHT, fit_joints
    from .fitting.retarget import to_default
    from .humanml3d import joints_from_features, joints_to_features, track_from_features, track_to_features
    from .readers import find_motions, read_motion, read_motions
    from .skeleton import DEFAULT_SKELETON, HUMANML3D_JOINTS, SMPL_JOINTS, Skeleton, forward_kinematics
    from .writers import FORMATS, as_format, check_layout, write_motion
else:
    __getattr__ = names_of(
        __name__,
        {
            "clip": ("Clip", "JointTrack", "Provenance", "Rollout"),
            "corpus.described": ("described_captions", "make_described", "paraphrases"),
            "corpus.grammar": ("Prompt",),
            "corpus.make": ("action_names", "corpus_captions", "make_corpus"),
            "files": (
                "load_clip",
                "load_rollout",
                "read_manifest",
                "save_clip",
                "save_rollout",
                "write_manifest",
            ),
            "fitting.fit": ("TOE_HEIGHT", "fit_joints"),
            "humanml3d": ("joints_from_features", "joints_to_features", "track_from_features", "track_to_features"),
            "readers": ("find_motions", "read_motion", "read_motions"),
            "fitting.retarget": ("to_default",),
            "skeleton": ("DEFAULT_SKELETON", "HUMANML3D_JOINTS", "SMPL_JOINTS", "Skeleton", "forward_kinematics"),
            "writers": ("FORMATS", "as_format", "check_layout", "write_motion"),
        },
    )

__all__ = [
    "DEFAULT_SKELETON",
    "FORMATS",
    "HUMANML3D_JOINTS",
    "SMPL_JOINTS",
    "TOE_HEIGHT",
    "Clip",
    "JointTrack",
    "Prompt",
    "Provenance",
    "Rollout",
    "Skeleton",
    "action_names",
    "as_format",
    "check_layout",
    "corpus_captions",
    "described_captions",
    "find_motions",
    "fit_joints",
    "forward_kinematics",
    "joints_from_features",
    "joints_to_features",
    "load_clip",
    "load_rollout",
    "make_corpus",
    "make_described",
    "paraphrases",
    "read_manifest",
    "read_motion",
    "read_motions",
    "save_clip",
    "save_rollout",
    "to_default",
    "track_from_features",
    "track_to_features",
    "write_manifest",
    "write_motion",
]
