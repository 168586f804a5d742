"""Words that are kept from captions: what `paraphrases` is made of, with the meanings of `lexicon`."""

from __future__ import annotations

from typing import Any

from .phrase import Phrase, some, terse

HELD_OUT: dict[str, list[Phrase]] = {
    "walk": [
        *some(
            "<saunter>{mods}",
            "<stroll> along{mods}",
            "<stride> forward{mods}",
            "<amble> ahead{mods}",
            "<wander> forward{mods}",
            "<roam> ahead{mods}",
            "<trek> forward{mods}",
            way="forward",
        ),
        *some(
            "<trudge> along{mods}",
            "<plod> forward{mods}",
            "<slouch> along{mods}",
            "<shamble> forward{mods}",
            way="forward",
            style="tired",
        ),
        *some("<prowl> forward{mods}", "<slink> ahead{mods}", "<skulk> along{mods}", way="forward", style="sneaking"),
        *some("<parade> forward with lofty knees{mods}", "<goose-step> ahead{mods}", way="forward", style="high knees"),
        *some("<strut> merrily ahead{mods}", "<swagger> forward{mods}", way="forward", style="cheerful"),
        *some(
            "<stroll> along an arc to the {side}{mods}",
            "<veer> to the {side} on {their} stroll{mods}",
            way="forward",
            curve="curve",
        ),
        *some(
            "<backpedal>{mods}",
            "<withdraw> on foot{mods}",
            "<reverse> on foot{mods}",
            "<stroll> rearward{mods}",
            way="backward",
        ),
        *terse("saunter{mods}", "stroll{mods}", "striding{mods}", way="forward"),
        *terse("backpedal{mods}", way="backward"),
    ],
    "side step": [
        *some(
            "<sidle> to the {side}{mods}",
            "<edge> over to the {side}{mods}",
            "<scoot> to {their} {side}{mods}",
            "<strafe> {side}{mods}",
        ),
        *terse("sidle {side}{mods}", "strafe {side}{mods}"),
    ],
    "turn": [
        *some(
            "<pivot> to the {side}{mods}",
            "<swivel> {side}{mods}",
            "<spin> to the {side}{mods}",
            "<revolve> to {their} {side}{mods}",
        ),
        *some("<twirl> once about the vertical to the {side}{mods}", amount="full"),
        *some("<pivot> to the {side} to reverse {their} facing{mods}", amount="half"),
        *terse("pivot {side}{mods}", "spin {side}{mods}"),
    ],
    "march": [
        *some("<stamp> on the spot{mods}", "<tread> on the spot{mods}", "<trample> on the spot{mods}"),
        *terse("tread on the spot{mods}"),
    ],
    "stand": [
        *some(
            "<remain> motionless{mods}", "<wait> without any movement{mods}", "<linger> quietly{mods}", "<loiter>{mods}"
        ),
        *terse("remain motionless", "idle waiting"),
    ],
    "squat": [
        *some(
            "<hunker> down{mods} and <rise> again",
            "<duck> down{mods}",
            "<drop> into a knee bend{mods}",
            "<perform> a deep knee bend{mods}",
        ),
        *some("<hunker> down{mods} and <remain> there", hold=True),
        *terse("knee bend{mods}", "duck down{mods}"),
    ],
    "kick": [
        *some(
            "<boot> a ball with {their} {side} foot{mods}",
            "<punt> with the {side} leg{mods}",
            "<lash> out with the {side} leg{mods}",
            "<fling> {their} {side} foot forward{mods}",
        ),
        *terse("punt {side}{mods}"),
    ],
    "raise knee": [
        *some("<hike> up {their} {side} knee{mods}", "<hoist> the {side} knee{mods}"),
        *some("<pose> like a flamingo with {their} {side} leg drawn in{mods}", hold=True),
    ],
    "lunge": [
        *some(
            "<dip> into a split stance with the {side} leg leading{mods}",
            "<plunge> ahead onto the {side} leg{mods} and <return>",
        )
    ],
    "bow": [
        *some(
            "<stoop>{mods}",
            "<incline> {their} torso{mods}",
            "<hinge> at the hips{mods}",
            "<fold> {their} torso forward{mods}",
        ),
        *terse("stoop{mods}"),
    ],
    "lean": [
        *some(
            "<tilt> {their} torso to the {side}{mods}",
            "<list> to the {side}{mods}",
            "<sag> sideways toward the {side}{mods}",
        )
    ],
    "punch": [
        *some(
            "<jab> with {their} {side} fist{mods}",
            "<strike> with the {side} knuckles{mods}",
            "<thump> the air with {their} {side} fist{mods}",
        ),
        *terse("{side} jab{mods}", "jab {side}{mods}"),
    ],
    "jump": [
        *some(
            "<leap> up{mods}",
            "<spring> off the ground{mods}",
            "<hop> on the spot{mods}",
            "<vault> upward{mods}",
            way="up",
        ),
        *some("<leap> forward{mods}", "<bound> forward{mods}", "<spring> ahead{mods}", way="forward"),
        *some("<hop> on the spot{mods}", "<bounce> on the spot{mods}", "<skip> lightly on the spot{mods}", way="small"),
        *terse("leap up{mods}", "hop on the spot{mods}", way="up"),
        *terse("leap forward{mods}", way="forward"),
    ],
    "wave": [
        *some(
            "<flap> {their} {side} hand in greeting{mods}",
            "<signal> goodbye with the {side} hand{mods}",
            "<hail> a friend with {their} {side} arm{mods}",
            "<waggle> {their} uplifted {side} hand{mods}",
        ),
        *terse("goodbye {side} hand{mods}"),
    ],
    "raise arm": [
        *some(
            "<hoist> {their} {side} arm{mods}",
            "<elevate> the {side} arm{mods}",
            "<thrust> {their} {side} hand{mods}",
        ),
        *some("<swing> {their} {side} arm aloft", way="overhead"),
        *terse("elevate {side} arm{mods}"),
    ],
    "raise arms": [
        *some("<hoist> both arms{mods}", "<elevate> both arms{mods}", "<thrust> both hands{mods}"),
        *terse("elevate both arms{mods}"),
    ],
    "point": [
        *some(
            "<indicate> something ahead with {their} {side} hand{mods}",
            "<aim> {their} {side} finger forward{mods}",
            way="ahead",
        ),
        *some(
            "<indicate> the ceiling with {their} {side} finger{mods}",
            "<aim> {their} {side} finger skyward{mods}",
            way="up",
        ),
        *some("<indicate> something beside {them} with {their} {side} finger{mods}", way="to the side"),
    ],
    "salute": [
        *some("<salute> with the {side} hand{mods}", "<salute> an officer with {their} {side} hand{mods}"),
        *terse("salute {side}{mods}", "{side} hand salute{mods}"),
    ],
    "clap": [
        *some("<applaud>{mods}", "<slap> {their} palms against each other{mods}", "<give> a round of applause"),
        *terse("applaud{mods}", "applause{mods}"),
    ],
    "hands on hips": [
        *some("<stand> with arms akimbo{mods}", "<plant> {their} fists on {their} waist{mods}"),
        *terse("arms akimbo{mods}"),
    ],
    "reach": [
        *some(
            "<grope> ahead with {their} {side} hand{mods}",
            "<grab> for an object with the {side} hand{mods}",
            "<stretch> {their} {side} arm toward an object{mods}",
        )
    ],
    "nod": [*some("<bob> {their} head{mods}", "<agree> with the head{mods}", "<gesture> yes with {their} head{mods}")],
    "shake head": [
        *some(
            "<wag> {their} head in denial{mods}",
            "<gesture> no with {their} head{mods}",
            "<refuse> with a swing of the head{mods}",
        )
    ],
    "look": [
        *some("<glance> {side}{mods}", "<peer> to the {side}{mods}", "<gaze> toward {their} {side}{mods}"),
        *terse("glance {side}{mods}"),
    ],
    "look around": [*some("<scan> the surroundings{mods}", "<glance> about{mods}", "<survey> the room{mods}")],
}
"""The same by words that are kept from captions; a kind that is not here has no paraphrase."""

