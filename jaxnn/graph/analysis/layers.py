"""The layers of a network, found in its graph by its containers of parameters or by `jax.named_scope`."""

from typing import NamedTuple

from jaxnn.graph.tracing.nodes import Node, Operation, count_uses, find_boundary, leaf_operations


class GraphLayer(NamedTuple):
    """A group of operations.

    Attributes:
      name: the path of the parameters, such as params[0]; the scope; or the name of the argument that starts the layer.
      operations: in the order of evaluation.
      parameters: the arguments from containers that the operations take.
      outputs: the nodes that operations outside of the layer take.
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
) -> list[GraphLayer]:
    """Find the layers, in the order of evaluation; an empty list without containers and scopes.

    Parameters are the first argument that is a container. A layer starts with the first operation on a new container
    in it (params[0], for example), in a new named scope, or, after the data, on another argument, as the loss does on
    labels. The operations that follow belong to it until another layer starts. Those of a layer of jaxnn with params
    belong to it from its first one on.
    """
    numbers, members = _assign_layers(arguments, paths, operations)
    parameters = _containers(arguments, paths)
    uses = count_uses(operations, outputs)
    return [
        GraphLayer(
            name,
            tuple(ops),
            tuple(node for node in parameters if any(node in op.inputs for op in ops)),
            find_boundary(ops, uses)[1],
        )
        for name in numbers
        if (ops := members.get(name))
    ]


def inline_networks(
    arguments: tuple[Node, ...], paths: tuple[tuple[str, ...], ...], operations: tuple[Operation, ...]
) -> tuple[Operation, ...]:
    """Replace composites that hold several layers, such as a network under `jit` or `vmap`, by their bodies.

    Loops stay: their steps share parameters.
    """
    container_of = _containers(arguments, paths)

    def holds_layers(op: Operation) -> bool:
        if not op.body or op.has_rule or op.name in ("scan", "while"):
            return False
        has_scopes = not op.scope and any(step.scope for step in leaf_operations(op.body))
        return has_scopes or len({container_of[node] for node in op.inputs if node in container_of}) > 1

    inlined = (inline_networks(arguments, paths, op.body) if holds_layers(op) else (op,) for op in operations)
    return tuple(op for ops in inlined for op in ops)


def group_by_layer(layers: list[GraphLayer], operations: tuple[Operation, ...]) -> tuple[Operation, ...]:
    """Replace the operations of each layer by one composite."""
    composite_of, uses = {}, count_uses(operations)
    for layer in layers:
        inputs, _ = find_boundary(layer.operations, uses)
        source = layer.operations[0].source
        composite = Operation(layer.name, None, {}, inputs, layer.outputs, layer.operations, source=source)
        composite_of.update(dict.fromkeys(layer.operations, composite))
    ungrouped = [op for op in operations if op not in composite_of]
    return (*ungrouped, *dict.fromkeys(composite_of[op] for op in operations if op in composite_of))


def _assign_layers(
    arguments: tuple[Node, ...], paths: tuple[tuple[str, ...], ...], operations: tuple[Operation, ...]
) -> tuple[dict[str, int], dict[str, list[Operation]]]:
    """Return the layers' names, numbered in the order in which they start, and the operations of each.

    An operation never belongs to an earlier layer than its inputs, so that no two layers depend on each other.
    """
    layer_of = _containers(arguments, paths)
    containers, first = set(layer_of.values()), _parameters(paths)
    argument_of = {node: node.name for node in arguments if node not in layer_of}
    numbers: dict[str, int] = {}
    members: dict[str, list[Operation]] = {}
    met: list[str] = []
    has_layers = bool(layer_of) or any(op.scope for op in operations)
    for op in operations if has_layers else ():
        names = [
            layer_of[node] for node in op.inputs if node in layer_of and not (op.scope and node.kind == "argument")
        ]
        from_arguments = [argument_of[node] for node in op.inputs if node in argument_of and not op.scope]
        if op.layer and first + op.layer in containers:
            names.append(first + op.layer)
        elif op.scope:
            names.append(op.scope.split("/")[0])
        if names:
            # The first argument to meet a layer is the data; each later one starts a layer.
            new = [name for name in dict.fromkeys(from_arguments) if name not in met]
            met += new
            names += [name for name in new if met.index(name) > 0]
        if not names:
            argument_of.update((node, from_arguments[0]) for node in op.outputs if from_arguments)
            continue
        for name in names:
            numbers.setdefault(name, len(numbers))
        latest = max(names, key=numbers.__getitem__)
        members.setdefault(latest, []).append(op)
        layer_of.update(dict.fromkeys(op.outputs, latest))
    return numbers, members


def _containers(arguments: tuple[Node, ...], paths: tuple[tuple[str, ...], ...]) -> dict[Node, str]:
    """Return the path of the innermost container of each parameter."""
    first = _parameters(paths)
    return {node: "".join(path[:-1]) for node, path in zip(arguments, paths, strict=True) if path[0] == first}


def _parameters(paths: tuple[tuple[str, ...], ...]) -> str:
    """Return the name of the first argument that is a container; empty if there is no container."""
    return next((path[0] for path in paths if len(path) > 1), "")
