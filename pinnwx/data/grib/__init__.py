"""Reads GRIB (editions 1 and 2) as fields of the variable table.

`messages` finds the messages of a file by their lengths; `headers` reads a header with ecCodes; `geometry` gives the
positions of the values; `names` recognises the variable; `values` decodes; `reader` combines all of them.
"""
