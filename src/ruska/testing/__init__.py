"""Checks of methods, operators and sinks, the same for Ruska's own and for yours.

Each check raises AssertionError, saying what was found and what was expected. They need no test framework:

    def test_my_method():
        check_method(check_about(MY_METHOD))
"""

from ruska.testing.abouts import check_about
from ruska.testing.methods import check_method
from ruska.testing.operators import check_operator
from ruska.testing.sinks import check_sink

__all__ = ["check_about", "check_method", "check_operator", "check_sink"]
