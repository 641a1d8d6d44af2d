"""A device that is not the processor, for machines that have no other.

Within ``elsewhere()`` the device ``"meta"`` works: tensors that are made there or moved there say
that they are on it, and keep their content on the processor. As on a GPU, an operation on tensors
of both places is an error, and so is looking into a tensor with NumPy.
"""

from contextlib import contextmanager

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

ELSEWHERE = "meta"
_COPIES = {torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default}


@contextmanager
def elsewhere():
    """Within it the device ``"meta"`` works."""
    with _Constructor(), _Operations():
        yield


class _Elsewhere(torch.Tensor):
    """A tensor with its content in ``held``, on the processor."""

    @staticmethod
    def __new__(cls, held):
        strides, offset = held.stride(), held.storage_offset()
        return torch.Tensor._make_wrapper_subclass(
            cls, held.shape, strides=strides, storage_offset=offset, dtype=held.dtype, device=ELSEWHERE
        )

    def __init__(self, held):
        self.held = held

    @classmethod
    def __torch_function__(cls, function, types, arguments=(), keywords=None):
        if function is torch.Tensor.tolist:  # the one that torch refuses for subclasses
            return arguments[0].held.tolist()
        with torch._C.DisableTorchFunctionSubclass():
            return function(*arguments, **(keywords or {}))

    @classmethod
    def __torch_dispatch__(cls, operation, types, arguments=(), keywords=None):
        raise AssertionError("a tensor that is elsewhere is used outside of elsewhere()")


class _Constructor(TorchFunctionMode):
    """``torch.tensor`` moves what it made without telling the mode below."""

    def __torch_function__(self, function, types, arguments=(), keywords=None):
        keywords = dict(keywords or {})
        if function is not torch.tensor or keywords.get("device") is None:
            return function(*arguments, **keywords)
        device = keywords.pop("device")
        return function(*arguments, **keywords).to(device)


class _Operations(TorchDispatchMode):
    """Works on what the tensors hold, and lets the results be where the operands are."""

    def __torch_dispatch__(self, operation, types, arguments=(), keywords=None):
        inputs = (arguments, keywords or {})
        flat = tree_flatten(inputs)[0]
        tensors = [value for value in flat if isinstance(value, torch.Tensor)]
        devices = [value.type for value in flat if isinstance(value, torch.device)]
        _check_places(operation, tensors)
        if operation is torch.ops.aten.copy_.default:
            far = isinstance(tensors[0], _Elsewhere)
        else:
            far = devices[0] == ELSEWHERE if devices else any(isinstance(tensor, _Elsewhere) for tensor in tensors)
        known = {id(tensor.held): tensor for tensor in tensors if isinstance(tensor, _Elsewhere)}
        # The tensors of inference mode can't be wrapped.
        with torch.inference_mode(False), torch.no_grad():
            held_arguments, held_keywords = tree_map(_on_processor, inputs)
            result = operation(*held_arguments, **held_keywords)
            return tree_map(lambda value: _wrapped(value, known), result) if far else result


def _check_places(operation, tensors):
    # A tensor without dimensions may come from anywhere.
    places = {isinstance(tensor, _Elsewhere) for tensor in tensors if tensor.ndim}
    if len(places) == 2 and operation not in _COPIES:
        raise RuntimeError(f"expected all tensors to be on the same device: {operation}")


def _on_processor(value):
    if isinstance(value, torch.device):
        return torch.device("cpu")
    return value.held if isinstance(value, _Elsewhere) else value


def _wrapped(value, known):
    if not isinstance(value, torch.Tensor):
        return value
    # What was changed in place is given back as the tensor that it was.
    return known[id(value)] if id(value) in known else _Elsewhere(value)
