"""Who owns what a GPU's allocator gave: its history and its statistics, as given."""

from __future__ import annotations

from typing import Any

import torch
from torch._C._profiler import gather_traceback, symbolize_tracebacks
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from lipcost.validate.cuda.allocator import Peaks, _operator, above, by_owner

EMPTY = "at::detail::empty_cuda(c10::ArrayRef<long>, c10::TensorOptions const&)"
MALLOC = "c10::cuda::CUDACachingAllocator::Native::NativeCachingAllocator::malloc(void**, signed char, unsigned long)"
FREE = "c10::cuda::CUDACachingAllocator::Native::local_raw_delete(void*)"
CLEAR = "THPVariable_clear(THPVariable*)"
PYTHON = "forward"
FALLBACK = "at::native::MathOpFallback::fallback_impl(c10::OperatorHandle const&, c10::DispatchKeySet)"


def op(name, how="call"):
    return f"at::_ops::{name}::{how}(at::Tensor const&)"


def entry(action, address, size, *names):
    return {
        "action": action,
        "addr": address,
        "size": size,
        "frames": [{"name": n, "filename": "", "line": 0} for n in names],
    }


def alloc(address, size, *names):
    return entry("alloc", address, size, MALLOC, *names, PYTHON)


def free(address, size, *names):
    requested = entry("free_requested", address, size, FREE, *names, PYTHON)
    return [requested, requested | {"action": "free_completed"}]


def conv(address, size):
    stack = EMPTY, op("cudnn_convolution"), op("convolution", "redispatch"), op("convolution"), op("conv2d")
    return alloc(address, size, *stack)


def test_owners_by_the_stacks():
    inside = op("convolution", "redispatch"), op("convolution"), op("conv2d")
    owners = by_owner(
        [
            conv(1, 100),
            alloc(
                2, 70, "at::native::run_conv_plan(cudnnContext*)", op("cudnn_convolution"), *inside
            ),  # cuDNN's workspace
            *free(2, 70, "at::native::run_conv_plan(cudnnContext*)", op("cudnn_convolution"), *inside),
            alloc(3, 30, EMPTY, op("clone"), op("contiguous"), *inside),
            *free(3, 30, *inside),
            alloc(
                4, 50, "at::cuda::getCurrentCUDABlasHandle()", "void at::cuda::blas::gemm<float>(...)", op("mm")
            ),  # kept
            alloc(5, 20, EMPTY, "at::native::_fft_r2c_cufft(at::Tensor const&)", op("_fft_r2c")),
            *free(5, 20, "at::native::_fft_r2c_cufft(at::Tensor const&)", op("_fft_r2c")),
            alloc(
                6,
                15,
                EMPTY,
                "at::native::(anonymous namespace)::apply_magma(...)",
                op("linalg_inv_ex"),
                op("linalg_inv"),
            ),
            *free(6, 15, op("linalg_inv_ex"), op("linalg_inv")),
            *free(1, 100, CLEAR),
        ]
    )
    assert owners.largest == {
        "tensor": 100,
        "cudnn": 70,
        "operator scratch": 30,
        "cublas": 50,
        "cufft": 20,
        "cusolver": 15,
    }
    assert (owners.tensors, owners.peak, owners.without_libraries) == (100, 100 + 70, 100 + 30)


def test_what_a_composite_operator_frees_is_a_tensor():
    stack = EMPTY, op("clone"), op("reshape"), op("matmul")
    assert by_owner([alloc(1, 8, *stack), *free(1, 8, op("matmul"))]).largest == {"tensor": 8}
    assert by_owner([alloc(1, 8, *stack), *free(1, 8, op("clone"), op("matmul"))]).largest == {"operator scratch": 8}


def test_the_copy_of_a_conjugated_input_is_a_tensor():
    call = FALLBACK, op("mul_Tensor", "redispatch"), op("mul_Tensor")
    copy = [alloc(1, 8, EMPTY, op("clone", "redispatch"), op("clone"), *call), *free(1, 8, *call)]
    assert by_owner(copy).largest == {"tensor": 8}
    inside = "c10::impl::make_boxed_from_unboxed_functor<...>::call(c10::OperatorKernel*)", *call
    scratch = [alloc(1, 8, EMPTY, op("clone"), *inside), *free(1, 8, *inside)]
    assert by_owner(scratch).largest == {"operator scratch": 8}


def test_operators_by_torchs_own_stacks():
    class Stacks(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            seen.append((str(func), gather_traceback(python=True, script=True, cpp=True)))
            return func(*args, **(kwargs or {}))

    seen: list[tuple[str, Any]] = []
    x = torch.ones(1, 2, 2, 2, dtype=torch.complex64)
    with Stacks():
        F.conv2d(x.real, torch.ones(2, 2, 1, 1))
        x.conj() * x
    frames = symbolize_tracebacks([stack for _, stack in seen])
    found = [(func, _operator(stack)) for (func, _), stack in zip(seen, frames, strict=True)]
    assert ("aten.convolution.default", "convolution") in found
    assert found[-2:] == [("aten.clone.default", "clone"), ("aten.mul.Tensor", "mul_Tensor")]


def test_addresses_are_used_again_and_the_base_may_be_freed():
    entries = [*free(9, 4, CLEAR), alloc(1, 8, EMPTY, op("relu")), *free(1, 8, CLEAR), alloc(1, 6, EMPTY, op("relu"))]
    owners = by_owner([*entries, entry("segment_alloc", 1, 2**20), {"action": "oom", "size": 9, "frames": []}])
    assert (owners.largest, owners.peak) == ({"tensor": 8 - 4}, 4)


def test_stacks_without_functions_of_cpp_tell_nothing():
    assert by_owner([entry("alloc", 1, 8, "forward", "cudnn")]).largest == {"unknown": 8}
    assert by_owner([]) == by_owner([]) and by_owner([]).peak == 0


def test_what_was_there_before_is_subtracted():
    before = {"requested_bytes.all.current": 10, "allocated_bytes.all.current": 512}
    after = {"requested_bytes.all.peak": 30, "allocated_bytes.all.peak": 1536}
    assert above(before, after) == Peaks(requested=20, allocated=1024)
