"""The calls that make what weights are made of, each by a function of ours that looks at every argument.

Facts on the calls are those of ``torch._utils`` (``_rebuild_tensor_v2``, ``_rebuild_parameter``, …) and, for archives
of TorchScript, of torch's pickler. No function here comes from a file, and none of torch's is called by its name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor

from bezoar.models.reading.inert import Ordered, Thing, key
from bezoar.models.reading.refusal import RefusedError


class Shop(Protocol):
    """Who makes the tensors."""

    def tensor(self, storage: Any, dtype: Any, offset: Any, size: Any, stride: Any) -> Any: ...


def whole(value: Any) -> tuple[Any, ...]:
    if not isinstance(value, tuple):
        raise RefusedError("a tensor whose shape is no tuple")
    return value


def _tensor(shop: Shop, storage: Any, offset: Any, size: Any, stride: Any) -> Any:
    return shop.tensor(storage, getattr(storage, "dtype", torch.uint8), offset, size, stride)


def _tensor_v2(
    shop: Shop,
    storage: Any,
    offset: Any,
    size: Any,
    stride: Any,
    gradient: Any,
    hooks: Any,
    metadata: Any = None,
) -> Any:
    _bare(gradient, hooks, metadata)
    return _tensor(shop, storage, offset, size, stride)


def _tensor_v3(
    shop: Shop,
    storage: Any,
    offset: Any,
    size: Any,
    stride: Any,
    gradient: Any,
    hooks: Any,
    dtype: Any,
    metadata: Any = None,
) -> Any:
    _bare(gradient, hooks, metadata)
    if not isinstance(dtype, torch.dtype):
        raise RefusedError("a tensor of no type")
    return shop.tensor(storage, dtype, offset, size, stride)


def _parameter(shop: Shop, data: Any, gradient: Any, hooks: Any, state: Any = None) -> Any:
    if state is not None and state != {}:
        raise RefusedError("a parameter with attributes of its own")
    _bare(gradient, hooks, None)
    if not isinstance(data, Tensor | Thing):
        raise RefusedError("a parameter of no tensor")
    return data


def _bare(gradient: Any, hooks: Any, metadata: Any) -> None:
    if type(gradient) is not bool or not (hooks is None or (isinstance(hooks, dict) and not hooks)):
        raise RefusedError("a tensor with hooks")
    if metadata is not None and metadata != {}:
        raise RefusedError("a tensor that is the conjugate or the negative of its storage")


def _ordered(shop: Shop, items: Any = ()) -> Any:
    made = Ordered()
    for pair in items if isinstance(items, list | tuple) else _refused("an OrderedDict of no pairs"):
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise RefusedError("an OrderedDict of no pairs")
        made[key(pair[0])] = pair[1]
    return made


def _set(shop: Shop, items: Any = ()) -> Any:
    if not isinstance(items, list | tuple):
        raise RefusedError("a set of no list")
    return {key(item) for item in items}


def _encode(shop: Shop, text: Any, codec: Any) -> Any:
    if not isinstance(text, str) or codec != "latin1":
        raise RefusedError("bytes in another codec than latin1")
    return text.encode("latin1")


def _bytes(shop: Shop, content: Any = b"") -> Any:
    if not isinstance(content, bytes):
        raise RefusedError("a bytearray of no bytes")
    return bytearray(content)


def _complex(shop: Shop, real: Any, imaginary: Any) -> Any:
    if type(real) is not float or type(imaginary) is not float:
        raise RefusedError("a complex number of no numbers")
    return complex(real, imaginary)


def _size(shop: Shop, shape: Any) -> Any:
    return whole(shape)


def _device(shop: Shop, kind: Any, index: Any = None) -> Any:
    if not isinstance(kind, str) or not isinstance(index, int | None):
        raise RefusedError("a device of no name")
    return kind if index is None else f"{kind}:{index}"


def _same_list(shop: Shop, items: Any) -> Any:
    return items if isinstance(items, list) else _refused("a list that is none")


def _untagged(shop: Shop, value: Any, kind: Any) -> Any:
    return value


def _refused(text: str) -> Any:
    raise RefusedError(text)


CALLS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": _ordered,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor_v2,
    "torch._utils._rebuild_tensor_v3": _tensor_v3,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch.Size": _size,
    "torch.device": _device,
    "_codecs.encode": _encode,
    "builtins.bytearray": _bytes,
    "__builtin__.bytearray": _bytes,
    "builtins.set": _set,
    "__builtin__.set": _set,
    "builtins.complex": _complex,
    "__builtin__.complex": _complex,
}
SCRIPT_CALLS: dict[str, Callable[..., Any]] = {
    "torch.jit._pickle.build_intlist": _same_list,
    "torch.jit._pickle.build_doublelist": _same_list,
    "torch.jit._pickle.build_boollist": _same_list,
    "torch.jit._pickle.build_tensorlist": _same_list,
    "torch.jit._pickle.restore_type_tag": _untagged,
}
