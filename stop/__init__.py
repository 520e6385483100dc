"""STOP: the Self-Taught Optimizer.

An improver, a Python program, asks a language model to rewrite programs; a meta-utility scores it
by how good the programs are that it produces; then it is applied to itself, round after round.
Everything a model wrote runs in a sandbox.
"""

__version__ = "0.1.0"
