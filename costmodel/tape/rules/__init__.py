"""The rules of torch's functions, by family; :mod:`lipcost.costmodel.tape.table` finds them.

Each states what its function allocates, computes and saves; its backward is written in the same operations, in the
order in which PyTorch's derivative formulas run them (tools/autograd/derivatives.yaml,
torch/csrc/autograd/FunctionsManual.cpp, version 2.13), because that order decides the peak.

Counting: a pointwise kernel is 1 FLOP per output element, a reduction 1 per input element, also where complex; a copy
or a fill is none.
"""
