"""The process that runs unattended: it owns the clock, the policy and the outbox, and starts what may die."""
