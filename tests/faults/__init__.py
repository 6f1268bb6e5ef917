"""Faults, tried and counted: a plant of real processes, what is done to it, and what must hold afterwards."""
