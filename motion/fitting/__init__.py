"""Motion of other skeletons, and bare joint positions, onto the default skeleton."""
