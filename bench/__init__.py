"""Benchmarks: what the kernels and the engine cost, next to NumPy and PyTorch on the same machine in the same minute.

`python -m bench` prints every table; `python -m bench.engine` the seven promises of the engine; `pytest bench` runs the
same cases under pytest-benchmark. `python -m bench.gpu --out DIR` is for machines with a GPU.
"""
