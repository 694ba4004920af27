"""Module: members, names, states, conversion, errors, text."""

import copy
import pickle
from collections import OrderedDict

import numpy as np
import pytest

import autograd as ag
import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.scale = nn.Parameter(ag.ones(4))
        self.register_buffer("count", ag.zeros(2, dtype=ag.int64))
        self.register_buffer("scratch", ag.zeros(2), persistent=False)
        self.second = nn.Linear(4, 2, bias=False)

    def forward(self, x):
        return self.second(self.first(x) * self.scale)


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Linear(3, 3)
        self.decoder = nn.Linear(3, 3)
        self.decoder.weight = self.encoder.weight

    def forward(self, x):
        return self.decoder(self.encoder(x))


# --- members -----------------------------------------------------------------------------------------------------------


def test_members_come_in_the_order_of_assignment_with_dotted_names():
    net = Net()
    assert [name for name, _ in net.named_parameters()] == ["scale", "first.weight", "first.bias", "second.weight"]
    assert [name for name, _ in net.named_parameters(prefix="net")][1] == "net.first.weight"
    assert [name for name, _ in net.named_parameters(recurse=False)] == ["scale"]
    assert [name for name, _ in net.named_buffers()] == ["count", "scratch"]
    assert [name for name, _ in net.named_modules()] == ["", "first", "second"]
    assert [name for name, _ in net.named_children()] == ["first", "second"]
    assert list(net.children()) == [net.first, net.second]
    assert list(net.modules()) == [net, net.first, net.second]
    assert all(isinstance(p, nn.Parameter) and p.requires_grad for p in net.parameters())
    assert len(list(net.buffers())) == 2


def test_a_shared_parameter_is_given_once_but_saved_under_both_names():  # T49
    net = Tied()
    assert [name for name, _ in net.named_parameters()] == ["encoder.weight", "encoder.bias", "decoder.bias"]
    assert len(list(net.named_parameters(remove_duplicate=False))) == 4
    assert list(net.state_dict()) == ["encoder.weight", "encoder.bias", "decoder.weight", "decoder.bias"]
    optimizer = nn.optim.SGD([*net.encoder.parameters(), *net.decoder.parameters()], lr=1.0)
    assert len(optimizer.param_groups[0]["params"]) == 3
    before = net.encoder.weight.detach().clone()
    net(ag.ones((1, 3))).sum().backward()
    gradient = net.encoder.weight.grad.clone()
    optimizer.step()
    np.testing.assert_allclose(net.encoder.weight.detach().numpy(), (before - gradient).numpy(), rtol=1e-6)


def test_a_shared_module_is_given_once():
    layer = nn.Linear(2, 2)
    net = nn.Sequential(layer, nn.ReLU(), layer)
    assert len(list(net.modules())) == 3
    assert [name for name, _ in net.named_children()] == ["0", "1"]
    assert len(list(net.parameters())) == 2
    assert list(net.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]


def test_reassignment_and_deletion():
    net = Net()
    net.scale = nn.Parameter(ag.zeros(4))
    assert next(net.named_parameters())[1] is net.scale
    net.scale = None
    assert "scale" not in dict(net.named_parameters())
    del net.first, net.count
    assert [name for name, _ in net.named_modules()] == ["", "second"]
    assert list(net.state_dict()) == ["second.weight"]
    net.scratch = ag.ones(3)  # a buffer stays a buffer
    assert dict(net.named_buffers())["scratch"].shape == (3,)


@pytest.mark.parametrize(
    "value",
    [
        lambda: [nn.Linear(2, 2)],
        lambda: (nn.Linear(2, 2), 1),
        lambda: {"a": nn.ReLU()},
        lambda: {nn.ReLU()},
        lambda: OrderedDict(a=nn.ReLU()),
    ],
)
def test_a_container_of_modules_is_refused_with_the_way_out(value):  # T49
    module = nn.Module()
    with pytest.raises(TypeError, match=r"Module\.layers: the modules inside a \w+ would be neither trained.*nn\.Module"):
        module.layers = value()


