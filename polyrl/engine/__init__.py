"""What exists for speed, and for several learners.

It knows nothing of models, memories or environments, and imports nothing of polyrl above it.

| file | what it does | what that buys, in microseconds on one core |
|---|---|---|
| `compiler.py` | compiles calls once, with XLA or without | an update in a call: 58 with XLA, 98 without |
| `xla.py` | predictions with XLA, if it can compile them | the action for a state: 98, without XLA 126 |
| `apart.py` | compiles in a thread, whose memory keeps the gaps that this leaves | a step of C51: 7 to find memory, plain 50 |
| `tracing.py`, `collection.py` | trace once, without the garbage collector | of the time to learning a fifth, and a seventh |
| `shared_trace.py` | one tracing of an update for all graphs without XLA | of what is left a seventh |
| `direct_call.py` | calls without TensorFlow's checks of inputs | 25 of each call |
| `packing.py` | puts tensors side by side in one: what the next three share | |
| `layout.py` | few tensors into and out of each call | a call with 9 inputs and 3 outputs: 22, one by one 75 |
| `rows.py` | one write and one read for a row of a replay memory | a call with six columns: 20, column by column 25 |
| `fused_step.py` | an optimizer's step on all small variables at once | an update without XLA: 98, one by one 116 |
| `functional.py`, `stand_in.py` | run code that assigns variables as a function of their values | see `carried.py` |
| `carried.py` | a run's state as tensors in compiled calls | an update in a call: 58, with XLA on variables 62 |
| `narrow_dense.py` | the gradient of heads with few units, without matrix products of two columns | two units: 3, plain 7 |
| `patches.py` | small convolutions as products of matrices | a step with 16 filters on 10 x 10 x 4: 760, plain 1,210 |
| `projection.py` | C51's projection without a tensor `[B, N, N]` | 64 x 51 atoms: 12, plain 34 |
| `pairwise.py` | the quantile loss without a tensor `[B, N, N]` | an update of QR-DQN with 50 quantiles: 123, plain 215 |
| `squares.py` | the norm of gradients without a long chain of sums | two layers of 64 units: 50, plain 55; of 256: 450, 505 |
| `replicas.py` | means over several learners that share a batch | see `docs/learners.md` |
| `recurrence.py` | a recurrent layer's steps with a gradient that XLA compiles in a loop | an update with XLA at all |

Figures are of `scripts/benchmarks/engine.py`, that of `patches.py` of `scripts/benchmarks/boards.py`, that of `pairwise.py` of
`scripts/benchmarks/family.py`, that of `squares.py` of `scripts/benchmarks/growth.py`: times of the processor on one core of a
rented AMD EPYC with TensorFlow 2.21.
"""
