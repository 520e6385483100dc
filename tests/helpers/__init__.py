"""What tests of several folders share: programs, models, servers, the command line, the machine.

Fixtures are in `conftest.py`; nothing is imported from one test into another.
"""

import pytest

pytest.register_assert_rewrite(
    "tests.helpers.command_line", "tests.helpers.recorded", "tests.helpers.waiting"
)
