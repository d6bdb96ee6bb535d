"""Keys and keyrings, and what a sealed text withstands."""

import base64
import copy
import pickle
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greentic_session._crypto.keyring import KEY_BYTES
from greentic_session._crypto.sealing import Box, Sealer, parts
from greentic_session.encryption import EncryptionKey, Keyring
from greentic_session.errors import DecryptionError, InvalidInputError

SECRET = bytes(range(224, 256))
TEXT = "k1:4OHi4+Tl5ufo6err7O3u7/Dx8vP09fb3+Pn6+/z9/v8="
KEY = EncryptionKey("k1", SECRET)
OTHER = EncryptionKey.generate("k2")
PLACE = parts("place")
WHAT = parts("what")


def box(*keys: EncryptionKey, place: bytes = PLACE, allow_plain: bool = False) -> Box:
    return Box(Sealer(Keyring(*(keys or (KEY,))), allow_plain=allow_plain), place)


# -- keys


def test_a_key_is_written_and_read() -> None:
    assert KEY.to_text() == TEXT
    for text in (TEXT, f" {TEXT}\n", TEXT.replace("+", "-").replace("/", "_")):
        key = EncryptionKey.from_text(text)
        assert (key.id, key.to_text()) == ("k1", TEXT)
    fresh = EncryptionKey.generate("2026-02")
    assert fresh.id == "2026-02"
    assert (
        EncryptionKey.from_text(fresh.to_text()).to_text() == fresh.to_text() != EncryptionKey.generate("2026-02").to_text()
    )


@pytest.mark.parametrize("id", ["", "a:b", "a b", "ä", "x" * 65])
def test_what_is_no_key_id(id: str) -> None:
    with pytest.raises(InvalidInputError):
        EncryptionKey(id, SECRET)


@pytest.mark.parametrize("length", [0, 16, 31, 33, 64])
def test_a_secret_has_32_bytes(length: int) -> None:
    assert KEY_BYTES == 32
    with pytest.raises(InvalidInputError, match="32 bytes"):
        EncryptionKey("k", b"x" * length)
    with pytest.raises(InvalidInputError, match="32 bytes"):
        EncryptionKey.from_text("k:" + base64.b64encode(b"x" * length).decode())


