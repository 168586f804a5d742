"""Human motion onto robots: scaled key-points and directions of body parts, followed frame after frame by inverse
kinematics within the robot's limits, its standing feet held."""
