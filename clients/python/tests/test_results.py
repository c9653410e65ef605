"""The values that come back."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from vizinho import (
    LSN,
    ConnectionFailed,
    ConnectionRefused,
    DeadlineExceeded,
    ErrorCode,
    InvalidRequest,
    Position,
    RequestRejected,
    RequestTimeout,
    ServerError,
    VizinhoError,
)
from vizinho._requests import search
from vizinho.errors import server_error, twin


@pytest.mark.parametrize("text", ["0/0", "16/B374D848", "FFFFFFFF/FFFFFFFF", "1/A"])
def test_an_lsn_prints_as_postgres_does(text: str) -> None:
    assert str(LSN.parse(text)) == text


def test_an_lsn_is_a_number() -> None:
    assert LSN.parse("16/B374D848") == 0x16_B374D848
    assert LSN.parse("1/0") > LSN.parse("0/FFFFFFFF")
    assert repr(LSN(1)) == "LSN('0/1')"


@pytest.mark.parametrize("text", ["", "1", "/", "1/", "x/1", "-1/0", "100000000/0", "1/2/3"])
def test_what_is_no_lsn(text: str) -> None:
    with pytest.raises(ValueError, match="no LSN"):
        LSN.parse(text)


def test_a_position_may_be_unknown() -> None:
    assert not Position(1, LSN(0), 1).is_known
    assert Position(1, LSN(1), 1).is_known


@pytest.mark.parametrize("code", list(ErrorCode))
def test_every_code_makes_an_exception(code: ErrorCode) -> None:
    error = server_error(code, "what was wrong")
    again = twin(error)
    for each in (error, again):
        assert isinstance(each, ServerError)
        assert type(each) is type(error)
        assert (each.code, each.message) == (code, "what was wrong")
        assert str(each) == f"what was wrong ({code.name.lower()}, code {code.value})"


def test_the_tree_of_exceptions() -> None:
    for child, parents in {
        RequestRejected: (ServerError, InvalidRequest, ValueError),
        DeadlineExceeded: (ServerError, RequestTimeout, TimeoutError),
        ConnectionRefused: (ServerError, ConnectionFailed, ConnectionError),
    }.items():
        assert issubclass(child, VizinhoError)
        assert issubclass(child, parents)
        assert all(issubclass(child, parent) for parent in parents)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_an_array_that_fits_is_sent_from_where_it_is(dtype: type) -> None:
    queries: npt.NDArray[Any] = np.ones((4, 8), dtype)
    queries.setflags(write=False)
    request = search("d", queries, 1, None, None, False)
    assert np.shares_memory(np.frombuffer(request.tail, np.uint8), queries)