@pytest.mark.parametrize(
    "text", ["", "k1", "no colon", TEXT[:-1], f"{TEXT}=", TEXT.replace("4O", "4 O"), "k1:hush/hush!", "k1:ä"]
)
def test_what_is_no_key_is_refused_and_not_quoted(text: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        EncryptionKey.from_text(text)
    assert "hush" not in f"{caught.value!r} {caught.value.__cause__!r}"
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_wrong_types() -> None:
    wrong: list[object] = [None, 7, "secret", bytearray(SECRET)]
    for value in wrong:
        with pytest.raises(TypeError):
            EncryptionKey("k", value)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # that is what is refused
        with pytest.raises(TypeError):
            Keyring(KEY, value)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # that is what is refused
        with pytest.raises(TypeError):
            Sealer(value, allow_plain=False)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # that is what is refused
    for value in (None, b"k1:"):
        with pytest.raises(TypeError):
            EncryptionKey.from_text(value)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # that is what is refused
        with pytest.raises(TypeError):
            Keyring.from_text(value)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # that is what is refused
    with pytest.raises(TypeError):
        Sealer(Keyring(KEY), allow_plain=1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # that is what is refused


def test_a_keyring_is_read_with_the_primary_key_first() -> None:
    for separator in (",", " ", "\n", ", "):
        ring = Keyring.from_text(separator.join([OTHER.to_text(), TEXT]))
        assert (ring.primary.id, ring.ids) == ("k2", ("k2", "k1"))
    assert ring.primary.to_text() == OTHER.to_text()
    older = ring.get("k1")
    assert older is not None
    assert older.to_text() == TEXT
    assert ring.get("k3") is None
    for text in ("", " , "):
        with pytest.raises(InvalidInputError, match="needs a key"):
            Keyring.from_text(text)


def test_two_keys_of_one_id_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="same id"):
        Keyring(KEY, EncryptionKey.generate("k1"))


def test_nothing_shows_a_secret() -> None:
    ring = Keyring(KEY, OTHER)
    sealer = Sealer(ring, allow_plain=False)
    shown = " ".join(f"{thing!r} {thing}" for thing in (KEY, ring, sealer, Box(sealer, PLACE)))
    assert "EncryptionKey(id='k1', secret=<hidden>)" in shown
    assert "Keyring(primary='k1', older=['k2'])" in shown
    for secret in (repr(SECRET), repr(SECRET)[2:12], TEXT[3:], SECRET.hex()):
        assert secret not in shown


def test_a_key_can_go_to_another_process_as_text_only() -> None:
    for thing in (KEY, Keyring(KEY, OTHER)):
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            with pytest.raises(TypeError, match="cannot be pickled: it holds a secret"):
                pickle.dumps(thing, protocol=protocol)
        assert copy.copy(thing) is copy.deepcopy(thing) is thing


def test_what_was_refused_can_be_shown() -> None:
    for thing in (EncryptionKey.__new__(EncryptionKey), Keyring.__new__(Keyring)):
        assert "None" in repr(thing)


def test_without_the_package_the_extra_is_named() -> None:
    code = (
        "import sys; sys.modules['cryptography'] = None\n"
        "from greentic_session import InMemorySessionStore, UnavailableError\n"
        "from greentic_session.encryption import EncryptedSessionStore, EncryptionKey, Keyring\n"
        "ring = Keyring(EncryptionKey.generate('k'))\n"
        "try: EncryptedSessionStore(InMemorySessionStore(), ring)\n"
        "except UnavailableError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "python -m pip install 'greentic-session[encryption]'" in done.stdout


# -- sealed texts


def test_a_text_that_was_sealed_long_ago_still_opens() -> None:
    """The wire stays.

    What this text was sealed with must open it in every version that reads ``gse1``.
    """
    sealed = "gse1:k1:VmiaJbR7ukTvOCOj5VHyMLBkGNtbDTwmK3xLTgZgS/DA8X/IqdZ28agdm6cM"
    assert box(OTHER, KEY).open(sealed, WHAT) == "what was said, ä".encode()


def test_the_wire() -> None:
    sealed = box().seal(b"abc", WHAT)
    front, id, body = sealed.split(":")
    assert (front, id) == ("gse1", "k1")
    assert len(base64.b64decode(body, validate=True)) == 12 + 3 + 16
    assert box().seal(b"abc", WHAT) != sealed


@given(st.binary(max_size=3000))
def test_round_trip(text: bytes) -> None:
    sealed = box().seal(text, WHAT)
    assert box().open(sealed, WHAT) == text
    assert len(text) < 4 or text not in base64.b64decode(sealed.split(":")[2])


def test_round_trip_of_256_kib() -> None:
    text = b"0123456789abcdef" * 2**14
    assert box().open(box().seal(text, WHAT), WHAT) == text


@st.composite
def damages(draw: st.DrawFn) -> tuple[str, str]:
    """A sealed text, and what becomes of it when something is changed, taken out, or put in."""
    sealed = box().seal(draw(st.binary(max_size=40)), WHAT)
    at = draw(st.integers(0, len(sealed) - 1))
    piece = draw(st.characters(codec="utf-8") | st.just("\udc80") | st.sampled_from("ABab01+/=-_: \n\\"))
    tail = draw(st.integers(1, 3))
    damaged = draw(
        st.sampled_from(
            [
                sealed[:at] + piece + sealed[at + 1 :],
                sealed[:at] + piece + sealed[at:],
                sealed[:at] + sealed[at + 1 :],
                sealed[:at],
                sealed[at:],
                sealed + piece,
                sealed + "=" * tail,
                sealed.rstrip("="),
                sealed[:-tail],
                sealed + sealed[-4:],
                sealed[:at] + sealed[at : at + 2][::-1] + sealed[at + 2 :],
            ]
        )
    )
    return sealed, damaged


@given(damages())
def test_tampering_is_detected(texts: tuple[str, str]) -> None:
    sealed, damaged = texts
    if damaged == sealed:
        return
    with pytest.raises(DecryptionError):
        box(KEY, OTHER).open(damaged, WHAT)


def test_every_single_character_counts() -> None:
    """Also those bits of the last ones that say nothing: no two texts open to the same."""
    for length in range(4):
        sealed = box().seal(b"x" * length, WHAT)
        for at in range(len(sealed)):
            for piece in "ABCDQRgwxyz0189+/=:.-k ":
                damaged = sealed[:at] + piece + sealed[at + 1 :]
                if damaged != sealed:
                    with pytest.raises(DecryptionError):
                        box(KEY, OTHER).open(damaged, WHAT)


@given(st.binary(max_size=60), st.integers(0))
def test_no_byte_of_the_ciphertext_can_be_changed(text: bytes, number: int) -> None:
    front, body = box().seal(text, WHAT).rsplit(":", 1)
    raw = bytearray(base64.b64decode(body))
    raw[number % len(raw)] ^= 1 + number // len(raw) % 255
    with pytest.raises(DecryptionError, match="does not decrypt"):
        box().open(f"{front}:{base64.b64encode(raw).decode()}", WHAT)


def test_elsewhere_it_does_not_open() -> None:
    sealed = box().seal(b"abc", WHAT)
    for elsewhere in (parts("another"), parts("place", "")):
        with pytest.raises(DecryptionError, match="does not decrypt"):
            box(place=elsewhere).open(sealed, WHAT)
        with pytest.raises(DecryptionError, match="does not decrypt"):
            box().open(sealed, elsewhere)


def test_under_another_key_it_does_not_open() -> None:
    sealed = box().seal(b"abc", WHAT)
    with pytest.raises(DecryptionError, match="under the key 'k1', which is not in the keyring"):
        box(OTHER).open(sealed, WHAT)
    with pytest.raises(DecryptionError, match="under a key, which is not in the keyring"):
        box(OTHER).open(sealed.replace("k1", "hush\nhush"), WHAT)
    with pytest.raises(DecryptionError, match="does not decrypt"):
        box(EncryptionKey.generate("k1")).open(sealed, WHAT)
    same = EncryptionKey("k9", SECRET)  # the id is bound too
    with pytest.raises(DecryptionError, match="does not decrypt"):
        box(KEY, same).open(sealed.replace("k1", "k9"), WHAT)


def test_rotation() -> None:
    old = box(KEY).seal(b"abc", WHAT)
    both = Keyring(OTHER, KEY)
    assert Box(Sealer(both, allow_plain=False), PLACE).open(old, WHAT) == b"abc"
    new = box(OTHER, KEY).seal(b"abc", WHAT)
    assert box(OTHER).open(new, WHAT) == b"abc"
    sealer = Sealer(both, allow_plain=False)
    assert (sealer.is_current(new), sealer.is_current(old), sealer.is_current("{}")) == (True, False, False)


@pytest.mark.parametrize("plain", ["", "{}", "gse", "gse:", "GSE1:k1:", '"gse1:k1:'])
def test_a_plain_text_is_refused_unless_it_is_allowed(plain: str) -> None:
    with pytest.raises(DecryptionError, match="is not encrypted"):
        box().open(plain, WHAT)
    assert box(allow_plain=True).open(plain, WHAT) == plain.encode()


@pytest.mark.parametrize(
    "text", ["gse1:", "gse1:k1", "gse1:k1:", "gse1:k1:AAAA", "gse1:k1:" + "A" * 39, "gse2:k1:AAAA", "gse10:"]
)
def test_what_is_no_plain_text_is_never_taken_for_one(text: str) -> None:
    with pytest.raises(DecryptionError):
        box(allow_plain=True).open(text, WHAT)


TEXTS = st.lists(st.none() | st.text(st.sampled_from("a1-:,é"), max_size=4), max_size=4)


@given(TEXTS, TEXTS)
def test_different_parts_never_read_the_same(a: list[str | None], b: list[str | None]) -> None:
    assert (parts(*a) == parts(*b)) == (a == b)
    assert not (a and b) or (parts(*a) + parts(*b) == parts(*a, *b))
