"""Sandboxes: everything that a model wrote runs in one. There is no way around them."""

from stop.sandbox.opening import SANDBOX_CHOICES, open_sandbox
from stop.sandbox.protocol import GuestLimits, Job

__all__ = ["SANDBOX_CHOICES", "GuestLimits", "Job", "open_sandbox"]
