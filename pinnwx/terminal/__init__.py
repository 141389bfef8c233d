"""Results on a terminal: progress bars, and tables that fit 80 columns."""
