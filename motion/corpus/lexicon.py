"""Words for what described clips do, as captions have them; rarer ones stand in `synonyms`."""

from __future__ import annotations

from typing import Any

from .phrase import Phrase, some, terse

CAPTIONS: dict[str, list[Phrase]] = {
    "walk": [
        *some(
            "<walk> forward{mods}",
            "<walk>{mods}",
            "<go> forward{mods}",
            "<move> forward on foot{mods}",
            "<take> several steps forward{mods}",
            "<walk> ahead{mods}",
            "<advance>{mods}",
            "<proceed> ahead{mods}",
            "<walk> onward{mods}",
            "<cover> some ground on foot{mods}",
            way="forward",
        ),
        *some(
            "<walk> in a circle to the {side}{mods}",
            "<go> around in a circle to the {side}{mods}",
            "<walk> around in a big circle, turning {side}{mods}",
            "<circle> around to the {side}{mods}",
            way="forward",
            curve="circle",
        ),
        *some(
            "<walk> a curve to the {side}{mods}",
            "<follow> a curved path to the {side}{mods}",
            way="forward",
            curve="curve",
        ),
        *some(
            "<walk> straight ahead{mods}",
            "<walk> in a straight line{mods}",
            "<go> straight forward{mods}",
            way="forward",
            curve="straight",
        ),
        *some(
            "<sneak> forward{mods}",
            "<creep> ahead{mods}",
            "<sneak> ahead in a low crouch{mods}",
            "<walk> forward with bent knees, keeping low{mods}",
            way="forward",
            style="sneaking",
        ),
        *some(
            "<march> forward{mods}",
            "<march> ahead with knees lifted high{mods}",
            "<walk> forward and <lift> {their} knees high{mods}",
            way="forward",
            style="high knees",
        ),
        *some(
            "<drag> {their} tired body forward{mods}",
            "<walk> forward with a bent back and a hanging head{mods}",
            way="forward",
            style="tired",
        ),
        *some(
            "<walk> forward with big swings of the arms{mods}",
            "<walk> along in a good mood{mods}",
            way="forward",
            style="cheerful",
        ),
        *some("<walk> like a robot{mods}", "<walk> forward with still arms{mods}", way="forward", style="stiff"),
        *some(
            "<walk> with tiny steps{mods}", "<take> many short steps forward{mods}", way="forward", style="small steps"
        ),
        *some("<walk> with long steps{mods}", "<take> very long steps forward{mods}", way="forward", style="big steps"),
        *some(
            "<walk> backward{mods}",
            "<walk> backwards{mods}",
            "<go> backward{mods}",
            "<move> back on foot{mods}",
            "<back> up{mods}",
            "<take> several steps backward{mods}",
            "<retreat>{mods}",
            way="backward",
        ),
        *some("<sneak> backward{mods}", "<creep> backwards{mods}", way="backward", style="sneaking"),
        *terse("walk forward{mods}", "walk{mods}", "forward walk{mods}", "walking ahead{mods}", way="forward"),
        *terse("walk backward{mods}", "backward walk{mods}", "walking back{mods}", way="backward"),
    ],
    "side step": [
        *some(
            "<step> sideways to the {side}{mods}",
            "<take> side steps to the {side}{mods}",
            "<side-step> {side}{mods}",
            "<move> sideways to the {side}{mods}",
            "<go> to {their} {side} sideways{mods}",
            "<shuffle> to the {side}{mods}",
            "<take> {count} side steps to the {side}{mods}",
            "<make> {count} steps to {their} {side} side{mods}",
        ),
        *some("<sneak> sideways to the {side}{mods}", "<creep> to the {side} side{mods}", style="sneaking"),
        *terse("side step {side}{mods}", "{count} side steps {side}{mods}", "sideways to the {side}{mods}"),
    ],
    "turn": [
        *some(
            "<turn> to the {side}{mods}",
            "<turn> {side} in place{mods}",
            "<rotate> to {their} {side}{mods}",
            "<turn> {their} whole body to the {side}{mods}",
            "<rotate> {side} with small steps{mods}",
        ),
        *some(
            "<turn> ninety degrees to the {side}{mods}",
            "<make> a quarter turn to the {side}{mods}",
            "<turn> to face {their} {side}{mods}",
            amount="quarter",
        ),
        *some(
            "<turn> around to the {side}{mods}",
            "<make> a half turn to the {side}{mods}",
            "<turn> to the {side} to face the other way{mods}",
            "<turn> around over the {side}{mods}",
            amount="half",
        ),
        *some(
            "<turn> all the way around to the {side}{mods}",
            "<make> a full turn to the {side}{mods}",
            "<turn> in a complete circle to the {side}{mods}",
            amount="full",
        ),
        *some("<turn> slightly to the {side}{mods}", "<turn> a little to the {side}{mods}", amount="a little"),
        *terse("turn {side}{mods}", "turn to the {side}{mods}", "rotate {side}{mods}"),
        *terse("half turn {side}{mods}", "turn around {side}{mods}", amount="half"),
        *terse("quarter turn {side}{mods}", amount="quarter"),
        *terse("full turn {side}{mods}", amount="full"),
    ],
    "step": [
        *some(
            "<take> {count_steps} forward{mods}",
            "<make> {count_steps} forward and <stop>{mods}",
            "<come> forward by {count_steps}{mods}",
            way="forward",
        ),
        *some(
            "<take> {count_steps} back{mods}",
            "<make> {count_steps} backward and <stop>{mods}",
            "<move> back by {count_steps}{mods}",
            way="backward",
        ),
        *terse("{count_steps} forward", way="forward"),
        *terse("{count_steps} back", way="backward"),
    ],
    "march": [
        *some(
            "<march> in place{mods}",
            "<walk> in place{mods}",
            "<step> in place{mods}",
            "<lift> one foot after the other without moving ahead{mods}",
            "<walk> without leaving the place{mods}",
        ),
        *some(
            "<march> in place with high knees{mods}",
            "<lift> {their} knees high one after the other in place{mods}",
            style="high knees",
        ),
        *terse("march in place{mods}", "walk in place{mods}", "stepping in place{mods}"),
    ],
    "stand": [
        *some("<stand> still{mods}", "<stand> in place{mods}", "<keep> standing{mods}", "<do> nothing but stand{mods}"),
        *some(
            "<stand> and <shift> {their} weight from side to side{mods}",
            "<sway> slightly while standing{mods}",
            "<stand> and <shift> from one foot to the other{mods}",
            sway=True,
        ),
        *terse("stand still", "standing", "stand"),
    ],
    "squat": [
        *some(
            "<squat>{mods}",
            "<squat> down{mods} and <stand> up again",
            "<bend> {their} knees into a squat{mods}",
            "<lower> {their} body into a squat{mods}",
            "<go> down into a squat{mods}",
            "<do> {count} squats{mods}",
            "<sit> down into the air{mods} and <get> up",
        ),
        *some(
            "<squat> down{mods} and <stay> there for a moment",
            "<hold> a squat{mods}",
            "<sit> down as if on a chair{mods} and <stay> seated for a while",
            hold=True,
        ),
        *terse("squat{mods}", "{count} squats{mods}", "squatting{mods}"),
        *terse("squat and hold{mods}", hold=True),
    ],
    "kick": [
        *some(
            "<kick> with {their} {side} leg{mods}",
            "<kick> forward with the {side} foot{mods}",
            "<swing> {their} {side} leg forward in a kick{mods}",
            "<throw> a {side} kick{mods}",
            "<kick> something in front of {them} with the {side} foot{mods}",
            "<do> {count} kicks with the {side} leg",
        ),
        *terse("kick {side}{mods}", "{side} kick{mods}", "kick with the {side} leg{mods}"),
    ],
    "raise knee": [
        *some(
            "<lift> {their} {side} knee{mods}",
            "<raise> {their} {side} knee to hip height{mods}",
            "<pull> up the {side} knee{mods}",
            "<bring> the {side} knee up{mods}",
        ),
        *some(
            "<stand> on one leg with the {side} knee lifted{mods}",
            "<balance> on one leg, {side} knee up{mods}",
            hold=True,
        ),
        *terse("raise {side} knee{mods}", "{side} knee up{mods}"),
        *terse("balance on one leg, {side} knee up", hold=True),
    ],
    "lunge": [
        *some(
            "<lunge> forward with the {side} leg{mods}",
            "<do> a lunge with {their} {side} foot in front{mods}",
            "<step> far forward with the {side} foot and <sink> down{mods}, then <step> back",
            "<take> a long step with the {side} leg and <lower> {their} hips{mods}",
        ),
        *terse("lunge {side}{mods}", "{side} leg lunge{mods}"),
    ],
    "bow": [
        *some(
            "<bow>{mods}",
            "<bend> forward at the waist{mods} and <straighten> up",
            "<bow> {their} upper body{mods}",
            "<bend> {their} upper body forward{mods}",
            "<bow> politely{mods}",
            "<lean> forward into a bow{mods}",
        ),
        *terse("bow{mods}", "bowing{mods}", "bend forward{mods}"),
    ],
    "lean": [
        *some(
            "<lean> to the {side}{mods}",
            "<bend> sideways to the {side}{mods}",
            "<bend> {their} upper body to the {side}{mods}",
            "<stretch> sideways to {their} {side}{mods}",
        ),
        *terse("lean {side}{mods}", "side bend {side}{mods}"),
    ],
    "punch": [
        *some(
            "<punch> with {their} {side} hand{mods}",
            "<throw> a {side} punch{mods}",
            "<punch> forward with the {side} fist{mods}",
            "<box> with the {side} hand{mods}",
            "<throw> {count_punches} with the {side} arm",
        ),
        *terse("punch {side}{mods}", "{side} punch{mods}", "{side} hand punch{mods}"),
    ],
    "jump": [
        *some(
            "<jump> up{mods}",
            "<jump> straight up{mods}",
            "<jump> in place{mods}",
            "<bend> the knees and <jump> up{mods}",
            "<jump> off the ground with both feet{mods}",
            "<make> {count_jumps} upward",
            way="up",
        ),
        *some(
            "<jump> forward{mods}",
            "<jump> ahead with both feet{mods}",
            "<make> {count_jumps} forward",
            "<bend> the knees and <jump> forward{mods}",
            way="forward",
        ),
        *some(
            "<make> small jumps in place{mods}",
            "<jump> lightly up and down{mods}",
            "<do> little jumps in place{mods}",
            "<jump> up and down a little{mods}",
            way="small",
        ),
        *terse("jump{mods}", "jump up{mods}", "jumping{mods}", way="up"),
        *terse("jump forward{mods}", "forward jump{mods}", way="forward"),
        *terse("small jumps{mods}", way="small"),
    ],
    "wave": [
        *some(
            "<wave> with {their} {side} hand{mods}",
            "<wave> {their} {side} arm{mods}",
            "<raise> the {side} hand and <wave>{mods}",
            "<wave> hello with the {side} hand{mods}",
            "<wave> at somebody with {their} {side} hand{mods}",
            "<lift> {their} {side} hand and <move> it from side to side{mods}",
            "<greet> with the {side} hand{mods}",
        ),
        *terse("wave {side}{mods}", "{side} hand wave{mods}", "wave with the {side} hand{mods}"),
    ],
    "raise arm": [
        *some(
            "<raise> {their} {side} arm{mods}",
            "<lift> the {side} arm{mods}",
            "<bring> {their} {side} arm up{mods}",
            "<raise> {their} {side} hand{mods} and <lower> it again",
            "<hold> {their} {side} arm up{mods}",
            "<put> the {side} hand up{mods}",
        ),
        *terse("raise {side} arm{mods}", "{side} arm up{mods}", "lift {side} arm{mods}"),
    ],
    "raise arms": [
        *some(
            "<raise> both arms{mods}",
            "<lift> both arms{mods}",
            "<bring> {their} arms up{mods}",
            "<raise> both hands{mods} and <lower> them again",
            "<hold> up both arms{mods}",
            "<lift> {their} arms{mods}",
        ),
        *terse("raise both arms{mods}", "both arms up{mods}", "lift arms{mods}"),
    ],
    "point": [
        *some(
            "<point> forward with {their} {side} hand{mods}",
            "<point> ahead with the {side} arm{mods}",
            "<point> at something in front of {them} with the {side} hand{mods}",
            way="ahead",
        ),
        *some(
            "<point> to the side with {their} {side} hand{mods}",
            "<point> to {their} {side} with the {side} arm{mods}",
            way="to the side",
        ),
        *some(
            "<point> up with {their} {side} hand{mods}",
            "<point> at the sky with the {side} hand{mods}",
            "<point> upward with {their} {side} arm{mods}",
            way="up",
        ),
        *terse("point {side} hand ahead", way="ahead"),
        *terse("point {side} hand to the side", way="to the side"),
        *terse("point {side} hand up", way="up"),
    ],
    "salute": [
        *some(
            "<bring> the {side} hand to {their} forehead like a soldier{mods}",
            "<touch> {their} forehead with {their} {side} hand{mods}",
            "<give> a military greeting with the {side} hand{mods}",
            "<put> {their} {side} hand to {their} brow{mods} as soldiers do",
        ),
        *terse("{side} hand to forehead{mods}", "military greeting {side} hand{mods}"),
    ],
    "clap": [
        *some(
            "<clap> {their} hands{mods}",
            "<clap>{mods}",
            "<hit> {their} palms together{mods}",
            "<bring> both hands together in front of {their} chest again and again",
        ),
        *terse("clap{mods}", "clap hands{mods}", "clapping{mods}"),
    ],
    "hands on hips": [
        *some(
            "<put> both hands on {their} hips{mods}",
            "<place> {their} hands on {their} hips{mods}",
            "<rest> {their} hands on {their} hips{mods}",
        ),
        *terse("hands on hips{mods}", "hands to hips{mods}"),
    ],
    "reach": [
        *some(
            "<reach> forward with {their} {side} hand{mods}",
            "<reach> out with the {side} arm{mods}",
            "<reach> for something in front of {them} with the {side} hand{mods}",
            "<extend> {their} {side} arm to take something{mods}",
        ),
        *terse("reach {side}{mods}", "{side} hand reach{mods}"),
    ],
    "nod": [
        *some("<nod>{mods}", "<nod> {their} head{mods}", "<move> {their} head up and down{mods}"),
        *terse("nod{mods}", "nodding{mods}"),
    ],
    "shake head": [
        *some(
            "<shake> {their} head{mods}",
            "<turn> {their} head from side to side{mods}",
            "<move> {their} head left and right{mods}",
        ),
        *terse("shake head{mods}", "head shaking{mods}"),
    ],
    "look": [
        *some(
            "<look> to the {side}{mods}",
            "<turn> {their} head to the {side}{mods}",
            "<look> {side}{mods}",
            "<look> over to {their} {side}{mods}",
        ),
        *terse("look {side}{mods}", "head {side}{mods}"),
    ],
    "look around": [
        *some(
            "<look> around{mods}", "<look> to both sides{mods}", "<turn> {their} head one way and then the other{mods}"
        ),
        *terse("look around{mods}"),
    ],
}
"""Verb phrases of captions by kind (`grammar.kind`: an action, with raised arms and looks told apart)."""

