"""What a run on a GPU found: its file, its problems, its summary."""

from __future__ import annotations

import json

import pytest
from made_up import made_up

from lipcost.validate.cuda.results import SUMMARY, load_cuda, problems, summary


def test_a_summary_has_all_its_columns():
    for data in (made_up(), made_up() | {"layers": [], "networks": [], "oom": None}):
        assert all(list(line) == list(SUMMARY) for line in summary(data))


def test_problems_of_a_run():
    assert problems(made_up()) == [
        "fifth: failed: OSError: x",
        "second: the tensors' peak is +10 B off the formula's",
        "second: macs_forward is 11, not 10",
    ]


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
