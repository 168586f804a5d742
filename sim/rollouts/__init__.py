"""What physics did: recorded, replayed, certified, and read for the loads it put on the feet."""
