"""GRIB, editions 1 and 2, as fields of the variable table.

`messages` walks a file by the lengths in it; `headers` asks ecCodes what a message is; `geometry` says where its values
stand; `names` says which variable that is; `values` decodes; `reader` puts all of it together.
"""
