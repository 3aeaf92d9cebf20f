"""The base model with two attempts: what every method starts from."""

from dataclasses import dataclass

from bench.methods.interface import Method


@dataclass(kw_only=True)
class Base(Method):
    """No training; the paper's correction instruction."""
