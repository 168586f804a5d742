"""How much a motion and its file may hold, in one place: what is larger is refused, mostly before it is read.

A limit stands well over the largest published file of its kind and well under what harms the machine. Time is bounded
through these, not by a clock.
"""

# --- a motion

MAX_FRAMES = 1_000_000
"""About nine hours at 30 fps; a longer clip is taken for a corrupt header."""
MIN_FPS, MAX_FPS = 1.0, 1_000.0
"""A slower rate is a damaged one: a second of motion would be made of what lies between two frames."""
MAX_JOINTS = 1_000
"""More joints than any body has; what is done with a skeleton grows faster than their number."""
MAX_JOINT_FRAMES = 5_000_000
"""Joints times frames of one motion: 115 minutes of 24 joints at 30 fps, 29 at 120. Reading takes about 300 bytes for
each, so the largest takes 1.5 GiB."""
MAX_NUMBERS = 40_000_000
"""Numbers of one array in a file, which become 8 bytes each whatever they are there: 320 MB."""
LARGEST = 1e6
"""Metres or radians; larger numbers are those of a damaged file and would overflow in products."""
MAX_TEXTS, MAX_TEXT = 1_000, 10_000
"""Captions of a motion, and characters of one."""
MAX_MOTIONS = 200_000
"""Motions of one file."""

# --- any file

LOOK_BYTES = 4096
"""Bytes at the beginning of a file that are looked at to tell what it is."""
READ_BYTES = 1 << 22
"""Bytes that are read at once."""
MAX_MANIFEST = 1 << 28
"""Bytes of a manifest; a row has some thousand."""

# --- text

MAX_TEXT_BYTES = 1 << 28
"""Largest text file that is read: 256 MiB, 70 minutes of a BVH of 75 joints at 30 fps."""
MAX_AMC_LINES = 2_000_000
"""Lines of a trial, one a bone and frame; CMU's longest has 0.7 million."""
LINES_A_JOINT = 10
"""Lines of a BVH's hierarchy that a joint and its end site may take, empty ones among them."""
NUMBER_LETTERS = 64
"""Letters that a number in a BVH's frame may take with the space around it."""

# --- arrays

MAX_ARRAY_BYTES = 1 << 31
"""Largest array that a file may announce: 2 GiB."""
MAX_MEMBERS = 1_000
"""Arrays of one npz; published ones have up to 20."""
MAX_META = 1 << 22
"""Characters of the JSON text in a clip file."""
MAX_UNPACKED, MAX_RATIO = 1 << 28, 50
"""A compressed file that unpacks to more than 256 MiB (four hours of SMPL-H at 30 fps in double precision) may not be
smaller than a fiftieth of that: motion packs to a half or a tenth, only zeros pack to a thousandth."""

# --- pickles

MAX_PICKLE = 1 << 31
"""Largest file: 2 GiB."""
MAX_PICKLE_UNPACKED = 1 << 30
"""Bytes that a compressed file may unpack to: 1 GiB, about 16 hours of PHC's SMPL clips."""
FREE_UNPACKED, UNPACKED_RATIO = 1 << 26, 100
"""A file may unpack to 64 MiB and 100 times its own size beyond; motions pack by 2 to 10."""
UNFOLDED_A_BYTE = 16
"""Bytes that the value may unfold to for each of the file: a number of two bytes takes eight, one used twice twice."""
MAX_OPERATIONS = 3_500_000
"""A PHC clip takes 256, so its largest set, 11,313 clips of AMASS in one file, 2.9 million."""
FEW_OPERATIONS, BYTES_AN_OPERATION = 250_000, 64
"""A file of arrays is mostly their bytes; one of nothing but operations is cut short."""
FREE_BYTES, BYTES_A_BYTE = 1 << 26, 8
"""Bytes that the calls of a file may make: 64 MiB, and eight for each of its own, as float from bytes takes."""
MAX_INTEGER_BYTES = 255
MAX_KEY = 1_000
"""Characters of a dictionary key."""
MAX_SPARSE, MAX_SPARSE_SIDE = 1 << 23, 1 << 20
"""Entries of a sparse matrix once dense, 64 MiB of doubles, and rows or columns. SMPL-X's regressor has 0.6 million."""