@pytest.mark.parametrize(
    "value",
    [
        lambda: {"a": [nn.Linear(2, 2)]},
        lambda: [1, (2, [nn.Linear(2, 2)])],
        lambda: ({"a": {"b": [nn.Linear(2, 2)]}},),
    ],
)
def test_modules_in_nested_containers_are_refused_at_any_depth(value):  # T49
    module = nn.Module()
    with pytest.raises(TypeError, match=r"inside a list would .* use nn\.ModuleList\(\[\.\.\.\]\), and .* the \w+ around it"):
        module.layers = value()
    module.layers = nested = [[]]
    nested.append(nested)  # a container may hold itself
    nested[0].append(nn.Parameter(ag.zeros(1)))
    with pytest.raises(TypeError, match="the parameters inside a list would be neither"):
        list(module.parameters())


def test_modules_appended_to_a_list_later_are_found_when_parameters_are_asked_for():  # T49
    module = nn.Module()
    module.layers = []
    module.layers.append(nn.Linear(2, 2))
    with pytest.raises(TypeError, match=r"use nn\.ModuleList"):
        list(module.parameters())
    with pytest.raises(TypeError, match=r"use nn\.ModuleList"):
        module.state_dict()
    module.held = nn.ModuleList(module.layers)  # registered now, so the list is a second way to reach them
    assert len(list(module.parameters())) == 2
    with pytest.raises(TypeError, match=r"the parameters inside a list .* nn\.ParameterList"):
        module.weights = [nn.Parameter(ag.zeros(1))]
    module.same = [module.layers[0].weight]


def test_what_is_not_registered_must_not_replace_what_is():
    net = Net()
    with pytest.raises(TypeError, match=r"Net\.scale is a parameter and cannot become a Tensor; assign nn\.Parameter"):
        net.scale = ag.ones(4)
    with pytest.raises(TypeError, match=r"Net\.scale is a parameter and cannot become a float"):
        net.scale = 1.0
    with pytest.raises(TypeError, match=r"Net\.first is a module and cannot become a function"):
        net.first = lambda x: x
    with pytest.raises(TypeError, match=r"Net\.count is a buffer and must be a tensor or None, got a int"):
        net.count = 1
    net.constant = ag.ones(4)
    assert "constant" not in net.state_dict()


def test_a_misspelt_attribute_names_near_ones():
    with pytest.raises(AttributeError, match=r"Net has no attribute 'secnd'; did you mean 'second'"):
        Net().secnd  # noqa: B018
    with pytest.raises(AttributeError, match=r"did you mean 'parameters'"):
        Net().paramters  # noqa: B018
    assert not hasattr(Net(), "__wrapped__")


def test_forgetting_super_init_is_explained():
    class Forgetful(nn.Module):
        def __init__(self):
            self.layer = nn.Linear(2, 2)

    with pytest.raises(AttributeError, match=r"Forgetful\.layer: call super\(\).__init__\(\) before"):
        Forgetful()

    class Bare(nn.Module):
        def __init__(self):
            pass

    with pytest.raises(AttributeError, match=r"Bare has no 'training' yet: its __init__ must call super"):
        Bare().training  # noqa: B018
    with pytest.raises(AttributeError, match=r"super\(\).__init__\(\) before register_buffer"):
        Bare().register_buffer("b", ag.zeros(1))
    with pytest.raises(NotImplementedError, match=r"Module must define forward"):
        nn.Module()(1)


def test_registration_checks_names_and_types():
    module = nn.Module()
    module.register_parameter("weight", nn.Parameter(ag.zeros(2)))
    module.register_parameter("bias", None)
    module.add_module("inner", nn.ReLU())
    assert module.bias is None and list(module.state_dict()) == ["weight"]
    with pytest.raises(KeyError, match="has an attribute 'training' already"):
        module.register_parameter("training", None)
    module.plain = 1
    with pytest.raises(KeyError, match="has an attribute 'plain' already"):
        module.register_buffer("plain", ag.zeros(1))
    with pytest.raises(KeyError, match="has an attribute 'forward' already"):
        module.register_module("forward", nn.ReLU())
    with pytest.raises(KeyError, match="must not be empty or contain a dot"):
        module.register_module("a.b", nn.ReLU())
    with pytest.raises(TypeError, match=r"must be an nn.Parameter or None, got Tensor"):
        module.register_parameter("x", ag.zeros(1))
    with pytest.raises(TypeError, match="must be a tensor that is no parameter, or None, got ndarray"):
        module.register_buffer("x", np.zeros(1))
    with pytest.raises(TypeError, match=r"must be an nn.Module or None, got int"):
        module.register_module("x", 1)
    with pytest.raises(TypeError, match="a name is a string"):
        module.register_module(1, nn.ReLU())


