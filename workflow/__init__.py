"""The domain: what a workflow, an execution and a node run *are*, and the rules that hold for them.

Must not: do I/O, define running coroutines (``ports`` only declares them), read a clock, draw
random numbers, or import another room. Everything here is a value or a pure function.
"""
