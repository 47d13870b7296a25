"""Layers of a network, found in its graph by where its parameters come in, or by `jax.named_scope`."""

from typing import NamedTuple

from jaxnn.graph.tracing.nodes import Node, Operation, boundary, flat, uses


class LayerOfGraph(NamedTuple):
    """Some operations that belong together.

    Attributes:
      name: the path of the parameters, such as params[0]; the scope; or the argument that comes in there.
      operations: in the order of evaluation.
      parameters: the arguments from containers that it takes, of any shapes.
      outputs: the nodes that others take, of any shapes.
    """

    name: str
    operations: tuple[Operation, ...]
    parameters: tuple[Node, ...]
    outputs: tuple[Node, ...]


def find_layers(
    arguments: tuple[Node, ...],
    paths: tuple[tuple[str, ...], ...],
    operations: tuple[Operation, ...],
    outputs: tuple[Node, ...],
) -> list[LayerOfGraph]:
    """The layers in the order of evaluation, of nodes of any shapes; none where there are no containers and no scopes.

    Parameters are the first argument that is a container. A layer begins with the first operation on a new container
    in it (params[0], say), in a new named scope, or, after the data, on another argument, as the labels are at the
    loss. What follows belongs to it, until another layer begins.
    """
    numbers, members = _assign(arguments, paths, operations)
    names = list(numbers)
    contained = _containers(arguments, paths)
    everywhere = uses(operations, outputs)
    return [
        LayerOfGraph(
            name,
            tuple(ops),
            tuple(node for node in contained if any(node in op.inputs for op in ops)),
            boundary(ops, everywhere)[1],
        )
        for name in names
        if (ops := members.get(name))
    ]


def spread(
    arguments: tuple[Node, ...], paths: tuple[tuple[str, ...], ...], operations: tuple[Operation, ...]
) -> tuple[Operation, ...]:
    """The operations, on nodes of any shapes, without boxes of layers, as a network under `jit` or `vmap` is.

    Loops stay: their steps take the same parameters again and again.
    """
    home = _containers(arguments, paths)

    def holds_layers(op: Operation) -> bool:
        if not op.inside or op.has_rule or op.name in ("scan", "while"):
            return False
        named = not op.scope and any(step.scope for step in flat(op.inside))
        return named or len({home[node] for node in op.inputs if node in home}) > 1

    spread_out = (spread(arguments, paths, op.inside) if holds_layers(op) else (op,) for op in operations)
    return tuple(op for ops in spread_out for op in ops)


def boxed(layers: list[LayerOfGraph], operations: tuple[Operation, ...]) -> tuple[Operation, ...]:
    """The operations, on nodes of any shapes, with each layer as one box."""
    box_of, everywhere = {}, uses(operations)
    for layer in layers:
        taken, _ = boundary(layer.operations, everywhere)
        source = layer.operations[0].source
        box = Operation(layer.name, None, {}, taken, layer.outputs, layer.operations, source=source)
        box_of.update(dict.fromkeys(layer.operations, box))
    alone = [op for op in operations if op not in box_of]
    return (*alone, *dict.fromkeys(box_of[op] for op in operations if op in box_of))


def _assign(
    arguments: tuple[Node, ...], paths: tuple[tuple[str, ...], ...], operations: tuple[Operation, ...]
) -> tuple[dict[str, int], dict[str, list[Operation]]]:
    """The layers' names, numbered as they begin, and the operations of each; nodes have any shapes.

    An operation never belongs to an earlier layer than what it takes, so that no two layers need each other.
    """
    home = _containers(arguments, paths)
    plain = {node: node.name for node in arguments if node not in home}
    numbers: dict[str, int] = {}
    members: dict[str, list[Operation]] = {}
    met: list[str] = []
    grouped = bool(home) or any(op.scope for op in operations)
    for op in operations if grouped else ():
        names = [home[node] for node in op.inputs if node in home and not (op.scope and node.kind == "argument")]
        came = [plain[node] for node in op.inputs if node in plain and not op.scope]
        if op.scope:
            names.append(op.scope.split("/")[0])
        if names:
            # The data come in first; an argument that comes in later begins a layer.
            new = [name for name in dict.fromkeys(came) if name not in met]
            met += new
            names += [name for name in new if met.index(name) > 0]
        if not names:
            plain.update((node, came[0]) for node in op.outputs if came)
            continue
        for name in names:
            numbers.setdefault(name, len(numbers))
        latest = max(names, key=numbers.__getitem__)
        members.setdefault(latest, []).append(op)
        home.update(dict.fromkeys(op.outputs, latest))
    return numbers, members


def _containers(arguments: tuple[Node, ...], paths: tuple[tuple[str, ...], ...]) -> dict[Node, str]:
    """The containers of the parameters, of any shapes."""
    first = next((path[0] for path in paths if len(path) > 1), None)
    return {node: "".join(path[:-1]) for node, path in zip(arguments, paths, strict=True) if path[0] == first}
