"""The defect bench: what every metric reads of defects of known size."""
