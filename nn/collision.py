"""nn is built on gradloom's `autograd`. That the package of this name is another one is best said before it is used."""

import os

import autograd

try:
    from autograd import collision

    # An editable install finds gradloom's submodules even where another package of the name hides the package itself.
    ours = os.path.dirname(collision.__file__) in map(os.path.abspath, autograd.__path__)
except ImportError:
    ours = False

if not ours:
    raise ImportError(
        f"gradloom needs its own package 'autograd', but import autograd finds another, in {list(autograd.__path__)}: most "
        "likely HIPS autograd, the PyPI distribution of that name. Uninstall it here, or use an environment without it."
    )

collision.check(warn=False)  # gradloom's autograd has warned already
