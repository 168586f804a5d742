"""The built-in corpus: text-labelled motion generated in code."""
