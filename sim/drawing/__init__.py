"""Bodies drawn: stick figures, MuJoCo's renderer, strips and videos."""
