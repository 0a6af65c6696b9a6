"""A pretend GPU: real values on the CPU under the rules of a device that is not the CPU.

Its tensors say that they are CUDA's (``is_cuda``) and lie on a device of their own, ``DEVICE``.
Computing with such a tensor and one of the CPU raises, as CUDA does, and so does making a numpy
array of it; whatever makes a real GPU wait for the CPU is counted, with the line that did it.

    with PretendGpu() as gpu:
        fit(views, device=str(gpu.device))
    assert gpu.waits.total() < 100, gpu.waits.most_common(5)

Code asks ``tensor.is_cuda`` or ``device.type != "cpu"`` to find itself on it; ``device.type`` is
not ``cuda``. Importing this module tells torch of the device, which changes nothing for the CPU and
must come before the process' first backward pass: import it at the top of a test's file. With
``hollow=True`` no values are computed, only shapes: networks of the published size pass in seconds,
what comes back to the CPU reads as ones.
"""

from __future__ import annotations

import sys
import weakref
from collections import Counter
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.backend_registration import (
    _DummyBackendModule,
    _setup_privateuseone_for_python_backend,
)

#: What may take tensors of the device and of the CPU together: copies.
_COPIES = {"aten::_to_copy", "aten::copy_", "aten::copy"}
_INDEXING = {"aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_"}
#: Operations whose result's size depends on values, or whose result is a Python number.
_WAITING = {
    "aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select", "aten::bincount",
    "aten::_unique2", "aten::unique_consecutive", "aten::unique_dim", "aten::equal",
    "aten::repeat_interleave",
}  # fmt: skip
#: Reading these off a tensor launches nothing.
_FREE = {"aten::detach", "aten::alias", "aten::lift_fresh"}

_WHOLE = torch._C.DispatchKey.CompositeImplicitAutograd
_attend = F.scaled_dot_product_attention
_CPU = torch.device("cpu")


class Mixed(RuntimeError):
    """Tensors of the device and of the CPU in one operation."""


class DeviceTensor(torch.Tensor):
    """A tensor that says it is on the device; its values are those of ``inside``."""

    inside: torch.Tensor

    @staticmethod
    def __new__(cls, inside: torch.Tensor) -> DeviceTensor:
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            inside.size(),
            strides=inside.stride(),
            storage_offset=inside.storage_offset(),
            dtype=inside.dtype,
            device=DEVICE,
        )
        made.inside = inside
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl

    @property
    def is_cuda(self) -> bool:  # type: ignore[override]
        return True

    def numpy(self, *_: Any, **__: Any) -> Any:
        raise TypeError("can't convert a device tensor to numpy. Use Tensor.cpu() first")

    __array__ = numpy

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def __repr__(self, **_: Any) -> str:  # type: ignore[override]
        return f"DeviceTensor({self.inside})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _GPUS[-1].run(func, args, kwargs or {})


class Module(_DummyBackendModule):
    """What ``torch.get_device_module`` gives for the device: the part of torch.cuda in use here."""

    def synchronize(self, device: Any = None) -> None:
        """Wait for nothing."""

    def empty_cache(self) -> None:
        """Nothing is kept."""

    # Once there is such a device torch asks it in every test of the process: about random numbers
    # (fork_rng) and about reduced precision (checkpointing).
    def get_rng_state(self, device: Any = None) -> torch.Tensor:
        return torch.zeros(0, dtype=torch.uint8)

    def set_rng_state(self, state: torch.Tensor, device: Any = None) -> None:
        """It has no random numbers of its own."""

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.float16, torch.bfloat16]

    def get_device_name(self, device: Any = None) -> str:
        return "a pretend GPU"

    def memory_allocated(self, device: Any = None) -> int:
        return _GPUS[-1].bytes

    def max_memory_allocated(self, device: Any = None) -> int:
        return _GPUS[-1].most_bytes

    def reset_peak_memory_stats(self, device: Any = None) -> None:
        _GPUS[-1].most_bytes = _GPUS[-1].bytes


_setup_privateuseone_for_python_backend("pretend", backend_module=Module())
#: Where its tensors are.
DEVICE = torch.device("pretend:0")


