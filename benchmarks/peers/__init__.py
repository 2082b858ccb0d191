"""edgekit beside what others use, each peer in its own environment; not part of the wheel."""
