"""The GPU's kernels: device arrays in, device arrays out. `kernels.cpu` has the same names and arguments.

    from kernels import cuda, formulas
    x = cuda.from_numpy(array)                 # a DeviceArray; also anything with __cuda_array_interface__
    y = cuda.apply(formulas.gelu, x)
    cuda.to_numpy(y)

Importing this package costs nothing: a function's module is loaded when it is first asked for. Without a GPU,
`GRADLOOM_CUDA=sim` runs the same kernels in a simulator.
"""

from kernels.package import HOMES, become_device_package

__all__ = sorted(HOMES)

become_device_package(__name__)