HELD_OUT_MODIFIERS: dict[tuple[str, Any], tuple[str, ...]] = {
    ("pace", "slow"): ("leisurely", "sluggishly", "unhurriedly"),
    ("pace", "fast"): ("swiftly", "rapidly", "speedily", "hastily"),
    ("tempo", "slow"): ("sluggishly", "gradually", "unhurriedly"),
    ("tempo", "fast"): ("swiftly", "rapidly", "hastily"),
    ("style", "sneaking"): ("furtively", "like a burglar"),
    ("style", "tired"): ("wearily", "exhaustedly", "droopingly"),
    ("style", "cheerful"): ("merrily", "joyfully", "gleefully"),
    ("style", "stiff"): ("woodenly", "mechanically", "like a tin soldier"),
    ("depth", "low"): ("profoundly",),
    ("depth", "deep"): ("profoundly",),
    ("curve", "curve"): ("veering {side}", "swerving to the {side}"),
    ("way", "overhead"): ("aloft", "skyward"),
    ("way", "in front"): ("toward the fore",),
    ("way", "to the side"): ("laterally",),
}
HELD_OUT_JOINTS = {
    "while": ("{a}, simultaneously {ing}", "{a} whilst {ing}"),
    "imperative while": ("{a} whilst {ing}",),
    "terse while": ("{a} plus {b}",),
    "then": ("{a}, subsequently {they} {b}", "{a}, whereupon {they} {b}"),
    "imperative then": ("{a}, thereafter {b}",),
    "terse then": ("{a} followed by {b}",),
}
_HELD_OUT = """
    saunter stroll stride amble wander roam trek trudge plod slouch shamble prowl slink skulk parade lofty
    goose-step strut swagger veer backpedal withdraw reverse rearward sidle edge scoot strafe pivot swivel spin
    revolve twirl stamp tread trample spot remain motionless linger loiter wait hunker duck boot punt lash fling
    hike hoist flamingo dip plunge stoop incline hinge fold torso tilt list sag jab strike knuckle thump leap spring
    hop vault bound bounce skip flap goodbye hail waggle uplift elevate thrust aloft indicate aim finger skyward
    ceiling salute applaud applause slap akimbo plant grope grab object bob agree gesture wag denial refuse glance
    peer gaze scan survey swiftly rapidly speedily hastily leisurely sluggishly unhurriedly gradually furtively
    burglar wearily exhaustedly droopingly merrily joyfully gleefully woodenly mechanically tin profoundly swerve
    toward laterally simultaneously whilst subsequently whereupon thereafter followed plus
"""
HELD_OUT_WORDS = frozenset(_HELD_OUT.split())
"""Words, by their plain form, that occur in no caption of a described clip."""
