"""The text-motion evaluator: does a motion do what its caption says, and is a set of motions like another."""
