"""Sequential, ModuleList, ModuleDict and their parameter counterparts."""

from collections import OrderedDict

import pytest

import autograd as ag
import nn


def make():
    return nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))


def test_sequential_applies_in_order():
    net = make()
    x = ag.randn(4, 2)
    assert ag.equal(net(x), net[2](net[1](net[0](x)))).all()
    assert nn.Sequential()(x) is x


def test_sequential_from_a_dict_keeps_the_names():
    net = nn.Sequential(OrderedDict(hidden=nn.Linear(2, 3), out=nn.Linear(3, 1)))
    assert list(net.state_dict()) == ["hidden.weight", "hidden.bias", "out.weight", "out.bias"]
    assert net.hidden is net[0] and net(ag.ones((1, 2))).shape == (1, 1)
    part = net[1:]
    assert isinstance(part, nn.Sequential) and part.out is net.out and list(part.state_dict()) == ["out.weight", "out.bias"]


def test_sequential_is_a_list():
    net = make()
    layers = list(net)
    assert len(net) == 3 and net[-1] is layers[2] and layers[1] in net and nn.ReLU() not in net
    assert list(net[:2]) == layers[:2] and isinstance(net[:2], nn.Sequential)
    net.append(nn.Tanh()).insert(1, nn.GELU())
    assert [type(m).__name__ for m in net] == ["Linear", "GELU", "ReLU", "Linear", "Tanh"]
    assert [name for name, _ in net.named_children()] == ["0", "1", "2", "3", "4"]
    del net[1]
    assert type(net.pop(-1)) is nn.Tanh
    assert list(net) == layers and list(net.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    net[1] = nn.SiLU()
    net.extend([nn.ReLU()])
    assert [type(m).__name__ for m in net] == ["Linear", "SiLU", "Linear", "ReLU"]
    assert len(net + make()) == 7


def test_a_slice_keeps_its_names_and_can_grow():
    part = make()[1:]
    part.append(nn.Tanh())
    assert [type(m).__name__ for m in part] == ["ReLU", "Linear", "Tanh"]
    assert [name for name, _ in part.named_children()] == ["1", "2", "3"]


def test_sequential_refuses_what_is_no_module():
    with pytest.raises(TypeError, match=r"'0' is a list, not a module; give the modules one by one"):
        nn.Sequential([nn.ReLU()])
    with pytest.raises(TypeError, match=r"'1' is a function, not a module; a function becomes a layer"):
        nn.Sequential(nn.ReLU(), lambda x: x)
    with pytest.raises(TypeError, match=r"'2' must be of type nn.Module, got int"):
        nn.Sequential(nn.ReLU(), nn.ReLU()).append(1)
    with pytest.raises(IndexError, match="index 3 is out of range for 3 members"):
        make()[3]
    with pytest.raises(TypeError, match="an index is an integer or a slice, got 'a'"):
        make()["a"]
    with pytest.raises(KeyError, match="'forward' already"):
        nn.Sequential({"forward": nn.ReLU()})


def test_module_list_registers_its_members():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(2, 2) for _ in range(3))

        def forward(self, x):
            for layer in self.layers:
                x = layer(x)
            return x

    net = Net()
    assert len(list(net.parameters())) == 6 and list(net.state_dict())[2] == "layers.1.weight"
    assert net(ag.ones((1, 2))).shape == (1, 2)
    assert len(net.layers + [nn.ReLU()]) == 4
    net.layers += [nn.ReLU()]
    assert len(net.layers) == 4 and isinstance(net.layers[1:], nn.ModuleList)
    with pytest.raises(NotImplementedError, match=r"ModuleList has no forward.*nn\.Sequential"):
        net.layers(1)


def test_module_list_text_collects_equal_neighbours():
    layers = nn.ModuleList([nn.ReLU(), *(nn.Linear(2, 2) for _ in range(3))])
    assert repr(layers) == (
        "ModuleList(\n  (0): ReLU()\n  (1-3): 3 x Linear(in_features=2, out_features=2, bias=True)\n)"
    )


def test_module_dict():
    heads = nn.ModuleDict({"a": nn.Linear(2, 1), "b": nn.ReLU()})
    assert list(heads) == ["a", "b"] and "a" in heads and "c" not in heads and len(heads) == 2
    assert list(heads.state_dict()) == ["a.weight", "a.bias"] and heads["b"] is heads.b
    heads.update({"c": nn.Tanh()})
    heads["a"] = nn.Tanh()
    assert [name for name, _ in heads.items()] == ["a", "b", "c"] and len(list(heads.values())) == 3
    assert type(heads.pop("c")) is nn.Tanh
    del heads["b"]
    assert list(heads.keys()) == ["a"]
    with pytest.raises(KeyError, match="has no member 'x'; it has a"):
        heads["x"]
    with pytest.raises(KeyError, match="'keys' already"):
        heads["keys"] = nn.ReLU()
    with pytest.raises(TypeError, match=r"'x' must be of type nn.Module, got int"):
        heads["x"] = 1
    with pytest.raises(NotImplementedError, match="ModuleDict has no forward"):
        heads(1)


def test_parameter_list_and_dict():
    several = nn.ParameterList([ag.zeros(2), nn.Parameter(ag.ones(3))])
    assert all(isinstance(p, nn.Parameter) for p in several) and len(list(several.parameters())) == 2
    assert repr(several) == "ParameterList(0: float32(2,), 1: float32(3,))"
    named = nn.ParameterDict({"a": ag.zeros(2)})
    named["b"] = nn.Parameter(ag.ones(1))
    assert list(named.state_dict()) == ["a", "b"] and repr(named) == "ParameterDict(a: float32(2,), b: float32(1,))"
    module = nn.Module()
    module.several, module.named = several, named
    assert list(module.state_dict()) == ["several.0", "several.1", "named.a", "named.b"]
    with pytest.raises(TypeError, match=r"'2' must be of type nn.Parameter, got ReLU"):
        several.append(nn.ReLU())
