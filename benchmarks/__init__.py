"""Benchmarks: what surprax takes in time and memory, next to what its users would take instead.

    python -m benchmarks                    every case, written to benchmarks/results/cpu.json and benchmarks/RESULTS.md
    python -m benchmarks --only mle play    some cases, merged into the same file
    python -m benchmarks --list             their names
    python -m benchmarks --report           RESULTS.md again, from the files

Each module that `registry` lists holds one group of cases as data. A case names its entrants, ours first, and says how
an answer is judged; nothing is timed before that. `harness` times, `machine` says on what, `results` keeps.
"""
