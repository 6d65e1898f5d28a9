"""Accuracy as a product: how many bits are wrong, family by family and operation by operation.

`python -m benchmarks.accuracy` holds float32 results against textbook definitions evaluated with 60 digits or more, and writes
docs/accuracy.md and benchmarks/results/accuracy.json.

- `measure`: what an error is measured in.
- `grids`: where: parameters and arguments that span the range of float32.
- `oracles_*`: the truth, one small definition per family, independent of the library.
- `special`: incomplete gamma and beta functions, and expectations of log-factorials, for the oracles.
- `cells`: family × operation: results, references, scores.
- `contestants`: the same operations of this library, NumPyro and SciPy.
- `exceptions`: cells known to miss the bound, and why.
- `report`: the page.
"""
