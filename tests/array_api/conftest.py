"""A test that is marked as comparing a function with the strict reference has to call the reference's."""

import pytest


@pytest.fixture(autouse=True)
def comparisons_took_place(request):
    names = getattr(getattr(request, "function", None), "compares", None)
    if names is None:
        yield
        return
    from array_api_support import CALLED

    CALLED.clear()
    yield
    parameters = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    wanted = {parameters["name"]} if parameters.get("name") in names else set(names)
    missing = wanted - CALLED
    assert not missing, f"marked as comparing {sorted(missing)}, and did not call array-api-strict's"
