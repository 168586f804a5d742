"""Bodies: built in, from MJCF, from SMPL model files; what each is known by."""
