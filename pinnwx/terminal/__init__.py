"""How results are printed: progress bars, and tables that fit 80 columns."""
