"""The imitator measured: sets of clips, rows, tables, speed, ablations, backends."""
