"""Rigs that hurt the unattended runtime on purpose and count what is lost; each has a control that must lose."""