TIMES = {
    1: ("once", "one time"),
    2: ("twice", "two times"),
    3: ("three times",),
    4: ("four times",),
    5: ("five times",),
}
MODIFIERS: dict[tuple[str, Any], tuple[str, ...]] = {
    ("pace", "slow"): ("slowly", "at a slow pace", "in no hurry", "taking {their} time"),
    ("pace", "normal"): ("at a normal pace", "at a steady pace", "at an ordinary speed"),
    ("pace", "fast"): ("quickly", "fast", "at a fast pace", "briskly", "at a quick pace"),
    ("tempo", "slow"): ("slowly", "in slow motion", "very slowly", "in a slow way"),
    ("tempo", "fast"): ("quickly", "fast", "in a quick motion", "in a fast way"),
    ("curve", "curve"): (
        "in a curve to the {side}",
        "curving to the {side}",
        "along a bend to the {side}",
        "while curving {side}",
    ),
    ("curve", "circle"): ("in a circle to the {side}", "around a circle, turning {side}"),
    ("curve", "straight"): ("in a straight line", "straight ahead"),
    ("style", "sneaking"): ("in a crouch", "with bent knees", "stealthily", "keeping low", "as if sneaking"),
    ("style", "tired"): (
        "tiredly",
        "with a bent back",
        "as if very tired",
        "with the head hanging down",
        "with a hunched back",
    ),
    ("style", "cheerful"): (
        "cheerfully",
        "happily",
        "with wide arm swings",
        "in a happy way",
        "swinging {their} arms a lot",
    ),
    ("style", "stiff"): ("stiffly", "like a robot", "without swinging {their} arms", "with a rigid body"),
    ("style", "high knees"): ("with high knees", "lifting {their} knees high", "with knees lifted up high"),
    ("style", "small steps"): ("with small steps", "with short steps", "in tiny steps"),
    ("style", "big steps"): ("with big steps", "with very long steps", "taking long steps"),
    ("depth", "low"): ("low", "deeply", "all the way down"),
    ("depth", "slight"): ("slightly", "a little", "not very far"),
    ("depth", "deep"): ("deeply", "low", "far down"),
    ("level", "high"): ("high", "up high", "up in the air"),
    ("level", "low"): ("low", "near the ground"),
    ("hold", True): ("and <hold> it", "and <stay> like that for a moment"),
    ("amount", "quarter"): ("by ninety degrees", "by a quarter turn"),
    ("amount", "half"): ("by one hundred eighty degrees", "until facing the other way", "by half a turn"),
    ("amount", "full"): ("by a full circle", "through a complete turn"),
    ("amount", "a little"): ("a little", "slightly", "by about forty-five degrees"),
    ("way", "to the side"): ("to the side", "out to the side", "sideways"),
    ("way", "in front"): ("to the front", "in front of {them}", "forward"),
    ("way", "overhead"): ("above {their} head", "overhead", "high up"),
}
"""Adverbs of captions, by what they tell."""

