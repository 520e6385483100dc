"""The contract of a sandbox, kept by both backends."""

from __future__ import annotations

import pytest

from stop.sandbox.protocol import Sandbox
from stop.testing.sandbox_contract import SandboxContract


class TestBothBackends(SandboxContract):
    @pytest.fixture(autouse=True)
    def _choose(self, backend_name: str) -> None:
        self.backend = backend_name

    async def make(self) -> Sandbox:
        if self.backend == "docker":
            from stop.sandbox.docker import DockerSandbox

            return DockerSandbox()
        from stop.sandbox.bubblewrap import BubblewrapSandbox

        return BubblewrapSandbox()
