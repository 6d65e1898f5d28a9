"""Benchmarks: what surprax takes in time and memory, next to what its users would take instead.

    python -m benchmarks                    every case, written to benchmarks/results/cpu.json and benchmarks/RESULTS.md
    python -m benchmarks --only mle play    some cases, merged into the same file
    python -m benchmarks --list             their names
    python -m benchmarks --report           RESULTS.md again, from the files

Each module beside this one holds one group of cases as data. `harness` times them, `machine` says on what, `results` keeps what came
out. A case states its entrants (ours first), and how an answer is judged; no answer is timed before it was judged.
"""
