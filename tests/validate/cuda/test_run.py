"""The validation on a GPU, without one: the allocator's history as given, and the CPU in the GPU's place."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import accumulate
from time import perf_counter
from typing import Any
from unittest import mock

import pytest
import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import _len_torch_dispatch_stack

from lipcost.costmodel import METHODS, Device, max_batch, predict_network
from lipcost.costmodel.networks.workload import workload
from lipcost.costmodel.planning.batches import Batches
from lipcost.validate.compare.cases import MODES, Case
from lipcost.validate.compare.networks import NetworkCase
from lipcost.validate.cuda import meter, run
from lipcost.validate.cuda.allocator import Peaks, by_owner
from lipcost.validate.cuda.results import load_cuda, problems, summary
from lipcost.validate.cuda.run import collect, run_cuda
from lipcost.validate.cuda.subjects import Layer, Network, subjects
from lipcost.validate.measure.live import prompt_frees
from lipcost.validate.measure.profiler import WRAPPED_SCALAR_BYTES, allocations
from lipcost.validate.report.gpus import cuda_sections

EMPTY = "at::detail::empty_cuda(c10::ArrayRef<long>, c10::TensorOptions const&)"
H200 = Device.named("h200")


class Cpu:
    """The CPU in a GPU's place, by the profiler's memory events; scratch is what convolutions allocate there."""

    device = "cpu"

    def __init__(self, device=H200):
        self.figures, self.released = device.with_figures("measured", "as here", rounding=64), 0

    def profile(self, quick):
        return self.figures

    def events(self, call) -> Iterator[tuple[int, int, int | None]]:
        call.reset()
        with prompt_frees(), profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
            kept = call.run()
        del kept
        tree = profiler.profiler.kineto_results.experimental_event_tree()
        scalars = set()
        for address, size, operator in allocations(tree):
            if operator is None and 0 < size <= WRAPPED_SCALAR_BYTES:
                scalars.add(address)
            if address not in scalars:
                yield address, size, operator
            elif size < 0:
                scalars.remove(address)

    def peaks(self, call):
        sizes = [size for _, size, _ in self.events(call)]
        return Peaks(
            max(accumulate(sizes)), max(accumulate(int(math.copysign(-(-abs(n) // 64) * 64, n)) for n in sizes))
        )

    def trace(self, call):
        for address, size, operator in self.events(call):
            names = [EMPTY] if operator is None else [EMPTY, f"at::_ops::call_{operator}::call()"]
            action, frames = "alloc" if size > 0 else "free_completed", [{"name": name} for name in names]
            yield {"action": action, "addr": address, "size": abs(size), "frames": frames}

    def seconds(self, call):
        start = perf_counter()
        call.run()
        return 3 * [perf_counter() - start]

    def release(self):
        self.released += 1


NETWORKS = ["standard", "aol", "cpl", "soc/published"]  # each method's is measured in compare/test_networks.py


def layers(methods=tuple(METHODS)):
    return [Layer(replace(Case(name, b=2, s=6, c_in=4, c_out=4), mode=mode)) for name in methods for mode in MODES]


def networks(methods):
    return [Network(NetworkCase(name, 2, 4, mode)) for name in methods for mode in MODES]


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def found():
    steps = []
    data = collect(Cpu(), [*layers(), *networks(NETWORKS)], progress=lambda *step: steps.append(step))
    assert steps[0][0] == "calibrating"
    assert [done for _, done, _ in steps] == list(range(len(steps))) and steps[-1][1] == steps[-1][2]
    return json.loads(json.dumps(data, allow_nan=False))


def test_the_whole_way_on_the_cpu(found):
    assert problems(found) == []
    assert [row["name"] for row in found["layers"]] == list(map(str, layers()))
    assert [row["name"] for row in found["networks"]] == list(map(str, networks(NETWORKS)))
    for row in [*found["layers"], *found["networks"]]:
        assert row["status"] == "measured"
        predicted, measured = row["predicted"], row["measured"]
        assert measured["base_bytes"] == predicted["base_bytes"]
        assert measured["counts"] == predicted["counts"]
        assert measured["tensor_bytes"] == predicted["peak_bytes"] <= measured["peak_bytes"]
        assert measured["allocated_bytes"] >= predicted["allocated_bytes"] >= predicted["peak_bytes"]
    assert found["format"] == "lipcost-cuda/1"
    assert Device.from_dict(found["profile"])["rounding"] == 64
    assert {"device", "lipcost", "date"} <= set(found["environment"])
    assert found["oom"] is None


def test_sections_of_a_run(found):
    for table in (table for section in cuda_sections(found) for table in section.tables):
        assert {len(row) for row in table.rows} == {len(table.header)}
    assert [line["tensors' peak equal"] for line in summary(found)][-1] == "{0}/{0}".format(
        len(MODES) * (len(METHODS) + len(NETWORKS))
    )


@pytest.mark.slow
def test_the_whole_way_of_every_network():
    assert problems(collect(Cpu(), networks(name for name in METHODS if name not in NETWORKS))) == []


class Broken(Network):
    """A network that raises where it should run."""

    error: Exception = torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    def call(self, device):
        raise self.error


class Failing(Broken):
    error = RuntimeError("first line\nsecond line")


class Starved(Broken):
    error = RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED")


class Uncounted(Network):
    """A network whose counts need more memory than there is."""

    def call(self, device):
        call: Any = super().call(device)
        call.optimize = lambda: Broken.call(Broken(self.case), device) if _len_torch_dispatch_stack() else None
        return call


AOL, SOC = NetworkCase("aol", 2, 4), NetworkCase("soc", 2, 4)
LITTLE = {"memory": 1.0 + H200["reserved"]}


def statuses(data):
    return [row["status"] for row in data["networks"]]


def test_what_should_not_fit_is_not_run_but_for_the_cheapest():
    meter = Cpu(H200.with_figures("measured", "as here", **LITTLE))
    data = collect(meter, [Failing(SOC), Broken(AOL)])
    assert statuses(data) == ["should not fit"] * 2
    assert [row["predicted"]["max_batch"] for row in data["networks"]] == [0, 0]
    assert all("GiB" in row["reason"] and row["measured"] is None for row in data["networks"])
    assert data["oom"]["name"] == str(AOL) and data["oom"]["seen"] and "2 GiB" in data["oom"]["reason"]
    assert problems(data) == []
    assert meter.released == 3


def test_what_should_not_fit_but_does_is_a_problem():
    data = collect(Cpu(H200.with_figures("measured", "as here", **LITTLE)), [Network(AOL)])
    assert data["oom"] == {"name": str(AOL), "seen": False, "reason": "it ran"}
    (problem,) = problems(data)
    assert problem.startswith(f"{AOL}: should not fit")


@pytest.mark.parametrize(
    ("subject", "status"), [(Broken, "out of memory"), (Starved, "out of memory"), (Failing, "failed")]
)
def test_an_error_where_a_fit_was_predicted_is_shown_and_the_run_goes_on(subject, status):
    meter = Cpu()
    data = collect(meter, [subject(AOL), Network(SOC)])
    assert statuses(data) == [status, "measured"]
    (problem,) = problems(data)
    assert problem.startswith(f"{AOL}: {status}: {type(subject.error).__name__}: ") and "\n" not in problem
    assert data["oom"] is None and meter.released == 2


def test_without_memory_to_count_the_rest_is_measured():
    data = collect(Cpu(), [Uncounted(AOL)])
    assert data["networks"][0]["measured"]["counts"] is None
    assert problems(data) == []
    assert f"Not counted, for want of memory: {AOL}." in cuda_sections(data)[2].note


def test_what_takes_too_long_is_left_out():
    slow = H200.with_figures("measured", "as here", launch=1.0)
    data = collect(Cpu(slow), [Network(AOL)])
    assert statuses(data) == ["skipped"] and "to measure, where 30 s are left" in data["networks"][0]["reason"]
    moments = iter([0.0, run.DEADLINE - 1, run.DEADLINE + 1])
    data = collect(Cpu(), [Network(AOL), Network(SOC)], clock=lambda: next(moments))
    assert statuses(data) == ["measured", "skipped"]


def test_the_prediction_is_the_planners():
    task, case = Network(SOC), SOC
    planned = Batches(workload(case.network, case.method, width=case.width, foreach=True))
    assert task.record().peak(512) == planned.peak(case.b, 512)
    predicted = predict_network(case.network, case.method, b=case.b, width=case.width, foreach=True)
    assert task.record().peak() == predicted.peak_bytes
    most = task.max_batch(H200)
    how: dict[str, Any] = {"width": case.width, "optimizer": "sgd-momentum", "foreach": True}
    assert most == max_batch(case.network, case.method, device=H200, **how) > case.b


def test_the_subjects():
    names = [str(subject) for subject in subjects()]
    assert len(names) == len(set(names)) == len(METHODS) * 2 * (4 + 4)
    assert names[-1] == "ConvNetL soc/published b=256 width=128 inference"
    assert len(subjects(["aol", "aol", "soc"], quick=True)) == 2 * 2 * 2
    with pytest.raises(ValueError, match="unknown method 'socks'"):
        subjects(["socks"])


def test_the_file_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(run, "CudaMeter", Cpu)
    monkeypatch.setattr(run, "subjects", lambda methods, quick: layers(methods))
    data = run_cuda(tmp_path / "new", ["aol"], quick=True)
    assert load_cuda(tmp_path / "new" / "cuda.json") == json.loads(json.dumps(data))


def test_the_meters_calls_have_torchs_signatures(monkeypatch):
    """The code that only a GPU runs, with everything of torch.cuda replaced by a check of how it is called."""
    stats = [
        {f"{kind}_bytes.all.{when}": n for kind in ("requested", "allocated") for when in ("current", "peak")}
        for n in (5, 9)
    ]
    results = {"memory_stats": stats, "current_device": [0], "synchronize": None, "reset_peak_memory_stats": None}
    for name, result in (results | {"empty_cache": None}).items():
        many = {"side_effect": result} if isinstance(result, list) else {"return_value": result}
        monkeypatch.setattr(torch.cuda, name, mock.create_autospec(getattr(torch.cuda, name), **many))
    recorder = mock.create_autospec(torch.cuda.memory._record_memory_history_impl)
    monkeypatch.setattr(torch.cuda.memory, "_record_memory_history_impl", recorder)
    snapshot = {"device_traces": [[{"action": "alloc", "addr": 1, "size": 8, "frames": [{"name": EMPTY}]}]]}
    monkeypatch.setattr(torch.cuda.memory, "_snapshot", lambda: snapshot)
    event = mock.Mock(**{"elapsed_time.return_value": 1500.0})
    monkeypatch.setattr(torch.cuda, "Event", lambda enable_timing: event)
    plans = mock.Mock()
    monkeypatch.setattr(torch.backends.cuda, "cufft_plan_cache", plans)
    device, call = meter.CudaMeter(), Layer(Case("standard", b=1, s=4, c_in=1, c_out=1)).call("cpu")
    assert device.peaks(call) == (4, 4)
    assert by_owner(device.trace(call)).largest == {"tensor": 8}
    assert [each.args[:1] or each.kwargs["enabled"] for each in recorder.call_args_list] == [("all",), (None,)]
    assert device.seconds(call) == [1.5] * 3  # more than 2 s after two, but never fewer
    device.release()
    plans.clear.assert_called_once_with()


@pytest.mark.skipif(torch.cuda.is_available(), reason="for machines without CUDA")
def test_without_cuda(tmp_path):
    with pytest.raises(ValueError, match=r"^no CUDA device that torch can use here; valid: cpu$"):
        run_cuda(tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="for machines with CUDA")
def test_with_cuda(tmp_path):
    data = run_cuda(tmp_path, ["aol", "cayley"], quick=True)
    assert [row["reason"] for row in [*data["layers"], *data["networks"]] if row["status"] != "measured"] == []
