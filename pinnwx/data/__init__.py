"""Reads gridded files as canonical arrays.

`open` is the way in; `readers`, `conventions`, `inventory` and `quality` are its steps; `regrid` changes the grid;
`archive`, `windows`, `normalisation` and `climatology` turn a dataset into what training reads.
"""
