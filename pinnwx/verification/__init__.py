"""Scores of forecasts beside their baselines, with confidence bounds."""
