"""Experiments in TOML, their results, and the studies that make them."""
