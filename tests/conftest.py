import pytest

pytest.register_assert_rewrite("greentic_session._contract")
