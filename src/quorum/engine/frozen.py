"""The frozen beginning of a network: what gives the same values in every epoch, apart from the rest.

The network is traced (torch.fx) and cut where as much as possible lies before the cut: operations that depend on the
input and on weights that do not train, and neither draw at random nor follow the statistics of their batch. Both parts
share the network's own layers. A network that cannot be traced, or has no such beginning, is not cut.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

import torch
from torch import fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.utils.flop_counter import FlopCounterMode

WORTH = 0.25  # of a forward pass's arithmetic, from which on a beginning is computed beforehand: reading it costs, too

# Parts of the names of functions that draw at random.
_DRAWING = ("dropout", "bernoulli", "rand", "stochastic_depth", "drop_path", "drop_block", "multinomial", "normal_")
_DRAWING_LAYERS = (_DropoutNd, nn.RReLU, nn.FractionalMaxPool2d)
# What tracing a network may end in: it asks what a number is, or how many there are.
_UNTRACEABLE = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


class _Rest(nn.Module):
    """What comes after the cut. Networks may do different things in training and in evaluation."""

    def __init__(self, in_training: nn.Module, in_evaluation: nn.Module) -> None:
        super().__init__()
        self.in_training, self.in_evaluation = in_training, in_evaluation

    def forward(self, activations: torch.Tensor) -> torch.Tensor:
        part: nn.Module = self.in_training if self.training else self.in_evaluation
        logits: torch.Tensor = part(activations)
        return logits


@dataclass(frozen=True)
class CutNetwork:
    """A network in two parts.

    Attributes:
        beginning: input float32 [n, 3, s, s] to activations [n, ...]; it does not change while the same groups train.
        rest: those activations to logits [n, classes].
    """

    beginning: fx.GraphModule
    rest: nn.Module

    def digest(self) -> str:
        """16 hex digits that change with what the beginning computes and with any bit of its weights."""
        hasher = hashlib.sha256(self.beginning.code.encode())
        for name, tensor in sorted(self.beginning.state_dict().items()):
            values = tensor.detach().cpu().contiguous()
            hasher.update(f"{name} {values.dtype} {tuple(values.shape)}\n".encode())
            hasher.update(values.flatten().view(torch.uint8).numpy().tobytes())
        return hasher.hexdigest()[:16]


def frozen_norms(model: nn.Module) -> list[nn.Module]:
    """The batch-norm layers none of whose weights train. Those without weights of their own are not among them."""
    return [
        layer
        for layer in model.modules()
        if isinstance(layer, _BatchNorm)
        and (weights := list(layer.parameters(recurse=False)))
        and not any(weight.requires_grad for weight in weights)
    ]


def frozen_beginning(model: nn.Module, still: Collection[nn.Module], images: torch.Tensor) -> CutNetwork | None:
    """A network cut behind its frozen beginning, where that does a good part of the work.

    Args:
        model: the network; parameters that do not train do not require gradients.
        still: layers that stay in evaluation mode.
        images: float32 [n, 3, s, s] of any content to count the work on, where the network is (on `meta`, too).
    """
    if all(parameter.requires_grad for parameter in model.parameters()):
        return None
    found = cut(model, still)
    return found if found is not None and _share_of_work(found, images) >= WORTH else None


@torch.no_grad()
def _share_of_work(network: CutNetwork, images: torch.Tensor) -> float:
    """The beginning's share of the arithmetic of a forward pass."""
    with FlopCounterMode(display=False) as before:
        activations = network.beginning.eval()(images)
    with FlopCounterMode(display=False) as after:
        network.rest.eval()(activations)
    first, second = before.get_total_flops(), after.get_total_flops()
    return first / max(1, first + second)


def cut(model: nn.Module, still: Collection[nn.Module] = ()) -> CutNetwork | None:
    """Cut a network behind its frozen beginning: the parameters there do not require gradients.

    Args:
        model: the network. Its mode is left as it was.
        still: layers that stay in evaluation mode while the others train.

    Returns:
        None where it has no frozen beginning, or cannot be traced.
    """
    was_training = model.training
    try:
        training, evaluation = (_trace(model, mode, still) for mode in (True, False))
    except _UNTRACEABLE:
        return None
    finally:
        model.train(was_training)
    trained = {id(parameter) for parameter in model.parameters() if parameter.requires_grad}
    if (at := _cut_node(training, _Steadiness(model, trained, still))) is None:
        return None
    there = {node.name: node for node in evaluation.nodes}.get(at.name)
    if there is None:
        return None
    beginning = _beginning(model, training, at)
    if beginning.code != _beginning(model, evaluation, there).code:
        return None
    return CutNetwork(beginning, _Rest(_after(model, training, at), _after(model, evaluation, there)))


