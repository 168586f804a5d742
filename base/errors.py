"""The errors that end a command with one line."""


class MotionError(ValueError):
    """Input that cannot be used. Its text is one line: the file or field, what is wrong, what would be right."""


class MachineFault(MotionError):
    """The machine failed, not the input: a worker was killed, memory or disk ran out. What was asked for has no result
    yet; the same command tries again."""
