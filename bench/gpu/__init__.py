"""`python -m bench.gpu --out DIR`: everything that only a machine with a GPU can say, in one command of eight minutes.

First the tests of device "cuda" on hardware, then compute-sanitizer where it is installed, then the figures: what the GPU
can do at most, every family of kernels next to PyTorch and CuPy where they are installed, and training steps. Results are
markdown and JSON in DIR, written again after every line, so that an interruption loses nothing. `--rehearse` goes through
all of it on tiny arrays in the simulator, without a GPU and without times.

The command's own process never touches the GPU. Tests and figures run in processes of their own, which are started again
where they left off when a kernel has taken one down: after an illegal access a CUDA context is of no more use.
"""
