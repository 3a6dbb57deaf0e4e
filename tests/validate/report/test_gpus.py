"""A GPU's sections of the report, of a made-up run."""

from __future__ import annotations

from made_up import made_up

from lipcost.validate.cuda.results import problems
from lipcost.validate.report.gpus import cuda_sections


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


def test_sections_show_the_problems():
    assert [row[0] for row in texts(cuda_sections(made_up())[0].tables[1])] == problems(made_up())
