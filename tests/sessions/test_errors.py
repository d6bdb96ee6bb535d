"""What a program may rely on when it catches one of our errors."""

import copy
import pickle
from collections.abc import Callable

import pytest

from greentic_session import errors

# Each class with its code and all that a program may catch it as.
CLASSES: list[tuple[type[errors.GreenticError], str, tuple[type[Exception], ...]]] = [
    (errors.InvalidInputError, "invalid_input", (ValueError,)),
    (errors.TenantMismatchError, "invalid_input", (errors.InvalidInputError, ValueError)),
    (errors.NotFoundError, "not_found", (LookupError,)),
    (errors.ConflictError, "conflict", ()),
    (errors.ClaimedError, "conflict", (errors.ConflictError,)),
    (errors.TooManyWaitsError, "rate_limited", ()),
    (errors.InboxFullError, "rate_limited", ()),
    (errors.OperationTimeoutError, "timeout", (TimeoutError, OSError)),
    (errors.UnavailableError, "unavailable", (ConnectionError, OSError)),
    (errors.UnauthenticatedError, "unauthenticated", ()),
    (errors.PermissionDeniedError, "permission_denied", ()),
    (errors.InternalError, "internal", ()),
    (errors.CorruptSessionError, "internal", (errors.InternalError,)),
    (errors.CorruptStoreError, "internal", (errors.InternalError,)),
    (errors.CorruptReplyError, "internal", (errors.InternalError,)),
    (errors.MissingVerdictError, "internal", (errors.InternalError,)),
    (errors.DecryptionError, "internal", (errors.InternalError,)),
    (errors.SchemaVersionError, "internal", (errors.InternalError,)),
]
BUILTINS = (ValueError, LookupError, OSError)

Duplicate = Callable[[errors.GreenticError], errors.GreenticError]
DUPLICATES: list[Duplicate] = [
    copy.copy,
    copy.deepcopy,
    *[lambda error, protocol=protocol: pickle.loads(pickle.dumps(error, protocol)) for protocol in range(6)],
]


def build(kind: type[errors.GreenticError], message: str, session_key: str | None = None) -> errors.GreenticError:
    if kind is errors.GreenticError:
        return errors.GreenticError(errors.ErrorCode.RATE_LIMITED, message, session_key=session_key)
    return kind(message, session_key=session_key)  # type: ignore[call-arg]  # each subclass knows its code


def test_every_class_is_listed() -> None:
    defined = {
        value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, errors.GreenticError)
    }
    public = {kind for kind in defined if not kind.__name__.startswith("_")}
    assert public == {errors.GreenticError, *(kind for kind, _, _ in CLASSES)}
    assert {kind.__name__ for kind in public} | {"ErrorCode"} == set(errors.__all__)


@pytest.mark.parametrize(("kind", "code", "bases"), CLASSES)
def test_code_and_bases(kind: type[errors.GreenticError], code: str, bases: tuple[type[Exception], ...]) -> None:
    error = build(kind, "the rule", "k1")
    assert error.code is errors.ErrorCode(code)
    assert (str(error), error.message, error.session_key) == ("the rule", "the rule", "k1")
    assert "k1" not in repr(error)
    assert isinstance(error, errors.GreenticError)
    for base in bases:
        assert isinstance(error, base)
    for other in BUILTINS:
        assert isinstance(error, other) is (other in bases)
    assert build(kind, "the rule").session_key is None


@pytest.mark.parametrize("duplicate", DUPLICATES)
@pytest.mark.parametrize("kind", [errors.GreenticError, *(kind for kind, _, _ in CLASSES)])
def test_a_copy_keeps_everything(kind: type[errors.GreenticError], duplicate: Duplicate) -> None:
    error = build(kind, "the rule", "k1")
    error.add_note("a note")
    again = duplicate(error)
    assert again is not error
    assert type(again) is kind
    assert (again.code, again.message, again.session_key) == (error.code, "the rule", "k1")
    assert (str(again), repr(again), again.args) == (str(error), repr(error), error.args)
    assert again.__notes__ == ["a note"]


def test_the_codes_are_the_references() -> None:
    assert [str(code) for code in errors.ErrorCode] == [
        "unknown",
        "invalid_input",
        "not_found",
        "conflict",
        "timeout",
        "unauthenticated",
        "permission_denied",
        "rate_limited",
        "unavailable",
        "internal",
    ]
    assert all(code.name == code.value.upper() for code in errors.ErrorCode)


@pytest.mark.parametrize("code", list(errors.ErrorCode))
def test_a_code_may_be_given_as_its_text(code: errors.ErrorCode) -> None:
    error = errors.GreenticError(str(code), "the rule")
    assert error.code is code
    assert str(error) == "the rule"


def test_no_other_text_is_a_code() -> None:
    with pytest.raises(ValueError, match="no_such_code"):
        errors.GreenticError("no_such_code", "the rule")


@pytest.mark.parametrize("duplicate", DUPLICATES)
def test_which_conversation_and_which_message_it_was_about(duplicate: Duplicate) -> None:
    for error in (
        errors.CorruptSessionError("the rule", conversation_id="c", position=3),
        errors.GreenticError("internal", "the rule", conversation_id="c", position=3),
    ):
        again = duplicate(error)
        assert (again.conversation_id, again.position, again.session_key, str(again)) == ("c", 3, None, "the rule")
    plain = errors.InternalError("the rule")
    assert (plain.conversation_id, plain.position) == (None, None)