def test_a_module_inside_itself():
    outer = nn.Sequential(nn.Linear(2, 2))
    outer[0].outer = outer
    assert len(list(outer.parameters())) == 2 and len(list(outer.eval().modules())) == 2
    with pytest.raises(RuntimeError, match=r"Sequential contains itself, as '0.outer'"):
        outer.state_dict()


def test_find_by_dotted_name():
    net = Net()
    assert net.get_submodule("first") is net.first and net.get_submodule("") is net
    assert net.get_parameter("first.weight") is net.first.weight
    assert net.get_buffer("count") is net.count
    with pytest.raises(AttributeError, match="did you mean 'first'"):
        net.get_submodule("frst")
    with pytest.raises(AttributeError, match="found a Linear, not a Parameter"):
        net.get_parameter("first")
    with pytest.raises(AttributeError, match="no buffer 'scale'"):
        net.get_buffer("scale")


# --- the state -----------------------------------------------------------------------------------------------------------


def test_state_dict_names_and_sharing():
    net = Net()
    state = net.state_dict()
    assert list(state) == ["scale", "count", "first.weight", "first.bias", "second.weight"]
    assert not any(t.requires_grad for t in state.values())
    with ag.no_grad():
        net.scale.fill_(7.0)
    assert state["scale"].tolist() == [7.0] * 4
    assert net.state_dict(keep_vars=True)["scale"] is net.scale
    assert next(iter(net.state_dict(prefix="net."))) == "net.scale"


def test_state_dict_keys_and_shapes_equal_torchs():
    torch = pytest.importorskip("torch")
    ours = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.LayerNorm(8), nn.Dropout(), nn.Linear(8, 3), nn.PReLU())
    theirs = torch.nn.Sequential(
        torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.LayerNorm(8), torch.nn.Dropout(), torch.nn.Linear(8, 3),
        torch.nn.PReLU(),
    )  # fmt: skip
    state = theirs.state_dict()
    assert [(k, v.shape) for k, v in ours.state_dict().items()] == [(k, tuple(v.shape)) for k, v in state.items()]
    ours.load_state_dict(state)
    x = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    np.testing.assert_allclose(
        ours.eval()(ag.tensor(x)).detach().numpy(), theirs.eval()(torch.tensor(x)).detach().numpy(), atol=1e-6
    )


def test_load_state_dict_copies_into_the_same_parameters():
    source, target = Net(), Net()
    parameter = target.scale
    with ag.no_grad():
        source.scale.fill_(3.0)
        source.count.fill_(5)
    assert target.load_state_dict(source.state_dict()) == ([], [])
    assert target.scale is parameter and parameter.tolist() == [3.0] * 4 and target.count.tolist() == [5, 5]
    with ag.no_grad():
        source.scale.fill_(4.0)
    assert parameter.tolist() == [3.0] * 4
    arrays = {name: t.numpy() for name, t in source.state_dict().items()}
    target.load_state_dict(arrays)
    assert parameter.tolist() == [4.0] * 4


