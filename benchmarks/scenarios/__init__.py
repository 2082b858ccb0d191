"""The scenarios of the bench, one file each: what is run, how often, and what is kept of it."""
