"""Names that pickles of weights hold, and what of them fits into a tower."""

from __future__ import annotations

import torch

# Of the classes of storages in torch, by the first part of their names.
STORAGES = {
    "Half": torch.float16,
    "BFloat16": torch.bfloat16,
    "Float": torch.float32,
    "Double": torch.float64,
    "Char": torch.int8,
    "Byte": torch.uint8,
    "Short": torch.int16,
    "Int": torch.int32,
    "Long": torch.int64,
    "Bool": torch.bool,
}
FIT = frozenset(STORAGES.values())
"""Types of numbers that towers, optimizers and counters have."""
UNFIT = {
    "ComplexFloat": "complex64",
    "ComplexDouble": "complex128",
    "QInt8": "qint8",
    "QUInt8": "quint8",
    "QInt32": "qint32",
    "QUInt4x2": "quint4x2",
    "QUInt2x4": "quint2x4",
}
DTYPES = {f"torch.{name}": value for name, value in vars(torch).items() if isinstance(value, torch.dtype)}
STORAGE_CLASSES = {f"{room}.{name}Storage": name for room in ("torch", "torch.cuda") for name in STORAGES | UNFIT}
UNTYPED = frozenset({"torch.storage.UntypedStorage", "torch.UntypedStorage"})
# Calls and values that make tensors no tower has; everything else that is not known is told by its name.
UNWANTED = {
    "torch._utils._rebuild_sparse_tensor": "a sparse tensor",
    "torch._utils._rebuild_qtensor": "a quantized tensor",
    "torch._utils._rebuild_meta_tensor_no_storage": "a tensor without numbers (of the meta device)",
    "torch._utils._rebuild_wrapper_subclass": "a tensor of a class of its own",
    "torch._tensor._rebuild_from_type_v2": "a tensor of a class of its own",
    "torch._utils._rebuild_device_tensor_from_numpy": "a tensor of another device",
    "torch._utils._rebuild_device_tensor_from_cpu_tensor": "a tensor of another device",
    "torch.serialization._get_layout": "a sparse layout",
    "torch.per_tensor_affine": "a quantized tensor",
    "torch.per_tensor_symmetric": "a quantized tensor",
    "torch.per_channel_affine": "a quantized tensor",
    "torch.per_channel_symmetric": "a quantized tensor",
    "torch.per_channel_affine_float_qparams": "a quantized tensor",
}