class PretendGpu(TorchDispatchMode):
    """The device, while entered.

    Args:
        hollow: compute shapes alone.

    Attributes:
        device: what to hand to the code under test, as it is or as text.
        operations: kernels launched, about: operations on its tensors.
        waits: line -> how often it made the device wait for the CPU, or brought a result back.
        sent: line -> how often it copied from the CPU.
        bytes, most_bytes: of its living tensors, now and at most.
        flops: multiplications and additions of matrix products, convolutions and attention.
    """

    def __init__(self, *, hollow: bool = False) -> None:
        super().__init__()
        self.device, self.hollow = DEVICE, hollow
        self.operations, self.flops = 0, 0
        self.bytes, self.most_bytes = 0, 0
        self.waits: Counter[str] = Counter()
        self.sent: Counter[str] = Counter()
        self._known: weakref.WeakSet[Any] = weakref.WeakSet()

    def __enter__(self) -> PretendGpu:
        torch._C._set_only_lift_cpu_tensors(True)
        _GPUS.append(self)
        super().__enter__()
        F.scaled_dot_product_attention = self._attend
        return self

    def __exit__(self, *error: Any) -> None:
        F.scaled_dot_product_attention = _attend
        super().__exit__(*error)
        _GPUS.pop()
        torch._C._set_only_lift_cpu_tensors(False)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self.run(func, args, kwargs or {})

    def put(self, values: torch.Tensor) -> DeviceTensor:
        """Values as a tensor of the device."""
        if torch.is_inference_mode_enabled():  # a view made in it may be of what was made outside
            with torch.inference_mode(False):
                made = DeviceTensor(values)
        else:
            made = DeviceTensor(values)
        storage = values.untyped_storage()
        if storage not in self._known:
            self._known.add(storage)
            self.bytes += storage.nbytes()
            self.most_bytes = max(self.most_bytes, self.bytes)
            weakref.finalize(storage, self._forget, storage.nbytes())
        return made

    def _forget(self, size: int) -> None:
        self.bytes -= size

    def run(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """One operation, wherever its tensors are."""
        if _composite(func):  # arrives whole in inference mode, where CUDA would see its parts
            TorchDispatchMode.__enter__(self)
            try:
                return func._op_dk(_WHOLE, *args, **kwargs)
            finally:
                TorchDispatchMode.__exit__(self, None, None, None)
        name = func.name().split(".")[0]
        tensors = _tensors([args, kwargs])
        ours = [t for t in tensors if isinstance(t, DeviceTensor)]
        asked = _asked_device(args, kwargs)
        there = asked.type == self.device.type if asked is not None else bool(ours)
        if ours:
            self._check(name, args, tensors)
        elif not there:
            return func(*args, **kwargs)
        if name in _COPIES:
            return self._copy(name, func, args, kwargs, there)
        inside = torch.device("meta") if self.hollow else _CPU

        def plain(value: Any) -> Any:
            if isinstance(value, DeviceTensor):
                return value.inside
            if isinstance(value, torch.device):
                return inside
            if self.hollow and isinstance(value, torch.Tensor) and value.dim() == 0:
                return value.to("meta")  # a CPU scalar, allowed beside tensors of the device
            return value

        if self.hollow and name == "aten::_local_scalar_dense":
            self._wait("_local_scalar_dense")
            return torch.ones((), dtype=ours[0].dtype).item()
        out = func(*_mapped(plain, args), **_mapped(plain, kwargs))
        self._count(func, name, args, kwargs, out)
        known = {id(t.inside): t for t in ours}

        def back(value: Any) -> Any:
            if not isinstance(value, torch.Tensor):
                return value
            same = known.get(id(value))  # in place, or out=
            if same is not None and same.shape == value.shape:
                return same
            return self.put(value)

        return _mapped(back, out)

    def _check(self, name: str, args: tuple[Any, ...], tensors: list[torch.Tensor]) -> None:
        """Raise where CUDA would."""
        if name in _COPIES:
            return
        strange = [t for t in tensors if not isinstance(t, DeviceTensor)]
        if name in _INDEXING and isinstance(args[0], DeviceTensor):
            indices = [i for i in args[1] if isinstance(i, torch.Tensor)]
            moved = [i for i in indices if not isinstance(i, DeviceTensor)]
            if moved:  # CUDA allows these and moves them, which waits
                self._wait("index from the CPU")
            strange = [t for t in strange if all(t is not i for i in moved)]
            if any(i.dtype in (torch.bool, torch.uint8) for i in indices):
                # A mask filled with one number is filled without counting what is true.
                filled = name != "aten::index" and args[2].numel() == 1 and len(indices) == 1
                if not filled:
                    self._wait("mask as an index")
        mixed = [t for t in strange if t.dim() > 0]  # numbers may come from anywhere
        if mixed:
            shapes = ", ".join(f"{tuple(t.shape)} {t.device}" for t in mixed)
            raise Mixed(f"{name}: expected all tensors on {self.device}, but got {shapes}")

    def _copy(
        self, name: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], there: bool
    ) -> Any:
        """Between the device and the CPU, or within one of them."""
        if name != "aten::_to_copy":
            target, source = args[0], args[1]
            if isinstance(source, DeviceTensor) and not isinstance(target, DeviceTensor):
                self._wait("copy to the CPU")
                target.copy_(self._read(source.inside))
            else:
                self._arrived(source)
                raw = source.inside if isinstance(source, DeviceTensor) else source
                if not self.hollow:
                    target.inside.copy_(raw)
            return target
        source = args[0]
        inside = source.inside if isinstance(source, DeviceTensor) else source
        rest = {k: v for k, v in kwargs.items() if k not in ("device", "pin_memory")}
        if there:
            self._arrived(source)
            where = torch.device("meta") if self.hollow else _CPU
            return self.put(func(inside, **rest, device=where))
        self._wait("copy to the CPU")
        return func(self._read(inside), **rest)

    def _arrived(self, source: Any) -> None:
        self.operations += 1
        if not isinstance(source, DeviceTensor):
            self.sent[_line("")] += 1

    def _read(self, inside: torch.Tensor) -> torch.Tensor:
        """Values for the CPU; ones where none were computed."""
        return torch.ones_like(inside, device="cpu") if self.hollow else inside

    def _attend(self, query: Any, key: Any, value: Any, *rest: Any, **more: Any) -> Any:
        """One kernel for attention where nothing is learned, as on a GPU: no matrix of scores."""
        tensors = _tensors([query, key, value, rest, more])
        learning = torch.is_grad_enabled() and any(t.requires_grad for t in tensors)
        if learning or not any(isinstance(t, DeviceTensor) for t in tensors):
            return _attend(query, key, value, *rest, **more)
        self._check("scaled_dot_product_attention", (query,), tensors)
        self.operations += 1
        self.flops += 4 * query.numel() * key.shape[-2]
        if self.hollow:
            return self.put(torch.empty_like(query.inside))
        inside = (t.inside for t in (query, key, value))
        return self.put(_attend(*inside, *_mapped(_inside, rest), **_mapped(_inside, more)))

    def _count(
        self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any
    ) -> None:
        if not func.is_view and name not in _FREE:
            self.operations += 1
        if name in _WAITING and not (name == "aten::repeat_interleave" and _sized(args, kwargs)):
            self._wait(name.removeprefix("aten::"))
        counter = _flop_counters().get(func._overloadpacket)
        if counter is not None:
            self.flops += int(counter(*args, **kwargs, out_val=out))

    def _wait(self, what: str) -> None:
        self.waits[_line(what)] += 1


