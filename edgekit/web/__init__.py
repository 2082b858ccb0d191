"""The local page of a loop that runs unattended: live pictures, states, events, health, metrics; by edgekit[web]."""
