"""morphloop: one loop that makes humanoid motion physical, each arc of it usable alone.

The parts are `morphloop.language`, `.motion`, `.sim`, `.metrics`, `.envs`, `.imitator`, `.generator`,
`.refinement_loop` and `.cli`. Their files stand in top-level folders of a checkout; the links beside this file lead
there, for editors, type checkers and whoever runs python in the checkout. A wheel holds the folders themselves. To
import this loads nothing else.
"""

__all__ = ["__version__"]

__version__ = "0.1.0"
