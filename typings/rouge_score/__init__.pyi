# Of the extra `captions`, which not every checkout has: what of it is used.
