"""The bench: figures that can be argued with. Interleaved runs, every raw sample kept, nothing clipped."""
