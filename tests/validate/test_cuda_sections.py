"""A GPU's sections of the report, of a made-up run."""

from __future__ import annotations

import json

import pytest

from lipcost.costmodel import Device
from lipcost.validate.cuda_sections import SUMMARY, cuda_sections, load_cuda, problems, summary

H200 = Device.named("h200")


def made_up():
    """A run with one of everything."""
    counts = {"macs_forward": 10, "flops_forward": 20}
    predicted = {"base_bytes": 50, "peak_bytes": 1000, "allocated_bytes": 2048, "counts": counts}
    predicted |= {"seconds": 0.002, "bound": "launches"}
    seconds = {"median": 0.003, "first_quartile": 0.0029, "third_quartile": 0.0031, "repeats": 10}
    measured = {"base_bytes": 50, "peak_bytes": 1300, "tensor_bytes": 1000, "without_libraries_bytes": 1000}
    measured |= {"allocated_bytes": 4096, "owners": {"tensor": 950, "cudnn": 300}, "counts": counts, "seconds": seconds}
    row = {"name": "first", "method": "aol", "status": "measured", "reason": "", "predicted": predicted}
    row["measured"] = measured
    off = measured | {"tensor_bytes": 1010, "peak_bytes": 1010, "counts": counts | {"macs_forward": 11}}
    misfit = {"status": "should not fit", "measured": None, "predicted": predicted | {"max_batch": 17}}
    others = [
        row | {"name": "second", "measured": off},
        row | {"name": "third", "reason": "needs 9.0 of 8.0 GiB"} | misfit,
        row | {"name": "fourth", "reason": "takes long", "status": "skipped", "measured": None},
        row | {"name": "fifth", "reason": "OSError: x", "status": "failed", "measured": None, "predicted": None},
    ]
    return {
        "format": "lipcost-cuda/1",
        "environment": {"device": "NVIDIA H200", "torch": "2.13", "driver": "575"},
        "profile": H200.to_dict(),
        "memory_bytes": 2**37,
        "layers": [row],
        "networks": [others[0] | {"method": "soc"}, *others[1:]],
        "oom": {"name": "third", "seen": True, "reason": "OutOfMemoryError: CUDA out of memory"},
    }


def texts(table):
    return [[cell.text for cell in row] for row in table.rows]


def test_sections_show_it_all():
    overview, memory, counts, times, rest = cuda_sections(made_up())
    assert overview.title == "GPU: NVIDIA H200" and "driver 575" in overview.note
    assert texts(overview.tables[0])[-1] == ["total", "2", "3", "3/4", "1/2", "1.300", "1.50 (1.50–1.50)"]
    first, second = texts(memory.tables[0])
    assert first == [
        "first",
        "1000 B",
        "1000 B",
        "1.27 KiB",
        "+30.00%",
        "2 KiB",
        "4 KiB",
        "+100.00%",
        "tensor 950 B, cudnn 300 B",
    ]
    assert second[4] == "+1.00%" and second[-1]  # a tensor is off
    assert [cell.mark for cell in memory.tables[0].rows[0]][2:5] == ["good", "", "warn"]
    assert memory.tables[0].rows[1][2].mark == "bad"
    assert texts(counts.tables[0]) == [["second", "macs_forward", "10", "11"]]
    assert texts(times.tables[0])[0] == ["first", "2.000", "launches", "3.000", "2.900–3.100", "10", "1.50"]
    assert [row[:2] for row in texts(rest.tables[0])] == [
        ["third", "predicted and seen"],
        ["fourth", "skipped"],
        ["fifth", "failed"],
    ]
    assert texts(rest.tables[0])[0][2:] == ["2 KiB", "17", "OutOfMemoryError: CUDA out of memory"]
    assert "128 GiB" in rest.note


def test_sections_have_cells_for_every_column():
    for data in (made_up(), made_up() | {"layers": [], "networks": [], "oom": None}):
        for table in (table for section in cuda_sections(data) for table in section.tables):
            assert {len(row) for row in table.rows} <= {len(table.header)}
        assert all(list(line) == list(SUMMARY) for line in summary(data))


def test_problems_of_a_run():
    assert problems(made_up()) == [
        "fifth: failed: OSError: x",
        "second: the tensors' peak is +10 B off the formula's",
        "second: macs_forward is 11, not 10",
    ]
    assert [row[0] for row in texts(cuda_sections(made_up())[0].tables[1])] == problems(made_up())


def test_files_are_checked(tmp_path):
    path = tmp_path / "cuda.json"
    with pytest.raises(ValueError, match=r"cuda\.json: not readable"):
        load_cuda(path)
    for text, words in {
        "{": "not JSON",
        "[]": "format must be",
        '{"format": "lipcost-cuda/1"}': "lacks 'environment'",
    }.items():
        path.write_text(text)
        with pytest.raises(ValueError, match=words):
            load_cuda(path)
    path.write_text(json.dumps(made_up()))
    assert load_cuda(path) == made_up()
