"""Small trained weights that ship with the package; a model card stands beside each."""