JOINTS = {
    "while": ("{a} while {ing}", "{a} and {b} at the same time", "{a}, {ing} all along", "{a} as {they} {b}"),
    "imperative while": ("{a} while {ing}", "{a} and {b} at the same time", "{a}, {ing} all along"),
    "terse while": ("{a}, {b}", "{a} + {b}", "{a} with {b}"),
    "then": (
        "{a}, then {b}",
        "{a} and then {b}",
        "{a}, and after that {they} {b}",
        "{a} before {ing}",
        "first {a}, then {b}",
        "{a}; next, {they} {b}",
        "{a}, then {they} {b}",
    ),
    "imperative then": ("{a}, then {b}", "{a} and then {b}", "first {a}, then {b}", "{a}, and after that {b}"),
    "terse then": ("{a}, then {b}", "{a} then {b}", "{a}; {b}"),
}
"""How two verb phrases are joined, at the same time or one after the other."""

SUBJECTS = (
    ("a person", "they"),
    ("a person", "they"),
    ("someone", "they"),
    ("the person", "they"),
    ("a man", "he"),
    ("a woman", "she"),
    ("the man", "he"),
    ("a figure", "they"),
    ("somebody", "they"),
)

LONG_OPENINGS = (
    "on level ground {who} {s}",
    "in this motion {who} {s}",
    "what we see is that {who} {s}",
    "here {who} {s}",
    "{who} is in an open space and {s}",
    "the clip shows how {who} {s}",
)
LONG_THEN = (
    "{a}, and once that is done {they} {b}",
    "{a}; when this is over, {they} {b}",
    "{a}, and as the next thing {they} {b}",
    "to begin with {a}, and afterwards {they} {b}",
)
LONG_WHILE = ("{a}, and during all of this {they} {b}", "{a}, and at the very same time {they} {b}")
