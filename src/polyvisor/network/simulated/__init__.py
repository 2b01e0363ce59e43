"""The simulated backend: records alone, for simulated hosts."""
