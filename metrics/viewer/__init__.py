"""Motion as a page plays it: what there is to see, bodies and poses as numbers, the page itself."""