def test_load_state_dict_lists_everything_that_is_wrong_and_loads_nothing():  # T51
    net = Net()
    state = net.state_dict()
    before = {name: t.numpy().copy() for name, t in state.items()}
    bad = {name: t.clone() + 1 for name, t in state.items()}
    del bad["scale"]
    bad["extra"] = ag.zeros(1)
    bad["first.weight"] = ag.zeros((4, 5))
    bad["first.bias"] = ag.zeros(4, dtype=ag.float64)
    bad["second.weight"] = "text"
    with pytest.raises(RuntimeError, match="does not fit Net; nothing was loaded") as info:
        net.load_state_dict(bad)
    message = str(info.value)
    for part in (
        "missing keys: 'scale'", "unexpected keys: 'extra'", "first.weight: the state's shape is (4, 5), the module's (4, 3)",
        "first.bias: the state's dtype is float64, the module's float32", "second.weight: expected a tensor, got str",
    ):  # fmt: skip
        assert part in message
    for name, t in net.state_dict().items():
        np.testing.assert_array_equal(t.numpy(), before[name])
    with pytest.raises(TypeError, match="expected a dict from names to tensors, got list"):
        net.load_state_dict([1])


def test_load_state_dict_not_strict_tolerates_names_only():
    net = Net()
    result = net.load_state_dict({"scale": ag.zeros(4), "extra": ag.zeros(1)}, strict=False)
    assert result.missing_keys == ["count", "first.weight", "first.bias", "second.weight"]
    assert result.unexpected_keys == ["extra"]
    assert net.scale.tolist() == [0.0] * 4
    with pytest.raises(RuntimeError, match=r"scale: the state's shape is \(3,\)"):
        net.load_state_dict({"scale": ag.zeros(3)}, strict=False)


def test_loading_counts_as_a_change_that_a_graph_notices():
    net = nn.Linear(2, 2)
    loss = (net.weight * net.weight).sum()
    net.load_state_dict(net.state_dict())
    with pytest.raises(RuntimeError, match="changed by an in-place operation"):
        loss.backward()


def test_save_and_load_round_trip(tmp_path):  # T51
    pytest.importorskip("safetensors")
    net = Net().double()
    nn.save(tmp_path / "net.safetensors", net.state_dict())
    other = Net().double()
    other.load_state_dict(nn.load(tmp_path / "net.safetensors"))
    for a, b in zip(net.parameters(), other.parameters(), strict=True):
        np.testing.assert_array_equal(a.detach().numpy(), b.detach().numpy())
        assert b.dtype == ag.float64


# --- what is done to all of it ---------------------------------------------------------------------------------------------


def test_train_and_eval_reach_every_module():
    net = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Dropout()))
    assert net.eval() is net and not any(m.training for m in net.modules())
    assert net.train() is net and all(m.training for m in net.modules())
    with pytest.raises(ValueError, match="the mode is True or False, got 1"):
        net.train(1)


def test_zero_grad():  # T50
    net = nn.Linear(2, 2)
    net(ag.ones((1, 2))).sum().backward()
    held = net.weight.grad
    net.zero_grad(set_to_none=False)
    assert net.weight.grad is held and held.tolist() == [[0.0, 0.0], [0.0, 0.0]]
    net.zero_grad()
    assert net.weight.grad is None and net.bias.grad is None


def test_requires_grad_freezes():
    net = Net()
    assert net.requires_grad_(False) is net and not any(p.requires_grad for p in net.parameters())
    assert not net(ag.ones((1, 3))).requires_grad
    net.requires_grad_()
    assert all(p.requires_grad for p in net.parameters())


def test_apply_visits_inner_modules_first():
    seen = []
    net = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.ReLU()))
    assert net.apply(lambda m: seen.append(type(m).__name__)) is net
    assert seen == ["Linear", "ReLU", "Sequential", "Sequential"]


def test_to_converts_floats_in_place_and_keeps_the_objects():
    net = Net()
    parameter = net.scale
    net(ag.ones((1, 3))).sum().backward()
    assert net.to(ag.float64) is net
    assert net.scale is parameter and parameter.dtype == ag.float64 and parameter.grad.dtype == ag.float64
    assert net.count.dtype == ag.int64 and net.scratch.dtype == ag.float64
    assert net(ag.ones((1, 3), dtype=ag.float64)).dtype == ag.float64
    net(ag.ones((1, 3), dtype=ag.float64)).sum().backward()
    assert net.float().cpu().scale.dtype == ag.float32
    assert net.to("cpu", ag.float64).double().scale.dtype == ag.float64
    with pytest.raises(TypeError, match="can be converted to float32 or float64, not to int64"):
        net.to(ag.int64)
    tied = Tied().to(ag.float64)
    assert tied.encoder.weight is tied.decoder.weight and tied.decoder.weight.dtype == ag.float64


