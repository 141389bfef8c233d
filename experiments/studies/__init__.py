"""Studies: what is measured, on what, and the tables that the documentation shows."""
