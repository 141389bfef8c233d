"""The command line: one module a verb, registered in `app`. Each parses its options and prints what its job returns.

Heavy imports happen inside the verbs, so that `pinnwx --help` answers at once.
"""