def test_a_graph_made_before_a_conversion_notices_it():
    net = nn.Linear(2, 2)
    loss = (net.weight * net.weight).sum()
    net.double()
    with pytest.raises(RuntimeError, match="changed by an in-place operation"):
        loss.backward()


def test_forward_hooks_see_and_change():
    net = nn.ReLU()
    seen = []
    remove_before = net.register_forward_pre_hook(lambda m, args: (args[0] * 2,))
    remove_after = net.register_forward_hook(lambda m, args, out: seen.append((m, args[0].tolist(), out.tolist())))
    net(ag.tensor([1.0, -1.0]))
    assert seen == [(net, [2.0, -2.0], [2.0, 0.0])]
    remove_before.remove()
    remove_after()
    assert net(ag.tensor([1.0])).tolist() == [1.0] and len(seen) == 1
    net.register_forward_hook(lambda m, args, out: out + 1)
    assert net(ag.tensor([1.0])).tolist() == [2.0]


def test_pickle_and_deepcopy_keep_structure_and_sharing():
    net = Tied()
    net.register_buffer("b", ag.ones(2))
    for other in (pickle.loads(pickle.dumps(net)), copy.deepcopy(net)):
        assert other.encoder.weight is other.decoder.weight and other.encoder.weight is not net.encoder.weight
        assert isinstance(other.encoder.weight, nn.Parameter) and other.encoder.weight.requires_grad
        assert list(other.state_dict()) == list(net.state_dict())
        with ag.no_grad():
            other.encoder.weight.fill_(0.0)
        assert net.encoder.weight.abs().sum().item() > 0
        other(ag.ones((1, 3))).sum().backward()
    frozen = nn.Linear(2, 2).requires_grad_(False)
    assert not pickle.loads(pickle.dumps(frozen)).weight.requires_grad


def test_a_module_can_be_left_out_of_the_graph():
    net = Net()
    with ag.no_grad():
        assert not net(ag.ones((1, 3))).requires_grad


# --- text ------------------------------------------------------------------------------------------------------------------


def test_repr():
    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Linear(2, 3), nn.GELU())
            self.heads = nn.ModuleDict({"a": nn.Linear(3, 1, bias=False)})

        def extra_repr(self):
            return "depth=2"

    assert repr(Outer()) == (
        "Outer(\n"
        "  depth=2\n"
        "  (body): Sequential(\n"
        "    (0): Linear(in_features=2, out_features=3, bias=True)\n"
        "    (1): GELU(approximate='none')\n"
        "  )\n"
        "  (heads): ModuleDict(\n"
        "    (a): Linear(in_features=3, out_features=1, bias=False)\n"
        "  )\n"
        ")"
    )
    assert repr(nn.ReLU()) == "ReLU()"
    layer = nn.Linear(2, 2)
    assert repr(nn.Sequential(layer, layer)).count("Linear") == 2


def test_parameter():
    data = ag.zeros(3)
    parameter = nn.Parameter(data)
    assert isinstance(parameter, ag.Tensor) and parameter.requires_grad and parameter.is_leaf
    with ag.no_grad():
        parameter.fill_(1.0)
    assert data.tolist() == [1.0] * 3  # memory is shared
    assert type(parameter * 2) is ag.Tensor
    assert not nn.Parameter(ag.zeros(2), requires_grad=False).requires_grad
    assert nn.Parameter([1.0, 2.0]).dtype == ag.float32
    assert repr(parameter).startswith("parameter([1., 1., 1.]")
    with pytest.raises(TypeError, match="only tensors of floats can require grad"):
        nn.Parameter(ag.zeros(2, dtype=ag.int64))
    assert nn.Parameter(ag.zeros(2, dtype=ag.int64), requires_grad=False).dtype == ag.int64
