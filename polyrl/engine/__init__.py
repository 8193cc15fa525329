"""What exists for speed alone. It knows nothing of models, memories or environments, and imports nothing of polyrl.

| file | what it buys |
|---|---|
| `functional.py`, `carried.py` | a run's state as tensors in compiled calls: four times the speed of variables |
| `layout.py` | few tensors into and out of each call, which costs microseconds for each |
| `packing.py` | a replay row is one write and one read |
| `bundle.py` | an optimizer's step on all small variables is one operation of each kind |
| `narrow.py` | the gradient of heads with few units, without matrix products that XLA is slow at |
| `projection.py` | C51's projection without a tensor `[B, N, N]` |
"""
