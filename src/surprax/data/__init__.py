"""Data in: columns out of arrays and data frames, tables and streams out of files, a few data sets to start with.

    table = read_columns("eruptions.csv")                                # every column of numbers, checked
    evidence = read_evidence("large.parquet", Gamma, column="waiting")   # larger than memory
    nile = datasets.load("nile")

Whatever cannot be used is refused with a `DataError`: one sentence that says what is needed, what was found and where.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
