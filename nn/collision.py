"""nn is built on gradloom's `autograd`. That the package of this name is another one is best said before it is used."""

try:
    from autograd.collision import check
except ImportError:
    import autograd

    raise ImportError(
        f"gradloom needs its own package 'autograd', but import autograd finds another, in {list(autograd.__path__)}: most "
        "likely HIPS autograd, the PyPI distribution of that name. Uninstall it here, or use an environment without it."
    ) from None

check(warn=False)  # gradloom's autograd has warned already