class _Tracer(fx.Tracer):
    """Takes layers of torch's, and others of their kinds that have no parts, as one operation."""

    def is_leaf_module(self, module: nn.Module, path: str) -> bool:
        kinds = [kind for kind in type(module).__mro__ if kind is not nn.Module]
        ours = not any(module.children()) and any(kind.__module__.startswith("torch.nn.modules.") for kind in kinds)
        return ours or super().is_leaf_module(module, path)


def _trace(model: nn.Module, training: bool, still: Iterable[nn.Module]) -> fx.Graph:
    model.train(training)
    for layer in still:
        layer.eval()
    return _Tracer().trace(model)


@dataclass(frozen=True)
class _Steadiness:
    """Whether an operation gives the same values in every epoch, if what it is given does."""

    model: nn.Module
    trained: Collection[int]
    still: Collection[nn.Module]
    layers: dict[str, nn.Module] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", dict(self.model.named_modules()))

    def holds(self, node: fx.Node) -> bool:
        """Of one operation of a graph that was traced in training mode."""
        if node.op == "call_module":
            return self._of_layer(self.layers[str(node.target)])
        if node.op == "get_attr":
            return id(_attribute(self.model, str(node.target))) not in self.trained
        if node.op == "call_method":
            on_weights = isinstance(node.args[0], fx.Node) and node.args[0].op == "get_attr"
            return not _draws(str(node.target)) and not (on_weights and str(node.target).endswith("_"))
        if node.op == "call_function":
            name = getattr(node.target, "__name__", str(node.target))
            if name == "batch_norm":
                return not _argument(node, 5, "training", False)
            if name == "scaled_dot_product_attention":
                return not _argument(node, 4, "dropout_p", 0.0)
            return not _draws(name) or node.kwargs.get("training") is False
        return node.op == "placeholder"

    def _of_layer(self, layer: nn.Module) -> bool:
        if any(id(parameter) in self.trained for parameter in layer.parameters()):
            return False
        if isinstance(layer, _BatchNorm):
            return any(layer is one for one in self.still)
        if isinstance(layer, nn.MultiheadAttention | nn.RNNBase):
            return not layer.dropout
        return not isinstance(layer, _DRAWING_LAYERS) or getattr(layer, "p", 1) == 0


def _draws(name: str) -> bool:
    return any(part in name for part in _DRAWING)


def _argument(node: fx.Node, place: int, name: str, default: object) -> object:
    return node.kwargs.get(name, node.args[place] if len(node.args) > place else default)


def _attribute(model: nn.Module, path: str) -> object:
    found: object = model
    for name in path.split("."):
        found = getattr(found, name)
    return found


def _cut_node(graph: fx.Graph, steadiness: _Steadiness) -> fx.Node | None:
    """The last node that everything after it needs alone of what is steady; None where that is the input."""
    steady: dict[fx.Node, int] = {}  # by node, its place among them
    for node in graph.nodes:
        if all(given in steady for given in node.all_input_nodes) and steadiness.holds(node):
            steady[node] = len(steady)
    # The place from which on each is no longer needed: that of its last user, if that is steady, too.
    last = {node: max((steady.get(user, len(steady)) for user in node.users), default=-1) for node in steady}
    computed = [node for node in steady if node.op != "get_attr"]
    for place in range(len(computed) - 1, 0, -1):
        node = computed[place]
        if all(last[other] <= steady[node] for other in computed[:place]):
            return node
    return None


def _beginning(model: nn.Module, graph: fx.Graph, at: fx.Node) -> fx.GraphModule:
    """The network up to a node."""
    part = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    needed = {at}
    for node in reversed(graph.nodes):
        if node in needed:
            needed.update(node.all_input_nodes)
    for node in graph.nodes:
        if node in needed:
            copies[node] = part.node_copy(node, copies.__getitem__)
    part.output(copies[at])
    return fx.GraphModule(model, part)


def _after(model: nn.Module, graph: fx.Graph, at: fx.Node) -> fx.GraphModule:
    """The network from a node on, which takes what that node gives."""
    part = fx.Graph()
    copies = {at: part.placeholder("activations")}
    needed: set[fx.Node] = set()
    for node in reversed(graph.nodes):
        if node.op == "output" or node in needed:
            needed.update(given for given in node.all_input_nodes if given is not at)
    for node in graph.nodes:
        if node in needed or node.op == "output":
            copies[node] = part.node_copy(node, copies.__getitem__)
    return fx.GraphModule(model, part)