def _line(what: str) -> str:
    """The line of this project that is being run, and what it does."""
    frame: Any = sys._getframe(1)
    while frame is not None and "/img2mesh/" not in frame.f_code.co_filename:
        frame = frame.f_back
    if frame is None:
        return what
    file = frame.f_code.co_filename.rpartition("/img2mesh/")[2]
    return f"{file}:{frame.f_lineno} {what}".strip()


#: The devices entered, the innermost last. One is always there for tensors that outlive theirs.
_GPUS: list[PretendGpu] = []


@cache
def _composite(func: Any) -> bool:
    has = torch._C._dispatch_has_kernel_for_dispatch_key
    return bool(has(func.name(), _WHOLE.name))


@cache
def _flop_counters() -> dict[Any, Any]:
    from torch.utils.flop_counter import flop_registry

    return dict(flop_registry)


def _sized(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    return kwargs.get("output_size") is not None or (len(args) > 1 and isinstance(args[1], int))


def _inside(value: Any) -> Any:
    return value.inside if isinstance(value, DeviceTensor) else value


def _mapped(change: Any, value: Any) -> Any:
    """A value with what is in it changed, through tuples, lists and dictionaries."""
    if type(value) in (tuple, list):
        return type(value)([_mapped(change, v) for v in value])
    if type(value) is dict:
        return {k: _mapped(change, v) for k, v in value.items()}
    return change(value)


def _tensors(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, (list, tuple)):
        return []
    return [t for v in value for t in _tensors(v)]


def _asked_device(args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.device | None:
    asked = kwargs.get("device") or next((a for a in args if isinstance(a, torch.device)), None)
    return None if asked is None else torch.device(asked)
