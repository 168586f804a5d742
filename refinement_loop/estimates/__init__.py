"""What long work will take, in time and on the disk, told by some seconds of doing parts of it."""
