"""Explains forecasts: tendency budgets and attribution to the analysis."""
