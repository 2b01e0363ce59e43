"""Durable operations: what they are made of, the engine that moves them on, and the workers that run their steps."""
