"""The one error that bad input raises."""


class MotionError(ValueError):
    """Input that cannot be used. Its text is one line: the file or field, what is wrong, what would be right."""
